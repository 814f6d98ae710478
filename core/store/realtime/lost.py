"""Why a link to Realtime ended."""

from enum import Enum, auto


class Why(Enum):
    """What decides how soon there is a point in trying again."""

    UNREACHABLE = auto()
    """Nothing answers."""
    DROPPED = auto()
    """It was there, and went."""
    REFUSED = auto()
    """It was there, and said no."""


class Lost(Exception):
    """A link that is broken; its text is a sentence for the user."""

    def __init__(self, why: Why, sentence: str) -> None:
        super().__init__(sentence)
        self.why = why
