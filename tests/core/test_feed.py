"""The feed: fast by hints, right by reconciliation, whatever happens to the link."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import uuid4

import psycopg
import pytest
from psycopg import AsyncConnection

from core.changes import Change, Deleted, LinkChanged, LinkState, Table, TaskChanged
from core.errors import ConfigError, SteplineError
from core.feed import Feed, Subscription
from core.models import Task
from core.store.base import Reconciled, Rows, Wanted
from core.store.postgres import PostgresStore
from tests.support.database import Database
from tests.support.postgres_server import PostgresServer

OpenStore = Callable[..., Awaitable[PostgresStore]]


@asynccontextmanager
async def following(store: PostgresStore) -> AsyncIterator[tuple[Feed, Subscription]]:
    """A live feed with one reader."""
    feed = Feed(store)
    await feed.start()
    try:
        async with asyncio.timeout(10):
            await feed.live()
        yield feed, feed.subscribe()
    finally:
        await feed.stop()


@asynccontextmanager
async def working(database: Database) -> AsyncIterator[AsyncConnection]:
    """A worker's connection."""
    connection = await AsyncConnection.connect(database.conninfo, autocommit=True)
    async with connection:
        await connection.execute("SET ROLE stepline_worker")
        yield connection


async def until(
    subscription: Subscription, wanted: Callable[[Change], bool], seconds: float = 15
) -> list[Change]:
    """All changes up to the batch with the wanted one in it."""
    seen: list[Change] = []
    async with asyncio.timeout(seconds):
        while True:
            batch = await subscription.batch()
            seen += batch
            if any(map(wanted, batch)):
                return seen


def at_step(task_id: int, step: str) -> Callable[[Change], bool]:
    return lambda change: (
        isinstance(change, TaskChanged)
        and change.task.id == task_id
        and change.task.current_step == step
    )


def linked(state: LinkState) -> Callable[[Change], bool]:
    return lambda change: isinstance(change, LinkChanged) and change.state is state


async def claimed(store: PostgresStore, worker: AsyncConnection, number: int = 1) -> list[Task]:
    tasks = [await store.task_create("email", {"n": n}, 600, None) for n in range(number)]
    for task in tasks:
        await worker.execute("SELECT task_claim(%s, 'exec')", (task.id,))
    return tasks


def steps(view: TaskChanged | None) -> list[str]:
    assert view is not None
    return [event.data["step"] for event in view.events if event.event_type == "step_update"]


async def test_a_change_arrives_with_its_events(database: Database, open_store: OpenStore) -> None:
    store = await open_store()
    async with working(database) as worker, following(store) as (_, reader):
        [task] = await claimed(store, worker)
        await worker.execute("SELECT task_step(%s, 'one', 'at it')", (task.id,))
        changes = await until(reader, at_step(task.id, "one"))
    last = [change for change in changes if isinstance(change, TaskChanged)][-1]
    assert last.task.status_message == "at it"
    assert steps(last) == ["initializing", "one"]


async def test_somebody_elses_change_does_not(database: Database, open_store: OpenStore) -> None:
    mine, theirs = await open_store(), await open_store()
    async with following(mine) as (_, reader):
        await theirs.task_create("email", {}, 600, None)
        own = await mine.task_create("email", {}, 600, None)
        changes = await until(reader, lambda change: change.key == (Table.TASKS, own.id))
    assert {change.key for change in changes} == {(Table.TASKS, own.id)}


async def test_a_burst_ends_right_and_never_goes_back(
    database: Database, open_store: OpenStore
) -> None:
    store = await open_store()
    async with working(database) as worker, following(store) as (feed, reader):
        tasks = await claimed(store, worker, 50)
        revisions: dict[int, int] = {}

        async def read() -> None:
            while True:
                for change in await reader.batch():
                    if isinstance(change, TaskChanged):
                        assert change.task.revision >= revisions.get(change.task.id, 0)
                        revisions[change.task.id] = change.task.revision

        reading = asyncio.create_task(read())
        for n in range(1000):
            await worker.execute("SELECT task_step(%s, %s, '')", (tasks[n % 50].id, f"s{n}"))
        async with asyncio.timeout(15):
            watch = feed.subscribe()
            while not all(revisions.get(task.id) == 22 for task in tasks):
                assert not reading.done()
                await watch.batch()
                await asyncio.sleep(0)
        reading.cancel()
    for at, task in enumerate(tasks):
        expected = ["initializing", *(f"s{n}" for n in range(at, 1000, 50))]
        assert steps(feed.view(task.id)) == expected


async def test_a_slow_reader_gets_the_newest_state_once(
    database: Database, open_store: OpenStore
) -> None:
    store = await open_store()
    async with working(database) as worker, following(store) as (feed, slow):
        [task] = await claimed(store, worker)
        quick = feed.subscribe()
        for n in range(20):
            await worker.execute("SELECT task_step(%s, %s, '')", (task.id, f"s{n}"))
        await until(quick, at_step(task.id, "s19"))
        batch = await slow.batch()
    assert [change.key for change in batch].count((Table.TASKS, task.id)) == 1
    assert any(map(at_step(task.id, "s19"), batch))


async def test_a_deleted_row_is_told(database: Database, open_store: OpenStore) -> None:
    store = await open_store()
    async with following(store) as (feed, reader):
        task = await store.task_create("email", {}, 600, None)
        await until(reader, lambda change: change.key == (Table.TASKS, task.id))
        with database.owner() as owner:
            owner.execute("DELETE FROM async_tasks")
        changes = await until(reader, lambda change: isinstance(change, Deleted))
    assert changes[-1] == Deleted(Table.TASKS, task.id)
    assert feed.view(task.id) is None


def cut_listeners(owner: psycopg.Connection[dict[str, object]]) -> int:
    rows = owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE query LIKE 'LISTEN%' AND datname = current_database()"
    ).fetchall()
    return len(rows)


async def test_nothing_is_missed_over_fifty_cut_links(
    database: Database, open_store: OpenStore
) -> None:
    store = await open_store()
    async with working(database) as worker, following(store) as (feed, reader):
        tasks = await claimed(store, worker, 5)
        with database.owner() as owner:
            cuts = 0
            for n in range(50):
                cuts += cut_listeners(owner)
                for task in tasks:
                    await worker.execute("SELECT task_step(%s, %s, '')", (task.id, f"s{n}"))
                # The next cut meets a link that has come back.
                await until(reader, linked(LinkState.LIVE))
            open_connections = owner.execute(
                "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
            ).fetchone()
        assert cuts == 50
        assert open_connections is not None
        assert open_connections["n"] <= 8
        async with asyncio.timeout(10):
            watch = feed.subscribe()
            while any(feed.view(task.id).task.current_step != "s49" for task in tasks):
                await watch.batch()
    for task in tasks:
        assert steps(feed.view(task.id)) == ["initializing", *(f"s{n}" for n in range(50))]


async def test_a_killed_server_is_caught_up_with(mortal: PostgresServer) -> None:
    database = Database(mortal.conninfo())
    store = PostgresStore(mortal.conninfo(), user_id=database.add_user(), email="a@b.c")
    await store.open()
    async with following(store) as (feed, reader):
        async with working(database) as worker:
            [task] = await claimed(store, worker)
            await until(reader, at_step(task.id, "initializing"))
            mortal.kill()
            await until(reader, linked(LinkState.RECONNECTING))
        await asyncio.to_thread(mortal.run)
        async with working(database) as worker:
            await worker.execute("SELECT task_step(%s, 'after', '')", (task.id,))
        await until(reader, at_step(task.id, "after"))
        async with asyncio.timeout(20):
            watch = feed.subscribe()
            while feed.state.state is not LinkState.LIVE:
                await watch.batch()
        assert steps(feed.view(task.id)) == ["initializing", "after"]
    await store.close()


async def test_finished_tasks_are_forgotten_in_the_end_and_open_ones_are_not(
    database: Database, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.mirror._KEEP", 10)
    store = await open_store()
    async with following(store) as (feed, reader):
        kept = await store.task_create("email", {}, 600, None)
        for _ in range(30):
            task = await store.task_create("email", {}, 600, None)
            await store.task_cancel(task.id)
        await until(
            reader,
            lambda change: (
                isinstance(change, TaskChanged)
                and change.task.id == task.id
                and change.task.status.final
            ),
        )
        assert feed.view(kept.id) is not None
        assert len(feed._mirror._tasks) <= 12
        again = await feed.load([kept.id + 1])
    assert again[kept.id + 1].task.status.final
    assert len(again[kept.id + 1].events) == 3


async def test_a_task_forgotten_while_its_news_is_fetched_keeps_its_older_events(
    database: Database, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.mirror._KEEP", 10)
    store = await open_store()

    async def ended() -> Task:
        return await store.task_cancel((await store.task_create("email", {}, 600, None)).id)

    async with following(store) as (feed, _):
        old = await ended()
        known = (await feed.load([old.id]))[old.id]
        assert len(known.events) == 3

        async def fetch(wanted: Wanted) -> Rows:
            rows = await PostgresStore.fetch(store, wanted)
            if wanted.tasks.get(old.id):
                for _ in range(20):
                    feed.note(TaskChanged(await ended(), ()))
                assert feed.view(old.id) is None
            return rows

        monkeypatch.setattr(store, "fetch", fetch)
        watch = feed.subscribe()
        feed.hint_task(old.id)
        await until(watch, lambda change: change.key == (Table.TASKS, old.id))
        assert feed.view(old.id) == known


async def test_no_notification_ends_the_feed(database: Database, open_store: OpenStore) -> None:
    store = await open_store()
    async with following(store) as (_, reader):
        with database.owner() as owner:
            for payload in (
                "nonsense",
                '{"table": "async_tasks", "id": Infinity, "revision": 1}',
                '{"table": "async_tasks", "id": 99999999999999999999, "revision": 1}',
                '{"table": "async_tasks", "id": -1, "revision": 1}',
                "[" * 7000,
            ):
                owner.execute("SELECT pg_notify(%s, %s)", (f"stepline_{store.user_id}", payload))
        task = await store.task_create("email", {}, 600, None)
        await until(reader, lambda change: change.key == (Table.TASKS, task.id))


async def test_a_conversation_deleted_while_the_link_was_down_is_told(
    database: Database, open_store: OpenStore
) -> None:
    store = await open_store()
    async with following(store) as (_, reader):
        sent = await store.chat_send(None, "hello", 600, uuid4())
        key = (Table.CONVERSATIONS, sent.conversation_id)
        await until(reader, lambda change: change.key == key)
        with database.owner() as owner:
            owner.execute("ALTER TABLE chat_conversations DISABLE TRIGGER hint")
            owner.execute("DELETE FROM chat_conversations")
            cut_listeners(owner)
        await until(reader, lambda change: change == Deleted(*key))


class Troubled(PostgresStore):
    """A store that can be told to fail."""

    trouble: Exception | None = None
    poisoned: int | None = None
    """A task whose row cannot be read."""

    async def fetch(self, wanted: Wanted) -> Rows:
        if self.trouble is not None:
            raise self.trouble
        if self.poisoned in wanted.tasks:
            raise SteplineError("This row cannot be read.")
        return await super().fetch(wanted)

    async def reconcile(self, cursor: datetime | None) -> Reconciled:
        if self.trouble is not None:
            raise self.trouble
        return await super().reconcile(cursor)

    @classmethod
    def of(cls, store: PostgresStore) -> "Troubled":
        """That store, from now on."""
        store.__class__ = cls
        assert isinstance(store, Troubled)
        return store


@pytest.mark.parametrize("trouble", [TypeError("of ours"), ConfigError("a captive portal")])
async def test_no_error_ends_the_feed_or_loses_a_row(
    database: Database,
    open_store: OpenStore,
    monkeypatch: pytest.MonkeyPatch,
    trouble: Exception,
) -> None:
    monkeypatch.setattr("core.feed._DOWN", 0.05)
    monkeypatch.setattr("core.feed._QUIET", 0.2)
    store = Troubled.of(await open_store())
    async with working(database) as worker, following(store) as (feed, reader):
        [task] = await claimed(store, worker)
        await until(reader, at_step(task.id, "initializing"))
        store.trouble = trouble
        await worker.execute("SELECT task_step(%s, 'one', 'at it')", (task.id,))
        await until(reader, linked(LinkState.OFFLINE))
        store.trouble = None
        await until(reader, at_step(task.id, "one"))
        async with asyncio.timeout(10):
            while feed.state.state is not LinkState.LIVE:
                await reader.batch()


async def test_a_row_that_cannot_be_read_holds_up_no_other(
    database: Database, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.feed._DOWN", 0.01)
    store = Troubled.of(await open_store())
    async with working(database) as worker, following(store) as (_, reader):
        tasks = await claimed(store, worker, 20)
        store.poisoned = tasks[7].id
        for task in tasks:
            await worker.execute("SELECT task_step(%s, 'one', 'at it')", (task.id,))
        rest = {task.id for task in tasks} - {store.poisoned}
        seen: set[int] = set()
        async with asyncio.timeout(15):
            while seen != rest:
                for change in await reader.batch():
                    if isinstance(change, TaskChanged) and change.task.current_step == "one":
                        seen.add(change.task.id)


async def test_many_rows_come_in_portions(
    database: Database, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.feed._AT_ONCE", 7)
    store = await open_store()
    feed = Feed(store)
    reader = feed.subscribe()
    asked: list[int] = []

    async def fetch(wanted: Wanted) -> Rows:
        asked.append(len(wanted.tasks))
        return await PostgresStore.fetch(store, wanted)

    monkeypatch.setattr(store, "fetch", fetch)
    tasks = [await store.task_create("email", {"n": n}, 600, None) for n in range(30)]
    for task in tasks:
        feed.hint_task(task.id)
    await feed.start()
    seen: set[object] = set()
    async with asyncio.timeout(15):
        while not {task.id for task in tasks} <= seen:
            seen |= {each.task.id for each in await reader.batch() if isinstance(each, TaskChanged)}
    await feed.stop()
    assert max(asked) <= 7
