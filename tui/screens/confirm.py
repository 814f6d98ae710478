"""A question with yes and no; the answer is what `push_screen_wait` returns."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Static

from tui.actions import bindings
from tui.screens.fitted import FittedModal
from tui.widgets.key_line import KeyLine


class ConfirmScreen(FittedModal[bool]):
    """Asks once before something that cannot be taken back. Only `y` means yes."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("dialog")]
    DEFAULT_CSS = """
    ConfirmScreen {
        align: center middle;
        Vertical {
            width: 64; max-width: 90%; height: auto; max-height: 90%;
            padding: 1 2; border: solid $primary; background: $background;
        }
        KeyLine { margin-top: 1; }
    }
    """

    def __init__(self, question: str, *, yes: str = "yes", no: str = "no") -> None:
        """`question` may be any text; `yes` and `no` are the words beside the keys."""
        super().__init__()
        self._question = question
        self._answers = (yes, no)

    def compose(self) -> ComposeResult:
        """The question and its keys."""
        yes, no = self._answers
        with Vertical():
            yield Static(Text(self._question))
            yield KeyLine(("dialog.yes", yes), ("dialog.no", no))

    def action_dialog_yes(self) -> None:
        """Yes."""
        self.dismiss(True)

    def action_dialog_no(self) -> None:
        """No."""
        self.dismiss(False)
