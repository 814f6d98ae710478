"""The conversation's lines: drawn by the line, scrolled by itself, no widget per message.

It never asks for a layout, whatever arrives, and repaints only the lines that changed. What it
cannot know (older messages, which conversation) it asks its parent for, by messages.
"""

from dataclasses import dataclass
from time import monotonic

from rich.segment import Segment
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from core.changes import TaskChanged
from core.models import Message as ChatMessage
from core.timeline import StepView
from tui.actions import bindings
from tui.clock import Beat
from tui.context import context
from tui.paint import styles
from tui.paint.ladder import MAX_WIDTH, TIME_WIDTH
from tui.paint.lines import Line
from tui.paint.search import highlighted
from tui.widgets.entry import Entry, Outgoing, Painter
from tui.widgets.window import Item, Window

GUTTER = 1
"""Cells at the left, for the mark of the selected message."""
_FLUSH = 0.1
"""Seconds at least between two repaints of an answer that streams in."""


class Transcript(Widget, can_focus=True):
    """A conversation. Its parent feeds it; the keys of a list scroll it."""

    BINDINGS = bindings("list")
    DEFAULT_CSS = """
    Transcript { height: 1fr; padding: 0; }
    """

    @dataclass
    class NeedPage(Message):
        """The reader nears the end of what is loaded."""

        older: bool

    @dataclass
    class NeedEdge(Message):
        """The reader jumped to the first or the last message, and it is not loaded."""

        first: bool

    @dataclass
    class Opened(Message):
        """Enter on a message."""

        item: Item

    @dataclass
    class SearchWanted(Message):
        """A key of the search was pressed: `step` 0 begins, 1 next, -1 previous."""

        step: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._window = Window()
        self._top = 0
        self._selected: Item | None = None
        self._unseen = 0
        self._query = ""
        self._notice: list[str] = []
        self._asked: set[bool] = set()
        self._dirty: list[Entry] = []
        self._flushed = 0.0
        self._flush_later = False

    # What the parent tells.

    def show(
        self,
        entries: list[Entry],
        *,
        at_end: bool = True,
        more_above: bool = False,
        more_below: bool = False,
    ) -> None:
        """Shows other entries, from their end or their beginning."""
        self._notice = []
        self._asked.clear()
        self._dirty.clear()
        self._window.reset(entries, at_end=at_end, more_above=more_above, more_below=more_below)
        self._selected = None
        self._unseen = 0
        self._top = 0
        self._window.repaint_outgoing(self._painter())
        self._fill()
        self._top = self._max_top if at_end else 0
        if self.has_focus:
            self._select_visible()
        self._changed()

    def show_notice(self, *sentences: str) -> None:
        """Shows sentences in the place of the conversation, until `show`."""
        self._notice = list(sentences)
        self.refresh()

    def add_page(self, entries: list[Entry], *, older: bool, more: bool) -> None:
        """What `NeedPage` asked for."""
        self._asked.discard(older)
        if older:
            self._window.add_above(entries, more)
        else:
            self._window.add_below(entries, more)
        self._fill()
        self._changed()

    def page_failed(self, *, older: bool) -> None:
        """What `NeedPage` asked for does not come; scrolling on asks again."""
        self._asked.discard(older)

    def remove_message(self, message_id: int) -> None:
        """A message was deleted."""
        entry = self._window.message(message_id)
        if entry is not None:
            self._window.remove(entry)
            self._top = max(0, min(self._top, self._max_top))
            self._changed()

    def put_message(self, message: ChatMessage) -> bool:
        """A message is new or has changed; false if it is new and beyond what is loaded."""
        entry = self._window.message(message.id)
        if entry is not None:
            if message.revision >= entry.message.revision:
                if message.async_task_id != entry.message.async_task_id:
                    entry.view, entry.steps = None, []
                entry.message = message
                self._touch(entry)
            return True
        entries = self._window.entries
        if entries and message.id < entries[-1].message.id:
            return True
        if self._window.more_below:
            self._unseen += 1
            self.refresh()
            return False
        self._append(Entry(message))
        return True

    def put_task(self, view: TaskChanged, steps: list[StepView]) -> None:
        """A task has changed."""
        for entry in self._window.of_task(view.task.id):
            entry.view, entry.steps = view, steps
            self._touch(entry)
        self._keep_ticking()

    def set_outgoing(self, outgoing: list[Outgoing]) -> None:
        """What is on its way, oldest first."""
        at_end = self.at_end
        self._window.outgoing = outgoing
        self._window.repaint_outgoing(self._painter())
        if self._selected not in self._window.items:
            self._selected = None
        self._top = self._max_top if at_end else min(self._top, self._max_top)
        self.refresh()

    def set_query(self, query: str) -> None:
        """What is looked for, to be highlighted; empty: nothing."""
        self._query = query
        self.refresh()

    def reveal(self, message_id: int) -> bool:
        """Selects a loaded message and scrolls to it; false if it is not loaded."""
        entry = self._window.message(message_id)
        if entry is None:
            return False
        painter = self._painter()
        while entry not in self._window.items and self._window.unpainted_above:
            self._top += self._window.paint_above(painter)
        while entry not in self._window.items and self._window.unpainted_below:
            self._window.paint_below(painter)
        self._select(entry)
        return True

    def toggle(self, item: Item, part: str) -> None:
        """Folds or unfolds `steps` or `thinking` of an entry."""
        if not isinstance(item, Entry):
            return
        if part == "steps":
            item.show_steps = not item.show_steps
        else:
            item.show_thinking = not item.show_thinking
        self._repaint(item)

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
        self._unseen = 0

    # What the parent asks.

    @property
    def selected(self) -> Item | None:
        """The selected message; without one, the last."""
        if self._selected is not None:
            return self._selected
        items = self._window.items
        return items[-1] if items else None

    @property
    def entries(self) -> list[Entry]:
        """The loaded entries, oldest first."""
        return self._window.entries

    @property
    def at_end(self) -> bool:
        """Whether the reader sees the newest line."""
        window = self._window
        if window.more_below or window.unpainted_below:
            return False
        return self._top >= self._max_top

    # Scrolling

    @property
    def _max_top(self) -> int:
        return max(0, self._window.height - self.size.height)

    def _go_to(self, top: int) -> None:
        self._top = top
        self._fill()
        self._top = max(0, min(self._top, self._max_top))
        if self.at_end:
            self._unseen = 0
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
        self._keep_ticking()
        self.refresh()

    # Changes of entries

    def _append(self, entry: Entry) -> None:
        at_end = self.at_end
        entry.paint(self._painter())
        self._window.append(entry)
        self._window.measure()
        if at_end:
            self._top = self._max_top
            self._top -= self._window.forget_far(self._top, self.size.height)
        else:
            self._unseen += 1
        self._changed()

    def _touch(self, entry: Entry) -> None:
        """Repaints an entry soon: at once, unless it was painted a moment ago."""
        if not any(each is entry for each in self._dirty):
            self._dirty.append(entry)
        wait = self._flushed + _FLUSH - monotonic()
        if wait <= 0:
            self._flush()
        elif not self._flush_later:
            self._flush_later = True
            self.set_timer(wait, self._flush)

    def _flush(self) -> None:
        self._flush_later = False
        self._flushed = monotonic()
        dirty, self._dirty = self._dirty, []
        for entry in dirty:
            self._repaint(entry)

    def _repaint(self, entry: Entry) -> None:
        """Paints an entry anew; the reader's place and the unchanged lines stay as they are."""
        window = self._window
        top = window.top(entry)
        if top is None:
            return
        at_end, before = self.at_end, entry.lines
        entry.paint(self._painter())
        after = entry.lines
        window.measure()
        grown = len(after) - len(before)
        old_top = self._top
        if at_end:
            self._top = self._max_top
        elif top + len(before) <= self._top:
            self._top += grown
        self._top = max(0, min(self._top, self._max_top))
        self._keep_ticking()
        if self._top != old_top:
            self.refresh()
            return
        first = _first_difference(before, after)
        last = window.height + max(0, -grown) if grown else top + len(after)
        self._refresh_lines(top + first, last)

    def _refresh_lines(self, first: int, end: int) -> None:
        y, bottom = max(0, first - self._top), min(self.size.height, end - self._top)
        if y < bottom:
            self.refresh(Region(0, y, self.size.width, bottom - y))

    # Time

    def _keep_ticking(self) -> None:
        clock = context(self).clock
        if any(isinstance(item, Entry) and item.running for item in self._window.items):
            clock.join(self, self._beat)
        else:
            clock.leave(self)

    def _beat(self, beat: Beat) -> None:
        if not beat.ticks_row(0) or not self.screen.is_active:
            return
        painter = self._painter()
        for item in self._window.items:
            if not isinstance(item, Entry) or not item.running:
                continue
            index, top = item.tick(painter), self._window.top(item)
            if index is None or top is None:
                continue
            y = top + index - self._top
            if 0 <= y < self.size.height:
                right = GUTTER + min(painter.width, MAX_WIDTH)
                self.refresh(Region(right - TIME_WIDTH, y, TIME_WIDTH, 1))

    def on_unmount(self) -> None:
        """Leaves the clock."""
        context(self).clock.leave(self)

    # Drawing

    def _painter(self) -> Painter:
        here = context(self)
        width = max(10, self.size.width - GUTTER - 1)
        return Painter(width, here.symbols, here.keymap, here.clock.now())

    def render_line(self, y: int) -> Strip:
        """Draws line `y` of the widget."""
        width = self.size.width
        parts = self._notice_line(y) if self._notice else self._entry_line(self._top + y)
        if self._unseen and y == self.size.height - 1:
            parts = self._marker(width)
        return Strip(parts).adjust_cell_length(width).apply_style(self.rich_style)

    def _entry_line(self, y: int) -> Line:
        found = self._window.at(y)
        if found is None:
            return []
        item, index = found
        parts = item.lines[index]
        if self._query:
            parts = highlighted(parts, self._query)
        marked = self.has_focus and item is self._selected and (parts or index == 0)
        gutter = context(self).symbols.selected if marked else " "
        return [Segment(gutter, styles.ACCENT), *parts]

    def _notice_line(self, y: int) -> Line:
        first = max(0, (self.size.height - len(self._notice)) // 2)
        if not first <= y < first + len(self._notice):
            return []
        return [Segment(f"  {self._notice[y - first]}", styles.DIM)]

    def _marker(self, width: int) -> Line:
        here = context(self)
        text = f" {here.symbols.down} {self._unseen} new  {here.keymap.keys('list.last')[0]} "
        return [Segment(" " * max(0, width - len(text) - 1)), Segment(text, styles.MATCH)]

    def on_resize(self) -> None:
        """Another width: everything wraps anew, and the reader's place stays."""
        at_end = self.at_end or not self._window.items
        here = self._window.at(self._top)
        self._window.repaint(self._painter())
        self._fill()
        if at_end:
            self._top = self._max_top
        elif here is not None:
            item, index = here
            self._top = (self._window.top(item) or 0) + min(index, len(item.lines) - 1)
        self._go_to(self._top)

    # Selection

    def _select(self, item: Item) -> None:
        self._selected = item
        top = self._window.top(item)
        if top is not None:
            height, size = self.size.height, len(item.lines)
            if top < self._top or size >= height:
                self._top = top
            elif top + size > self._top + height:
                self._top = top + size - height
        self._go_to(self._top)

    def _select_visible(self) -> None:
        """Selects a message that is on the screen, the last one if there are several."""
        window = self._window
        top = window.top(self._selected) if self._selected is not None else None
        bottom = min(window.height, self._top + self.size.height)
        if top is not None and self._selected is not None:
            size = len(self._selected.lines)
            if top < bottom and top + size > self._top:
                return
        found = window.at(bottom - 1) or window.at(self._top)
        self._selected = found[0] if found else None

    def _move(self, step: int) -> None:
        items = self._window.items
        if not items:
            return
        current = self.selected
        index = next((i for i, item in enumerate(items) if item is current), len(items) - 1)
        if current is not None and self._scroll_within(current, step):
            return
        index = max(0, min(len(items) - 1, index + step))
        self._select(items[index])

    def _scroll_within(self, item: Item, step: int) -> bool:
        """A message taller than the screen is read by halves before the next one is selected."""
        top, height = self._window.top(item), self.size.height
        if top is None or len(item.lines) <= height:
            return False
        bottom = top + len(item.lines)
        if step > 0 and bottom > self._top + height:
            self._go_to(min(self._top + height // 2, bottom - height))
            return True
        if step < 0 and top < self._top:
            self._go_to(max(self._top - height // 2, top))
            return True
        return False

    def on_focus(self) -> None:
        """Shows which message is selected."""
        self._select_visible()
        self.refresh()

    def on_blur(self) -> None:
        """The mark goes."""
        self.refresh()

    # Keys

    def action_list_down(self) -> None:
        """The next message."""
        self._move(1)

    def action_list_up(self) -> None:
        """The previous message."""
        self._move(-1)

    def action_list_first(self) -> None:
        """The first message of the conversation."""
        if self._window.more_above:
            self.post_message(self.NeedEdge(first=True))
            return
        while self._window.unpainted_above:
            self._window.paint_above(self._painter())
        self._go_to(0)
        if self._window.items:
            self._select(self._window.items[0])

    def action_list_last(self) -> None:
        """The newest message."""
        self._selected = None
        self.scroll_to_end()
        self._select_visible()
        self.refresh()

    def action_list_half_down(self) -> None:
        """Half a page down."""
        self._scroll_and_select(0.5)

    def action_list_half_up(self) -> None:
        """Half a page up."""
        self._scroll_and_select(-0.5)

    def action_list_page_down(self) -> None:
        """A page down."""
        self._scroll_and_select(1)

    def action_list_page_up(self) -> None:
        """A page up."""
        self._scroll_and_select(-1)

    def _scroll_and_select(self, pages: float) -> None:
        self.scroll_page(pages)
        self._select_visible()
        self.refresh()

    def action_list_open(self) -> None:
        """The message's task, or back to typing."""
        if self.selected is not None:
            self.post_message(self.Opened(self.selected))

    def action_list_search(self) -> None:
        """Begins a search."""
        self.post_message(self.SearchWanted(0))

    def action_list_next_match(self) -> None:
        """The next match, towards older messages."""
        self.post_message(self.SearchWanted(1))

    def action_list_previous_match(self) -> None:
        """The match before."""
        self.post_message(self.SearchWanted(-1))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """`n` and `N` belong to the search only while there is one."""
        if action in ("list_next_match", "list_previous_match"):
            return bool(self._query)
        return True

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Three lines down."""
        event.stop()
        self._go_to(self._top + 3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Three lines up."""
        event.stop()
        self._go_to(self._top - 3)

    def on_click(self, event: events.Click) -> None:
        """Selects the message."""
        found = self._window.at(self._top + event.y)
        if found is not None:
            self._select(found[0])


def _first_difference(before: list[Line], after: list[Line]) -> int:
    for index, (old, new) in enumerate(zip(before, after, strict=False)):
        if old != new:
            return index
    return min(len(before), len(after))
