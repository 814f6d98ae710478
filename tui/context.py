"""What every screen and widget of the app may use; `context(self)` finds it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from textual.dom import DOMNode

from tui.clock import Clock
from tui.keys import Keymap
from tui.symbols import Symbols

if TYPE_CHECKING:
    from core.session import Session
    from core.settings import Settings


@dataclass(slots=True)
class Context:
    """Made once by the app."""

    settings: "Settings"
    symbols: Symbols
    keymap: Keymap
    clock: Clock
    opened: "Session | None" = None
    """The session once it is open; screens other than the main one are shown only then."""

    @property
    def session(self) -> "Session":
        """The open session."""
        if self.opened is None:
            raise RuntimeError("the session is not open yet")
        return self.opened


class _HasContext(Protocol):
    context: Context


def context(node: DOMNode) -> Context:
    """The context of the app that `node` is in."""
    return cast(_HasContext, node.app).context
