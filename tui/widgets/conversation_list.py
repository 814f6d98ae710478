"""Conversations in lines: newest first, or those that a query finds, best first."""

from collections.abc import Iterable
from datetime import datetime

from rich.segment import Segment

from core.models import Conversation
from tui.context import context
from tui.format import clock_time, pad
from tui.fuzzy import Match, fuzzy
from tui.paint.lines import Line
from tui.paint.styles import BOLD, DIM, PLAIN
from tui.widgets.line_list import LineList

_NOWHERE = Match(0, frozenset())
_TIME_WIDTH = 13
_WIDEST = 110
"""Wider screens do not pull the time away from its title."""


class ConversationList(LineList):
    """Keeps the cursor on the conversation it is on while others come, move and go."""

    empty = "No conversations yet."

    def __init__(self, opened: int | None = None) -> None:
        """`opened` is the id of the conversation that is open; it is marked."""
        super().__init__()
        self._opened = opened
        self._all: dict[int, Conversation] = {}
        self._in_text: frozenset[int] = frozenset()
        self._query = ""
        self._rows: list[tuple[Conversation, Match]] = []

    @property
    def count(self) -> int:
        """Conversations that are shown."""
        return len(self._rows)

    @property
    def current(self) -> Conversation | None:
        """The conversation under the cursor."""
        return self._rows[self.cursor][0] if self._rows else None

    def load(self, conversations: Iterable[Conversation]) -> None:
        """Shows these and no others."""
        first = not self._all
        self._all = {each.id: each for each in conversations}
        self._arrange()
        if first:
            ids = [row[0].id for row in self._rows]
            self.cursor = ids.index(self._opened) if self._opened in ids else 0

    def put(self, conversation: Conversation) -> None:
        """Adds one, or shows its newer state."""
        known = self._all.get(conversation.id)
        if known is None or known.revision <= conversation.revision:
            self._all[conversation.id] = conversation
            self._arrange()

    def drop(self, conversation_id: int) -> None:
        """Takes one out."""
        if self._all.pop(conversation_id, None) is not None:
            self._arrange()

    def search(self, query: str) -> None:
        """Shows those whose title resembles `query`; all for an empty one."""
        self._query, self._in_text = query.strip(), frozenset()
        self.cursor = 0
        self._arrange()

    def found(self, query: str, conversations: Iterable[Conversation]) -> None:
        """Adds those in whose text the database found `query`, if that is still the query."""
        if query.strip() == self._query:
            found = {each.id: each for each in conversations}
            self._all = found | self._all
            self._in_text = frozenset(found)
            self._arrange()

    def _arrange(self) -> None:
        here = self.current
        rows: list[tuple[Conversation, Match]] = []
        for each in self._all.values():
            match = fuzzy(self._query, each.title) if self._query else _NOWHERE
            if match is not None or each.id in self._in_text:
                rows.append((each, match or _NOWHERE))
        rows.sort(key=lambda row: (row[1].score, row[0].updated_at, row[0].id), reverse=True)
        self._rows = rows
        self.empty = "Nothing found." if self._query else type(self).empty
        self.rows_changed()
        ids = [row[0].id for row in rows]
        if here is not None and here.id in ids and not self._query:
            self.cursor = ids.index(here.id)

    def draw(self, index: int, width: int) -> Line:
        """Title, how it was found, when it was last used."""
        conversation, match = self._rows[index]
        width = min(width, _WIDEST)
        time = self._when(conversation.updated_at).rjust(_TIME_WIDTH)
        note = "in its text " if self._query and not match.positions else ""
        room = width - 2 - len(note) - _TIME_WIDTH - 1
        title = pad(conversation.title, room, context(self).symbols.ellipsis)
        letters = (
            [
                Segment(letter, BOLD if at in match.positions else PLAIN)
                for at, letter in enumerate(title)
            ]
            if match.positions
            else [Segment(title)]
        )
        mark = context(self).symbols.bullet if conversation.id == self._opened else " "
        return [Segment(f"{mark} "), *letters, Segment(note, DIM), Segment(f"{time} ", DIM)]

    def _when(self, at: datetime) -> str:
        return clock_time(at, context(self).clock.now())
