"""Tabs in one line; which one is shown is not by colour alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widget import Widget

from tui.paint.styles import DIM, MATCH


class TabLine(Widget):
    """Names side by side, one of them chosen, and a note at the right."""

    DEFAULT_CSS = "TabLine { height: 1; }"

    @dataclass
    class Changed(Message):
        """Another tab was chosen."""

        name: str

    def __init__(self, names: Sequence[str], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._names = names
        self._chosen = 0
        self._note = ""

    @property
    def chosen(self) -> str:
        """The name of the chosen tab."""
        return self._names[self._chosen]

    def choose(self, name: str) -> None:
        """Chooses a tab by its name."""
        self._choose(self._names.index(name))

    def step(self, by: int) -> None:
        """Chooses the tab `by` places further, around the ends."""
        self._choose((self._chosen + by) % len(self._names))

    def note(self, text: str) -> None:
        """What is said at the right."""
        self._note = text
        self.refresh()

    def _choose(self, index: int) -> None:
        if index != self._chosen:
            self._chosen = index
            self.note("")
            self.post_message(self.Changed(self.chosen))

    def render(self) -> Text:
        """The line."""
        line = Text(" ", no_wrap=True, overflow="crop")
        for index, name in enumerate(self._names):
            chosen = index == self._chosen
            line.append(f"[{name}]" if chosen else f" {name} ", MATCH if chosen else "")
            line.append(" ")
        line.pad_right(self.size.width - line.cell_len - len(self._note) - 1)
        return line.append(self._note, DIM)

    def on_click(self, event: events.Click) -> None:
        """Chooses the tab under the mouse."""
        left = 1
        for index, name in enumerate(self._names):
            if left <= event.x < left + len(name) + 2:
                self._choose(index)
            left += len(name) + 3
