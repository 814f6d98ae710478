"""The conversation pane: what can be done with a message, and the search."""

from dataclasses import dataclass

from textual import on, work
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets import Input

from core.errors import SteplineError
from core.models import Role
from tui import pages
from tui.actions import bindings
from tui.clipboard import copy
from tui.context import context
from tui.drafts import Letter
from tui.messages import CancelTask, InspectTask, RetryTask
from tui.screens.live import tell
from tui.widgets.conversation_reader import ConversationReader
from tui.widgets.entry import Entry, Outgoing
from tui.widgets.quiet_input import QuietInput
from tui.widgets.transcript import Transcript


class ConversationPane(ConversationReader):
    """Fed by the main screen; reads its own pages."""

    BINDINGS = bindings("conversation")
    DEFAULT_CSS = """
    ConversationPane {
        height: 1fr;
        & > QuietInput { display: none; }
        &.-searching > QuietInput { display: block; }
    }
    """

    @dataclass
    class NewWanted(Message):
        """A new conversation is wanted."""

    @dataclass
    class TypeWanted(Message):
        """Back to typing; with `text` in the composer, if it is given and that is empty."""

        text: str | None = None

    @dataclass
    class ResendWanted(Message):
        """What could not be sent is to be tried again."""

    @dataclass
    class LetterWanted(Message):
        """What could not be sent is to be edited."""

        letter: Letter

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._query = ""

    def compose(self) -> ComposeResult:
        """The transcript, and the line to search with."""
        yield from super().compose()
        yield QuietInput(placeholder="Search in this conversation", id="search")

    # What the main screen tells

    def open(self, conversation_id: int | None) -> None:
        """Shows a conversation from its end; None: a new one."""
        self.end_search()
        super().open(conversation_id)
        if conversation_id is None:
            self.transcript.show_notice(*self._welcome())

    def notice(self, *sentences: str) -> None:
        """Sentences in the place of the conversation."""
        self.transcript.show_notice(*sentences)

    def set_letters(self, letters: list[Letter]) -> None:
        """What is on its way to this conversation."""
        if letters and self.conversation_id is None:
            self.transcript.show_notice()
        self.transcript.set_outgoing([Outgoing(letter) for letter in letters])

    def retry_last(self) -> None:
        """Retries the newest answer that can be retried."""
        for entry in reversed(self.transcript.entries):
            if entry.view is not None and entry.view.task.can_retry:
                self.post_message(RetryTask(entry.view.task.id))
                return
        tell(self, "Nothing to retry: no answer in sight has failed, timed out or was cancelled.")

    def _welcome(self) -> list[str]:
        lines = ["Type a message and press enter."]
        if context(self).settings.demo_answers:
            lines += ["", "No API key is set: the built-in demo model answers."]
        return lines

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Before there is a session there is nothing here to act on."""
        return action == "chat_type" or context(self).opened is not None

    @on(Transcript.Opened)
    def _opened(self, event: Transcript.Opened) -> None:
        event.stop()
        item = event.item
        if isinstance(item, Entry) and item.message.async_task_id is not None:
            siblings = tuple(
                entry.message.async_task_id
                for entry in self.transcript.entries
                if entry.message.async_task_id is not None
            )
            self.post_message(InspectTask(item.message.async_task_id, siblings))
        else:
            self.post_message(self.TypeWanted())

    def action_chat_new(self) -> None:
        """A new conversation."""
        self.post_message(self.NewWanted())

    def action_chat_type(self) -> None:
        """Back to typing."""
        self.post_message(self.TypeWanted())

    def action_chat_edit(self) -> None:
        """The user's text back into the composer."""
        item = self.transcript.selected
        if isinstance(item, Outgoing):
            if item.letter.error:
                self.post_message(self.LetterWanted(item.letter))
            return
        entry = self._user_entry(item)
        if entry is not None:
            self.post_message(self.TypeWanted(entry.source))

    def _user_entry(self, item: Entry | None) -> Entry | None:
        """The user's message that `item` is, or answers."""
        entries = self.transcript.entries
        if item is None or item not in entries:
            return None
        before = entries[: entries.index(item) + 1]
        return next((each for each in reversed(before) if each.message.role is Role.USER), None)

    def action_chat_copy(self) -> None:
        """The message's source, to the clipboard."""
        item = self.transcript.selected
        if item is not None:
            tell(self, copy(self.app, item.source, "the message"))

    def action_chat_thinking(self) -> None:
        """Folds or unfolds the thinking."""
        self._toggle("thinking")

    def action_chat_steps(self) -> None:
        """Folds or unfolds the steps."""
        self._toggle("steps")

    def _toggle(self, part: str) -> None:
        item = self._answer()
        if item is not None:
            self.transcript.toggle(item, part)

    def _answer(self) -> Entry | None:
        """The selected answer, or the one to the selected message."""
        item, entries = self.transcript.selected, self.transcript.entries
        if not isinstance(item, Entry) or item not in entries:
            return None
        behind = entries[entries.index(item) :]
        return next((each for each in behind if each.message.async_task_id is not None), None)

    def action_task_retry(self) -> None:
        """Retries the selected answer, or sends again what could not be sent."""
        if isinstance(self.transcript.selected, Outgoing):
            self.post_message(self.ResendWanted())
            return
        entry = self._answer()
        if entry is not None and entry.view is not None and entry.view.task.can_retry:
            self.post_message(RetryTask(entry.view.task.id))
        else:
            tell(self, "Only a failed, cancelled or timed-out answer can be retried.")

    def action_task_cancel(self) -> None:
        """Cancels the selected answer's task."""
        entry = self._answer()
        if entry is not None and entry.view is not None and entry.running:
            self.post_message(CancelTask(entry.view.task.id))
        else:
            tell(self, "This answer's task is not running.")

    # Search

    @on(Transcript.SearchWanted)
    def _search_wanted(self, event: Transcript.SearchWanted) -> None:
        event.stop()
        if event.step == 0:
            self.begin_search()
        elif self._query:
            self._find(older=event.step > 0)

    def begin_search(self) -> None:
        """Opens the line to search with."""
        self.add_class("-searching")
        self.query_one("#search", QuietInput).focus()

    def end_search(self) -> bool:
        """Closes it; false if there was no search."""
        if not self._query and not self.has_class("-searching"):
            return False
        self._query = ""
        self.remove_class("-searching")
        self.transcript.set_query("")
        return True

    @on(Input.Submitted)
    def _searched(self, event: Input.Submitted) -> None:
        event.stop()
        self._query = event.value.strip()
        self.transcript.set_query(self._query)
        self.transcript.focus()
        if self._query:
            self._find(older=True, here=True)
        else:
            self.end_search()

    @work(group="search", exclusive=True)
    async def _find(self, *, older: bool, here: bool = False) -> None:
        conversation_id, transcript = self.conversation_id, self.transcript
        if conversation_id is None:
            return
        selected = transcript.selected
        start = selected.message.id if isinstance(selected, Entry) else None
        if here and start is not None:
            start += 1
        session = context(self).session
        try:
            found = await pages.find(
                session, conversation_id, self._query, start=start, older=older
            )
            if found is None:
                tell(self, f"No {'older' if older else 'newer'} message has “{self._query}”.")
            elif not transcript.reveal(found):
                page = await pages.after(session, conversation_id, found - 1)
                await pages.tasks(session, page.messages)
                entries = self._entries(page.messages)
                transcript.show(entries, at_end=False, more_above=True, more_below=page.more)
                transcript.reveal(found)
        except SteplineError as error:
            self.post_message(self.Failed(str(error)))
