"""task_next, heartbeats, adoption and the fence: any number of workers, any of them dying."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest

from tests.schema.scenes import (
    Row,
    attempt,
    events,
    make_task,
    one,
    rows,
    send,
    task_row,
    together,
)
from tests.support.database import Connection, Database


@pytest.fixture
def owner(database: Database) -> UUID:
    return database.add_user()


def _take(worker: Connection, name: str, types: str = "{email,chat}") -> Row | None:
    found = rows(worker, "SELECT * FROM task_next(%s, %s)", f"local:{name}", types)
    assert len(found) < 2
    return found[0] if found else None


def _beat(worker: Connection, name: str) -> None:
    worker.execute("SELECT worker_heartbeat(%s)", (f"local:{name}",))


def _die(database: Database, name: str) -> None:
    with database.owner() as connection:
        connection.execute(
            "UPDATE stepline.workers SET heartbeat_at = heartbeat_at - interval '11 seconds'"
            " WHERE id = %s",
            (f"local:{name}",),
        )


@contextmanager
def _fenced(database: Database, name: str) -> Iterator[Connection]:
    with database.worker() as worker:
        worker.execute("SELECT set_config('stepline.execution', %s, false)", (f"local:{name}",))
        yield worker


def test_the_oldest_first_and_each_once(database: Database, owner: UUID) -> None:
    tasks = [make_task(database, "pending", owner=owner) for _ in range(3)]
    with database.worker() as one_worker, database.worker() as other:
        _beat(one_worker, "a")
        _beat(other, "b")
        taken = [_take(one_worker, "a"), _take(other, "b"), _take(one_worker, "a")]
        assert [row and row["id"] for row in taken] == tasks
        assert [row and row["n8n_execution_id"] for row in taken] == [
            "local:a",
            "local:b",
            "local:a",
        ]
        assert {row and row["status"] for row in taken} == {"processing"}
        assert _take(other, "b") is None


def test_nobody_waits_for_a_task_another_one_is_taking(database: Database, owner: UUID) -> None:
    first, second = (make_task(database, "pending", owner=owner) for _ in range(2))
    with database.worker() as one_worker, database.worker() as other:
        other.execute("SET lock_timeout = '1s'")
        _beat(one_worker, "a")
        with one_worker.transaction():
            assert (_take(one_worker, "a") or {})["id"] == first
            assert (_take(other, "b") or {})["id"] == second
            assert _take(other, "b") is None


def test_thirty_tasks_and_six_workers(database: Database, owner: UUID) -> None:
    tasks = [make_task(database, "pending", owner=owner) for _ in range(30)]

    def work(name: str):
        def run() -> list[int]:
            done: list[int] = []
            with database.worker() as worker:
                _beat(worker, name)
                while task := _take(worker, name):
                    worker.execute("SELECT task_complete(%s, '{}')", (task["id"],))
                    done.append(task["id"])
            return done

        return run

    done = together(*(work(str(number)) for number in range(6)))
    assert sorted(task for part in done for task in part) == tasks
    with database.owner() as look:
        for task in tasks:
            assert events(look, task).count(("status_change", "processing")) == 1


def test_only_the_types_a_worker_knows(database: Database, owner: UUID) -> None:
    email = make_task(database, "pending", owner=owner)
    chat = make_task(database, "pending", owner=owner, chat=True)
    with database.worker() as worker:
        _beat(worker, "a")
        assert _take(worker, "a", "{}") is None
        assert _take(worker, "a", "{image_processing}") is None
        assert (_take(worker, "a", "{chat}") or {})["id"] == chat
        assert (_take(worker, "a", "{email,chat}") or {})["id"] == email


def test_a_dead_workers_task_starts_over_with_another(database: Database, owner: UUID) -> None:
    task = make_task(database, "pending", owner=owner)
    with database.worker() as worker:
        _beat(worker, "a")
        claimed = _take(worker, "a")
        worker.execute("SELECT task_step(%s, 'sending', 'Sending...')", (task,))
        assert _take(worker, "b") is None
        _die(database, "a")
        assert _take(worker, "b", "{chat}") is None
        adopted = _take(worker, "b")
        assert claimed is not None
        assert adopted is not None
        assert adopted["n8n_execution_id"] == "local:b"
        assert (adopted["status"], adopted["current_step"]) == ("processing", "initializing")
        assert adopted["metadata"]["adoptions"] == 1
        # Its deadline is the first claim's: a task that nobody survives must not live for ever.
        assert adopted["processing_started_at"] == claimed["processing_started_at"]
        assert events(worker, task)[-2:] == [("adopted", None), ("step_update", "initializing")]


def test_a_living_worker_keeps_its_task_and_so_does_n8n(database: Database, owner: UUID) -> None:
    make_task(database, "processing", owner=owner)
    make_task(database, "pending", owner=owner)
    with database.worker() as worker:
        _beat(worker, "a")
        assert _take(worker, "a") is not None
        assert _take(worker, "b") is None
        _die(database, "a")
        _beat(worker, "a")
        assert _take(worker, "b") is None
        _die(database, "a")
        # Its own worker, woken from a long sleep, goes on with it: nobody to take it from.
        assert _take(worker, "a") is None


def test_a_worker_that_says_goodbye_is_followed_at_once(database: Database, owner: UUID) -> None:
    task = make_task(database, "pending", owner=owner)
    with database.user(owner) as user, database.worker() as worker:
        _beat(worker, "a")
        _take(worker, "a")
        assert one(user, "SELECT worker_count() AS n")["n"] == 1
        worker.execute("SELECT worker_bye('local:a')")
        assert one(user, "SELECT worker_count() AS n")["n"] == 0
        assert (_take(worker, "b") or {})["id"] == task


def test_two_heirs_and_one_task(database: Database, owner: UUID) -> None:
    task = make_task(database, "pending", owner=owner)
    with database.worker() as worker:
        _take(worker, "a")

    def adopt(name: str):
        def run() -> Row | None:
            with database.worker() as worker:
                _beat(worker, name)
                return _take(worker, name)

        return run

    taken = [row for row in together(*(adopt(str(number)) for number in range(8))) if row]
    assert [row["id"] for row in taken] == [task]


def test_a_task_three_workers_died_of_is_given_up(database: Database, owner: UUID) -> None:
    killer = make_task(database, "pending", owner=owner)
    with database.worker() as worker:
        for name in ("a", "b", "c"):
            assert (_take(worker, name) or {})["id"] == killer
        harmless = make_task(database, "pending", owner=owner)
        # The one that gives it up has time for the next one.
        assert (_take(worker, "d") or {})["id"] == harmless
        row = task_row(worker, killer)
    assert row["status"] == "failed"
    assert row["status_message"].startswith("Processing failed: three workers stopped")
    assert row["metadata"]["adoptions"] == 2


def test_the_dead_workers_late_writes_are_refused(database: Database, owner: UUID) -> None:
    task = make_task(database, "pending", owner=owner, chat=True)
    with _fenced(database, "a") as ghost, database.worker() as worker:
        _take(ghost, "a")
        ghost.execute("SELECT chat_partial(%s, 'the ghost')", (task,))
        _take(worker, "b")
        before = task_row(worker, task)
        for statement in (
            "SELECT task_step(%s, 'calling_ai', '')",
            "SELECT chat_partial(%s, 'the ghost was here')",
            "SELECT chat_reply(%s, 'the ghost was here', '', '{}')",
            "SELECT task_complete(%s, '{}')",
            "SELECT task_fail(%s, '{}')",
            "UPDATE async_tasks SET current_step = 'calling_ai' WHERE id = %s",
        ):
            assert attempt(ghost, statement, task) == "SL002", statement
        assert task_row(worker, task) == before
        assert one(worker, "SELECT content FROM chat_messages WHERE async_task_id = %s", task) == {
            "content": "the ghost"
        }
    with _fenced(database, "b") as heir:
        assert attempt(heir, "SELECT chat_reply(%s, 'answer', '', '{}')", task) is None


def test_the_user_is_on_neither_side_of_the_fence(database: Database, owner: UUID) -> None:
    with _fenced(database, "a") as worker, database.user(owner) as user:
        task = make_task(database, "pending", owner=owner)
        assert (_take(worker, "a") or {})["id"] == task
        assert attempt(worker, "SELECT task_step(%s, 'sending', '')", task) is None
        assert one(user, "SELECT * FROM task_cancel(%s)", task)["status"] == "cancelled"
        assert attempt(worker, "SELECT task_step(%s, 'sending', '')", task) == "SL002"


def test_heartbeats_older_than_a_day_are_swept(database: Database) -> None:
    with database.worker() as worker, database.owner() as connection:
        _beat(worker, "old")
        connection.execute("UPDATE stepline.workers SET heartbeat_at = now() - interval '25 hours'")
        _beat(worker, "new")
        assert rows(worker, "SELECT id FROM stepline.workers") == [{"id": "local:new"}]


def test_a_worker_reads_no_conversation_but_its_tasks_owners(
    database: Database, owner: UUID
) -> None:
    stranger = database.add_user()
    with (
        database.user(owner) as user,
        database.user(stranger) as enemy,
        database.worker() as worker,
    ):
        mine = send(user, text="my secret")
        theirs = one(
            enemy,
            "SELECT id FROM task_create('chat', jsonb_build_object("
            "'conversation_id', %s::bigint, 'message_id', %s::bigint))",
            mine["conversation_id"],
            mine["message_id"],
        )["id"]
        assert rows(worker, "SELECT * FROM chat_history(%s)", theirs) == []
        worker.execute("SELECT task_claim(%s, 'e')", (theirs,))
        worker.execute("SELECT chat_partial(%s, 'overwritten')", (theirs,))
        worker.execute("SELECT chat_reply(%s, 'overwritten', '', '{}')", (theirs,))
        assert one(user, "SELECT content FROM chat_messages WHERE id = %s", mine["message_id"]) == {
            "content": ""
        }
        assert len(rows(worker, "SELECT * FROM chat_history(%s)", mine["task_id"])) == 1
