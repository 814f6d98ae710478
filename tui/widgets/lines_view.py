"""Lines that scroll: a window of a conversation, drawn by the line.

It never asks for a layout, whatever arrives. What it cannot know (older messages) it asks its
parent for, by messages.
"""

from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.context import context
from tui.paint import styles
from tui.paint.lines import Line, indented, line_after, text_before, wrap
from tui.paint.search import highlighted
from tui.widgets.entry import Painter
from tui.widgets.window import Item, Window

GUTTER = 1
"""Cells at the left, for the mark of the selected message."""


class LinesView(Widget):
    """Shows a `Window`, and keeps the reader's place in it."""

    @dataclass
    class NeedPage(Message):
        """The reader nears the end of what is loaded."""

        older: bool

    @dataclass
    class NeedEdge(Message):
        """The reader jumped to the first or the last message, and it is not loaded."""

        first: bool

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._window = Window()
        self._top = 0
        self._follow = True
        """Whether the reader is at the end, and new lines scroll."""
        self._place: tuple[Item, int] | None = None
        """What the reader scrolled to: a message, and how much of its text is above the screen.

        Kept until the next scrolling: a line's number at one width is nothing at another, and after
        many sizes the reader would be somewhere else.
        """
        self._unseen = 0
        self._base, self._room = Style.null(), Size()
        """The widget's style and size while it is drawn."""
        self._query = ""
        self._notice: list[str] = []
        self._asked: set[bool] = set()

    def show_notice(self, *sentences: str) -> None:
        """Shows sentences where the conversation would be, while there is none."""
        self._notice = list(sentences)
        self.refresh()

    def set_query(self, query: str) -> None:
        """What is looked for, to be highlighted; empty: nothing."""
        self._query = query
        self.refresh()

    def scroll_page(self, pages: float) -> None:
        """Scrolls by this part of the height; negative: up."""
        self._go_to(self._top + round(pages * max(1, self.size.height - 1)))

    def scroll_to_end(self) -> None:
        """Jumps to the newest message."""
        if self._window.more_below:
            self.post_message(self.NeedEdge(first=False))
            return
        while self._window.unpainted_below:
            self._window.paint_below(self._painter())
        self._go_to(self._max_top)

    @property
    def at_end(self) -> bool:
        """Whether the reader sees the newest line."""
        window = self._window
        if window.more_below or window.unpainted_below:
            return False
        return self._top >= self._max_top

    def page_failed(self, *, older: bool) -> None:
        """What `NeedPage` asked for does not come; scrolling on asks again."""
        self._asked.discard(older)

    # Scrolling

    @property
    def _max_top(self) -> int:
        return max(0, self._window.height - self.size.height)

    def _go_to(self, top: int) -> None:
        self._top = top
        self._place = None
        self._fill()
        self._top -= self._window.forget_far(max(0, self._top), self.size.height)
        self._top = max(0, min(self._top, self._max_top))
        self._follow = self.at_end
        self._changed()

    def _fill(self) -> None:
        """Paints, and asks for, what is near the screen."""
        window, height = self._window, self.size.height
        if height <= 0:
            return
        painter = self._painter()
        while window.unpainted_above and (self._top < height or window.height < height):
            self._top += window.paint_above(painter)
        while window.unpainted_below and window.height - self._top < 2 * height:
            window.paint_below(painter)
        if window.more_above and not window.unpainted_above and self._top < height:
            self._ask(older=True)
        if (
            window.more_below
            and not window.unpainted_below
            and window.height - self._top < 2 * height
        ):
            self._ask(older=False)

    def _ask(self, *, older: bool) -> None:
        if older not in self._asked:
            self._asked.add(older)
            self.post_message(self.NeedPage(older))

    def _changed(self) -> None:
        """After lines came, went or moved: keeps within them, and draws all."""
        limit = self._max_top
        self._top = limit if self._follow else max(0, min(self._top, limit))
        if self._follow:
            self._unseen = 0
        self.refresh()

    def _refresh_lines(self, first: int, end: int) -> None:
        y, bottom = max(0, first - self._top), min(self.size.height, end - self._top)
        if y < bottom:
            self.refresh(Region(0, y, self.size.width, bottom - y))

    def on_resize(self) -> None:
        """Another width: everything wraps anew, and the reader's place stays."""
        if self._place is None and (found := self._window.at(self._top)) is not None:
            item, index = found
            self._place = item, text_before(item.lines, index)
        self._window.repaint(self._painter())
        if self._place is not None:
            item, before = self._place
            self._top = (self._window.top(item) or 0) + line_after(item.lines, before)
        self._fill()
        self._changed()

    # Drawing

    def _painter(self) -> Painter:
        here = context(self)
        width = max(10, self.size.width - GUTTER - 1)
        return Painter(width, here.symbols, here.keymap, here.clock.now())

    def _is_marked(self, item: Item) -> bool:  # noqa: ARG002
        """Whether this message is shown as selected."""
        return False

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draws the lines of `crop`."""
        # Textual puts both together anew whenever they are asked for: once is enough for a frame.
        self._base, self._room = self.rich_style, self.size
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Draws line `y` of the widget."""
        width, height = self._room
        if self._notice and not self._window.entries and y >= self._window.height:
            parts = self._notice_line(y)
        else:
            parts = self._entry_line(self._top + y)
        if self._unseen and y == height - 1:
            parts = self._marker(width)
        return Strip(parts).adjust_cell_length(width).apply_style(self._base)

    def _entry_line(self, y: int) -> Line:
        found = self._window.at(y)
        if found is None:
            return []
        item, index = found
        parts = item.lines[index]
        if self._query:
            parts = highlighted(parts, self._query)
        marked = self._is_marked(item) and (parts or index == 0)
        gutter = context(self).symbols.selected if marked else " "
        return [Segment(gutter, styles.ACCENT), *parts]

    def _notice_line(self, y: int) -> Line:
        lines: list[Line] = []
        width, height = self._room
        for sentence in self._notice:
            lines += indented(wrap(sentence, max(10, width - 4), styles.DIM), 2)
        first = max(self._window.height, (height - len(lines)) // 2)
        return lines[y - first] if first <= y < first + len(lines) else []

    def _marker(self, width: int) -> Line:
        here = context(self)
        text = f" {here.symbols.down} {self._unseen} new  {here.keymap.keys('list.last')[0]} "
        return [Segment(" " * max(0, width - len(text) - 1)), Segment(text, styles.MATCH)]

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Three lines down."""
        event.stop()
        self._go_to(self._top + 3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Three lines up."""
        event.stop()
        self._go_to(self._top - 3)
