"""Sees to it, from inside an app, that the data directory has a worker process."""

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from core.engine.local.auto import SETTINGS_VARIABLE, WorkerFiles, fingerprint
from core.lease import Lease

if TYPE_CHECKING:
    from core.settings import Settings

_log = logging.getLogger(__name__)

_LOOK = 1.0
"""Seconds between two looks."""
_STARTING = 15.0
"""Seconds a worker that was just started has to take its lock."""
_YIELD = 3
"""Looks that an app leaves to another one that wants the worker to have other settings."""
_DEPARTURE = 5.0
"""Seconds a worker with other settings has to notice that it is to go."""
_MAX_PAUSE = 30.0
_MAX_LOG = 1_000_000


class WorkerSupervisor:
    """Starts a worker whenever the data directory has none; the worker outlives the app.

    The app that came last decides with which model settings the worker runs, except that one
    without a key doesn't replace a real model by the demo.
    """

    def __init__(self, settings: "Settings", *, command: Sequence[str] | None = None) -> None:
        self._settings = settings
        self._command = command or _command(settings)
        self._files = WorkerFiles(settings.data_dir)
        self._fingerprint = fingerprint(settings)
        self._lease = Lease(self._files.apps)
        self._watching: asyncio.Task[None] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._crashes = 0
        self._missing = 0
        """Looks in a row that found no worker."""

    async def start(self) -> None:
        """Joins the apps that want a worker, and begins to look after it."""
        await asyncio.to_thread(self._lease.acquire_shared)
        if not self._settings.llm.demo and self._files.settings() != self._fingerprint:
            self._files.set_settings(self._fingerprint)
            # Or the first message would still go to the model that was set before.
            await asyncio.to_thread(self._see_off)
        # Even a command that ends at once leaves a worker behind for what it wrote.
        await self._look_safely()
        self._watching = asyncio.create_task(self._watch())

    def _see_off(self) -> None:
        """Waits a moment until a worker with other settings claims nothing more."""
        until = time.monotonic() + _DEPARTURE
        lock = Lease(self._files.lock)
        while not lock.try_exclusive() and time.monotonic() < until:
            time.sleep(0.05)
        lock.release()

    async def stop(self) -> None:
        """Leaves; the worker ends by itself once nobody needs it. Safe to call twice."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        self._lease.release()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            await self._look_safely()

    async def _look_safely(self) -> None:
        try:
            await asyncio.to_thread(self._look)
        except OSError as error:
            # A full disk, no more processes: a later look may succeed.
            _log.warning("No worker could be started: %s", error)

    def _look(self) -> None:
        """Starts a worker if there is none and none is on its way."""
        lock = Lease(self._files.lock)
        free = lock.try_exclusive()
        lock.release()
        if not free:
            self._missing = self._crashes = 0
            return
        self._missing += 1
        if self._on_its_way() or time.monotonic() - self._started_at < self._pause():
            return
        if self._files.settings() not in ("", self._fingerprint):
            if self._missing <= _YIELD:
                return
            self._files.set_settings(self._fingerprint)
        self._start()

    def _on_its_way(self) -> bool:
        """Whether the worker we started is still about to take its lock."""
        if self._child is None:
            return False
        code = self._child.poll()
        if code is None:
            return time.monotonic() - self._started_at < _STARTING
        if code != 0:
            self._crashes += 1
            _log.warning("The worker ended with exit code %d.", code)
        self._child = None
        return False

    def _pause(self) -> float:
        return min(_MAX_PAUSE, 2.0**self._crashes) if self._crashes else 0.0

    def _start(self) -> None:
        log = self._settings.state_dir / "worker.err"
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(log, flags, 0o600)
        try:
            if os.fstat(fd).st_size > _MAX_LOG:
                os.ftruncate(fd, 0)
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=fd,
                # Neither ctrl+c nor the end of the terminal may reach it.
                start_new_session=True,
                # The settings we have, whatever the file says by the time it is read again.
                env={**os.environ, SETTINGS_VARIABLE: self._fingerprint},
            )
        finally:
            os.close(fd)
        self._started_at = time.monotonic()


def _command(settings: "Settings") -> list[str]:
    """The command line of a worker that comes to the same settings as we did."""
    # -P: a directory `tui` or `core` where the user happens to be is not ours.
    command = [sys.executable, "-P", "-m", "tui.cli", "worker", "--auto"]
    if settings.source("profile") == "command line":
        command += ["--profile", settings.profile]
    if settings.data_dir != Path(platformdirs.user_data_path("stepline")):
        command += ["--data-dir", str(settings.data_dir.absolute())]
    return command
