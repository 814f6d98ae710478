"""A list of one-line rows that draws only what is on the screen, whatever its length."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.actions import bindings
from tui.format import fit
from tui.paint.lines import Line, line
from tui.paint.styles import DIM, HERE, MATCH


class LineList(ScrollView, can_focus=True):
    """Rows by number, one under the cursor. A subclass says how many there are and draws one."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("list")]
    DEFAULT_CSS = """
    LineList {
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        height: 1fr;
    }
    """

    cursor: reactive[int] = reactive(0, repaint=False, init=False)

    @dataclass
    class Moved(Message):
        """The cursor is on another row."""

        rows: "LineList"
        index: int

        @property
        def control(self) -> "LineList":
            """The list, for `@on` selectors."""
            return self.rows

    @dataclass
    class Chosen(Message):
        """Enter, or a second click, on a row."""

        rows: "LineList"
        index: int

        @property
        def control(self) -> "LineList":
            """The list, for `@on` selectors."""
            return self.rows

    empty = ""
    """What is said when there are no rows."""

    _following = True
    """Whether the screen scrolls with the cursor."""

    @property
    def in_hand(self) -> bool:
        """Whether the keys are for the row under the cursor."""
        return self.has_focus

    @property
    @abstractmethod
    def count(self) -> int:
        """How many rows there are now."""

    @abstractmethod
    def draw(self, index: int, width: int) -> Line:
        """Row `index`; what is wider than `width` cells is cut."""

    def rows_changed(self, cursor: int | None = None) -> None:
        """To be called when there are more, fewer or other rows: redraws those on the screen.

        `cursor` is where the row under the cursor is now, if it moved.
        """
        # Who has scrolled away from the cursor with the wheel is left there.
        self._following = self.cursor in range(*self._shown)
        self.virtual_size = Size(0, self.count)
        self.cursor = self.validate_cursor(self.cursor if cursor is None else cursor)
        self._show_cursor()
        self._following = True
        self.refresh()

    def row_changed(self, index: int) -> None:
        """Redraws one row, if it is on the screen; no layout, no other rows."""
        height = self.scrollable_content_region.height
        if 0 <= index - round(self.scroll_y) < height:
            self.refresh_line(index)

    @property
    def on_screen(self) -> range:
        """The numbers of the rows that are on the screen."""
        top, end = self._shown
        return range(top, min(self.count, end))

    @property
    def _shown(self) -> tuple[int, int]:
        top = round(self.scroll_y)
        return top, top + self.scrollable_content_region.height

    def render_line(self, y: int) -> Strip:
        """Draws line `y` of the screen."""
        width = self.scrollable_content_region.width
        index = y + round(self.scroll_y)
        if index == 0 and not self.count:
            drawn = line((fit(f" {self.empty}", width), DIM))
            return Strip(drawn).adjust_cell_length(width).apply_style(self.rich_style)
        if not 0 <= index < self.count:
            return Strip.blank(width, self.rich_style)
        strip = Strip(self.draw(index, width)).adjust_cell_length(width)
        if index == self.cursor and self.in_hand:
            # In one piece: colours turned round would be a patchwork, and some not readable.
            strip = Strip([Segment(strip.text, MATCH)])
        elif index == self.cursor:
            strip = strip.apply_style(HERE)
        return strip.apply_style(self.rich_style).apply_meta({"row": index})

    def validate_cursor(self, cursor: int) -> int:
        """Keeps the cursor on a row."""
        return max(0, min(cursor, self.count - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        """Redraws the two rows, scrolls if needed, tells the parent."""
        self.row_changed(old)
        self.row_changed(new)
        self._show_cursor()
        self.post_message(self.Moved(self, new))

    def _show_cursor(self) -> None:
        height = self.scrollable_content_region.height
        if height <= 0 or not self._following:
            return
        top = round(self.scroll_y)
        wanted = min(max(top, self.cursor - height + 1), self.cursor)
        if wanted != top:
            self.scroll_to(y=wanted, animate=False)

    def on_resize(self) -> None:
        """The row under the cursor stays on the screen."""
        self._show_cursor()

    def on_click(self, event: events.Click) -> None:
        """Selects the row; a click on the selected row opens it."""
        row = event.style.meta.get("row")
        if row is None:
            return
        if row == self.cursor:
            self.action_list_open()
        else:
            self.cursor = row

    @property
    def _page(self) -> int:
        return max(1, self.scrollable_content_region.height - 1)

    def action_list_down(self) -> None:
        """One row down."""
        self.cursor += 1

    def action_list_up(self) -> None:
        """One row up."""
        self.cursor -= 1

    def action_list_first(self) -> None:
        """To the first row."""
        self.cursor = 0

    def action_list_last(self) -> None:
        """To the last row."""
        self.cursor = self.count - 1

    def action_list_half_down(self) -> None:
        """Half a page down."""
        self.cursor += max(1, self._page // 2)

    def action_list_half_up(self) -> None:
        """Half a page up."""
        self.cursor -= max(1, self._page // 2)

    def action_list_page_down(self) -> None:
        """A page down."""
        self.cursor += self._page

    def action_list_page_up(self) -> None:
        """A page up."""
        self.cursor -= self._page

    def action_list_open(self) -> None:
        """Opens the row under the cursor."""
        if self.count:
            self.post_message(self.Chosen(self, self.cursor))
