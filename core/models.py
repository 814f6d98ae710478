"""The rows of the five tables as frozen models. Names and fields are those of the schema."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, JsonValue

from core.text import CleanJson, CleanLine, CleanText

JsonObject = dict[str, JsonValue]


class TaskStatus(StrEnum):
    """The six states of a task; the last four are final."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"

    @property
    def final(self) -> bool:
        """Whether the state can never change again."""
        return self not in (TaskStatus.PENDING, TaskStatus.PROCESSING)

    @property
    def can_retry(self) -> bool:
        """Whether `task_retry` accepts a task in this state."""
        return self in (TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.TIMEOUT)


class Row(BaseModel):
    """A row of the database: frozen, and tolerant of columns that later versions add."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class Progress(Row):
    """How far a task is, where its workflow knows the total (`metadata.progress`)."""

    done: FiniteFloat
    total: FiniteFloat
    unit: CleanLine = ""


class Task(Row):
    """A row of `async_tasks`: one automation, from its creation to its final state."""

    id: int
    task_type: CleanLine
    workflow_id: CleanLine | None = None
    input_data: CleanJson = None
    output_data: CleanJson = None
    status: TaskStatus
    current_step: CleanLine | None = None
    status_message: CleanText | None = None
    n8n_execution_id: CleanLine | None = None
    created_by: UUID | None = None
    created_at: datetime
    processing_started_at: datetime | None = None
    processing_completed_at: datetime | None = None
    error_details: CleanJson = None
    metadata: CleanJson = None
    timeout_seconds: int
    revision: int
    updated_at: datetime

    @property
    def input(self) -> JsonObject:
        """The input payload; empty if it is not an object."""
        return _object(self.input_data)

    @property
    def output(self) -> JsonObject:
        """The results so far; empty if there are none."""
        return _object(self.output_data)

    @property
    def error(self) -> JsonObject:
        """The error details; empty if there are none."""
        return _object(self.error_details)

    @property
    def progress(self) -> Progress | None:
        """`metadata.progress` where it is well formed and its total is known."""
        value = _object(self.metadata).get("progress")
        if not isinstance(value, dict):
            return None
        try:
            progress = Progress.model_validate(value)
        except ValueError:
            return None
        return progress if progress.total > 0 else None

    @property
    def attempt(self) -> int:
        """1 for the first try, one more for every retry."""
        value = _object(self.metadata).get("attempt")
        return value if isinstance(value, int) else 1

    @property
    def retry_of(self) -> int | None:
        """The task this one repeats."""
        value = _object(self.metadata).get("retry_of")
        return value if isinstance(value, int) else None

    @property
    def retried_by(self) -> int | None:
        """The task that repeats this one; such a task cannot be retried again."""
        value = _object(self.metadata).get("retried_by")
        return value if isinstance(value, int) else None

    @property
    def can_retry(self) -> bool:
        """Whether `task_retry` would accept this task."""
        return self.status.can_retry and self.retried_by is None

    def elapsed(self, now: datetime) -> float:
        """Seconds of work so far (or in all), by the database's clock; 0 before the claim."""
        if self.processing_started_at is None:
            return 0.0
        end = self.processing_completed_at or now
        return max(0.0, (end - self.processing_started_at).total_seconds())


class TaskEvent(Row):
    """A row of `task_events`: one change of a task's status or step, kept for ever."""

    id: int
    task_id: int
    event_type: CleanLine
    event_data: CleanJson = None
    created_at: datetime

    @property
    def data(self) -> JsonObject:
        """The event's payload; empty if it is not an object."""
        return _object(self.event_data)


class Conversation(Row):
    """A row of `chat_conversations`."""

    id: int
    user_id: UUID
    title: CleanLine
    created_at: datetime
    updated_at: datetime
    is_archived: bool = False
    metadata: CleanJson = None
    revision: int


class Role(StrEnum):
    """Who wrote a message."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"


class Message(Row):
    """A row of `chat_messages`. An assistant's message is empty until its task writes it."""

    id: int
    conversation_id: int
    role: Role
    content: CleanText
    thinking: CleanText | None = None
    created_at: datetime
    updated_at: datetime
    metadata: CleanJson = None
    async_task_id: int | None = None
    revision: int

    @property
    def partial(self) -> bool:
        """Whether the text is only a part: still streaming, or its task ended badly."""
        return _object(self.metadata).get("partial") is True


class Sent(Row):
    """What one `chat_send` created."""

    conversation_id: int
    user_message_id: int
    message_id: int
    """The empty assistant message that will hold the answer."""
    task_id: int


class TaskFilter(BaseModel):
    """Which tasks to list. Every given part must hold."""

    model_config = ConfigDict(frozen=True)

    statuses: tuple[TaskStatus, ...] = ()
    types: tuple[str, ...] = ()
    text: str = ""
    """Words looked for in the status message, the type, the step and the input."""
    since: datetime | None = None
    conversation_id: int | None = None
    limit: int = Field(default=50, ge=1, le=1000)
    """So many rows at most; of ids there is no end."""


class TaskColumn(StrEnum):
    """What tasks are sorted by; within equal ones, newest first."""

    ID = "id"
    """Newest first."""
    TYPE = "type"
    STATUS = "status"
    """What runs, then what went wrong, then the rest."""
    ELAPSED = "elapsed"
    """Longest first."""


@dataclass(frozen=True, slots=True)
class TaskOrder:
    """An order of tasks."""

    column: TaskColumn = TaskColumn.ID
    reverse: bool = False


NEWEST_FIRST = TaskOrder()
"""The usual order."""


def _object(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}
