"""Realtime's hints and the feed on them, whatever the link, the server or the database does."""

import asyncio

from core.changes import Hint, LinkState, Table
from tests.core.store.realtime.conftest import OpenHearing
from tests.core.test_feed import at_step, claimed, following, linked, steps, until, working
from tests.support.database import Database
from tests.support.supabase.realtime import Realtime


async def test_a_change_arrives_by_realtime(
    database: Database, hearing: OpenHearing, realtime: Realtime
) -> None:
    async with hearing() as store, working(database) as worker, following(store) as (_, reader):
        [task] = await claimed(store, worker)
        await worker.execute("SELECT task_step(%s, 'one', 'at it')", (task.id,))
        changes = await until(reader, at_step(task.id, "one"))
        assert steps(changes[-1]) == ["initializing", "one"]
        await asyncio.sleep(1)
    assert Hint(Table.TASKS, task.id, 3) in store.heard
    assert realtime.counts["changes"] == 3


async def test_dropped(database: Database, hearing: OpenHearing, realtime: Realtime) -> None:
    async with hearing() as store, working(database) as worker, following(store) as (feed, reader):
        [task] = await claimed(store, worker)
        await until(reader, at_step(task.id, "initializing"))
        realtime.drop_sockets()
        await until(reader, linked(LinkState.RECONNECTING))
        await worker.execute("SELECT task_step(%s, 'one', 'at it')", (task.id,))
        await until(reader, linked(LinkState.LIVE))
        await worker.execute("SELECT task_step(%s, 'two', 'at it')", (task.id,))
        await until(reader, at_step(task.id, "two"))
        assert steps(feed.view(task.id)) == ["initializing", "one", "two"]
