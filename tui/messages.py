"""What the app's background work says to the main screen."""

from dataclasses import dataclass

from textual.message import Message

from core.changes import Change


@dataclass
class SessionOpened(Message):
    """`context(...).session` is there now."""


@dataclass
class StartFailed(Message):
    """The session could not be opened, and why."""

    sentence: str


@dataclass
class Changes(Message):
    """Rows, or the link, have changed."""

    batch: list[Change]


@dataclass
class InspectTask(Message):
    """The inspector is wanted for this task; `siblings` are those of the list it was in."""

    task_id: int
    siblings: tuple[int, ...] = ()


@dataclass
class RetryTask(Message):
    """A new attempt of this task is wanted."""

    task_id: int


@dataclass
class CancelTask(Message):
    """This task is to be stopped, after the user was asked."""

    task_id: int
