"""A task in the hands of a worker: everything a task type's module may do with it."""

import asyncio
from collections.abc import Mapping
from typing import Any, LiteralString

from psycopg.types.json import Jsonb

from core.engine.local.database import Database
from core.models import JsonObject, Progress, Task
from core.store.connections import Connection


class Job:
    """Reads and writes of one task. Each write waits for a database that is gone, and raises
    TaskLostError when the task is no longer ours.
    """

    def __init__(self, database: Database, task: Task, worker: str) -> None:
        self.task = task
        self._database = database
        self._worker = worker

    async def query(
        self, statement: LiteralString, values: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """The rows of a statement; `%(task)s` is this task's id."""

        async def use(connection: Connection) -> list[dict[str, Any]]:
            cursor = await connection.execute(statement, {"task": self.task.id, **(values or {})})
            return await cursor.fetchall()

        return await self._database.write(self._worker, use)

    async def step(self, name: str, message: str, progress: Progress | None = None) -> None:
        """Moves the task to a step, or changes what is said about the one it is in."""
        await self.query(
            "SELECT public.task_step(%(task)s, %(step)s, %(message)s, %(progress)s)",
            {
                "step": name,
                "message": message,
                "progress": Jsonb(progress.model_dump()) if progress else None,
            },
        )

    async def fail(self, error: JsonObject) -> None:
        """Ends the task: `failed`, or `timeout` where its deadline has passed."""
        await self.query(
            "SELECT id FROM public.task_fail(%(task)s, %(error)s)", {"error": Jsonb(error)}
        )

    async def time_out(self) -> None:
        """Ends the task as `timeout`, as soon as its deadline has passed by the database's clock
        (the clock that woke us may run fast).
        """
        left = await self._seconds_left()
        while left > 0:
            await asyncio.sleep(left)
            left = await self._seconds_left()
        await self.fail({"message": f"timed out after {self.task.timeout_seconds} seconds"})

    async def _seconds_left(self) -> float:
        rows = await self.query(
            "SELECT extract(epoch FROM stepline.deadline(t) - clock_timestamp())::float8 AS seconds"
            " FROM public.async_tasks t WHERE t.id = %(task)s AND t.status = 'processing'"
        )
        return rows[0]["seconds"] if rows else 0.0
