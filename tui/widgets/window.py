"""Which entries of a conversation are loaded, which of them are painted, and where each line is.

Of a conversation of any length only a page or two is loaded, and of that only what is near the
screen is painted. Lines are counted from the first painted one.
"""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

from tui.pages import PAGE
from tui.paint.lines import Line
from tui.widgets.entry import Entry, Outgoing, Painter

CHUNK = 6
"""Entries painted at once when more are needed."""
MAX_LOADED = 240
"""More than these are unloaded again at the far end."""
_SCREENS = 8
"""Screens of lines that stay painted above and below."""

Item = Entry | Outgoing


class Window:
    """The loaded entries, oldest first, then what is being sent."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.outgoing: list[Outgoing] = []
        self.more_above = False
        """Whether the database has older messages than the first entry."""
        self.more_below = False
        """Whether it has newer ones than the last entry."""
        self._low = 0
        self._high = 0
        self._tops: list[int] = [0]
        self.items: list[Item] = []
        """What is painted, in order."""

    @property
    def height(self) -> int:
        """Painted lines."""
        return self._tops[-1]

    @property
    def unpainted_above(self) -> bool:
        """Whether loaded entries above are not painted yet."""
        return self._low > 0

    @property
    def unpainted_below(self) -> bool:
        """Whether loaded entries below are not painted yet."""
        return self._high < len(self.entries)

    def reset(
        self, entries: Iterable[Entry], *, at_end: bool, more_above: bool, more_below: bool
    ) -> None:
        """Other entries; nothing is painted yet."""
        self.entries = list(entries)
        self.more_above, self.more_below = more_above, more_below
        self._low = self._high = len(self.entries) if at_end else 0
        self.measure()

    def add_above(self, entries: list[Entry], more: bool) -> None:
        """A page of older entries, not painted yet."""
        self.entries[:0] = entries
        self._low += len(entries)
        self._high += len(entries)
        self.more_above = more

    def add_below(self, entries: list[Entry], more: bool) -> None:
        """A page of newer entries, not painted yet."""
        self.entries += entries
        self.more_below = more

    def append(self, entry: Entry) -> None:
        """One new entry at the end; it counts as painted if the last one was."""
        at_end = self._high == len(self.entries)
        self.entries.append(entry)
        if at_end:
            self._high = len(self.entries)

    def paint_above(self, painter: Painter) -> int:
        """Paints the next few entries above; returns how many lines that made."""
        low = max(0, self._low - CHUNK)
        for entry in self.entries[low : self._low]:
            entry.paint(painter)
        added = sum(len(entry.lines) for entry in self.entries[low : self._low])
        self._low = low
        self.measure()
        return added

    def paint_below(self, painter: Painter) -> None:
        """Paints the next few entries below."""
        high = min(len(self.entries), self._high + CHUNK)
        for entry in self.entries[self._high : high]:
            entry.paint(painter)
        self._high = high
        self.measure()

    def repaint(self, painter: Painter) -> None:
        """Paints anew all that is painted."""
        self.measure()
        for item in self.items:
            item.paint(painter)
        self.measure()

    def repaint_outgoing(self, painter: Painter) -> None:
        """Paints what is being sent."""
        for item in self.outgoing:
            item.paint(painter)
        self.measure()

    def remove(self, entry: Entry) -> None:
        """Forgets a deleted message."""
        index = self.entries.index(entry)
        del self.entries[index]
        self._low -= index < self._low
        self._high -= index < self._high
        self.measure()

    def measure(self) -> None:
        """To be called when an item's number of lines has changed."""
        self.items = [*self.entries[self._low : self._high]]
        if not self.unpainted_below and not self.more_below:
            self.items += self.outgoing
        self._tops = [0, *accumulate(len(item.lines) for item in self.items)]

    def forget_far(self, top: int, height: int) -> int:
        """Unpaints what is many screens away from line `top`, and unloads what is further still.

        Returns how many lines went above. However long one reads, or an answer streams, the work
        of a change stays the same.
        """
        keep = _SCREENS * max(height, 10)
        gone = 0
        while self._high - self._low > CHUNK:
            size = len(self.entries[self._low].lines)
            if gone + size > top - keep:
                break
            gone += size
            self.entries[self._low].lines = []
            self._low += 1
        below = self.height - top - height
        while self._high - self._low > CHUNK:
            size = len(self.entries[self._high - 1].lines)
            if below - size < keep:
                break
            below -= size
            self._high -= 1
            self.entries[self._high].lines = []
        self._unload()
        self.measure()
        return gone

    def _unload(self) -> None:
        extra = len(self.entries) - MAX_LOADED
        above = max(0, min(extra, self._low - PAGE))
        if above:
            del self.entries[:above]
            self._low -= above
            self._high -= above
            self.more_above = True
        below = max(0, min(extra - above, len(self.entries) - self._high - PAGE))
        if below:
            del self.entries[-below:]
            self.more_below = True

    def at(self, y: int) -> tuple[Item, int] | None:
        """The item at painted line `y`, and which of its lines that is."""
        if not 0 <= y < self.height:
            return None
        index = bisect_right(self._tops, y) - 1
        return self.items[index], y - self._tops[index]

    def line(self, y: int) -> Line:
        """Painted line `y`."""
        found = self.at(y)
        return found[0].lines[found[1]] if found else []

    def top(self, item: Item) -> int | None:
        """The first line of a painted item."""
        for index, each in enumerate(self.items):
            if each is item:
                return self._tops[index]
        return None

    def message(self, message_id: int) -> Entry | None:
        """The loaded entry of a message."""
        for entry in reversed(self.entries):
            if entry.message.id == message_id:
                return entry
        return None

    def of_task(self, task_id: int) -> list[Entry]:
        """The loaded entries whose answer is this task's."""
        return [entry for entry in self.entries if entry.message.async_task_id == task_id]
