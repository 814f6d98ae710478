"""The part of the task panel that ticks."""

from typing import TYPE_CHECKING

from textual.strip import Strip
from textual.widget import Widget

from tui.paint import taskrow

if TYPE_CHECKING:
    from tui.widgets.task_rows import TaskRows


class TimeColumn(Widget):
    """The right edge of the rows, where the times tick.

    Textual paints a changed line from the left edge of its widget: this one makes a tick a third
    of the bytes.
    """

    WIDTH = taskrow.TIME_WIDTH + 1
    DEFAULT_CSS = "TimeColumn { width: 8; height: 1fr; }"

    def __init__(self, rows: "TaskRows") -> None:
        super().__init__()
        self._rows = rows

    def render_line(self, y: int) -> Strip:
        """The part of the rows' line that is here."""
        return self._rows.time_of_line(y) or self._rows.whole_line(y).crop(self._rows.size.width)
