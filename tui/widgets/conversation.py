"""The conversation pane: which messages the transcript shows, and what can be done with one."""

from collections import OrderedDict
from dataclasses import dataclass

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input

from core.changes import Change, Deleted, MessageChanged, Table, TaskChanged
from core.errors import SteplineError
from core.models import Message as ChatMessage
from core.models import Role
from tui import pages
from tui.actions import bindings
from tui.clipboard import copy
from tui.context import context
from tui.drafts import Letter
from tui.messages import CancelTask, InspectTask, RetryTask
from tui.screens.live import tell
from tui.widgets.entry import Entry, Outgoing
from tui.widgets.quiet_input import QuietInput
from tui.widgets.transcript import Transcript

_RECENT = 300
"""Messages whose newest state is kept for pages that are still on their way."""


class ConversationPane(Vertical):
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

    @dataclass
    class Loaded(Message):
        """The conversation is on the screen; with what the user wrote in it so far."""

        conversation_id: int
        history: list[str]

    @dataclass
    class Failed(Message):
        """Messages could not be read, and why."""

        sentence: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.conversation_id: int | None = None
        self._recent: OrderedDict[int, ChatMessage] = OrderedDict()
        self._wanted_tasks: set[int] = set()
        self._query = ""

    def compose(self) -> ComposeResult:
        """The transcript, and the line to search with."""
        yield Transcript(id="transcript")
        yield QuietInput(placeholder="Search in this conversation", id="search")

    @property
    def transcript(self) -> Transcript:
        """The lines."""
        return self.query_one(Transcript)

    # What the main screen tells

    def open(self, conversation_id: int | None) -> None:
        """Shows a conversation from its end; None: a new one."""
        self.conversation_id = conversation_id
        self.end_search()
        if conversation_id is None:
            self.transcript.show([])
            self.transcript.show_notice(*self._welcome())
        else:
            self._load(conversation_id, first=False)

    def notice(self, *sentences: str) -> None:
        """Sentences in the place of the conversation."""
        self.transcript.show_notice(*sentences)

    def apply(self, batch: list[Change]) -> None:
        """Shows what changed of this conversation."""
        transcript = self.transcript
        messages: list[ChatMessage] = []
        for change in batch:
            if isinstance(change, MessageChanged):
                if change.message.conversation_id == self.conversation_id:
                    messages.append(change.message)
            elif isinstance(change, TaskChanged):
                self._put_task(change)
            elif isinstance(change, Deleted) and change.table is Table.MESSAGES:
                transcript.remove_message(change.id)
        for message in sorted(messages, key=lambda each: each.id):
            self._recent[message.id] = message
            while len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
            if transcript.put_message(message):
                self._join_task(message)

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

    # Tasks of messages

    def _put_task(self, view: TaskChanged) -> None:
        session = context(self).opened
        if session is not None:
            self.transcript.put_task(view, session.tasks.steps(view))

    def _join_task(self, message: ChatMessage) -> None:
        task_id, session = message.async_task_id, context(self).opened
        if task_id is None or session is None:
            return
        view = session.feed.view(task_id)
        if view is not None:
            self._put_task(view)
        elif task_id not in self._wanted_tasks:
            self._wanted_tasks.add(task_id)
            self._fetch_tasks([message])

    @work(group="tasks")
    async def _fetch_tasks(self, messages: list[ChatMessage]) -> None:
        try:
            found = await pages.tasks(context(self).session, messages)
        except SteplineError as error:
            self.post_message(self.Failed(str(error)))
            return
        finally:
            self._wanted_tasks -= {each.async_task_id or 0 for each in messages}
        for view in found.values():
            self._put_task(view)

    # Pages

    def _entries(self, messages: list[ChatMessage]) -> list[Entry]:
        session = context(self).session
        entries: list[Entry] = []
        for message in messages:
            recent = self._recent.get(message.id)
            newer = recent is not None and recent.revision > message.revision
            entry = Entry(recent if recent is not None and newer else message)
            task_id = entry.message.async_task_id
            view = session.feed.view(task_id) if task_id is not None else None
            if view is not None:
                entry.view, entry.steps = view, session.tasks.steps(view)
            entries.append(entry)
        return entries

    @work(group="page", exclusive=True)
    async def _load(self, conversation_id: int, *, first: bool) -> None:
        session = context(self).session
        read = pages.oldest if first else pages.newest
        try:
            page = await read(session, conversation_id)
            await pages.tasks(session, page.messages)
        except SteplineError as error:
            self.post_message(self.Failed(str(error)))
            return
        if conversation_id != self.conversation_id:
            return
        self._show(page, first=first)
        history = [each.content for each in page.messages if each.role is Role.USER]
        self.post_message(self.Loaded(conversation_id, history))

    def _show(self, page: pages.Page, *, first: bool) -> None:
        transcript = self.transcript
        transcript.show(
            self._entries(page.messages),
            at_end=not first,
            more_above=page.more and not first,
            more_below=page.more and first,
        )
        if page.messages and not (page.more and first):
            # What came while the page was on its way.
            for message in [*self._recent.values()]:
                known = message.conversation_id == self.conversation_id
                if known and message.id > page.messages[-1].id and transcript.put_message(message):
                    self._join_task(message)
        elif not page.messages and self.conversation_id is not None:
            transcript.show_notice("This conversation is empty.")

    @on(Transcript.NeedEdge)
    def _edge(self, event: Transcript.NeedEdge) -> None:
        event.stop()
        if self.conversation_id is not None:
            self._load(self.conversation_id, first=event.first)

    @on(Transcript.NeedPage)
    def _page(self, event: Transcript.NeedPage) -> None:
        event.stop()
        if self.conversation_id is not None and self.transcript.entries:
            self._more(self.conversation_id, event.older)

    @work(group="page")
    async def _more(self, conversation_id: int, older: bool) -> None:
        session, transcript = context(self).session, self.transcript
        edge = transcript.entries[0 if older else -1].message.id
        read = pages.before if older else pages.after
        try:
            page = await read(session, conversation_id, edge)
            await pages.tasks(session, page.messages)
        except SteplineError as error:
            transcript.page_failed(older=older)
            self.post_message(self.Failed(str(error)))
            return
        entries = transcript.entries
        if conversation_id == self.conversation_id and entries:
            if entries[0 if older else -1].message.id == edge:
                transcript.add_page(self._entries(page.messages), older=older, more=page.more)
            else:
                transcript.page_failed(older=older)

    def _welcome(self) -> list[str]:
        here = context(self)
        lines = ["Type a message and press enter."]
        if here.settings.llm.demo and here.settings.engine == "local":
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
