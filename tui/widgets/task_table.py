"""Tasks in columns, one line each: draws and ticks only what is on the screen."""

from dataclasses import dataclass
from datetime import datetime

from rich.segment import Segment
from textual.geometry import Region
from textual.message import Message

from core.models import Task, TaskStatus
from tui.clock import Beat
from tui.context import context
from tui.format import pad
from tui.paint.lines import Line, line
from tui.paint.styles import ACCENT, BOLD, DIM, PLAIN
from tui.paint.taskrow import STATUS_STYLES, detail, elapsed
from tui.task_index import TaskIndex
from tui.widgets.line_list import LineList

_AHEAD = 100
"""So many rows before and after those on the screen are read with them."""
MARK, STATUS, ELAPSED, CREATED = 2, 12, 8, 9


@dataclass(frozen=True, slots=True)
class Widths:
    id: int
    type: int
    what: int

    @classmethod
    def of(cls, width: int) -> "Widths":
        id_width, type_width = (7, 14) if width < 100 else (9, 22)
        fixed = MARK + id_width + type_width + STATUS + ELAPSED + CREATED + 4
        return cls(id_width, type_width, max(0, width - fixed))

    @property
    def status_at(self) -> int:
        """The cell of a row's symbol."""
        return MARK + self.id + self.type + 2


class TaskTable(LineList):
    """The rows of an index. Asks for what it lacks; the screen fetches."""

    @dataclass
    class EndWanted(Message):
        """The cursor wants to go to the end, which is not known yet."""

    @dataclass
    class RowsWanted(Message):
        """These tasks are on the screen or near it, and have to be read."""

        ids: list[int]

    @dataclass
    class Marked(Message):
        """Other tasks are marked now."""

    def __init__(self, index: TaskIndex) -> None:
        super().__init__()
        self.index = index
        self.marked: set[int] = set()
        self._beat_now: Beat | None = None
        self._asked: set[int] = set()

    @property
    def count(self) -> int:
        """Tasks known so far: all, or the first ones."""
        return len(self.index)

    @property
    def current(self) -> int | None:
        """The id of the task under the cursor."""
        return self.index.id_at(self.cursor) if self.count else None

    def arranged(self, keep: int | None) -> None:
        """Rows were added or are in another order; the cursor stays on the task `keep`."""
        place = self.index.place(keep) if keep is not None else None
        self.empty = "No tasks." if self.index.complete else ""
        self.rows_changed(place)
        self._look()

    def fetched(self, ids: list[int]) -> None:
        """Rows that were asked for are there."""
        self.given_up(ids)
        self.refresh()
        self._look()

    def given_up(self, ids: list[int]) -> None:
        """Rows that were asked for could not be read; whoever moves on asks again."""
        self._asked.difference_update(ids)

    def changed(self, task: Task) -> None:
        """A row has a newer state."""
        for row in self.on_screen:
            if self.index.id_at(row) == task.id:
                self.row_changed(row)
        self._look()

    def watch_cursor(self, old: int, new: int) -> None:
        """Asks for the rows that come next."""
        super().watch_cursor(old, new)
        self._look()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """The wheel scrolls without moving the cursor."""
        super().watch_scroll_y(old_value, new_value)
        self._look()

    def on_resize(self) -> None:
        """More rows may be on the screen now."""
        super().on_resize()
        self._look()

    def on_unmount(self) -> None:
        """Nothing moves any more."""
        context(self).clock.leave(self)

    def _look(self) -> None:
        """Asks for rows that are not at hand, and ticks if something on the screen runs."""
        # Many at once, and before they are needed: not one by one as the cursor gets to them.
        if self._missing(_AHEAD // 2):
            missing = self._missing(_AHEAD)
            self._asked.update(missing)
            self.post_message(self.RowsWanted(missing))
        if self._ticking():
            context(self).clock.join(self, self._beat)
        else:
            context(self).clock.leave(self)

    def _missing(self, ahead: int) -> list[int]:
        rows = self.on_screen
        near = range(max(0, rows.start - ahead), min(self.count, rows.stop + ahead))
        return [each for each in self.index.missing(near) if each not in self._asked]

    def _ticking(self) -> list[int]:
        rows = ((row, self.index.row(row)) for row in self.on_screen)
        return [row for row, task in rows if task is not None and not task.status.final]

    def _beat(self, beat: Beat) -> None:
        self._beat_now = beat
        width = self.scrollable_content_region.width
        widths = Widths.of(width)
        running = self._ticking()
        for place, row in enumerate(running):
            y = row - round(self.scroll_y)
            if beat.ticks_row(place):
                self.refresh(Region(width - ELAPSED - CREATED, y, ELAPSED, 1))
            if beat.spins_row(place, len(running)):
                self.refresh(Region(widths.status_at, y, 1, 1))

    def draw(self, index: int, width: int) -> Line:
        """Mark, id, type, status, what it says, elapsed, when it was created."""
        task, widths = self.index.row(index), Widths.of(width)
        symbols = context(self).symbols
        task_id = self.index.id_at(index)
        mark = f"{symbols.mark} " if task_id in self.marked else "  "
        name = pad(f"#{task_id}", widths.id, symbols.ellipsis)
        if task is None:
            return line((mark, ACCENT), (name, BOLD), (f" {symbols.ellipsis}", DIM))
        now = context(self).clock.now()
        symbol = symbols.status(task.status)
        if task.status is TaskStatus.PROCESSING and self._beat_now is not None:
            symbol = self._beat_now.frame(symbols.spinner)
        what = detail(task, (), widths.what, symbols)
        created = _short(task.created_at, now)
        spent = elapsed(task, now)
        return [
            *line((mark, ACCENT), (name, BOLD)),
            Segment(f" {pad(task.task_type, widths.type, symbols.ellipsis)} "),
            *line((pad(f"{symbol} {task.status.value}", STATUS), STATUS_STYLES[task.status])),
            Segment(" "),
            *_filled(what, widths.what),
            Segment(f"{spent:>{ELAPSED}}{created:>{CREATED}} ", DIM),
        ]

    def action_list_last(self) -> None:
        """To the last row; whoever reads is told if it is not the list's end."""
        super().action_list_last()
        if not self.index.complete:
            self.post_message(self.EndWanted())

    def action_list_select(self) -> None:
        """Marks the task under the cursor, or takes the mark away; then one row down."""
        if self.current is not None:
            self.marked ^= {self.current}
            self.row_changed(self.cursor)
            self.post_message(self.Marked())
            self.cursor += 1


def _filled(drawn: Line, width: int) -> Line:
    used = sum(segment.cell_length for segment in drawn)
    return [*drawn, Segment(" " * (width - used), PLAIN)]


def _short(at: datetime, now: datetime) -> str:
    """A moment in few cells. Not an age: that would have to be drawn again as it grows."""
    at, now = at.astimezone(), now.astimezone()
    if at.date() == now.date():
        return f"{at:%H:%M}"
    return f"{at.day} {at:%b}" if at.year == now.year else f"{at:%b %Y}"
