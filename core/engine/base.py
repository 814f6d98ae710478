"""The port to what runs the tasks: the local worker, or n8n."""

from collections.abc import Callable
from typing import Literal, Protocol

from core.changes import EngineChanged
from core.models import Task

EngineName = Literal["local", "n8n"]


class Engine(Protocol):
    """Is told of tasks by the client that created them; the database stays the truth.

    Nothing here raises for an engine that cannot be reached: the task waits, and says so.
    """

    @property
    def name(self) -> EngineName:
        """Which of the two it is."""
        ...

    @property
    def health(self) -> EngineChanged:
        """As it was last seen."""
        ...

    async def start(self, on_health: Callable[[EngineChanged], None]) -> None:
        """Begins to look after open tasks; `on_health` hears of every change of `health`."""
        ...

    async def close(self) -> None:
        """Ends what is going on here, not the tasks; safe to call twice."""
        ...

    def trigger(self, task: Task) -> None:
        """Sees to it that the engine knows of a pending task; returns at once."""
        ...

    def stop(self, task: Task) -> None:
        """Ends the execution of a task that was just cancelled, where that can be done; returns at
        once."""
        ...

    def link(self, task: Task) -> str | None:
        """Where the task's execution can be looked at, if anywhere."""
        ...
