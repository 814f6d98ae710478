"""Tasks that somebody works on, a feed that follows them by Realtime, and whether the two agree."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from core.changes import LinkState
from core.feed import Feed, Subscription
from core.models import Task
from tests.core.store.realtime.conftest import HearingStore
from tests.core.test_feed import claimed, following
from tests.support.database import Database


@dataclass
class Scene:
    """A live feed, its only reader, and a worker with tasks."""

    store: HearingStore
    feed: Feed
    reader: Subscription
    worker: AsyncConnection
    database: Database
    tasks: list[Task]
    steps: int = 0

    async def step(self, count: int = 1, *, only: slice = slice(None)) -> None:
        """Moves each task, or only these, so many steps further."""
        for _ in range(count):
            self.steps += 1
            for task in self.tasks[only]:
                await self.worker.execute(
                    "SELECT task_step(%s, %s, '')", (task.id, f"s{self.steps}")
                )

    async def state(self, wanted: LinkState, seconds: float = 15) -> None:
        """Waits until the feed says so."""
        async with asyncio.timeout(seconds):
            while self.feed.state.state is not wanted:
                await self.reader.batch()

    async def agreement(self, seconds: float = 15) -> None:
        """Waits until the feed knows each task, and each of its events, as the database does."""
        truth = await self._truth()
        try:
            async with asyncio.timeout(seconds):
                while self._known(truth) != truth:
                    await self.reader.batch()
        except TimeoutError:
            raise AssertionError(
                f"{self.feed.state}: {self._known(truth)} is known of {truth}"
            ) from None

    async def _truth(self) -> dict[int, tuple[int, list[int]]]:
        cursor = self.worker.cursor(row_factory=dict_row)
        await cursor.execute(
            "SELECT t.id, t.revision, array_agg(e.id ORDER BY e.id) AS events FROM async_tasks t"
            " JOIN task_events e ON e.task_id = t.id WHERE t.created_by = %s GROUP BY t.id",
            (self.store.user_id,),
        )
        return {row["id"]: (row["revision"], row["events"]) for row in await cursor.fetchall()}

    def _known(self, truth: dict[int, tuple[int, list[int]]]) -> dict[int, tuple[int, list[int]]]:
        views = {task_id: self.feed.view(task_id) for task_id in truth}
        return {
            task_id: (view.task.revision, [event.id for event in view.events])
            for task_id, view in views.items()
            if view is not None
        }


@asynccontextmanager
async def playing(store: HearingStore, database: Database, tasks: int = 3) -> AsyncIterator[Scene]:
    """A scene with so many tasks that are being worked on, all of it known."""
    async with (
        await AsyncConnection.connect(database.conninfo, autocommit=True) as worker,
        following(store) as (feed, reader),
    ):
        await worker.execute("SET ROLE stepline_worker")
        scene = Scene(store, feed, reader, worker, database, [])
        scene.tasks = await claimed(store, worker, tasks)
        await scene.agreement()
        yield scene
