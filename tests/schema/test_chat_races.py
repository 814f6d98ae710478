"""Several clients in one conversation at the same moment."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest

from tests.schema.scenes import Row, attempt, make_task, one, rows, send, together, until_it_waits
from tests.support.database import Database


def _acting(database: Database, owner, statement: str, *values: object) -> Callable[[], list[Row]]:
    def run() -> list[Row]:
        with database.user(owner) as user:
            return rows(user, statement, *values)

    return run


def test_messages_sent_at_once_are_all_written(database: Database) -> None:
    owner = database.add_user()
    with database.user(owner) as user:
        conversation = send(user)["conversation_id"]
        for _ in range(5):
            job = _acting(database, owner, "SELECT * FROM chat_send(%s, 'more')", conversation)
            assert all(isinstance(result, list) for result in together(*[job] * 8))
        messages = rows(user, "SELECT * FROM chat_messages ORDER BY id")
        tasks = rows(user, "SELECT * FROM async_tasks ORDER BY id")
    # Each answer follows its question, and the tasks are in the order of the messages.
    assert [row["role"] for row in messages] == ["user", "assistant"] * 41
    assert [row["async_task_id"] for row in messages[1::2]] == [row["id"] for row in tasks]


def test_one_request_sent_many_times_at_once_is_one_message(database: Database) -> None:
    owner, request = database.add_user(), uuid4()
    job = _acting(database, owner, "SELECT * FROM chat_send(NULL, 'once', 180, %s)", request)
    first, *others = together(*[job] * 8)
    assert all(result == first for result in others)
    with database.user(owner) as user:
        assert len(rows(user, "SELECT * FROM chat_messages")) == 2
        assert len(rows(user, "SELECT * FROM chat_conversations")) == 1


def test_a_request_is_its_users_own(database: Database) -> None:
    request = uuid4()
    with database.user() as user, database.user() as other:
        one(user, "SELECT * FROM chat_send(NULL, 'mine', 180, %s)", request)
        with pytest.raises(psycopg.Error):
            other.execute("SELECT * FROM chat_send(NULL, 'theirs', 180, %s)", (request,))
        assert rows(other, "SELECT * FROM chat_messages") == []


def test_deleting_a_conversation_while_it_is_used(database: Database) -> None:
    """Whoever comes second finds it gone or takes the message with it; nothing hangs."""
    owner = database.add_user()
    with database.user(owner) as user, database.worker() as worker:
        for _ in range(10):
            sent = send(user)
            task = sent["task_id"]
            worker.execute("SELECT task_claim(%s, 'e')", (task,))

            def reply(task: int = task) -> list[Row]:
                with database.worker() as another:
                    return rows(another, "SELECT * FROM chat_reply(%s, 'answer', '', '{}')", task)

            results = together(
                _acting(
                    database,
                    owner,
                    "DELETE FROM chat_conversations WHERE id = %s RETURNING id",
                    sent["conversation_id"],
                ),
                _acting(
                    database, owner, "SELECT * FROM chat_send(%s, 'more')", sent["conversation_id"]
                ),
                _acting(
                    database,
                    owner,
                    "UPDATE chat_conversations SET title = 'x' WHERE id = %s RETURNING id",
                    sent["conversation_id"],
                ),
                reply,
            )
            assert results[0] == [{"id": sent["conversation_id"]}]
            states = {error.sqlstate for error in results if isinstance(error, psycopg.Error)}
            assert states <= {"SL002", "SL003"}
            assert rows(user, "SELECT * FROM chat_conversations") == []
            assert rows(user, "SELECT * FROM chat_messages") == []
            open_tasks = "SELECT id FROM async_tasks WHERE status IN ('pending', 'processing')"
            assert rows(user, open_tasks) == []


@pytest.mark.parametrize("first", ["retry", "delete"])
def test_a_retry_in_a_conversation_that_is_being_deleted(database: Database, first: str) -> None:
    owner = database.add_user()
    task = make_task(database, "failed", owner=owner, chat=True)
    retry, delete = "SELECT task_retry(%s)", "DELETE FROM chat_conversations WHERE id > %s - 1000"
    statements = (retry, delete) if first == "retry" else (delete, retry)
    with (
        database.user(owner) as user,
        database.user(owner) as other,
        database.owner() as look,
        ThreadPoolExecutor(1) as pool,
    ):
        pid = one(other, "SELECT pg_backend_pid() AS pid")["pid"]
        with user.transaction():
            assert attempt(user, statements[0], task) is None
            second = pool.submit(attempt, other, statements[1], task)
            until_it_waits(look, pid)
        assert second.result(10) == (None if first == "retry" else "SL001")
        states = [row["status"] for row in rows(user, "SELECT * FROM async_tasks ORDER BY id")]
    assert states == (["failed", "cancelled"] if first == "retry" else ["failed"])
