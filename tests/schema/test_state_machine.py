"""Every way from each state to each other one, by plain UPDATE and by every function."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import UUID

import psycopg
import pytest

from tests.schema.scenes import (
    EXECUTION,
    FINAL,
    LEGAL,
    STATES,
    attempt,
    events,
    late_task,
    make_task,
    one,
    rows,
    task_row,
    together,
    until_it_waits,
)
from tests.support.database import Database

IMMUTABLE = {
    "id": "id + 1000",
    "task_type": "'report_generation'",
    "input_data": """'{"changed": true}'""",
    "created_by": "gen_random_uuid()",
    "created_at": "created_at - interval '1 day'",
    "timeout_seconds": "timeout_seconds + 1",
}
KEPT_BY_FINAL = {
    "workflow_id": "'another'",
    "output_data": """'{"changed": true}'""",
    "status": "'processing'",
    "current_step": "'another'",
    "status_message": "'another'",
    "n8n_execution_id": "'another'",
    "processing_started_at": "clock_timestamp() + interval '1 day'",
    "processing_completed_at": "clock_timestamp() + interval '1 day'",
    "error_details": """'{"changed": true}'""",
    "metadata": """metadata || '{"changed": true}'""",
}
OURS = {"revision", "updated_at"}


@pytest.fixture
def owner(database: Database) -> UUID:
    return database.add_user()


@pytest.mark.parametrize("new", STATES)
@pytest.mark.parametrize("old", STATES)
def test_plain_update(database: Database, owner: UUID, old: str, new: str) -> None:
    task = make_task(database, old, owner=owner)
    with database.worker() as worker:
        before, told = task_row(worker, task), events(worker, task)
        refused = attempt(worker, "UPDATE async_tasks SET status = %s WHERE id = %s", new, task)
        after = task_row(worker, task)
        news = events(worker, task)[len(told) :]
    if old == new:
        assert refused is None
        assert {**after, "revision": 0, "updated_at": 0} == {
            **before,
            "revision": 0,
            "updated_at": 0,
        }
        assert news == []
        return
    if new not in LEGAL[old]:
        assert (refused, after, news) == ("SL001", before, [])
        return
    assert refused is None
    assert after["status"] == new
    assert after["revision"] == before["revision"] + 1
    assert after["updated_at"] > before["updated_at"]
    expected = [("status_change", new)]
    if new in ("failed", "timeout"):
        expected.append(("error", None))
    assert news == expected
    assert (after["processing_started_at"] is not None) == ("processing" in (old, new))
    assert (after["processing_completed_at"] is not None) == (new in FINAL)


@pytest.mark.parametrize("state", STATES[1:])
def test_a_new_task_is_pending(database: Database, owner: UUID, state: str) -> None:
    statement = (
        "INSERT INTO async_tasks (task_type, input_data, created_by, status)"
        " VALUES ('email', '{}', %s, %s)"
    )
    with database.user(owner) as user, database.owner() as superuser:
        assert attempt(user, statement, owner, state) == "SL001"
        assert attempt(superuser, statement, owner, state) == "SL001"
        assert attempt(user, statement, owner, "pending") is None


def test_a_state_nobody_knows_is_refused(database: Database, owner: UUID) -> None:
    task = make_task(database, "processing", owner=owner)
    with database.worker() as worker:
        assert attempt(worker, "UPDATE async_tasks SET status = 'paused' WHERE id = %s", task)
        assert task_row(worker, task)["status"] == "processing"


def test_every_column_has_its_rule(database: Database) -> None:
    with database.owner() as connection:
        names = rows(
            connection,
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = 'async_tasks'",
        )
    assert {row["column_name"] for row in names} == IMMUTABLE.keys() | KEPT_BY_FINAL.keys() | OURS


@pytest.mark.parametrize("column", IMMUTABLE)
def test_what_a_task_is_never_changes(database: Database, owner: UUID, column: str) -> None:
    for state in STATES:
        task = make_task(database, state, owner=owner)
        with database.owner() as connection:
            before = task_row(connection, task)
            change = f"UPDATE async_tasks SET {column} = {IMMUTABLE[column]} WHERE id = %s"
            assert attempt(connection, change, task) == "SL001"
            assert task_row(connection, task) == before


@pytest.mark.parametrize("column", KEPT_BY_FINAL)
def test_a_final_row_keeps_every_column(database: Database, owner: UUID, column: str) -> None:
    for state in FINAL:
        task = make_task(database, state, owner=owner)
        with database.owner() as connection:
            before = task_row(connection, task)
            change = f"UPDATE async_tasks SET {column} = {KEPT_BY_FINAL[column]} WHERE id = %s"
            assert attempt(connection, change, task) == "SL001"
            assert task_row(connection, task) == before


@pytest.mark.parametrize("column", sorted(OURS))
def test_nobody_else_sets_the_revision(database: Database, owner: UUID, column: str) -> None:
    task = make_task(database, "processing", owner=owner)
    with database.owner() as connection:
        before = task_row(connection, task)
        value = "7000" if column == "revision" else "'2000-01-01'"
        connection.execute(f"UPDATE async_tasks SET {column} = {value}".encode())
        after = task_row(connection, task)
    assert after["revision"] == before["revision"] + 1
    assert after["updated_at"] > before["updated_at"]


def test_an_update_that_brings_nothing_is_not_told(database: Database, owner: UUID) -> None:
    task = make_task(database, "processing", owner=owner)
    with database.worker() as worker:
        told = events(worker, task)
        worker.execute("UPDATE async_tasks SET metadata = '{\"progress\": {}}'")
        assert events(worker, task) == told


def test_each_status_and_step_is_an_event(database: Database, owner: UUID) -> None:
    task = make_task(database, "pending", owner=owner)
    with database.worker() as worker:
        worker.execute("SELECT task_claim(%s, %s)", (task, EXECUTION))
        for step in ("rendering", "sending"):
            worker.execute("SELECT task_step(%s, %s, %s)", (task, step, f"{step}..."))
        worker.execute("SELECT task_step(%s, 'sending', 'sending 2 of 9')", (task,))
        worker.execute("SELECT task_complete(%s, '{\"sent\": 9}', 'All sent.')", (task,))
        assert events(worker, task) == [
            ("status_change", "pending"),
            ("status_change", "processing"),
            ("step_update", "initializing"),
            ("step_update", "rendering"),
            ("step_update", "sending"),
            ("status_change", "completed"),
            ("step_update", "completed"),
        ]
        messages = [
            row["event_data"].get("message")
            for row in rows(worker, "SELECT event_data FROM task_events ORDER BY id")
        ]
        assert messages[3:6] == ["rendering...", "sending...", "All sent."]
        assert task_row(worker, task)["output_data"] == {"sent": 9}


# The functions: (new state or None for "as it was", SQLSTATE or None) from each state.

UNCHANGED = (None, None)
LOST = (None, "SL002")
ILLEGAL = (None, "SL001")
WORKING = dict.fromkeys(STATES, LOST)
FUNCTIONS = {
    "SELECT task_claim(%s, 'exec-2')": dict.fromkeys(STATES, UNCHANGED)
    | {"pending": ("processing", None)},
    "SELECT task_step(%s, 'another', 'Another...')": WORKING | {"processing": UNCHANGED},
    "SELECT task_complete(%s, '{}')": WORKING | {"processing": ("completed", None)},
    "SELECT chat_reply(%s, 'answer', '', '{}')": WORKING | {"processing": ("completed", None)},
    "SELECT chat_partial(%s, 'ans')": WORKING | {"processing": UNCHANGED},
    "SELECT task_fail(%s, '{}')": dict.fromkeys(STATES, UNCHANGED)
    | {"pending": ("failed", None), "processing": ("failed", None)},
    "SELECT task_cancel(%s)": dict.fromkeys(STATES, ILLEGAL)
    | {
        "pending": ("cancelled", None),
        "processing": ("cancelled", None),
        "cancelled": UNCHANGED,
    },
    "SELECT task_retry(%s)": dict.fromkeys(STATES, UNCHANGED)
    | {"pending": ILLEGAL, "processing": ILLEGAL, "completed": ILLEGAL},
    "SELECT task_expire() WHERE %s > 0": dict.fromkeys(STATES, UNCHANGED),
}


def _caller(database: Database, statement: str, owner: UUID):
    for_users = ("task_cancel", "task_retry", "task_expire")
    if any(name in statement for name in for_users):
        return database.user(owner)
    return database.worker()


@pytest.mark.parametrize("chat", [False, True], ids=["task", "chat"])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("statement", FUNCTIONS)
def test_function(database: Database, owner: UUID, statement: str, state: str, chat: bool) -> None:
    task = make_task(database, state, owner=owner, chat=chat)
    new, sqlstate = FUNCTIONS[statement][state]
    with database.owner() as look, _caller(database, statement, owner) as caller:
        before, told = task_row(look, task), events(look, task)
        assert attempt(caller, statement, task) == sqlstate
        after, news = task_row(look, task), events(look, task)[len(told) :]
    assert after["status"] == (new or state)
    if new is None and "task_step" not in statement and "task_retry" not in statement:
        assert (after, news) == (before, [])
    if new is not None:
        assert news[0] == ("status_change", new)
        assert after["revision"] == before["revision"] + 1


@pytest.mark.parametrize("statement", FUNCTIONS)
def test_a_task_that_is_not_there(database: Database, owner: UUID, statement: str) -> None:
    nothing_to_do = ("task_claim", "task_fail", "task_expire")
    with _caller(database, statement, owner) as caller:
        expected = None if any(name in statement for name in nothing_to_do) else "SL003"
        assert attempt(caller, statement, 4711) == expected


@pytest.mark.parametrize("state", ["failed", "cancelled", "timeout"])
def test_a_retry_is_a_task_of_its_own(database: Database, owner: UUID, state: str) -> None:
    task = make_task(database, state, owner=owner)
    with database.user(owner) as user:
        before = task_row(user, task)
        new = one(user, "SELECT * FROM task_retry(%s)", task)
        after = task_row(user, task)
        assert attempt(user, "SELECT task_retry(%s)", task) == "SL001"
        assert len(rows(user, "SELECT id FROM async_tasks")) == 2
    assert after["metadata"] == {**before["metadata"], "retried_by": new["id"]}
    assert after["status"] == state
    assert (new["status"], new["metadata"]["attempt"]) == ("pending", 2)


def test_who_retried_a_task_is_final_too(database: Database, owner: UUID) -> None:
    task = make_task(database, "failed", owner=owner)
    with database.user(owner) as user, database.worker() as worker:
        user.execute("SELECT task_retry(%s)", (task,))
        for change in ("metadata - 'retried_by'", "metadata || '{\"retried_by\": 4711}'"):
            assert attempt(
                worker, f"UPDATE async_tasks SET metadata = {change} WHERE id = %s", task
            )


# From several connections at once.


def _run(database: Database, statement: str, owner: UUID, *values: object) -> list[dict]:
    with _caller(database, statement, owner) as caller:
        return rows(caller, statement, *values)


def test_one_of_twenty_claims_wins(database: Database, owner: UUID) -> None:
    task = make_task(database, "pending", owner=owner)

    def claim(number: int):
        def run() -> list[dict]:
            with database.worker() as worker:
                return rows(worker, "SELECT * FROM task_claim(%s, %s)", task, f"exec-{number}")

        return run

    results = together(*(claim(number) for number in range(20)))
    [won] = [result for result in results if result]
    assert sum(result == [] for result in results) == 19
    with database.owner() as look:
        assert task_row(look, task)["n8n_execution_id"] == won[0]["n8n_execution_id"]
        assert events(look, task).count(("status_change", "processing")) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("SELECT task_cancel(%s)", "SELECT task_complete(%s, '{}')"),
        ("SELECT task_cancel(%s)", "SELECT chat_reply(%s, 'answer', '', '{}')"),
        ("SELECT task_complete(%s, '{}')", "SELECT task_cancel(%s)"),
        ("SELECT task_cancel(%s)", "SELECT task_step(%s, 'sending', '')"),
        ("SELECT task_cancel(%s)", "SELECT chat_partial(%s, 'ans')"),
        ("SELECT task_cancel(%s)", "SELECT task_fail(%s, '{}')"),
        ("SELECT task_fail(%s, '{}')", "SELECT task_complete(%s, '{}')"),
        ("SELECT task_complete(%s, '{}')", "SELECT task_complete(%s, '{}')"),
    ],
)
def test_whoever_commits_first_wins(
    database: Database, owner: UUID, first: str, second: str
) -> None:
    task = make_task(database, "processing", owner=owner, chat=True)
    with (
        _caller(database, first, owner) as one_side,
        _caller(database, second, owner) as other_side,
        database.owner() as look,
    ):
        pid = one(other_side, "SELECT pg_backend_pid() AS pid")["pid"]
        with one_side.transaction():
            one_side.execute(first.encode(), (task,))
            won = task_row(one_side, task)

            def finish() -> str | None:
                return attempt(other_side, second, task)

            pool = ThreadPoolExecutor(1)
            waiting = pool.submit(finish)
            until_it_waits(look, pid)
        refused = waiting.result(10)
        pool.shutdown()
        assert task_row(look, task) == won
    if "task_fail" in second:
        assert refused is None
    elif "task_cancel" in second:
        assert refused == "SL001"
    else:
        assert refused == "SL002"


def test_a_task_is_retried_once(database: Database, owner: UUID) -> None:
    for chat in (False, True):
        task = make_task(database, "failed", owner=owner, chat=chat)
        retry = partial(_run, database, "SELECT * FROM task_retry(%s)", owner, task)
        results = together(*[retry] * 8)
        won = [result for result in results if isinstance(result, list)]
        lost = [result for result in results if isinstance(result, psycopg.Error)]
        assert len(won) == 1
        assert {error.sqlstate for error in lost} == {"SL001"}
        with database.owner() as look:
            retried = rows(look, "SELECT * FROM async_tasks WHERE metadata ? 'retry_of'")
            assert task_row(look, task)["metadata"]["retried_by"] == retried[-1]["id"]


def test_expiry_and_completion_at_once(database: Database, owner: UUID) -> None:
    for _ in range(10):
        task = late_task(database, "processing", owner=owner)
        expired, completed = together(
            lambda: _run(database, "SELECT task_expire() AS n WHERE %s > 0", owner, 1),
            lambda task=task: _run(database, "SELECT * FROM task_complete(%s, '{}')", owner, task),
        )
        with database.owner() as look:
            final = [state for kind, state in events(look, task) if kind == "status_change"][2:]
        if isinstance(completed, psycopg.Error):
            assert (completed.sqlstate, final) == ("SL002", ["timeout"])
        else:
            assert final == ["completed"]
        assert isinstance(expired, list)
