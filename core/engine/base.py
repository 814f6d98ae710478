"""The port to whatever does the work of a task."""

from typing import Protocol

from core.models import Task


class Engine(Protocol):
    """Something that takes pending tasks and writes what it is doing into their rows."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    async def trigger(self, task: Task) -> None:
        """Says that there is a new pending task; the task's row is what counts, not this call."""
        ...
