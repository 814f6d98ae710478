"""Lines that live: what the feed says is painted as it comes, what runs ticks."""

from collections.abc import Sequence
from time import monotonic

from textual.geometry import Region

from core.changes import TaskChanged
from core.models import Message as ChatMessage
from core.timeline import StepView
from tui.clock import Beat
from tui.context import context
from tui.paint.ladder import MAX_WIDTH, TIME_WIDTH
from tui.paint.lines import Line
from tui.widgets.entry import Entry, Outgoing
from tui.widgets.lines_view import GUTTER, LinesView
from tui.widgets.window import Item

_FLUSH = 0.05
"""Seconds at least between two repaints of an answer that streams in."""


class LiveLines(LinesView):
    """Told by its parent what changed; repaints only the lines that did."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._dirty: list[Entry] = []
        self._flushed = 0.0
        self._flush_later = False

    @property
    def entries(self) -> list[Entry]:
        """The loaded entries, oldest first."""
        return self._window.entries

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
        self._follow = at_end and not more_below
        self._unseen = 0
        self._top = 0
        self._place = None
        self._window.repaint_outgoing(self._painter())
        self._fill()
        self._top = self._max_top if at_end else 0
        self._changed()

    def add_page(self, entries: list[Entry], *, older: bool, more: bool) -> None:
        """What `NeedPage` asked for."""
        self._asked.discard(older)
        if older:
            self._window.add_above(entries, more)
        else:
            self._window.add_below(entries, more)
        self._fill()
        self._changed()

    def put_message(self, message: ChatMessage) -> bool:
        """A message is new or has changed; false if it is new and beyond what is loaded."""
        entry = self._window.message(message.id)
        if entry is not None:
            if message.revision >= entry.message.revision:
                if message.async_task_id != entry.message.async_task_id:
                    entry.view, entry.steps = None, ()
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

    def remove_message(self, message_id: int) -> None:
        """A message was deleted."""
        entry = self._window.message(message_id)
        if entry is not None:
            self._window.remove(entry)
            self._changed()

    def put_task(self, view: TaskChanged, steps: Sequence[StepView]) -> None:
        """A task has changed."""
        for entry in self._window.of_task(view.task.id):
            entry.view, entry.steps = view, steps
            self._touch(entry)
        self._keep_ticking()

    def set_outgoing(self, outgoing: list[Outgoing]) -> None:
        """What is on its way, oldest first."""
        self._window.outgoing = outgoing
        self._window.repaint_outgoing(self._painter())
        self._changed()

    def toggle(self, item: Item, part: str) -> None:
        """Folds or unfolds `steps` or `thinking` of an entry."""
        if not isinstance(item, Entry):
            return
        if part == "steps":
            item.show_steps = not item.show_steps
        else:
            item.show_thinking = not item.show_thinking
        # The reader looks at what unfolds, not at where the conversation ends after it.
        self._follow = False
        self._place = None
        self._repaint(item)
        self._follow = self.at_end

    # Repainting

    def _append(self, entry: Entry) -> None:
        entry.paint(self._painter())
        self._window.append(entry)
        self._window.measure()
        if self._follow:
            self._window.forget_far(self._max_top, self.size.height)
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
        before = entry.lines
        entry.paint(self._painter())
        after = entry.lines
        window.measure()
        grown = len(after) - len(before)
        old_top = self._top
        if self._follow:
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

    # Time

    def _changed(self) -> None:
        super()._changed()
        self._keep_ticking()

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


def _first_difference(before: list[Line], after: list[Line]) -> int:
    for index, (old, new) in enumerate(zip(before, after, strict=False)):
        if old != new:
            return index
    return min(len(before), len(after))
