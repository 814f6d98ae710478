"""What the feed says: one change of one row, or of the link that carries the changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from core.models import Conversation, Message, Task, TaskEvent


class Table(StrEnum):
    """The tables whose rows the feed follows."""

    TASKS = "async_tasks"
    MESSAGES = "chat_messages"
    CONVERSATIONS = "chat_conversations"


class LinkState(StrEnum):
    """How changes reach us; always on screen."""

    CONNECTING = "connecting"
    LIVE = "live"
    RECONNECTING = "reconnecting"
    POLLING = "polling"
    OFFLINE = "offline"
    SIGNED_OUT = "signed out"
    """The session is over: nothing is read or written until somebody signs in."""


@dataclass(frozen=True, slots=True)
class Hint:
    """A row may have changed: which one, and to which revision (0: deleted or unknown)."""

    table: Table
    id: int
    revision: int


@dataclass(frozen=True, slots=True)
class TaskChanged:
    """A task, and all its events known so far, oldest first."""

    task: Task
    events: Sequence[TaskEvent]

    @property
    def key(self) -> tuple[str, int]:
        """Which row this is about; a later change with the same key replaces this one."""
        return (Table.TASKS, self.task.id)


@dataclass(frozen=True, slots=True)
class MessageChanged:
    """A chat message as it is now."""

    message: Message

    @property
    def key(self) -> tuple[str, int]:
        """See `TaskChanged.key`."""
        return (Table.MESSAGES, self.message.id)


@dataclass(frozen=True, slots=True)
class ConversationChanged:
    """A conversation as it is now."""

    conversation: Conversation

    @property
    def key(self) -> tuple[str, int]:
        """See `TaskChanged.key`."""
        return (Table.CONVERSATIONS, self.conversation.id)


@dataclass(frozen=True, slots=True)
class Deleted:
    """A row is gone (or no longer ours)."""

    table: Table
    id: int

    @property
    def key(self) -> tuple[str, int]:
        """See `TaskChanged.key`."""
        return (self.table, self.id)


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """The link came up or went down; `detail` is a sentence for the user, or empty."""

    state: LinkState
    detail: str = ""

    @property
    def key(self) -> tuple[str, int]:
        """See `TaskChanged.key`."""
        return ("link", 0)


@dataclass(frozen=True, slots=True)
class EngineChanged:
    """Whether the engine can be told of tasks; `detail` is a sentence for the user, or empty."""

    up: bool
    detail: str = ""

    @property
    def key(self) -> tuple[str, int]:
        """See `TaskChanged.key`."""
        return ("engine", 0)


Change = TaskChanged | MessageChanged | ConversationChanged | Deleted | LinkChanged | EngineChanged
