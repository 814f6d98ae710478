"""Reads a conversation into a transcript: its pages, their tasks, and what changes meanwhile."""

from collections import OrderedDict
from dataclasses import dataclass

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message

from core.changes import Change, Deleted, MessageChanged, Table, TaskChanged
from core.errors import SteplineError
from core.models import Message as ChatMessage
from core.models import Role
from tui import pages
from tui.context import context
from tui.widgets.entry import Entry
from tui.widgets.transcript import Transcript

_RECENT = 300
"""Messages whose newest state is kept for pages that are still on their way."""


class ConversationReader(Vertical):
    """A transcript and what feeds it; nothing of keys."""

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

    def compose(self) -> ComposeResult:
        """The transcript."""
        yield Transcript(id="transcript")

    @property
    def transcript(self) -> Transcript:
        """The lines."""
        return self.query_one(Transcript)

    def open(self, conversation_id: int | None) -> None:
        """Shows a conversation from its end; None: a new one."""
        self.conversation_id = conversation_id
        if conversation_id is None:
            self.transcript.show([])
        else:
            self._load(conversation_id, first=False)

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
