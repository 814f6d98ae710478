"""What a model is asked, and what it says while it answers."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of the conversation, as the model is sent it."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Delta:
    """More text: of the answer, of the model's thinking, or of both."""

    content: str = ""
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The model could not answer yet; it is asked again in `seconds`."""

    seconds: float
    reason: str
    """A sentence for the user, without the waiting time."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete; always the last event, and never missing without a `ModelError`."""

    model: str
    """The model's real name as the server gave it, else the one that was asked for."""
    tokens: int | None
    """Tokens generated; None where the server does not count."""
    cut: str = ""
    """Why the answer is shorter than the model wanted, as a sentence; empty if it is whole."""


ModelEvent = Delta | Waiting | Finished


class Model(Protocol):
    """Anything that can answer a conversation."""

    @property
    def name(self) -> str:
        """The model's name as it was asked for; the real one is in `Finished`."""
        ...

    def stream(self, messages: Sequence[ChatMessage]) -> AsyncGenerator[ModelEvent, None]:
        """The answer as it comes. Raises `ModelError`; closing the generator ends the request."""
        ...

    async def close(self) -> None:
        """Closes what is held open between answers; safe to call twice."""
        ...
