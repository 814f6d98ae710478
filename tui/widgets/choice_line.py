"""One of a few values, in one line: left and right choose."""

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.widget import Widget

from tui.actions import bindings
from tui.context import context
from tui.paint.styles import BOLD, DIM, MATCH


class ChoiceLine(Widget, can_focus=True):
    """Shows all the values with a mark at the chosen one, or as many as fit around it."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("choice")]
    DEFAULT_CSS = """
    ChoiceLine { height: 1; padding: 0 1; background: $surface; }
    """

    def __init__(self, labels: Sequence[str], chosen: int = 0, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._labels = labels
        self.chosen = chosen

    def choose(self, index: int) -> None:
        """Chooses a value by its number."""
        self.chosen = index % len(self._labels)
        self.refresh()

    def render(self) -> Text:
        """The line, cut so that the chosen value is in it."""
        mark = context(self).symbols.selected
        line = Text(no_wrap=True, overflow="crop")
        here = MATCH if self.has_focus else BOLD
        first = 0
        while first < self.chosen and self._width(first, self.chosen) > self.size.width:
            first += 1
        for index, label in enumerate(self._labels[first:], first):
            chosen = index == self.chosen
            line.append(f"{mark if chosen else ' '}{label}", here if chosen else DIM)
            line.append("  ")
        return line

    def _width(self, first: int, last: int) -> int:
        return sum(len(label) + 3 for label in self._labels[first : last + 1])

    def action_choice_next(self) -> None:
        """The value to the right."""
        self.choose(self.chosen + 1)

    def action_choice_previous(self) -> None:
        """The value to the left."""
        self.choose(self.chosen - 1)
