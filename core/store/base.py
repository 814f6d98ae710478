"""The port to the data: what every store can do, whatever carries it.

All methods act as one user and see that user's rows only. They raise `StoreUnreachableError` when
the database does not answer, `NotFoundError`, `IllegalTransitionError` or `InputError` for what
it refuses; nothing is half done in any of these cases.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from core.changes import Hint, LinkChanged
from core.models import (
    NEWEST_FIRST,
    Conversation,
    JsonObject,
    Message,
    Sent,
    Task,
    TaskEvent,
    TaskFilter,
    TaskOrder,
)

NO_EVENTS = 2**63 - 1
"""See `Wanted.tasks`."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows fetched together. An id that was asked for and is not here no longer exists."""

    tasks: Sequence[Task] = ()
    events: Sequence[TaskEvent] = ()
    messages: Sequence[Message] = ()
    conversations: Sequence[Conversation] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows to fetch."""

    tasks: Mapping[int, int] = field(default_factory=dict[int, int])
    """Task id -> newest event id already known of it (0: all its events are wanted;
    `NO_EVENTS`: none)."""
    messages: frozenset[int] = frozenset()
    conversations: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The answer to "what have I missed?": hints, and where to ask from next time."""

    hints: Sequence[Hint]
    cursor: datetime


class Store(Protocol):
    """Reads, writes and the change stream of one user."""

    @property
    def user_id(self) -> UUID:
        """Whom this store acts as."""
        ...

    @property
    def clock_offset(self) -> float:
        """Seconds to add to this machine's clock to get the database's."""
        ...

    async def open(self) -> None:
        """Connects; raises `SchemaError` when the schema is older or newer than ours."""
        ...

    async def close(self) -> None:
        """Gives everything back; safe to call twice."""
        ...

    # Writes: each one SQL function, one transaction.

    async def task_create(
        self, task_type: str, input_data: JsonObject, timeout_seconds: int, workflow_id: str | None
    ) -> Task:
        """A new pending task."""
        ...

    async def chat_send(
        self,
        conversation_id: int | None,
        content: str,
        timeout_seconds: int,
        request: UUID,
        workflow_id: str | None = None,
    ) -> Sent:
        """User message, pending task and empty answer; with no conversation, a new one too.

        The same `request` sent again returns what the first one created.
        """
        ...

    async def task_retry(self, task_id: int) -> Task:
        """A new attempt of a failed, cancelled or timed-out task."""
        ...

    async def task_cancel(self, task_id: int) -> Task:
        """Cancels a pending or processing task."""
        ...

    async def task_triggered(self, task_id: int, outcome: str, message: str) -> Task:
        """Notes what came of telling the engine: sent, unconfirmed, unreachable or refused."""
        ...

    async def task_expire(self) -> int:
        """Every overdue task becomes `timeout`; how many did."""
        ...

    async def conversation_rename(self, conversation_id: int, title: str) -> Conversation:
        """Gives a conversation another title."""
        ...

    async def conversation_archive(self, conversation_id: int, archived: bool) -> Conversation:
        """Puts a conversation away, or takes it out again."""
        ...

    async def conversation_delete(self, conversation_id: int) -> None:
        """Deletes a conversation with its messages; its running tasks are cancelled."""
        ...

    # Reads.

    async def tasks(self, wanted: TaskFilter) -> list[Task]:
        """The newest matching tasks, newest first."""
        ...

    async def task_ids(
        self, wanted: TaskFilter, order: TaskOrder = NEWEST_FIRST, limit: int | None = None
    ) -> list[int]:
        """The ids of all matching tasks, or of the first `limit`, in an order."""
        ...

    async def running_tasks(self) -> list[Task]:
        """All pending and processing tasks, newest first."""
        ...

    async def fetch(self, wanted: Wanted) -> Rows:
        """The named rows as they are now, events oldest first."""
        ...

    async def conversations(
        self, *, text: str = "", archived: bool = False, limit: int = 200
    ) -> list[Conversation]:
        """Conversations by latest use; `text` is looked for in titles and messages."""
        ...

    async def messages(
        self,
        conversation_id: int,
        *,
        before_id: int | None = None,
        after_id: int | None = None,
        limit: int = 50,
    ) -> list[Message]:
        """A page of a conversation, oldest first: the newest `limit` (before `before_id`), or,
        with `after_id`, the oldest `limit` after it."""
        ...

    # The change stream.

    @property
    def hears_deletions(self) -> bool:
        """Whether `hints` tells of rows that are gone; if not, known rows are looked up."""
        ...

    def watch_conversation(self, conversation_id: int | None) -> None:
        """The conversation whose messages `hints` is to tell of, where it cannot tell of all."""
        ...

    def suspect(self) -> None:
        """The stream says live, but has not told of what reconciliation found: it may be dead."""
        ...

    def hints(self) -> AsyncIterator[Hint | LinkChanged]:
        """Live hints, and the link's own state; never ends and never raises for a lost link."""
        ...

    async def reconcile(self, cursor: datetime | None) -> Reconciled:
        """Hints for everything of this user that may have changed since `cursor`, or, with None,
        within the last moments."""
        ...
