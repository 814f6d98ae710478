"""The store in a Supabase project: PostgREST for rows and functions, Realtime for hints."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from pydantic import TypeAdapter

from core.auth.account import Account
from core.changes import Hint, LinkChanged, Table
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
from core.store.realtime import RealtimeHints
from core.store.refusals import check_version
from core.store.rest import Rest

_TIME = TypeAdapter(datetime)

Model = TypeVar("Model", bound=Row)


class SupabaseStore:
    """See `core.store.base.Store`. Acts as whoever is signed in to `account`, which it closes."""

    def __init__(self, account: Account) -> None:
        self.clock_offset = 0.0
        self._account = account
        self._rest = Rest(account)
        self._realtime: RealtimeHints | None = None
        self._conversation: int | None = None

    @property
    def user_id(self) -> UUID:
        """See `Store.user_id`; raises SignInNeededError before `open`."""
        return self._account.user_id

    async def open(self) -> None:
        """See `Store.open`; raises SignInNeededError where nobody is signed in."""
        await self._account.token()
        check_version(int(await self._rest.call("stepline_schema_version", {})))
        before = datetime.now(UTC)
        there = _TIME.validate_python(await self._rest.call("server_clock", {}))
        after = datetime.now(UTC)
        self.clock_offset = (there - (before + (after - before) / 2)).total_seconds()

    async def close(self) -> None:
        """See `Store.close`."""
        await self._rest.close()
        await self._account.close()

    # Writes

    async def task_create(
        self, task_type: str, input_data: JsonObject, timeout_seconds: int, workflow_id: str | None
    ) -> Task:
        """See `Store.task_create`."""
        values = {
            "type": task_type,
            "input": input_data,
            "timeout": timeout_seconds,
            "workflow": workflow_id,
        }
        return Task.model_validate(await self._rest.call("task_create", values, repeat=False))

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
            "request": str(request),
            "workflow": workflow_id,
        }
        [row] = await self._rest.call("chat_send", values)
        return Sent.model_validate(row)

    async def task_retry(self, task_id: int) -> Task:
        """See `Store.task_retry`."""
        answer = await self._rest.call("task_retry", {"task": task_id}, repeat=False)
        return Task.model_validate(answer)

    async def task_cancel(self, task_id: int) -> Task:
        """See `Store.task_cancel`."""
        return Task.model_validate(await self._rest.call("task_cancel", {"task": task_id}))

    async def task_expire(self) -> int:
        """See `Store.task_expire`."""
        return int(await self._rest.call("task_expire", {}))

    async def worker_count(self) -> int:
        """How many local workers are alive."""
        return int(await self._rest.call("worker_count", {}))

    async def conversation_rename(self, conversation_id: int, title: str) -> Conversation:
        """See `Store.conversation_rename`."""
        return await self._change(conversation_id, {"title": title})

    async def conversation_archive(self, conversation_id: int, archived: bool) -> Conversation:
        """See `Store.conversation_archive`."""
        return await self._change(conversation_id, {"is_archived": archived})

    async def conversation_delete(self, conversation_id: int) -> None:
        """See `Store.conversation_delete`."""
        rows = await self._rest.send(
            lambda client: client.from_("chat_conversations").delete().eq("id", conversation_id),
            repeat=False,
        )
        if not rows:
            raise NotFoundError(f"There is no conversation {conversation_id}.")

    # Reads

    async def tasks(self, wanted: TaskFilter) -> list[Task]:
        """See `Store.tasks`."""
        rows = await self._rest.call("task_list", _asked(wanted) | {"most": wanted.limit})
        return [Task.model_validate(row) for row in rows]

    async def task_ids(
        self, wanted: TaskFilter, order: TaskOrder = NEWEST_FIRST, limit: int | None = None
    ) -> list[int]:
        """See `Store.task_ids`."""
        values = {"sort": order.column.value, "reverse": order.reverse, "most": limit}
        return await self._rest.call("task_ids", _asked(wanted) | values)

    async def running_tasks(self) -> list[Task]:
        """See `Store.running_tasks`."""
        return [Task.model_validate(row) for row in await self._rest.call("tasks_running", {})]

    async def fetch(self, wanted: Wanted) -> Rows:
        """See `Store.fetch`: all as of one moment."""
        if not (wanted.tasks or wanted.messages or wanted.conversations):
            return Rows(tasks=[], events=[], messages=[], conversations=[])
        values = {
            "tasks": list(wanted.tasks),
            "known": list(wanted.tasks.values()),
            "messages": list(wanted.messages),
            "conversations": list(wanted.conversations),
        }
        rows: dict[str, list[Any]] = await self._rest.call("rows_fetch", values)
        return Rows(
            tasks=[Task.model_validate(row) for row in rows["tasks"]],
            events=[TaskEvent.model_validate(row) for row in rows["events"]],
            messages=[Message.model_validate(row) for row in rows["messages"]],
            conversations=[Conversation.model_validate(row) for row in rows["conversations"]],
        )

    async def conversations(
        self, *, text: str = "", archived: bool = False, limit: int = 200
    ) -> list[Conversation]:
        """See `Store.conversations`."""
        values = {"archived": archived, "words": storable(text).strip() or None, "most": limit}
        rows = await self._rest.call("conversation_list", values)
        return [Conversation.model_validate(row) for row in rows]

    async def messages(
        self,
        conversation_id: int,
        *,
        before_id: int | None = None,
        after_id: int | None = None,
        limit: int = 50,
    ) -> list[Message]:
        """See `Store.messages`."""
        newest = after_id is None

        def page(client: Any) -> Any:
            found = client.from_("chat_messages").select("*")
            found = found.eq("conversation_id", conversation_id)
            if after_id is not None:
                found = found.gt("id", after_id)
            elif before_id is not None:
                found = found.lt("id", before_id)
            return found.order("id", desc=newest).limit(limit)

        rows: list[Any] = await self._rest.send(page)
        return [Message.model_validate(row) for row in (reversed(rows) if newest else rows)]

    # The change stream

    @property
    def hears_deletions(self) -> bool:
        """See `Store.hears_deletions`: row security is not applied to them, so nobody listens."""
        return False

    def watch_conversation(self, conversation_id: int | None) -> None:
        """See `Store.watch_conversation`."""
        self._conversation = conversation_id
        if self._realtime is not None:
            self._realtime.watch_conversation(conversation_id)

    def suspect(self) -> None:
        """See `Store.suspect`."""
        if self._realtime is not None:
            self._realtime.suspect()

    async def hints(self) -> AsyncGenerator[Hint | LinkChanged]:
        """See `Store.hints`."""
        account = self._account
        key = account.anon_key.get_secret_value()
        realtime = RealtimeHints(account.url, key, account.token, self.user_id)
        realtime.watch_conversation(self._conversation)
        self._realtime, account.on_change = realtime, realtime.token_changed
        async with aclosing(realtime.hints()) as heard:
            async for item in heard:
                yield item

    async def reconcile(self, cursor: datetime | None) -> Reconciled:
        """See `Store.reconcile`."""
        values = {"since": cursor.isoformat() if cursor else None}
        answer: dict[str, Any] = await self._rest.call("changes_since", values)
        hints = [Hint(Table(row["table"]), row["id"], row["revision"]) for row in answer["rows"]]
        return Reconciled(hints, _TIME.validate_python(answer["now"]))

    async def _change(self, conversation_id: int, values: dict[str, Any]) -> Conversation:
        def change(client: Any) -> Any:
            return client.from_("chat_conversations").update(values).eq("id", conversation_id)

        rows: list[Any] = await self._rest.send(change)
        if not rows:
            raise NotFoundError(f"There is no conversation {conversation_id}.")
        return Conversation.model_validate(rows[0])


def _asked(wanted: TaskFilter) -> dict[str, Any]:
    values = asked(wanted)
    return values | {"since": wanted.since.isoformat() if wanted.since else None}
