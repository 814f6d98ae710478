"""What the store on PostgreSQL adds to the contract: its connections, and what becomes of them."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import psycopg
import pytest

from core.errors import SchemaError, StoreUnreachableError
from core.models import TaskFilter, TaskStatus
from core.store.postgres import PostgresStore
from tests.core.store.scene import create
from tests.schema.scenes import one
from tests.support.database import Database
from tests.support.postgres_server import PostgresServer


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP SCHEMA public CASCADE; CREATE SCHEMA public", "stepline migrate"),
        ("DELETE FROM stepline.migrations WHERE version > 6", "stepline migrate"),
        ("INSERT INTO stepline.migrations VALUES (999, 'x', 'x')", "update stepline"),
    ],
)
async def test_another_schema_version_is_refused(
    database: Database, change: str, said: str
) -> None:
    with database.owner() as owner:
        owner.execute(change.encode())
    store = PostgresStore(database.conninfo, user_id=uuid4(), email="a@example.org")
    with pytest.raises(SchemaError, match=said):
        await store.open()
    await store.close()


async def test_no_server_is_a_sentence_without_the_password() -> None:
    url = "postgresql://me:hunter2@127.0.0.1:1/nothing"
    store = PostgresStore(url, user_id=uuid4(), email="a@example.org")
    with pytest.raises(StoreUnreachableError, match="does not answer") as refused:
        await store.open()
    assert "hunter2" not in str(refused.value)
    await store.close()


def _cut_all(database: Database) -> None:
    with database.owner() as owner:
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def test_a_dead_connection_is_replaced_unnoticed(
    open_store: Callable[..., Awaitable[PostgresStore]], database: Database
) -> None:
    store = await open_store()
    for _ in range(5):
        _cut_all(database)
        task = await create(store)
        _cut_all(database)
        assert (await store.task_cancel(task.id)).status is TaskStatus.CANCELLED
        _cut_all(database)
        assert len(await store.tasks(TaskFilter(limit=1))) == 1
    assert len(await store.tasks(TaskFilter())) == 5


async def test_a_connection_acts_as_its_user_and_nothing_more(
    open_store: Callable[..., Awaitable[PostgresStore]],
) -> None:
    store = await open_store()

    async def who(connection: psycopg.AsyncConnection[dict[str, UUID]]) -> dict[str, UUID]:
        cursor = await connection.execute("SELECT current_user AS role, auth.uid() AS id")
        row = await cursor.fetchone()
        assert row is not None
        return row

    answers = await asyncio.gather(*(store._connections.run(who) for _ in range(8)))
    assert answers == [{"role": "authenticated", "id": store.user_id}] * 8


async def test_an_outage_is_told_at_once_and_so_is_its_end(mortal: PostgresServer) -> None:
    store = PostgresStore(mortal.conninfo(), user_id=uuid4(), email="a@example.org")
    await store.open()
    task = await create(store)
    mortal.kill()
    try:
        async with asyncio.timeout(5):
            for _ in range(50):
                with pytest.raises(StoreUnreachableError, match="does not answer"):
                    await store.running_tasks()
                with pytest.raises(StoreUnreachableError, match="does not answer"):
                    await create(store)
    finally:
        await asyncio.to_thread(mortal.run)
    async with asyncio.timeout(5):
        assert await store.running_tasks() == [task]
    await store.close()


async def test_a_dead_server_is_revived_and_asked_again(mortal: PostgresServer) -> None:
    async def revive() -> None:
        if not mortal_runs:
            await asyncio.to_thread(mortal.run)
            mortal_runs.append(True)

    mortal_runs = [True]
    store = PostgresStore(mortal.conninfo(), user_id=uuid4(), email="a@example.org", revive=revive)
    await store.open()
    for _ in range(2):
        mortal_runs.clear()
        mortal.kill()
        # Also what must not be written twice: it never reached the server that died.
        await create(store)
    assert len(await store.running_tasks()) == 2
    await store.close()


async def test_what_may_have_been_done_is_not_said_to_be_undone(
    open_store: Callable[..., Awaitable[PostgresStore]], database: Database
) -> None:
    store = await open_store()
    blocked = (
        "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database()"
    )
    with database.owner() as locker, database.owner() as owner, locker.transaction():
        locker.execute("LOCK TABLE async_tasks IN EXCLUSIVE MODE")
        creating = asyncio.create_task(create(store))
        async with asyncio.timeout(10):
            while not (waiting := owner.execute(blocked).fetchall()):
                await asyncio.sleep(0.01)
        owner.execute("SELECT pg_terminate_backend(%s)", (waiting[0]["pid"],))
        with pytest.raises(StoreUnreachableError, match="may have been done all the same"):
            await creating
    # What may be asked again is, and then nothing is lost.
    assert await store.running_tasks() == []


async def test_many_at_once_share_a_few_connections(
    open_store: Callable[..., Awaitable[PostgresStore]], database: Database
) -> None:
    store = await open_store()
    await asyncio.gather(*(create(store, n=n) for n in range(40)))

    async def give_up() -> None:
        async with asyncio.timeout(0.001):
            await store.tasks(TaskFilter())

    # What is cancelled in the middle of a query leaves no connection behind, nor a broken one.
    await asyncio.gather(*(give_up() for _ in range(20)), return_exceptions=True)
    assert len(await store.tasks(TaskFilter())) == 40
    with database.owner() as owner:
        count = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
        assert one(owner, count)["n"] <= 1 + 4
