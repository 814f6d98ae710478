"""A conversation in a test's database, seen and written as its user does."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from core.engine.local.worker import run_worker
from core.models import Sent, TaskStatus
from core.settings import LlmSettings, Settings
from tests.support.database import Database

Row = dict[str, Any]


@dataclass
class Scene:
    """One user, any number of conversations and workers."""

    database: Database
    settings: Settings
    user: UUID = field(init=False)

    def __post_init__(self) -> None:
        self.user = self.database.add_user()

    def asking(self, url: str) -> "Scene":
        """The same, with the model at `url`."""
        llm = LlmSettings(base_url=url, model="test/model")
        self.settings = replace(self.settings, llm=llm)
        return self

    def send(self, text: str, conversation: int | None = None, timeout: int = 60) -> Sent:
        """A user's message, by the function that the app calls."""
        with self.database.user(self.user) as connection:
            row = connection.execute(
                "SELECT * FROM chat_send(%s, %s, %s)", (conversation, text, timeout)
            ).fetchone()
        return Sent.model_validate(row)

    def cancel(self, task_id: int) -> None:
        """As the app does."""
        with self.database.user(self.user) as connection:
            connection.execute("SELECT task_cancel(%s)", (task_id,))

    def one(self, query: str, *values: object) -> Row:
        """The one row of a query, seen as the database's owner."""
        with self.database.owner() as connection:
            row = connection.execute(query, values).fetchone()
        assert row is not None
        return row

    def task(self, task_id: int) -> Row:
        return self.one("SELECT * FROM async_tasks WHERE id = %s", task_id)

    def message(self, sent: Sent) -> Row:
        return self.one("SELECT * FROM chat_messages WHERE id = %s", sent.message_id)

    def events(self, task_id: int, kind: str) -> list[Row]:
        with self.database.owner() as connection:
            return connection.execute(
                "SELECT * FROM task_events WHERE task_id = %s AND event_type = %s ORDER BY id",
                (task_id, kind),
            ).fetchall()

    def steps(self, task_id: int) -> list[str]:
        return [event["event_data"]["step"] for event in self.events(task_id, "step_update")]

    async def until(
        self, seen: Callable[[Row], bool], query: str, *values: object, seconds: float = 30
    ) -> Row:
        """The row of a query, once it is as wished; looks after every notification."""
        async with (
            asyncio.timeout(seconds),
            await psycopg.AsyncConnection.connect(
                self.database.conninfo, autocommit=True, row_factory=dict_row
            ) as connection,
        ):
            await connection.execute("LISTEN stepline_work")
            await connection.execute(f'LISTEN "stepline_{self.user}"')
            while True:
                row = await (await connection.execute(query, values)).fetchone()
                if row is not None and seen(row):
                    return row
                async for _ in connection.notifies(stop_after=1):
                    pass

    async def final(self, task_id: int, seconds: float = 30) -> Row:
        """The task, once it is over."""
        query = "SELECT * FROM async_tasks WHERE id = %s"
        return await self.until(
            lambda row: TaskStatus(row["status"]).final, query, task_id, seconds=seconds
        )

    async def answered(self, sent: Sent, text: str, seconds: float = 30) -> Row:
        """The answer's message, once it holds (at least) this text."""
        query = "SELECT * FROM chat_messages WHERE id = %s"
        return await self.until(
            lambda row: text in row["content"], query, sent.message_id, seconds=seconds
        )

    @asynccontextmanager
    async def worker(self, **options: Any) -> AsyncIterator[str]:
        """A worker in this process; yields its id once it takes tasks, and ends it after that."""
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        working = asyncio.create_task(
            run_worker(self.database.conninfo, self.settings, on_ready=ready.set_result, **options)
        )
        await asyncio.wait({ready, working}, return_when=asyncio.FIRST_COMPLETED)
        try:
            yield ready.result() if ready.done() else working.result() or ""
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


def dumped(row: Row) -> str:
    """A row as text, to look for what must not be in it."""
    return json.dumps(row, default=str)
