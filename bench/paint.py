"""From the database's commit to the bytes on the terminal.

The clock starts before a worker's statement is sent, so its own run time counts as ours. Sizes are
tasks that run meanwhile, each in the panel; the one that is changed is in the open conversation.
"""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from statistics import median

import psycopg

from bench.figure import Figure, Yardstick, percentile
from bench.scene import Scene, pause, quiet, scene, step, type_letters
from tests.support.database import Database
from tests.support.pty_terminal import Terminal

SIZES = (1, 20, 100)
SMALL = (1,)
MEDIAN, P95 = 0.025, 0.060
"""Seconds."""


def run(sizes: Sequence[int]) -> Iterator[Figure]:
    """The yardstick is what no program here can beat: a notification, then a key's echo."""
    count = 100 if max(sizes) > 1 else 10
    with scene() as here:
        with here.bare() as bare:
            quiet(bare)
            echoes = type_letters(bare, count)
        notified = asyncio.run(_notified(here.database, count))
        [task] = here.run_tasks(1)
        others = 0
        for size in sizes:
            here.run_tasks(size - 1 - others)
            others = size - 1
            with here.app("--conversation", "1") as app:
                taken = painted(here, app, task, count)
            for name, share, limit in (("median", 0.5, MEDIAN), ("p95", 0.95, P95)):
                floor = percentile(notified, share) + percentile(echoes, share)
                yield Figure(
                    f"commit to paint, {name}",
                    percentile(taken, share),
                    "s",
                    size,
                    Yardstick("NOTIFY to callback plus a bare app's key echo", floor),
                    limit,
                    count,
                )
        yield Figure("NOTIFY to callback, median", median(notified), "s", samples=count)
        yield Figure("bare app's key echo, median", median(echoes), "s", samples=count)


def painted(here: Scene, app: Terminal, task: int, count: int) -> list[float]:
    """Seconds until each of so many changes of a task is on the screen."""
    taken: list[float] = []
    with here.database.worker() as worker:
        app.wait_for("AI is thinking")
        for number in range(count):
            mark = _mark(number)
            after, begun = len(app.raw), time.perf_counter()
            step(worker, task, mark)
            end = app.wait_bytes(mark.encode(), after=after)
            taken.append(app.arrival(end - 1) - begun)
            # Never in step with what moves by itself, ten times a second.
            pause(random.uniform(0.1, 0.2))
    return taken


def _mark(number: int) -> str:
    """A status message that differs from the one before it in every letter, so that all of it is
    written."""
    digits = f"{number:04}" * 4
    letters = ("abcdefghij", "klmnopqrst")[number % 2]
    return "".join(letters[int(digit)] for digit in digits)


async def _notified(database: Database, count: int) -> list[float]:
    taken: list[float] = []
    async with (
        await psycopg.AsyncConnection.connect(database.conninfo, autocommit=True) as listener,
        await psycopg.AsyncConnection.connect(database.conninfo, autocommit=True) as sender,
    ):
        await listener.execute("LISTEN bench")
        for _ in range(count):
            begun = time.perf_counter()
            await sender.execute("NOTIFY bench")
            async for _ in listener.notifies(stop_after=1):
                taken.append(time.perf_counter() - begun)
    return taken
