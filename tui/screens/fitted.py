"""What every screen does where the terminal is too small for it."""

from typing import Any, TypeVar

from textual import events
from textual.geometry import Size
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

T = TypeVar("T")

SMALLEST = (60, 16)
"""Columns and rows below which only a sentence is shown."""


class TooSmall(Static):
    """The sentence; it covers everything, toasts excepted, which are hidden by the style sheet."""

    DEFAULT_CSS = """
    TooSmall {
        display: none; layer: cover; width: 100%; height: 100%; background: $background;
    }
    """

    def __init__(self) -> None:
        columns, rows = SMALLEST
        super().__init__(f"stepline needs {columns} columns and {rows} rows.", markup=False)


class FittedScreen(Screen[T]):
    """Covered while the terminal is too small: focus, text and places stay as they are below."""

    DEFAULT_CSS = """
    FittedScreen { layers: base cover; }
    FittedScreen.-tiny TooSmall { display: block; }
    """

    def on_resize(self, event: events.Resize) -> None:
        """Covers itself, or shows itself again."""
        _fit(self, event.size)


class FittedModal(ModalScreen[T]):
    """The same for a dialog. (A class has the styles of one base only.)"""

    DEFAULT_CSS = """
    FittedModal { layers: base cover; }
    FittedModal.-tiny TooSmall { display: block; }
    """

    def on_resize(self, event: events.Resize) -> None:
        """Covers itself, or shows itself again."""
        _fit(self, event.size)


def _fit(screen: Screen[Any], size: Size) -> None:
    tiny = size.width < SMALLEST[0] or size.height < SMALLEST[1]
    if tiny and not screen.query(TooSmall):
        screen.mount(TooSmall())
    screen.set_class(tiny, "-tiny")
