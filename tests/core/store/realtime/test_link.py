"""What Realtime tells of, how soon it is tried again, and what it costs to have it there."""

import asyncio
import subprocess
import sys
from uuid import UUID

import pytest

from core.changes import Hint, LinkChanged, LinkState, Table
from core.errors import StoreUnreachableError
from core.store.realtime import RealtimeHints, backoff
from core.store.realtime.frames import hint
from core.store.realtime.lost import Why
from tests.core.store.realtime.conftest import OpenHearing
from tests.core.test_feed import at_step, claimed, following, steps, until, working
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
        async with asyncio.timeout(5):
            while Hint(Table.TASKS, task.id, 3) not in store.heard:
                await store.news()
    # One frame for each change, and none for the events that were written with it.
    assert realtime.counts["changes"] == 3


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"table": "async_tasks", "record": {"id": 7, "revision": 3}}, (7, 3)),
        ({"table": "async_tasks", "record": {"id": 7}}, (7, 0)),
        ({"table": "async_tasks", "record": {"id": 7, "revision": 3}, "errors": ["413"]}, (7, 0)),
        ({"table": "async_tasks", "record": {}, "old_record": {"id": 7}}, (7, 0)),
        ({"table": "async_tasks", "record": {"id": 7, "revision": "3"}}, (7, 0)),
        ({"table": "async_tasks", "record": {"id": 7, "revision": 2**70}}, (7, 0)),
        ({"table": "async_tasks", "record": {"id": True}}, None),
        ({"table": "async_tasks", "record": {"id": -1}}, None),
        ({"table": "async_tasks", "record": [7]}, None),
        ({"table": "task_events", "record": {"id": 7}}, None),
        ({"table": ["async_tasks"], "record": {"id": 7}}, None),
        (None, None),
    ],
)
def test_what_a_frame_is_taken_for(data: object, expected: tuple[int, int] | None) -> None:
    wanted = Hint(Table.TASKS, *expected) if expected else None
    assert hint({"data": data}) == wanted


@pytest.mark.parametrize(
    ("why", "longest"), [(Why.DROPPED, 1.6), (Why.REFUSED, 30.0), (Why.UNREACHABLE, 30.0)]
)
def test_how_soon_it_is_tried_again(why: Why, longest: float) -> None:
    assert 0.05 <= backoff(1, why) <= 0.1
    for failures in (20, 2000):
        assert longest / 2 <= backoff(failures, why) <= longest


@pytest.mark.parametrize("error", [StoreUnreachableError("Nobody answers."), KeyError("odd")])
async def test_no_token_ends_nothing(error: Exception) -> None:
    async def token() -> str:
        raise error

    stream = RealtimeHints("http://127.0.0.1:9", "key", token, UUID(int=1)).hints()
    for _ in range(3):
        item = await anext(stream)
        assert isinstance(item, LinkChanged)
        assert item.state is LinkState.RECONNECTING
        assert item.detail.endswith(".")
    await stream.aclose()


def test_the_official_client_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys, core.session, core.store.supabase, core.store.realtime;"
        "print({'realtime', 'supabase', 'websockets'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "set()"
