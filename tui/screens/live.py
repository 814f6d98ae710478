"""What the full screens share: they hear the feed, say what went wrong, and close."""

from abc import abstractmethod
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual import work
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget

from core.changes import Change
from core.errors import SteplineError
from tui.actions import bindings_of
from tui.screens.fitted import FittedScreen

if TYPE_CHECKING:
    from core.session import Session

T = TypeVar("T")


async def tried(node: Widget, doing: Awaitable[T]) -> T | None:
    """What `doing` gives; None after an error, whose sentence the user was told."""
    try:
        return await doing
    except SteplineError as error:
        tell(node, str(error), bad=True)
        return None


def tell(node: Widget, sentence: str, *, bad: bool = False) -> None:
    """Shows a sentence for a few seconds; it may be any text."""
    node.notify(sentence, severity="error" if bad else "information", markup=False)


class LiveScreen(FittedScreen[T]):
    """A screen that follows the feed for as long as it is open."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_of("app.back")]

    @dataclass
    class Heard(Message):
        """Rows changed."""

        changes: list[Change]

    def __init__(self, session: "Session") -> None:
        super().__init__()
        self.session = session

    @abstractmethod
    def heard(self, changes: list[Change]) -> None:
        """Shows what changed."""

    def on_mount(self) -> None:
        """Listens before anything is loaded, so that nothing falls between."""
        self._listen()

    @work(group="feed")
    async def _listen(self) -> None:
        subscription = self.session.feed.subscribe()
        try:
            while True:
                self.post_message(self.Heard(await subscription.batch()))
        finally:
            subscription.close()

    def on_live_screen_heard(self, message: Heard) -> None:
        """Background work never touches widgets: it is shown here."""
        self.heard(message.changes)

    def action_screen_close(self) -> None:
        """Back to where we came from."""
        self.dismiss()

    def action_app_back(self) -> None:
        """Out of what is in front, in the end out of the screen."""
        self.action_screen_close()
