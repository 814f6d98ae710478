"""The worker that belongs to a data directory: at most one, there while apps or tasks need it."""

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from core.engine.local.loop import Standing
from core.lease import Lease, exclusively
from core.store.connections import Revive

if TYPE_CHECKING:
    from core.settings import Settings

SETTINGS_VARIABLE = "STEPLINE_WORKER_SETTINGS"
"""Which settings the app that starts a worker takes it to have; by their fingerprint."""
_LOCK_SECONDS = 1.0
"""Others only look whether the lock is free; whoever still holds it then is a worker."""


class WorkerFiles:
    """What apps and worker say to each other through files in the data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.apps = data_dir / "app.lease"
        """Held, shared, by every app that wants a worker."""
        self.lock = data_dir / "worker.lock"
        """Held alone by the worker; says its id, for the one after it."""
        self._settings = data_dir / "worker.settings"

    def settings(self) -> str:
        """The fingerprint of the settings the worker is to have; empty if nobody said."""
        try:
            return self._settings.read_text().strip()
        except OSError:
            return ""

    def set_settings(self, fingerprint: str) -> None:
        """Says which settings the worker is to have; one with others leaves."""
        new = self._settings.with_name(f"{self._settings.name}.{os.getpid()}")
        new.write_text(fingerprint + "\n")
        new.replace(self._settings)


def fingerprint(settings: "Settings") -> str:
    """What tells two workers' settings apart, without saying them."""
    llm = settings.llm
    key = llm.api_key.get_secret_value() if llm.api_key else ""
    parts = (llm.base_url, llm.model, key, str(llm.temperature), str(llm.max_tokens))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


async def run_auto_worker(
    conninfo: str,
    settings: "Settings",
    *,
    concurrency: int = 8,
    revive: Revive | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> bool:
    """Is the data directory's worker for as long as one is needed; False if there is one already.

    See `run_worker` for the rest.
    """
    from core.engine.local.worker import new_worker_id, run_worker

    files = WorkerFiles(settings.data_dir)
    ours = os.environ.get(SETTINGS_VARIABLE) or fingerprint(settings)
    worker_id = new_worker_id()

    def standing() -> Standing:
        if files.settings() not in ("", ours):
            return Standing.REPLACED
        return Standing.WANTED if _taken(files.apps) else Standing.ALONE

    try:
        held = exclusively(files.lock, timeout_seconds=_LOCK_SECONDS)
        lock = await asyncio.to_thread(held.__enter__)
    except TimeoutError:
        return False
    try:
        # The lock was free, so whoever is named in it is dead.
        predecessor = os.pread(lock.fileno(), 300, 0).decode("utf-8", "replace")
        _sign(lock, worker_id)

        def leave(_: int) -> None:
            # What is held is finished beside the next worker, which must not take it for lost.
            _sign(lock, "")
            lock.release()

        await run_worker(
            conninfo,
            settings,
            concurrency=concurrency,
            revive=revive,
            standing=standing,
            worker_id=worker_id,
            predecessor=predecessor or None,
            on_ready=on_ready,
            on_stopping=leave,
        )
    finally:
        lock.release()
    return True


def _sign(lock: Lease, worker_id: str) -> None:
    os.ftruncate(lock.fileno(), 0)
    os.pwrite(lock.fileno(), worker_id.encode(), 0)


def _taken(path: Path) -> bool:
    """Whether somebody holds the lease."""
    lease = Lease(path)
    try:
        free = lease.try_exclusive()
    except OSError:  # the data directory is gone, and everybody with it
        return False
    lease.release()
    return not free
