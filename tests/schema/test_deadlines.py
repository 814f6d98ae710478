"""Deadlines: what is late, what becomes of it, and what only waits for its turn."""

from uuid import UUID

import pytest

from tests.schema.scenes import (
    EXECUTION,
    attempt,
    events,
    late_task,
    make_task,
    one,
    rows,
    send,
    task_row,
)
from tests.support.database import Connection, Database


@pytest.fixture
def owner(database: Database) -> UUID:
    return database.add_user()


def _expire(user: Connection) -> int:
    return one(user, "SELECT task_expire() AS n")["n"]


def _shift(database: Database, seconds: float) -> None:
    """Lets time pass for every task there is."""
    with database.owner() as connection:
        connection.execute("ALTER TABLE async_tasks DISABLE TRIGGER USER")
        connection.execute(
            "UPDATE async_tasks SET created_at = created_at - make_interval(secs => %(s)s),"
            " processing_started_at = processing_started_at - make_interval(secs => %(s)s),"
            " processing_completed_at = processing_completed_at - make_interval(secs => %(s)s)",
            {"s": seconds},
        )
        connection.execute("ALTER TABLE async_tasks ENABLE TRIGGER USER")


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("pending", "No worker took the task within 90 seconds"),
        ("processing", "Workflow timeout after 90 seconds"),
    ],
)
def test_an_overdue_task_times_out(
    database: Database, owner: UUID, state: str, reason: str
) -> None:
    task = late_task(database, state, owner=owner, timeout=90)
    with database.user(owner) as user:
        assert _expire(user) == 1
        row = task_row(user, task)
        assert _expire(user) == 0
        assert task_row(user, task) == row
        assert events(user, task)[-3:] == [
            ("status_change", "timeout"),
            ("step_update", "timeout"),
            ("error", None),
        ]
    assert row["status"] == row["current_step"] == "timeout"
    assert row["status_message"] == "Request timed out after 90 seconds. Please try again."
    assert row["error_details"] == {"error": reason}
    assert row["processing_completed_at"] is not None


def test_who_is_not_late_stays(database: Database, owner: UUID) -> None:
    late = {late_task(database, state, owner=owner) for state in ("pending", "processing")}
    for state in ("pending", "processing"):
        late_task(database, state, owner=owner, seconds_late=-30)
        make_task(database, state, owner=owner)
    with database.worker() as anybody:
        assert _expire(anybody) == 2
        gone = rows(anybody, "SELECT id FROM async_tasks WHERE status = 'timeout'")
    assert {row["id"] for row in gone} == late


def test_a_task_gets_its_time_from_the_claim_on(database: Database, owner: UUID) -> None:
    task = make_task(database, "pending", owner=owner)
    _shift(database, 170)
    with database.worker() as worker:
        worker.execute("SELECT task_claim(%s, %s)", (task, EXECUTION))
        _shift(database, 170)
        assert _expire(worker) == 0
        _shift(database, 20)
        assert _expire(worker) == 1


@pytest.mark.parametrize("state", ["pending", "processing"])
def test_a_failure_past_the_deadline_is_a_timeout(
    database: Database, owner: UUID, state: str
) -> None:
    task = late_task(database, state, owner=owner)
    with database.worker() as worker:
        row = one(
            worker, """SELECT * FROM task_fail(%s, '{"message": "cut", "node": "AI"}')""", task
        )
    assert row["status"] == row["current_step"] == "timeout"
    assert row["status_message"] == "Request timed out after 180 seconds. Please try again."
    assert row["error_details"] == {
        "error": "Workflow timeout after 180 seconds",
        "message": "cut",
        "node": "AI",
    }


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ('{"message": "out of memory"}', "Processing failed: out of memory"),
        ('{"error": "ECONNREFUSED"}', "Processing failed: ECONNREFUSED"),
        ('{"message": ""}', "Processing failed: Unknown error occurred"),
        ("{}", "Processing failed: Unknown error occurred"),
        (None, "Processing failed: Unknown error occurred"),
    ],
)
def test_a_failure_in_time_says_why(
    database: Database, owner: UUID, error: str | None, said: str
) -> None:
    task = make_task(database, "processing", owner=owner)
    with database.worker() as worker:
        row = one(worker, "SELECT * FROM task_fail(%s, %s)", task, error)
    assert (row["status"], row["current_step"]) == ("failed", "failed")
    assert row["status_message"] == said


def test_a_failure_finds_its_task_by_the_execution(database: Database, owner: UUID) -> None:
    task = make_task(database, "processing", owner=owner)
    with database.worker() as worker:
        fail = "SELECT id FROM task_fail(NULL, '{}', %s)"
        assert rows(worker, fail, "somebody else's") == []
        assert rows(worker, "SELECT id FROM task_fail(NULL, '{}', NULL)") == []
        assert rows(worker, fail, EXECUTION) == [{"id": task}]
        assert rows(worker, fail, EXECUTION) == []


@pytest.mark.parametrize("state", ["pending", "processing"])
def test_nobody_starts_what_is_late(database: Database, owner: UUID, state: str) -> None:
    task = late_task(database, state, owner=owner)
    with database.worker() as worker:
        assert rows(worker, "SELECT * FROM task_claim(%s, 'exec-2')", task) == []
        assert rows(worker, "SELECT * FROM task_next('local:w', '{email}')") == []
        assert task_row(worker, task)["status"] == state


def test_a_waiting_message_gets_its_time_when_its_turn_comes(
    database: Database, owner: UUID
) -> None:
    with database.user(owner) as user, database.worker() as worker:
        first = send(user)
        waiting = send(user, first["conversation_id"])
        other = send(user)
        worker.execute("SELECT task_claim(%s, %s)", (first["task_id"], EXECUTION))
        worker.execute("SELECT task_claim(%s, %s)", (other["task_id"], EXECUTION))
        _shift(database, 100)
        worker.execute(
            "UPDATE async_tasks SET processing_started_at = clock_timestamp()"
            " WHERE status = 'processing'"
        )
        _shift(database, 150)
        # 250 seconds old, but the one before it still has half a minute.
        assert _expire(user) == 0
        assert task_row(user, waiting["task_id"])["status"] == "pending"
        worker.execute("SELECT chat_reply(%s, 'answer', '', '{}')", (first["task_id"],))
        assert _expire(user) == 0
        _shift(database, 170)
        assert task_row(user, other["task_id"])["status"] == "processing"
        assert _expire(user) == 1
        claimed = rows(worker, "SELECT id FROM task_claim(%s, 'e')", waiting["task_id"])
        assert claimed == [{"id": waiting["task_id"]}]
        _shift(database, 181)
        assert _expire(user) == 1
        assert task_row(user, waiting["task_id"])["status"] == "timeout"


def test_a_message_that_waits_can_still_fail_and_is_not_called_late(
    database: Database, owner: UUID
) -> None:
    with database.user(owner) as user, database.worker() as worker:
        first = send(user)
        waiting = send(user, first["conversation_id"])
        worker.execute("SELECT task_claim(%s, %s)", (first["task_id"], EXECUTION))
        _shift(database, 200)
        worker.execute(
            "UPDATE async_tasks SET processing_started_at = clock_timestamp() WHERE id = %s",
            (first["task_id"],),
        )
        row = one(worker, "SELECT * FROM task_fail(%s, '{}')", waiting["task_id"])
    assert row["status"] == "failed"


def test_somebody_elses_task_is_no_reason_to_wait(database: Database, owner: UUID) -> None:
    stranger = database.add_user()
    with (
        database.user(owner) as user,
        database.user(stranger) as enemy,
        database.worker() as worker,
    ):
        conversation = send(user)["conversation_id"]
        worker.execute("UPDATE async_tasks SET status = 'cancelled'")
        enemy.execute(
            "SELECT task_create('chat', jsonb_build_object('conversation_id', %s::bigint))",
            (conversation,),
        )
        mine = send(user, conversation)["task_id"]
        taken = {
            row["id"]
            for _ in range(2)
            for row in rows(worker, "SELECT id FROM task_next('local:w', '{chat}')")
        }
        assert mine in taken


def test_a_timeout_keeps_what_was_said_until_then(database: Database, owner: UUID) -> None:
    task = make_task(database, "processing", owner=owner, chat=True)
    with database.user(owner) as user, database.worker() as worker:
        worker.execute("SELECT chat_partial(%s, 'half')", (task,))
        _shift(database, 181)
        assert attempt(user, "SELECT task_expire()") is None
        row = task_row(user, task)
    assert (row["status"], row["output_data"]) == ("timeout", {"partial_response": "half"})
