"""Any order of faults and writes; many faults in a row; the database going away."""

import asyncio
import ctypes
import gc
from collections.abc import Callable

import psutil
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.changes import Hint, LinkState
from tests.core.store.realtime.conftest import HearingStore, OpenHearing, quick
from tests.core.store.realtime.scene import Scene, playing
from tests.support.database import Database
from tests.support.postgres_server import PostgresServer
from tests.support.supabase import Supabase
from tests.support.supabase.realtime import Faults, Realtime

LIVE = LinkState.LIVE

LASTING: dict[str, Callable[[Faults], None]] = {
    "drop": lambda faults: setattr(faults, "drop_next", 3),
    "delay": lambda faults: setattr(faults, "delay", 0.2),
    "double": lambda faults: setattr(faults, "double", True),
    "reorder": lambda faults: setattr(faults, "reorder", True),
    "cut": lambda faults: setattr(faults, "cut", True),
    "no revision": lambda faults: setattr(faults, "leave_out", frozenset({"revision"})),
    "silent": lambda faults: setattr(faults, "silent", True),
    "refuse": lambda faults: setattr(faults, "refuse_joins", "no"),
    "fail": lambda faults: setattr(faults, "fail_after_ok", "no"),
}
SUDDEN: dict[str, Callable[[Realtime], None]] = {
    "dropped": Realtime.drop_sockets,
    "stopped": Realtime.close_sockets,
    "closed": Realtime.close_channels,
    "crashed": Realtime.crash_channels,
    "expired": lambda here: here.project.expire_tokens(),
    "junk": lambda here: here.say("{bad"),
}
ACTIONS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(["step", "new", "end", "cancel"])),
    st.tuples(st.just("lasting"), st.sampled_from(sorted(LASTING))),
    st.tuples(st.just("sudden"), st.sampled_from(sorted(SUDDEN))),
    st.tuples(st.just("server"), st.sampled_from(["down", "up"])),
    st.tuples(st.just("faults"), st.just("over")),
    st.tuples(st.just("wait"), st.sampled_from(["moment", "while"])),
)


def test_once_quiet_everything_is_known(
    database: Database, supabase: Supabase, realtime: Realtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Found sooner, so that many schedules can be tried.
    monkeypatch.setattr("core.feed._BUSY", 1.0)
    monkeypatch.setattr("core.feed._DOWN", 0.5)

    @settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(ACTIONS, min_size=5, max_size=30))
    def follow(schedule: list[tuple[str, str]]) -> None:
        asyncio.run(_follow(schedule, database, supabase, realtime))

    follow()


async def _follow(
    schedule: list[tuple[str, str]], database: Database, supabase: Supabase, realtime: Realtime
) -> None:
    store = HearingStore(database, supabase, database.add_user())
    await store.open()
    try:
        async with playing(store, database, 2) as scene:
            for kind, what in schedule:
                await _act(scene, supabase, realtime, kind, what)
            await _end(supabase, realtime)
            await scene.agreement(20)
            await scene.state(LIVE, 20)
            # And it goes on by the link.
            await scene.agreement()
    finally:
        await _end(supabase, realtime)
        await store.close()


async def _act(scene: Scene, supabase: Supabase, realtime: Realtime, kind: str, what: str) -> None:
    match kind:
        case "write":
            await _write(scene, what)
        case "lasting":
            LASTING[what](realtime.faults)
        case "sudden":
            SUDDEN[what](realtime)
        case "server" if what == "down":
            await asyncio.to_thread(supabase.pause)
        case "server":
            await asyncio.to_thread(_up, supabase)
        case "faults":
            realtime.faults = Faults()
        case _:
            await asyncio.sleep(0.05 if what == "moment" else 0.4)


async def _write(scene: Scene, what: str) -> None:
    if what == "new":
        task = await scene.store.task_create("email", {}, 600, None)
        await scene.worker.execute("SELECT task_claim(%s, 'exec')", (task.id,))
        scene.tasks.append(task)
    elif what == "step" or not scene.tasks:
        await scene.step()
    elif what == "end":
        task = scene.tasks.pop()
        await scene.worker.execute("SELECT task_complete(%s, '{}', 'done')", (task.id,))
    else:
        await scene.store.task_cancel(scene.tasks.pop().id)


async def _end(supabase: Supabase, realtime: Realtime) -> None:
    realtime.faults = Faults()
    await asyncio.to_thread(_up, supabase)


def _up(supabase: Supabase) -> None:
    supabase.pause()
    supabase.resume()


async def test_two_hundred_drops_in_a_row(
    database: Database, hearing: OpenHearing, supabase: Supabase, realtime: Realtime
) -> None:
    loop = asyncio.get_running_loop()
    async with hearing() as store, playing(store, database, 50) as scene:
        after_fifty = tasks_after_fifty = 0
        for number in range(200):
            # Mostly one that has just become live, now and then one that was just let in.
            early = number % 10 == 0
            await _reaches(lambda early=early: realtime.sockets if early else realtime.subscribed)
            # A fifth of the tasks at each drop, now under the link's last hints, now while it is
            # away. By the drop, not by the clock: what is kept of them does not depend on how
            # fast the machine is.
            step = scene.step(only=slice(number % 5, None, 5))
            if number % 2:
                await step
            realtime.drop_sockets()
            await _reaches(lambda: not realtime.sockets)
            if not number % 2:
                await step
            if number == 50:
                after_fifty, tasks_after_fifty = _memory(), len(asyncio.all_tasks())
        assert _memory() - after_fifty < 15 * 2**20
        assert len(asyncio.all_tasks()) <= tasks_after_fifty + 10
        supabase.pause()
        await scene.state(LinkState.POLLING)
        await scene.step()
        supabase.resume()
        begun = loop.time()
        await _reaches(lambda: realtime.subscribed)
        assert loop.time() - begun < 2
        await scene.agreement(20)
        await scene.state(LIVE)
        assert realtime.counts["sockets"] > 200


def _memory() -> int:
    """Bytes in use: what was freed, and is only kept for later, is given back first."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return psutil.Process().memory_info().rss


async def _reaches(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_database_that_is_restarted(mortal: PostgresServer) -> None:
    database = Database(mortal.conninfo())
    with quick(database) as supabase:
        realtime = Realtime.of(supabase.project)
        realtime.times.back = 1.0
        store = HearingStore(database, supabase, database.add_user())
        await store.open()

        def hints() -> list[Hint]:
            return [item for item in store.heard if isinstance(item, Hint)]

        async with playing(store, database) as scene:
            await _reaches(lambda: len(hints()) == 6)
            await asyncio.to_thread(mortal.kill)
            await asyncio.to_thread(mortal.run)
            async with await psycopg.AsyncConnection.connect(
                database.conninfo, autocommit=True
            ) as worker:
                await worker.execute("SET ROLE stepline_worker")
                scene.worker = worker
                # What is committed now, no slot has seen, and the link gives no sign.
                await scene.step()
                await scene.agreement()
                assert len(hints()) == 6
                async with asyncio.timeout(20):
                    while len(hints()) == 6:
                        await scene.step()
                        await asyncio.sleep(0.2)
                await scene.agreement()
            await scene.state(LIVE)
        await store.close()
