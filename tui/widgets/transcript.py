"""The conversation's lines with a selected message, and the keys of a list."""

from dataclasses import dataclass

from textual import events
from textual.message import Message

from tui.actions import bindings
from tui.widgets.live_lines import LiveLines
from tui.widgets.window import Item


class Transcript(LiveLines, can_focus=True):
    """A conversation. Its parent feeds it; the keys of a list scroll it and select a message."""

    BINDINGS = bindings("list")
    DEFAULT_CSS = "Transcript { height: 1fr; }"

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
        self._selected: Item | None = None

    @property
    def selected(self) -> Item | None:
        """The selected message; without one, the last."""
        if self._selected is not None:
            return self._selected
        items = self._window.items
        return items[-1] if items else None

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

    def _changed(self) -> None:
        if self._selected not in self._window.items:
            self._selected = None
        super()._changed()
        if self.has_focus and self._selected is None:
            self._select_visible()

    def _is_marked(self, item: Item) -> bool:
        return self.has_focus and item is self._selected

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

    def on_click(self, event: events.Click) -> None:
        """Selects the message."""
        found = self._window.at(self._top + event.y)
        if found is not None:
            self._select(found[0])

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
