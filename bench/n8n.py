"""What n8n costs: tasks a second, and the time until the first step of one that was just sent.

A real n8n with the workflows that `stepline n8n push` puts there, called by the product's own
session; first as one process, then in queue mode with one and with two workers, ten tasks at once
each. Sizes are chats sent at once.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from statistics import median

import httpx

from bench.figure import Figure, LeftOutError, Yardstick, middle
from bench.scene import Scene, scene
from core.models import Sent, TaskStatus
from core.session import Session
from core.settings import Settings, load_settings
from tests.support.command import Stepline
from tests.support.model_process import model_process
from tests.support.n8n_install import installed
from tests.support.n8n_server import N8nServer, n8n_server, wait_until
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import redis_server

SIZES = (100,)
SMALL = ()
SINGLE = 20
"""Chats sent one after the other."""
AT_ONCE = 10
POOL = "10"


@dataclass(frozen=True)
class Taken:
    """Tasks a second by size, and the seconds to the first step of each single one."""

    rates: dict[int, float]
    first_steps: list[float]

    def figures(
        self, name: str, rate: Yardstick | None, step: Yardstick | None
    ) -> Iterator[Figure]:
        """Beside those yardsticks."""
        for size, value in self.rates.items():
            yield Figure(f"{name}: tasks a second", value, "tasks/s", size, rate)
        seconds = median(self.first_steps)
        yield Figure(f"{name}: sent to first step, median", seconds, "s", 1, step, samples=SINGLE)


def run(sizes: Sequence[int]) -> Iterator[Figure]:
    """The yardsticks are the local worker with the same model, and n8n's plainest answer."""
    if not sizes:
        raise LeftOutError("it takes minutes")
    if not installed():
        raise LeftOutError("n8n is not installed: python -m tests.support.n8n_install")
    if which("redis-server") is None:
        raise LeftOutError("redis-server is not installed")
    with scene() as here, model_process() as model, _postgres() as postgres:
        config = Path(here.stepline.cwd) / "config.toml"
        config.touch()
        stepline = here.stepline.having(
            STEPLINE_CONFIG=str(config),
            STEPLINE_LLM_BASE_URL=model.url,
            STEPLINE_LLM_MODEL="bench/model",
            STEPLINE_LLM_API_KEY="sk-bench",
        )
        with _local_worker(here, stepline):
            settings = load_settings(env=stepline.having(STEPLINE_ENGINE="local").env)
            local = asyncio.run(_measure(here, settings, sizes))
        yield from local.figures("local worker", None, None)
        beside = Yardstick("local worker", local.rates[sizes[0]])
        with n8n_server(postgres, DB_POSTGRESDB_POOL_SIZE=POOL) as server:
            taken, plain = _measure_n8n(here, server, stepline, sizes)
            yield from taken.figures("n8n, one process", beside, plain)
        with redis_server() as redis, ExitStack() as workers:
            server = workers.enter_context(
                n8n_server(postgres, redis=redis, DB_POSTGRESDB_POOL_SIZE=POOL)
            )
            for count in (1, 2):
                workers.enter_context(server.worker(AT_ONCE))
                taken, plain = _measure_n8n(here, server, stepline, sizes)
                yield from taken.figures(f"n8n, queue and workers: {count}", beside, plain)


@contextmanager
def _postgres() -> Iterator[PostgresServer]:
    """For n8n's own data."""
    server = PostgresServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def _local_worker(here: Scene, stepline: Stepline) -> Iterator[None]:
    worker = stepline.start("worker", f"--concurrency={AT_ONCE}")

    def ready() -> bool:
        with here.database.owner() as owner:
            row = owner.execute("SELECT public.worker_count() AS workers").fetchone()
            return row is not None and row["workers"] == 1

    try:
        wait_until(ready)
        yield
    finally:
        worker.terminate()
        worker.communicate(timeout=30)


def _measure_n8n(
    here: Scene, server: N8nServer, stepline: Stepline, sizes: Sequence[int]
) -> tuple[Taken, Yardstick]:
    stepline = stepline.having(N8N_BASE_URL=server.base_url, N8N_API_KEY=server.api_key)
    done = stepline.run("n8n", "push", timeout=120)
    assert done.returncode == 0, done.stderr

    with httpx.Client(trust_env=False) as client:

        def ask() -> float:
            begun = time.perf_counter()
            client.get(f"{server.base_url}/healthz")
            return time.perf_counter() - begun

        ask()
        plain = Yardstick("GET /healthz", middle(ask, SINGLE))
    return asyncio.run(_measure(here, load_settings(env=stepline.env), sizes)), plain


async def _measure(here: Scene, settings: Settings, sizes: Sequence[int]) -> Taken:
    session = await Session.open(settings)
    try:
        await session.feed.live()
        await _answer(session, 1)  # what is loaded when it is first used
        first_steps: list[float] = []
        for _ in range(SINGLE):
            begun = time.time()
            [sent] = await _answer(session, 1)
            with here.database.owner() as owner:
                row = owner.execute(
                    "SELECT extract(epoch FROM min(created_at))::float8 AS at FROM task_events"
                    " WHERE task_id = %s AND event_type = 'step_update'",
                    (sent.task_id,),
                ).fetchone()
            assert row is not None
            first_steps.append(row["at"] - begun)
        rates: dict[int, float] = {}
        for size in sizes:
            begun = time.perf_counter()
            await _answer(session, size)
            rates[size] = size / (time.perf_counter() - begun)
        return Taken(rates, first_steps)
    finally:
        await session.close()


async def _answer(session: Session, count: int) -> list[Sent]:
    """So many chats at once, to their ends."""

    async def one() -> Sent:
        sent = await session.chat.send(None, "say:An answer of a few words.")
        async for change in session.tasks.watch(sent.task_id):
            last = change
        assert last.task.status is TaskStatus.COMPLETED, last  # type: ignore[union-attr]
        return sent

    async with asyncio.timeout(300):
        return await asyncio.gather(*(one() for _ in range(count)))
