"""The engine of machines without n8n: `stepline worker`."""

from core.models import Task


class LocalEngine:
    """See `core.engine.base.Engine`."""

    @property
    def name(self) -> str:
        """See `Engine.name`."""
        return "local"

    async def trigger(self, task: Task) -> None:
        """Nothing to do: the database itself notifies the workers of a new task."""
