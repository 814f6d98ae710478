"""What a worker does all day: it listens, claims, works, and checks what it holds."""

import asyncio
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from enum import Enum, auto
from typing import Any

import psycopg

from core.engine.local.database import Database, TaskLostError
from core.engine.local.job import Job
from core.models import Task
from core.store.connections import LOST

_log = logging.getLogger(__name__)

Handler = Callable[[Job], Awaitable[None]]

_POLL = 3.0
"""Seconds between looks for work without a notification: the safety net."""
_PULSE = 1.0
_HEARTBEAT = 2.0
_EXPIRE = 5.0
_FORSAKEN = 30.0
"""Seconds without a database after which a worker that nobody wants gives up."""

_CLAIM = (
    "SELECT t.*, extract(epoch FROM stepline.deadline(t) - clock_timestamp())::float8 AS seconds"
    " FROM public.task_next(%(worker)s, %(types)s) t"
)
_HELD = (
    "SELECT t.*, extract(epoch FROM stepline.deadline(t) - clock_timestamp())::float8 AS seconds"
    " FROM public.async_tasks t WHERE t.n8n_execution_id = %(worker)s AND t.status = 'processing'"
)
_OPEN = (
    "SELECT FROM public.async_tasks"
    " WHERE status IN ('pending', 'processing') AND task_type = ANY (%(types)s) LIMIT 1"
)


class Standing(Enum):
    """Whether anybody needs this worker."""

    WANTED = auto()
    ALONE = auto()
    """Nobody is here to look at an answer: leave once no task is open."""
    REPLACED = auto()
    """Another worker is to do this work from now on: claim nothing more."""


class Worker:
    """One worker: a loop that listens, one that claims, and the pulse that keeps it honest."""

    def __init__(
        self,
        database: Database,
        handlers: Mapping[str, Handler],
        *,
        worker_id: str,
        concurrency: int = 8,
        standing: Callable[[], Standing] | None = None,
        on_stopping: Callable[[int], None] | None = None,
    ) -> None:
        self.id = worker_id
        self.stopping = False
        self._database = database
        self._handlers = handlers
        self._values = {"worker": worker_id, "types": sorted(handlers)}
        self._concurrency = concurrency
        self._standing = standing
        self._on_stopping = on_stopping
        self._held: dict[int, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._strays: set[int] = set()
        """Tasks that the last pulse saw under our name, and that we know nothing of."""
        self._alone = 0
        """How many pulses in a row found nobody here and no task open."""
        self._answered_at = time.monotonic()
        """When the database last answered."""

    def stop(self) -> None:
        """Claims nothing more; `run` returns when what is held is finished."""
        if not self.stopping:
            self.stopping = True
            _log.info("Leaving; %d tasks to finish.", len(self._held))
            if self._on_stopping is not None:
                self._on_stopping(len(self._held))
        self._wake.set()

    async def run(
        self, predecessor: str | None = None, on_ready: Callable[[str], None] | None = None
    ) -> None:
        """Works until stopped and done."""
        await self._repeat(self._beat)
        if predecessor is not None:
            await self._say_bye(predecessor)
        _log.info("Worker %s takes %s.", self.id, ", ".join(self._values["types"]))
        if on_ready is not None:
            on_ready(self.id)
        try:
            async with asyncio.TaskGroup() as group:
                background = [
                    group.create_task(self._repeat(loop)) for loop in (self._listen, self._pulse)
                ]
                await self._repeat(self._claim)
                while self._held:
                    await asyncio.wait(self._held.values())
                for each in background:
                    each.cancel()
        finally:
            await self._leave()

    async def _repeat(self, loop: Callable[[], Awaitable[None]]) -> None:
        """Runs one of the loops, again and again whenever the database goes away."""
        failures = 0
        while True:
            began = time.monotonic()
            try:
                return await loop()
            except (*LOST, psycopg.Error) as error:
                if not isinstance(error, LOST):
                    _log.exception("The database refused the worker.")
                if self._forsaken():
                    self.stop()
                    self._drop_all()
                if self.stopping and loop == self._claim:
                    return None
                failures = 1 if time.monotonic() - began > 60 else failures + 1
                await self._database.wait(failures, error)

    # Claiming.

    async def _claim(self) -> None:
        while not self.stopping:
            self._wake.clear()
            while len(self._held) < self._concurrency and not self.stopping:
                async with self._database.transaction() as connection:
                    cursor = await connection.execute(_CLAIM, self._values)
                    row = await cursor.fetchone()
                if row is None:
                    break
                self._start(row)
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL * random.uniform(0.8, 1.2)):  # noqa: S311
                    await self._wake.wait()

    def _start(self, row: dict[str, Any]) -> None:
        seconds = row.pop("seconds")
        task = Task.model_validate(row)
        _log.info("Task %d: %s, %.0f s left.", task.id, task.task_type, seconds)
        working = asyncio.create_task(self._work(task, seconds))
        self._held[task.id] = working

        def done(_: asyncio.Task[None]) -> None:
            if self._held.get(task.id) is working:
                del self._held[task.id]
            self._wake.set()

        working.add_done_callback(done)

    async def _work(self, task: Task, seconds: float) -> None:
        """One task from its claim to its end. Nothing that happens here ends the worker."""
        job = Job(self._database, task, self.id)
        try:
            deadline = asyncio.timeout(seconds)
            try:
                async with deadline:
                    await self._handlers[task.task_type](job)
            except TimeoutError:
                if not deadline.expired():
                    raise
                _log.info("Task %d timed out.", task.id)
                await job.time_out()
        except TaskLostError as lost:
            _log.info("Task %d: %s.", task.id, lost)
        except Exception as error:
            _log.exception("Task %d broke the worker's code.", task.id)
            kind = type(error).__name__
            with suppress(TaskLostError, psycopg.Error):
                await job.fail(
                    {"error": f"the worker failed ({kind}); its log says more", "code": "internal"}
                )

    def _drop(self, task_id: int, why: str) -> None:
        if working := self._held.get(task_id):
            _log.info("Task %d: stopped, it is %s.", task_id, why)
            working.cancel()

    def _drop_all(self) -> None:
        for task_id in list(self._held):
            self._drop(task_id, "out of reach")

    # Listening.

    async def _listen(self) -> None:
        async with aclosing(self._database.listen("stepline_work")) as heard:
            async for payload in heard:
                if payload is None:
                    self._wake.set()  # what came while nobody listened
                else:
                    self._hear(payload)

    def _hear(self, payload: str) -> None:
        try:
            heard = json.loads(payload)
            task_id, status = int(heard["id"]), heard["status"]
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return  # anybody may notify
        if status in ("cancelled", "timeout"):
            # The database says more than a notification can: the pulse looks for itself, too.
            self._drop(task_id, status)
        if status != "processing":
            self._wake.set()

    # The pulse.

    async def _pulse(self) -> None:
        beat_at = expire_at = 0.0
        while True:
            now = time.monotonic()
            if now >= beat_at:
                await self._beat()
                beat_at = now + _HEARTBEAT
            if now >= expire_at:
                async with self._database.transaction() as connection:
                    await connection.execute("SELECT public.task_expire()")
                expire_at = now + _EXPIRE
            await self._check_held()
            await self._check_standing()
            self._answered_at = time.monotonic()
            await asyncio.sleep(_PULSE)

    async def _beat(self) -> None:
        async with self._database.transaction() as connection:
            await connection.execute("SELECT public.worker_heartbeat(%(worker)s)", self._values)

    async def _check_held(self) -> None:
        """Drops what is no longer ours; takes up what is, unknown to us: the answer to its claim
        was lost with the connection.
        """
        before = set(self._held)
        async with self._database.transaction() as connection:
            rows = await (await connection.execute(_HELD, self._values)).fetchall()
        ours = {row["id"]: row for row in rows}
        for task_id in before - set(ours):
            self._drop(task_id, "no longer ours")
        strays = set(ours) - before - set(self._held)
        for task_id in strays & self._strays:
            self._start(ours[task_id])
        # Once may be a claim or an end that is under way; twice in a row is not.
        self._strays = strays - self._strays

    async def _check_standing(self) -> None:
        if self._standing is None or self.stopping:
            return
        standing = self._standing()
        if standing is Standing.REPLACED:
            self.stop()
        elif standing is Standing.WANTED or self._held:
            self._alone = 0
        else:
            async with self._database.transaction() as connection:
                found = await (await connection.execute(_OPEN, self._values)).fetchone()
            self._alone = 0 if found is not None else self._alone + 1
            if self._alone >= 2:
                self.stop()

    def _forsaken(self) -> bool:
        if self._standing is None or self._standing() is Standing.WANTED:
            return False
        return time.monotonic() - self._answered_at > _FORSAKEN

    # Leaving.

    async def _leave(self) -> None:
        """Drops what is still held, and says goodbye so that it is free at once."""
        held = list(self._held.values())
        for working in held:
            working.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        with suppress(*LOST, psycopg.Error):
            async with asyncio.timeout(2):
                await self._say_bye(self.id)
        _log.info("Worker %s left.", self.id)

    async def _say_bye(self, worker: str) -> None:
        async with self._database.transaction() as connection:
            await connection.execute("SELECT public.worker_bye(%(worker)s)", {"worker": worker})
