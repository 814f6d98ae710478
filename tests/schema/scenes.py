"""Tasks in every state, made the legal way, and what tests ask about them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID

import psycopg

from tests.support.database import Connection, Database

STATES = ("pending", "processing", "completed", "failed", "cancelled", "timeout")
FINAL = STATES[2:]
LEGAL = {
    "pending": {"processing", "failed", "cancelled", "timeout"},
    "processing": set(FINAL),
} | {state: set[str]() for state in FINAL}
EXECUTION = "exec-1"
Row = dict[str, Any]


def one(connection: Connection, statement: str, *values: object) -> Row:
    """The first row of what must have one."""
    row = connection.execute(statement.encode(), values).fetchone()
    assert row is not None
    return row


def rows(connection: Connection, statement: str, *values: object) -> list[Row]:
    """All rows."""
    return connection.execute(statement.encode(), values).fetchall()


def attempt(connection: Connection, statement: str, *values: object) -> str | None:
    """The SQLSTATE with which a statement is refused; None if it is done."""
    try:
        connection.execute(statement.encode(), values)
    except psycopg.Error as error:
        return error.sqlstate or str(error)
    return None


def task_row(connection: Connection, task: int) -> Row:
    """A task as it is."""
    return one(connection, "SELECT * FROM async_tasks WHERE id = %s", task)


def events(connection: Connection, task: int) -> list[tuple[str, str | None]]:
    """A task's events: kind, and the status or step it tells of."""
    found = rows(connection, "SELECT * FROM task_events WHERE task_id = %s ORDER BY id", task)
    return [
        (row["event_type"], row["event_data"].get("status") or row["event_data"].get("step"))
        for row in found
    ]


def send(user: Connection, conversation: int | None = None, text: str = "hello") -> Row:
    """A chat message with its task."""
    return one(user, "SELECT * FROM chat_send(%s, %s)", conversation, text)


def make_task(database: Database, state: str, *, owner: UUID, chat: bool = False) -> int:
    """A task of `owner` that has come to `state` the way tasks do."""
    with database.user(owner) as user, database.worker() as worker:
        if chat:
            task: int = send(user)["task_id"]
        else:
            task = one(user, "SELECT id FROM task_create('email', '{}')")["id"]
        if state in ("processing", "completed", "failed"):
            worker.execute("SELECT task_claim(%s, %s)", (task, EXECUTION))
        match state:
            case "completed":
                worker.execute("SELECT task_complete(%s, '{}')", (task,))
            case "failed":
                worker.execute("SELECT task_fail(%s, '{}')", (task,))
            case "cancelled":
                user.execute("SELECT task_cancel(%s)", (task,))
            case "timeout":
                worker.execute(
                    "UPDATE async_tasks SET status = 'timeout', current_step = 'timeout'"
                    " WHERE id = %s",
                    (task,),
                )
            case _:
                pass
        assert task_row(user, task)["status"] == state
        return task


def late_task(
    database: Database, state: str, *, owner: UUID, seconds_late: float = 1, timeout: int = 180
) -> int:
    """A task whose deadline has passed; no trigger that this could hide is off meanwhile."""
    with database.owner() as connection:
        task: int = one(
            connection,
            "INSERT INTO async_tasks (task_type, input_data, created_by, timeout_seconds,"
            " created_at) VALUES ('email', '{}', %s, %s, clock_timestamp() - make_interval("
            "secs => %s)) RETURNING id",
            owner,
            timeout,
            timeout + seconds_late,
        )["id"]
        if state == "processing":
            connection.execute(
                "UPDATE async_tasks SET status = 'processing', n8n_execution_id = %s,"
                " processing_started_at = created_at WHERE id = %s",
                (EXECUTION, task),
            )
    return task


def together(*jobs: Callable[[], object]) -> list[Any]:
    """What each job returns or raises, begun at the same moment in threads of their own."""
    barrier = Barrier(len(jobs))

    def run(job: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return job()
        except psycopg.Error as error:
            return error

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


def until_it_waits(look: Connection, pid: int) -> None:
    """Returns when the backend waits for a lock; a plain statement cannot tell us."""
    look.execute("SET statement_timeout = '10s'")
    look.execute(
        f"""DO $$ BEGIN
        WHILE NOT EXISTS (SELECT FROM pg_locks WHERE pid = {pid} AND NOT granted) LOOP
          PERFORM pg_sleep(0.005);
        END LOOP; END $$""".encode()
    )
