"""The local worker as an engine: it finds its tasks itself, in the database."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from core.changes import EngineChanged
from core.engine.base import EngineName
from core.models import Task

if TYPE_CHECKING:
    from core.settings import Settings


class LocalEngine:
    """See `core.engine.base.Engine`. With `worker`, a worker process is kept for the data
    directory for as long as it is needed."""

    name: EngineName = "local"
    health = EngineChanged(up=True)

    def __init__(self, settings: "Settings", *, worker: bool) -> None:
        self._supervisor = None
        if worker:
            from core.engine.local.supervisor import WorkerSupervisor

            self._supervisor = WorkerSupervisor(settings)

    async def start(self, on_health: Callable[[EngineChanged], None]) -> None:  # noqa: ARG002
        """See `Engine.start`."""
        if self._supervisor is not None:
            await self._supervisor.start()

    async def close(self) -> None:
        """See `Engine.close`."""
        if self._supervisor is not None:
            await self._supervisor.stop()

    def trigger(self, task: Task) -> None:
        """See `Engine.trigger`: the database has told the workers."""

    def stop(self, task: Task) -> None:
        """See `Engine.stop`: the database has told the workers."""

    def link(self, task: Task) -> str | None:  # noqa: ARG002
        """See `Engine.link`."""
        return None
