"""The task panel's rows, drawn by the line: running tasks that turn and tick, then earlier ones."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from core.changes import TaskChanged
from core.models import Task, TaskStatus
from core.timeline import StepView
from tui.actions import bindings
from tui.clock import Beat
from tui.context import context
from tui.format import plural
from tui.paint import styles, taskrow
from tui.paint.lines import Line, indented, justified, line


@dataclass(eq=False)
class Row:
    """A task, its steps, and the first of its lines."""

    view: TaskChanged
    read_steps: Callable[[TaskChanged], Sequence[StepView]]
    top: int = 0
    size: int = 1

    @property
    def task(self) -> Task:
        """The task itself."""
        return self.view.task

    @cached_property
    def steps(self) -> Sequence[StepView]:
        """Its steps; worked out for rows that are drawn, of which a burst leaves most out."""
        return self.read_steps(self.view)

    @property
    def place(self) -> tuple[int, int, int]:
        """Which task stands where."""
        return self.task.id, self.top, self.size


class TaskRows(Widget, can_focus=True):
    """The rows. Its parent feeds it; `compact` is one line a task, for the strip."""

    BINDINGS = bindings("list")
    DEFAULT_CSS = """
    TaskRows { width: 1fr; height: 1fr; }
    """

    @dataclass
    class Opened(Message):
        """Enter on a task."""

        task_id: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.compact = False
        self._rows: list[Row] = []
        self._run_count = 0
        self._top = 0
        self._total = 0
        self._cursor: int | None = None
        """The id of the task under the cursor."""
        self._symbol = ""
        self._base, self._width = Style.null(), 0
        """The widget's style and width while it is drawn."""

    def show(self, rows: list[Row], running: int) -> None:
        """Other rows or other states: the first `running` of them run."""
        old = self._rows
        self._rows, self._run_count = rows, running
        self._measure()
        self._keep_ticking()
        self._keep_top()
        if [row.place for row in old] == [row.place for row in rows]:
            self._refresh_rows(
                after
                for before, after in zip(old, rows, strict=True)
                if before.view is not after.view
            )
        else:
            self.refresh()

    def set_compact(self, compact: bool) -> None:
        """One line a task, or two."""
        if compact != self.compact:
            self.compact = compact
            self._measure()
            self._keep_top()
            self.refresh()

    @property
    def selected(self) -> Task | None:
        """The task under the cursor; without one, the first."""
        row = self._row()
        return row.task if row else None

    # Places

    def _measure(self) -> None:
        at = 1 if not self.compact else 0
        for index, row in enumerate(self._rows):
            if index == self._run_count and not self.compact:
                at += 1
            row.top = at
            two = index < self._run_count or taskrow.tells_why(row.task)
            row.size = 2 if two and not self.compact else 1
            at += row.size
        self._total = at

    def _row(self) -> Row | None:
        for row in self._rows:
            if row.task.id == self._cursor:
                return row
        return self._rows[0] if self._rows else None

    def _keep_top(self) -> None:
        self._top = max(0, min(self._top, self._total - self.size.height))

    def _visible(self) -> list[tuple[int, Row]]:
        """Running rows on the screen, with their line there."""
        height = self.size.height
        found = [(row.top - self._top, row) for row in self._rows[: self._run_count]]
        return [(y, row) for y, row in found if 0 <= y < height]

    # Motion

    def _keep_ticking(self) -> None:
        clock = context(self).clock
        if self._run_count:
            clock.join(self, self._beat)
        else:
            clock.leave(self)

    def _beat(self, beat: Beat) -> None:
        if not self.screen.is_active or not self.display:
            return
        rows = self._visible()
        for index, (y, row) in enumerate(rows):
            turning = row.task.status is TaskStatus.PROCESSING
            if turning and beat.spins_row(index, len(rows)):
                self._symbol = beat.frame(context(self).symbols.spinner)
                self.refresh(Region(taskrow.SYMBOL_AT, y, 1, 1))
            if beat.ticks_row(index):
                at = self.size.width - taskrow.TIME_WIDTH - 1
                self.refresh(Region(at, y, taskrow.TIME_WIDTH, 1))

    def _refresh_rows(self, rows: Iterable[Row]) -> None:
        for row in rows:
            y = row.top - self._top
            if -row.size < y < self.size.height:
                self.refresh(Region(0, max(0, y), self.size.width, row.size))

    def on_unmount(self) -> None:
        """Leaves the clock."""
        context(self).clock.leave(self)

    def on_resize(self) -> None:
        """The row under the cursor stays on the screen."""
        self._select(self._index()) if self.has_focus else self._keep_top()

    # Drawing

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draws the lines of `crop`."""
        # Textual puts both together anew whenever they are asked for: once is enough for a frame.
        self._base, self._width = self.rich_style, self.size.width
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Draws line `y` of the widget."""
        parts = self._line(self._top + y)
        return Strip(parts).adjust_cell_length(self._width).apply_style(self._base)

    def _row_at(self, y: int) -> Row | None:
        index = bisect_right(self._rows, y, key=lambda row: row.top) - 1
        row = self._rows[index] if index >= 0 else None
        return row if row is not None and y < row.top + row.size else None

    def _line(self, y: int) -> Line:
        here = context(self)
        if not self._rows:
            return line((" No tasks yet", styles.DIM)) if y == 1 - self.compact else []
        if not self.compact and y == 0:
            return self._title()
        row = self._row_at(y)
        if row is not None:
            return self._row_line(row, y - row.top)
        if y < self._total:
            rule = here.symbols.rule
            text = f" {rule * 2} earlier "
            return line((text + rule * max(0, self._width - len(text) - 1), styles.DIM))
        return []

    def _title(self) -> Line:
        running = plural(self._run_count, "running", "running") if self._run_count else ""
        title = line((" Tasks", styles.BOLD))
        return justified(title, running, self._width - 1, styles.DIM)

    def _row_line(self, row: Row, index: int) -> Line:
        here = context(self)
        symbols, now, width = here.symbols, here.clock.now(), self._width - 1
        if index:
            return indented([taskrow.detail(row.task, row.steps, width - 4, symbols)], 3)[0]
        symbol = symbols.status(row.task.status)
        if row.task.status is TaskStatus.PROCESSING and self._symbol:
            symbol = self._symbol
        more = taskrow.detail(row.task, row.steps, 60, symbols) if self._shows_more(row) else None
        parts = taskrow.head(row.task, symbol, width, symbols, now, more=more)
        if self.has_focus and row is self._row():
            parts[0] = Segment(symbols.selected, styles.ACCENT)
        return parts

    def _shows_more(self, row: Row) -> bool:
        return self.compact and (not row.task.status.final or taskrow.tells_why(row.task))

    # Keys

    def _select(self, index: int) -> None:
        if not self._rows:
            return
        row = self._rows[max(0, min(len(self._rows) - 1, index))]
        self._cursor = row.task.id
        top = 0 if row is self._rows[0] else row.top
        self._top = min(self._top, top)
        self._top = max(self._top, row.top + row.size - self.size.height)
        self._keep_top()
        self.refresh()

    def _index(self) -> int:
        row = self._row()
        return self._rows.index(row) if row else 0

    def on_focus(self) -> None:
        """Shows the cursor."""
        self._select(self._index())

    def on_blur(self) -> None:
        """Hides the cursor."""
        self.refresh()

    def action_list_down(self) -> None:
        """The next task."""
        self._select(self._index() + 1)

    def action_list_up(self) -> None:
        """The previous task."""
        self._select(self._index() - 1)

    def action_list_first(self) -> None:
        """The first task."""
        self._select(0)

    def action_list_last(self) -> None:
        """The last task."""
        self._select(len(self._rows) - 1)

    def _page(self, pages: float) -> None:
        self._select(self._index() + round(pages * max(2, self.size.height - 1)))

    def action_list_half_down(self) -> None:
        """Half a page down."""
        self._page(0.5)

    def action_list_half_up(self) -> None:
        """Half a page up."""
        self._page(-0.5)

    def action_list_page_down(self) -> None:
        """A page down."""
        self._page(1)

    def action_list_page_up(self) -> None:
        """A page up."""
        self._page(-1)

    def action_list_open(self) -> None:
        """Opens the inspector."""
        if task := self.selected:
            self.post_message(self.Opened(task.id))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Three lines down."""
        event.stop()
        self._top += 3
        self._keep_top()
        self.refresh()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Three lines up."""
        event.stop()
        self._top = max(0, self._top - 3)
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Selects a task; a second click opens it."""
        row = self._row_at(event.y + self._top)
        if row is not None:
            if row.task.id == self._cursor:
                self.action_list_open()
            self._select(self._rows.index(row))
