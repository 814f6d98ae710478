"""Where messages are typed: grows from 1 to 6 rows, never blinks, never blocks."""

from dataclasses import dataclass

from textual import events
from textual.message import Message
from textual.widgets import TextArea

from tui.actions import Action, in_scope
from tui.context import context
from tui.pastes import Pastes

MAX_ROWS = 6


class Composer(TextArea):
    """A text area whose keys come from the registry; the text leaves it with `Submitted`."""

    DEFAULT_CSS = """
    Composer {
        height: 1; border: none; padding: 0; background: transparent;
        scrollbar-size-vertical: 1;
        &:focus { border: none; }
        & .text-area--cursor-line { background: transparent; }
    }
    """

    SCOPES = ("composer",)
    """Whose keys it hears; they are not bindings, so that they come before the text area's."""

    @dataclass
    class Submitted(Message):
        """Send was pressed; long pastes are in `text` whole."""

        text: str

    @dataclass
    class Edited(Message):
        """The text is another one; long pastes are in `text` whole."""

        text: str

    @dataclass
    class Wants(Message):
        """A key for somebody else was pressed: the id of the action."""

        action_id: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(
            id=id,
            soft_wrap=True,
            show_line_numbers=False,
            highlight_cursor_line=False,
            tab_behavior="focus",
            placeholder="Type a message",
        )
        self.cursor_blink = False
        self.sent_before: list[str] = []
        """What was sent before, oldest first."""
        self._recalled: int | None = None
        self._pastes = Pastes()

    @property
    def whole_text(self) -> str:
        """The text with long pastes in their places."""
        return self._pastes.expand(self.text)

    def set_text(self, text: str) -> None:
        """Another text, the cursor behind it."""
        self._recalled = None
        self.load_text(self._pastes.shorten(text))
        self.move_cursor(self.document.end)

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Grows or shrinks, and tells the new text."""
        event.stop()
        self._fit()
        self.post_message(self.Edited(self.whole_text))

    def on_resize(self) -> None:
        """Another width wraps to another height."""
        self._fit()

    def _fit(self) -> None:
        rows = max(1, min(MAX_ROWS, self.wrapped_document.height))
        height = self.styles.height
        # Each change of height is a layout of the whole screen.
        if height is None or height.value != rows:
            self.styles.height = rows

    async def on_key(self, event: events.Key) -> None:
        """The registry's keys come before those of the text area."""
        keymap = context(self).keymap
        for action in in_scope("composer"):
            if event.key in keymap.keys(action) and self._applies(action):
                event.stop()
                event.prevent_default()
                await self.run_action(action.method)
                return
        if event.is_printable or event.key == "backspace":
            self._recalled = None

    async def on_paste(self, event: events.Paste) -> None:
        """A long paste is kept aside: a text area with a megabyte on a line stands still."""
        short = self._pastes.shorten(event.text.replace("\r\n", "\n").replace("\r", "\n"))
        if short == event.text:
            return
        event.stop()
        event.prevent_default()
        self.replace(short, *self.selection, maintain_selection_offset=False)

    def _applies(self, action: Action) -> bool:
        if action.id == "compose.quit":
            return not self.text
        if action.id == "compose.older":
            return bool(self.sent_before) and (not self.text or self._recalled is not None)
        if action.id == "compose.newer":
            return self._recalled is not None
        return True

    def action_compose_send(self) -> None:
        """Sends."""
        self._submit()

    def action_compose_newline(self) -> None:
        """A new line."""
        self.insert("\n")

    def action_compose_older(self) -> None:
        """What was sent before this."""
        self._recall(-1)

    def action_compose_newer(self) -> None:
        """What was sent after this."""
        self._recall(1)

    def action_compose_leave(self) -> None:
        """To the conversation."""
        self.post_message(self.Wants("compose.leave"))

    def action_compose_page_up(self) -> None:
        """Scrolls the conversation up."""
        self.post_message(self.Wants("compose.page_up"))

    def action_compose_page_down(self) -> None:
        """Scrolls the conversation down."""
        self.post_message(self.Wants("compose.page_down"))

    def action_compose_search(self) -> None:
        """Searches the conversation."""
        self.post_message(self.Wants("compose.search"))

    def action_compose_retry(self) -> None:
        """Retries the last answer."""
        self.post_message(self.Wants("compose.retry"))

    def action_compose_quit(self) -> None:
        """Quits."""
        self.post_message(self.Wants("compose.quit"))

    def _submit(self) -> None:
        text = self.whole_text
        if text.strip():
            self.set_text("")
            self._pastes.clear()
        self.post_message(self.Submitted(text))

    def _recall(self, step: int) -> None:
        index = len(self.sent_before) if self._recalled is None else self._recalled
        index = max(0, index + step)
        if index >= len(self.sent_before):
            self.set_text("")
            return
        self.set_text(self.sent_before[index])
        self._recalled = index
