"""n8n's queue mode: the product unchanged, one n8n that takes the calls, two workers that run them.

Two of n8n's settings are not its own: the clocks by which a dead worker is noticed run faster, and
each process may open more than two connections to n8n's database, as docs/n8n.md advises.
"""

import asyncio
import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from core.models import Sent, Task, TaskStatus
from core.session import Session
from core.settings import Settings, load_settings
from tests.support.command import isolated
from tests.support.database import Database
from tests.support.model_process import ModelProcess
from tests.support.n8n_server import N8nServer, n8n_server, wait_until
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import redis_server

CONCURRENCY = 10
_SETTINGS = {
    "DB_POSTGRESDB_POOL_SIZE": "10",
    "QUEUE_WORKER_LOCK_DURATION": "10000",
    "QUEUE_WORKER_LOCK_RENEW_TIME": "2000",
    "QUEUE_WORKER_STALLED_INTERVAL": "3000",
}


@pytest.fixture(scope="module")
def queue(postgres: PostgresServer) -> Iterator[N8nServer]:
    """An n8n that runs nothing itself."""
    with redis_server() as redis, n8n_server(postgres, redis=redis, **_SETTINGS) as server:
        yield server


@pytest.fixture(scope="module")
def pushed(
    queue: N8nServer,
    n8n_database: Database,
    model: ModelProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Settings:
    """The settings of somebody who has run `stepline n8n push`, and of whom n8n knows no more."""
    home = tmp_path_factory.mktemp("queue")
    (home / "config.toml").touch()
    stepline = isolated(
        home,
        STEPLINE_DB_URL=n8n_database.conninfo,
        STEPLINE_LLM_BASE_URL=model.url,
        STEPLINE_LLM_MODEL="test/model-1",
        STEPLINE_LLM_API_KEY="sk-test",
        STEPLINE_CONFIG=str(home / "config.toml"),
        N8N_BASE_URL=queue.base_url,
        N8N_API_KEY=queue.api_key,
    )
    done = stepline.run("n8n", "push", timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return load_settings(env=stepline.env)


@dataclass(frozen=True)
class Worker:
    """A worker and what it says."""

    process: subprocess.Popen[bytes]
    log: Path

    def executions(self) -> set[str]:
        """Those that it has begun."""
        return set(re.findall(r"Worker started execution (\d+)", self.log.read_text()))


@contextmanager
def workers(server: N8nServer, count: int) -> Iterator[list[Worker]]:
    """So many workers, all ready, while this lasts."""

    def start() -> Worker:
        log = server.dir / f"worker-{uuid4()}.log"
        log_to = {"N8N_LOG_OUTPUT": "file", "N8N_LOG_FILE_LOCATION": str(log)}
        return Worker(stack.enter_context(server.worker(CONCURRENCY, **log_to)), log)

    with ExitStack() as stack, ThreadPoolExecutor(count) as pool:
        starting = [pool.submit(start) for _ in range(count)]
        yield [each.result() for each in starting]


@pytest.fixture
def no_sweep(queue: N8nServer, pushed: Settings) -> Iterator[None]:
    """What has waited for half a minute is left to the queue: the sweep would start it on the
    worker that the sweep itself runs on."""
    sweep = f"/workflows/{pushed.n8n.workflow_ids['N8N_SWEEP_WORKFLOW_ID']}"
    queue.api("POST", f"{sweep}/deactivate")
    yield
    queue.api("POST", f"{sweep}/activate")


@pytest.fixture
async def session(queue: N8nServer, pushed: Settings) -> AsyncIterator[Session]:
    """A live session of a new user."""
    session = await Session.open(replace(pushed, user=f"user {uuid4()}"))
    assert session.engine.name == "n8n"
    await session.feed.live()
    yield session
    await session.close()
    print(queue.log_end())


async def ended(session: Session, task_ids: list[int], seconds: float) -> list[Task]:
    """The tasks, once they are all final."""

    async def one(task_id: int) -> Task:
        async for change in session.tasks.watch(task_id):
            last = change
        return last.task  # type: ignore[union-attr]

    async with asyncio.timeout(seconds):
        return await asyncio.gather(*map(one, task_ids))


def asked(model: ModelProcess, mark: str) -> list[dict[str, Any]]:
    """What the model was asked with this mark in the last message."""
    return [
        each
        for each in model.requests()
        if each["messages"] and mark in each["messages"][-1]["content"]
    ]


def calls(model: ModelProcess, mark: str) -> Counter[str]:
    """The answers that the model has given in full, by the message that asked for them."""
    return Counter(each["messages"][-1]["content"] for each in asked(model, mark) if each["sent"])


def waiting_at(model: ModelProcess, mark: str) -> int:
    """How many requests the model holds back."""
    return len([e for e in asked(model, mark) if not e["sent"] and not e["disconnected"]])


async def send(session: Session, words: str, count: int) -> dict[int, Sent]:
    """So many conversations with one message each, all at once; by number."""
    texts = [f"{words} {number}" for number in range(count)]
    sent = await asyncio.gather(*(session.chat.send(None, text) for text in texts))
    return dict(enumerate(sent))


async def test_two_hundred_chats_over_two_workers(
    queue: N8nServer, session: Session, model: ModelProcess
) -> None:
    mark = uuid4().hex
    with workers(queue, 2) as both:
        sent = await send(session, f"say:{mark}", 200)
        tasks = await ended(session, [each.task_id for each in sent.values()], 150)
        assert Counter(task.status for task in tasks) == {TaskStatus.COMPLETED: 200}
        for number, each in sent.items():
            assert (await session.chat.message(each.message_id)).content == f"{mark} {number}"
        assert calls(model, mark) == {f"say:{mark} {number}": 1 for number in range(200)}
        executions = {task.n8n_execution_id for task in tasks}
        shares = [len(each.executions() & executions) for each in both]
    # Neither has what the sweep has started: that runs inside its own execution.
    assert min(shares) >= 20, shares


@pytest.mark.usefixtures("no_sweep")
async def test_a_worker_killed_in_the_middle(
    queue: N8nServer, session: Session, model: ModelProcess
) -> None:
    """n8n runs nothing of a dead worker again: what it had begun fails with a reason, and a retry
    answers it; what waited in the queue goes to the other one."""
    mark = uuid4().hex
    with workers(queue, 2) as (victim, other):
        sent = await send(session, f"hold:{mark} say:answer", 64)
        # Both have all that they take at once, and the model holds it back.
        await asyncio.to_thread(wait_until, lambda: waiting_at(model, mark) == 2 * CONCURRENCY)
        os.killpg(victim.process.pid, signal.SIGKILL)
        await asyncio.to_thread(wait_until, lambda: waiting_at(model, mark) == CONCURRENCY)
        model.open(mark)
        tasks = await ended(session, [each.task_id for each in sent.values()], 120)
        failed = [task for task in tasks if task.status is TaskStatus.FAILED]
        rest = [task for task in tasks if task.status is TaskStatus.COMPLETED]
        assert (len(failed), len(rest)) == (CONCURRENCY, 64 - CONCURRENCY)
        assert {task.n8n_execution_id for task in failed} <= victim.executions()
        assert {task.n8n_execution_id for task in rest} <= other.executions()
        for task in failed:
            assert task.status_message is not None
            assert task.status_message.startswith("Processing failed: "), task
            print(task.status_message, task.error_details)
        again = [await session.tasks.retry(task.id) for task in failed]
        retried = await ended(session, [task.id for task in again], 60)
    assert {task.status for task in retried} == {TaskStatus.COMPLETED}
    for number, each in sent.items():
        assert (await session.chat.message(each.message_id)).content == f"answer {number}"
    assert calls(model, mark) == {f"hold:{mark} say:answer {number}": 1 for number in range(64)}
