"""One line that names the keys most wanted here."""

from rich.cells import cell_len
from rich.text import Text
from textual.widget import Widget

from tui.context import context
from tui.paint.styles import BOLD, DIM


class KeyLine(Widget):
    """`y delete  n keep`: as many of the given actions as fit, the first ones first."""

    DEFAULT_CSS = "KeyLine { height: 1; }"

    def __init__(self, *actions: tuple[str, str], id: str | None = None) -> None:
        """`actions` are pairs of an action's id and the word to show for it."""
        super().__init__(id=id)
        self._actions = actions

    def show(self, *actions: tuple[str, str]) -> None:
        """Names other actions from now on."""
        if actions != self._actions:
            self._actions = actions
            self.refresh()

    def render(self) -> Text:
        """The line for the present width."""
        keymap = context(self).keymap
        line = Text(" ", no_wrap=True)
        for action_id, word in self._actions:
            key = keymap.first(action_id)
            if line.cell_len + cell_len(f"{key} {word}") > self.size.width:
                break
            line.append(key, BOLD).append(f" {word}  ", DIM)
        return line
