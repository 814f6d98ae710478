"""Asks for one line of text; None if the user thought better of it."""

from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from tui.actions import bindings_of
from tui.screens.fitted import FittedModal
from tui.widgets.key_line import KeyLine
from tui.widgets.quiet_input import QuietInput


class PromptScreen(FittedModal[str | None]):
    """A question, a line to type into, enter and esc."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_of("app.back")]
    DEFAULT_CSS = """
    PromptScreen {
        align: center middle;
        Vertical {
            width: 64; max-width: 90%; height: auto;
            padding: 1 2; border: solid $primary; background: $background;
        }
        QuietInput { margin: 1 0; }
    }
    """

    def __init__(self, question: str, value: str = "", *, max_length: int = 200) -> None:
        """`value` is what stands there at first."""
        super().__init__()
        self._question = question
        self._value = value
        self._max_length = max_length

    def compose(self) -> ComposeResult:
        """The question, the line, its keys."""
        with Vertical():
            yield Static(Text(self._question))
            yield QuietInput(self._value, max_length=self._max_length)
            yield KeyLine(("compose.send", "done"), ("app.back", "leave it"))

    @on(Input.Submitted)
    def _done(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)

    def action_app_back(self) -> None:
        """Leaves everything as it was."""
        self.dismiss(None)
