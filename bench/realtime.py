"""From the database's commit to the bytes on the terminal, by Realtime and by NOTIFY.

Realtime is the tests' stand-in (tests/support/supabase): it reads PostgreSQL's own log every 100
ms, as the real one was seen to, and speaks to the official client over a real socket; no network
lies between. A real one was seen to take 278 ms (median) and 456 ms (p95) from commit to callback,
which is not ours to make shorter: what counts here is what we add to it. Sizes are tasks that run
meanwhile, each in the panel.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import psycopg
from realtime import AsyncRealtimeClient
from realtime.types import RealtimePostgresChangesListenEvent

from bench.figure import Figure, Yardstick, percentile
from bench.paint import painted
from bench.scene import Scene, scene
from tests.support.supabase import Supabase

SIZES = (1, 20)
SMALL = (1,)
_STAND_IN = "Realtime (stand-in)"
ADDED = 0.15
"""Seconds at the median: what we may add to the official client's callback, a fetch included."""


def run(sizes: Sequence[int]) -> Iterator[Figure]:
    """The yardstick is the official client alone: a commit to its callback."""
    count = 60 if max(sizes) > 1 else 8
    with scene() as here:
        project = Supabase(here.database.conninfo)
        project.start()
        try:
            yield from _run(here, project, sizes, count)
        finally:
            project.stop()


def _run(here: Scene, project: Supabase, sizes: Sequence[int], count: int) -> Iterator[Figure]:
    access, refresh = project.auth.sign_in(here.user_id)
    by_realtime = replace(
        here,
        stepline=replace(
            here.stepline,
            env={
                **{key: value for key, value in here.stepline.env.items() if "DB_URL" not in key},
                "SUPABASE_URL": project.url,
                "SUPABASE_ANON_KEY": project.anon_key,
                "STEPLINE_ACCESS_TOKEN": access,
                "STEPLINE_REFRESH_TOKEN": refresh,
            },
        ),
    )
    [task] = here.run_tasks(1)
    alone = asyncio.run(_heard(here, project, access, count))
    others = 0
    for size in sizes:
        here.run_tasks(size - 1 - others)
        others = size - 1
        for name, place in ((_STAND_IN, by_realtime), ("NOTIFY", here)):
            with place.app("--conversation", "1") as app:
                taken = painted(place, app, task, count)
            for share, label in ((0.5, "median"), (0.95, "p95")):
                floor = percentile(alone, share)
                yield Figure(
                    f"commit to paint by {name}, {label}",
                    percentile(taken, share),
                    "s",
                    size,
                    Yardstick("Realtime, commit to the official client's callback", floor),
                    floor + ADDED if place is by_realtime and share == 0.5 else None,
                    count,
                )


async def _heard(here: Scene, project: Supabase, token: str, count: int) -> list[float]:
    """Seconds from before the statement to the client's callback."""
    client = AsyncRealtimeClient(f"{project.url}/realtime/v1", token=project.anon_key)
    subscribed, heard = asyncio.Event(), asyncio.Event()
    [task] = here.run_others(1)
    await client.set_auth(token)
    channel = client.channel("bench")
    channel.on_postgres_changes(
        RealtimePostgresChangesListenEvent.Update,
        lambda _: heard.set(),
        table="async_tasks",
        schema="public",
        filter=f"created_by=eq.{here.user_id}",
    )
    channel.on_system(lambda _: subscribed.set())
    await channel.subscribe()
    await subscribed.wait()
    taken: list[float] = []
    async with await psycopg.AsyncConnection.connect(
        here.database.conninfo, autocommit=True
    ) as worker:
        await worker.execute("SET ROLE stepline_worker")
        for number in range(count):
            heard.clear()
            begun = time.perf_counter()
            await worker.execute("SELECT public.task_step(%s, 'at', %s)", (task, str(number)))
            await asyncio.wait_for(heard.wait(), 10)
            taken.append(time.perf_counter() - begun)
            await asyncio.sleep(0.13)
        # A task of its own, so that nothing of it is left on the screen.
        await worker.execute("SELECT public.task_complete(%s, '{}', 'done')", (task,))
    await client.close()
    return taken
