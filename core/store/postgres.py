"""The store on PostgreSQL, embedded or by URL: SQL for rows, LISTEN for hints."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from core.changes import Hint, LinkChanged, LinkState, Table
from core.errors import NotFoundError
from core.models import (
    NEWEST_FIRST,
    Conversation,
    JsonObject,
    Message,
    Row,
    Sent,
    Task,
    TaskEvent,
    TaskFilter,
    TaskOrder,
)
from core.store.asked import asked, storable
from core.store.base import Reconciled, Rows, Wanted
from core.store.connections import LOST, Connection, Connections, Revive, reason
from core.store.queries import load_queries

_SQL = load_queries("core.store", "queries.sql")
_MARGIN = timedelta(seconds=60)
"""Changes are stamped before they commit, and transactions commit out of order: each
reconciliation looks this much further back than the last one ended."""
_BIGINT = 2**63
_MAX_BACKOFF = 30.0
"""Seconds between two tries to connect, at most."""

Model = TypeVar("Model", bound=Row)


class PostgresStore:
    """See `core.store.base.Store`. `revive` is called when the database is gone."""

    def __init__(
        self, conninfo: str, *, user_id: UUID, email: str, revive: Revive | None = None
    ) -> None:
        self.user_id = user_id
        self.clock_offset = 0.0
        self._connections = Connections(conninfo, user_id=user_id, email=email, revive=revive)

    async def open(self) -> None:
        """See `Store.open`."""
        self.clock_offset = await self._connections.open()

    async def close(self) -> None:
        """See `Store.close`."""
        await self._connections.close()

    # Writes

    async def task_create(
        self, task_type: str, input_data: JsonObject, timeout_seconds: int, workflow_id: str | None
    ) -> Task:
        """See `Store.task_create`."""
        values = {
            "type": task_type,
            "input": Jsonb(input_data),
            "timeout": timeout_seconds,
            "workflow": workflow_id,
        }
        return await self._one(Task, "task_create", values, repeat=False)

    async def chat_send(
        self,
        conversation_id: int | None,
        content: str,
        timeout_seconds: int,
        request: UUID,
        workflow_id: str | None = None,
    ) -> Sent:
        """See `Store.chat_send`."""
        values = {
            "conversation": conversation_id,
            "content": content,
            "timeout": timeout_seconds,
            "request": request,
            "workflow": workflow_id,
        }
        return await self._one(Sent, "chat_send", values)

    async def task_retry(self, task_id: int) -> Task:
        """See `Store.task_retry`."""
        return await self._one(Task, "task_retry", {"task": task_id}, repeat=False)

    async def task_cancel(self, task_id: int) -> Task:
        """See `Store.task_cancel`."""
        return await self._one(Task, "task_cancel", {"task": task_id})

    async def task_triggered(self, task_id: int, outcome: str, message: str) -> Task:
        """See `Store.task_triggered`."""
        values = {"task": task_id, "outcome": outcome, "message": message}
        return await self._one(Task, "task_triggered", values)

    async def task_expire(self) -> int:
        """See `Store.task_expire`."""
        rows = await self._rows("task_expire", {})
        return int(rows[0]["task_expire"])

    async def worker_count(self) -> int:
        """How many local workers are alive."""
        rows = await self._rows("worker_count", {})
        return int(rows[0]["worker_count"])

    async def conversation_rename(self, conversation_id: int, title: str) -> Conversation:
        """See `Store.conversation_rename`."""
        values = {"id": conversation_id, "title": title}
        return await self._one(Conversation, "conversation_rename", values)

    async def conversation_archive(self, conversation_id: int, archived: bool) -> Conversation:
        """See `Store.conversation_archive`."""
        values = {"id": conversation_id, "archived": archived}
        return await self._one(Conversation, "conversation_archive", values)

    async def conversation_delete(self, conversation_id: int) -> None:
        """See `Store.conversation_delete`."""
        if not await self._rows("conversation_delete", {"id": conversation_id}, repeat=False):
            raise NotFoundError(f"There is no conversation {conversation_id}.")

    # Reads

    async def tasks(self, wanted: TaskFilter) -> list[Task]:
        """See `Store.tasks`."""
        rows = await self._rows("tasks", asked(wanted) | {"limit": wanted.limit})
        return [Task.model_validate(row) for row in rows]

    async def task_ids(
        self, wanted: TaskFilter, order: TaskOrder = NEWEST_FIRST, limit: int | None = None
    ) -> list[int]:
        """See `Store.task_ids`."""
        values = {"sort": order.column.value, "reverse": order.reverse, "limit": limit}
        [row] = await self._rows("task_ids", asked(wanted) | values)
        return row["task_ids"]

    async def running_tasks(self) -> list[Task]:
        """See `Store.running_tasks`."""
        return [Task.model_validate(row) for row in await self._rows("running_tasks", {})]

    async def fetch(self, wanted: Wanted) -> Rows:
        """See `Store.fetch`. Events are read after their tasks, so none of a task's row lacks."""
        tasks: list[dict[str, Any]] = []
        events: list[dict[str, Any]] = []
        messages: list[dict[str, Any]] = []
        conversations: list[dict[str, Any]] = []

        async def read(connection: Connection) -> None:
            nonlocal tasks, events, messages, conversations

            async def rows(name: str, values: dict[str, Any]) -> list[dict[str, Any]]:
                cursor = await connection.execute(_SQL[name], values)
                return await cursor.fetchall()

            if wanted.tasks:
                ids = list(wanted.tasks)
                tasks = await rows("fetch_tasks", {"ids": ids})
                known = list(wanted.tasks.values())
                events = await rows("fetch_events", {"ids": ids, "known": known})
            if wanted.messages:
                messages = await rows("fetch_messages", {"ids": list(wanted.messages)})
            if wanted.conversations:
                ids = list(wanted.conversations)
                conversations = await rows("fetch_conversations", {"ids": ids})

        await self._connections.run(read)
        return Rows(
            tasks=[Task.model_validate(row) for row in tasks],
            events=[TaskEvent.model_validate(row) for row in events],
            messages=[Message.model_validate(row) for row in messages],
            conversations=[Conversation.model_validate(row) for row in conversations],
        )

    async def conversations(
        self, *, text: str = "", archived: bool = False, limit: int = 200
    ) -> list[Conversation]:
        """See `Store.conversations`."""
        name = "conversations_matching" if text.strip() else "conversations"
        values = {"archived": archived, "limit": limit, "pattern": _pattern(text.strip())}
        return [Conversation.model_validate(row) for row in await self._rows(name, values)]

    async def messages(
        self,
        conversation_id: int,
        *,
        before_id: int | None = None,
        after_id: int | None = None,
        limit: int = 50,
    ) -> list[Message]:
        """See `Store.messages`."""
        values: dict[str, Any] = {"conversation": conversation_id, "limit": limit}
        if after_id is not None:
            rows = await self._rows("messages_after", values | {"after": after_id})
        else:
            before = before_id if before_id is not None else 2**63 - 1
            rows = await self._rows("messages_newest", values | {"before": before})
            rows.reverse()
        return [Message.model_validate(row) for row in rows]

    # The change stream

    @property
    def hears_deletions(self) -> bool:
        """See `Store.hears_deletions`."""
        return True

    def watch_conversation(self, conversation_id: int | None) -> None:
        """Nothing to do: each notification of this user is heard."""

    def suspect(self) -> None:
        """Nothing to do: a connection that listens misses nothing, and its silence is probed."""

    async def hints(self) -> AsyncGenerator[Hint | LinkChanged]:
        """See `Store.hints`."""
        failures = 0
        while True:
            try:
                async with aclosing(self._connections.listen(f"stepline_{self.user_id}")) as heard:
                    async for payload in heard:
                        if payload is None:
                            failures = 0
                            yield LinkChanged(LinkState.LIVE)
                        elif hint := _hint(payload):
                            yield hint
            except (*LOST, psycopg.Error) as error:
                failures += 1
                yield LinkChanged(LinkState.RECONNECTING, reason(error))
            await self._connections.bring_back()
            await asyncio.sleep(_backoff(failures))

    async def reconcile(self, cursor: datetime | None) -> Reconciled:
        """See `Store.reconcile`."""
        [clock] = await self._rows("clock", {})
        now: datetime = clock["clock_timestamp"]
        # The first time too: what was committed just before the stream came up is asked for.
        values = {"since": (cursor or now) - _MARGIN, "user": self.user_id}
        rows = await self._rows("changed_since", values)
        hints = [Hint(Table(row["table"]), row["id"], row["revision"]) for row in rows]
        return Reconciled(hints, now)

    # Statements

    async def _one(
        self, model: type[Model], name: str, values: dict[str, Any], *, repeat: bool = True
    ) -> Model:
        rows = await self._rows(name, values, repeat=repeat)
        if not rows:
            raise NotFoundError(f"There is no conversation {values.get('id')}.")
        return model.model_validate(rows[0])

    async def _rows(
        self, name: str, values: dict[str, Any], *, repeat: bool = True
    ) -> list[dict[str, Any]]:
        async def read(connection: Connection) -> list[dict[str, Any]]:
            cursor = await connection.execute(_SQL[name], values)
            return await cursor.fetchall()

        return await self._connections.run(read, repeat=repeat)


def _pattern(text: str) -> str:
    escaped = storable(text).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _hint(payload: str) -> Hint | None:
    """A hint from a notification; None for what is not one (anybody may notify)."""
    try:
        value = json.loads(payload)
        hint = Hint(Table(value["table"]), int(value["id"]), int(value["revision"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return hint if 0 <= hint.id < _BIGINT and 0 <= hint.revision < _BIGINT else None


def _backoff(failures: int) -> float:
    """Seconds to wait before the next try: doubling, with jitter, up to half a minute."""
    return min(_MAX_BACKOFF, 0.1 * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311
