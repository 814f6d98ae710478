"""What stands above the task list: how many, what is filtered, and the heads of the columns."""

from rich.text import Text
from textual.reactive import reactive
from textual.widget import Widget

from core.models import NEWEST_FIRST, TaskColumn, TaskOrder
from tui.context import context
from tui.format import count, fit, pad
from tui.paint.styles import BOLD, DIM, FAILED
from tui.task_index import TaskIndex
from tui.widgets.task_table import CREATED, ELAPSED, MARK, STATUS, Widths


class TaskHeading(Widget):
    """`Tasks  1,204+  3 marked  status:failed`; a plus while only the first ones are read."""

    DEFAULT_CSS = "TaskHeading { height: 1; }"

    def __init__(self, index: TaskIndex) -> None:
        super().__init__()
        self._index = index
        self._marked = 0
        self._note = ""
        self._wrong = ""

    def show(self, marked: int, note: str, wrong: str) -> None:
        """How many are marked; a note, or what is wrong with the filter."""
        self._marked, self._note, self._wrong = marked, note, wrong
        self.refresh()

    def render(self) -> Text:
        """The line."""
        text = Text(" Tasks", BOLD, no_wrap=True, overflow="crop")
        text.append(f"  {count(len(self._index))}{'' if self._index.complete else '+'}", DIM)
        if self._marked:
            text.append(f"  {count(self._marked)} marked", BOLD)
        return text.append(f"  {self._wrong or self._note}", FAILED if self._wrong else DIM)


class TaskColumns(Widget):
    """The heads of the columns; an arrow says what the list is sorted by."""

    DEFAULT_CSS = "TaskColumns { height: 1; }"

    order: reactive[TaskOrder] = reactive(NEWEST_FIRST)

    def render(self) -> Text:
        """The line, in the widths of the table beside its scrollbar."""
        widths, symbols = Widths.of(self.size.width - 1), context(self).symbols
        down = symbols.up if self.order.reverse else symbols.down

        def head(name: str, column: TaskColumn | None = None) -> str:
            return f"{name} {down}" if column is self.order.column else name

        left = (
            " " * MARK
            + pad(head("task", TaskColumn.ID), widths.id)
            + f" {pad(head('type', TaskColumn.TYPE), widths.type)} "
            + f"{pad(head('status', TaskColumn.STATUS), STATUS)} "
            + pad("what it says", widths.what)
        )
        right = f"{head('time', TaskColumn.ELAPSED):>{ELAPSED}}{'created':>{CREATED}}"
        return Text(fit(left + right, self.size.width, ""), DIM, no_wrap=True)
