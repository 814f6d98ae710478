"""Reads a conversation out: which one it is, its last messages, and older ones when asked."""

from collections.abc import Sequence

from core.changes import TaskChanged
from core.chat import SPEAKERS
from core.models import Message
from core.session import Session
from tui import pages
from tui.format import clock_time, count, plural
from tui.linear.answers import Answers
from tui.linear.endings import ending
from tui.linear.paper import Paper

LAST = 4
"""Messages read out when a conversation is opened."""
_OLDER = 10
"""Messages that `/more` reads out."""
_LONGEST = 2000
"""Characters of a message from the past; on a slow line even these take seconds."""


class Reading:
    """The conversation that is open, and how far back it was read out."""

    def __init__(self, session: Session, paper: Paper, answers: Answers) -> None:
        self.newest = 0
        """The newest message that was read out, or is being answered."""
        self._session = session
        self._paper = paper
        self._answers = answers
        self.tasks: set[int] = set()
        """The tasks of the messages that were fetched."""
        self._older: list[Message] = []
        """Messages that were fetched and not read out yet."""
        self._more = False
        """Whether there are messages before those."""
        self._first = 0
        """The oldest message that was fetched."""

    async def open(self, conversation_id: int | None) -> None:
        """Says which conversation is open now (None: a new one) and reads its end out.

        Raises NotFoundError where there is no such conversation; then nothing has changed.
        """
        if conversation_id is None:
            self._keep([], more=False)
            self.newest = 0
            self._answers.conversation_id = None
            self._paper.line("New conversation.")
            if self._session.settings.demo_answers:
                self._paper.line("No API key is set: the built-in demo model answers.")
            return
        conversation = await self._session.chat.conversation(conversation_id)
        page = await pages.newest(self._session, conversation_id)
        views = await pages.tasks(self._session, page.messages)
        self._answers.drop(conversation_id)
        self._answers.conversation_id = conversation_id
        self.tasks.clear()
        self._keep(page.messages, more=page.more)
        self.newest = page.messages[-1].id if page.messages else 0
        last = self._take(LAST)
        # What is being answered is told of, however far back it is.
        running = [message for message in self._older if _runs(message, views)]
        number = f"More than {pages.PAGE} messages" if page.more else _messages(len(page.messages))
        self._paper.line(f"Conversation {conversation_id}: {conversation.title}. {number}.")
        if self._older:
            self._paper.line(f"The last {len(last)}; /more reads older ones.")
        self._read_out([*running, *last], views)

    async def more(self, conversation_id: int | None) -> None:
        """Reads the messages before those that were read out last."""
        if not self._older and self._more and conversation_id is not None:
            page = await pages.before(self._session, conversation_id, self._first)
            self._keep(page.messages, more=page.more)
        if not self._older:
            self._paper.line("There are no older messages.")
            return
        read = self._take(_OLDER)
        views = await pages.tasks(self._session, read)
        self._paper.line(f"{_messages(len(read))} before those:")
        self._read_out(read, views)
        end = "/more reads older ones." if self._older or self._more else "That was the first one."
        self._paper.line(end)

    def read_new(self, message: Message) -> None:
        """A message that came from elsewhere."""
        self.newest = max(self.newest, message.id)
        self._read_out([message], {})

    def _keep(self, fetched: list[Message], *, more: bool) -> None:
        self._older, self._more = fetched, more
        self._first = fetched[0].id if fetched else 0
        self.tasks |= {each.async_task_id for each in fetched if each.async_task_id is not None}

    def _take(self, number: int) -> list[Message]:
        """The newest of those that were not read out yet."""
        taken, self._older = self._older[-number:], self._older[:-number]
        return taken

    def _read_out(self, messages: Sequence[Message], views: dict[int, TaskChanged]) -> None:
        now = self._session.now()
        for message in messages:
            view = views.get(message.async_task_id or 0)
            if view is not None and _runs(message, views):
                self._paper.line(f"Task #{view.task.id} is working on the answer.")
                self._answers.follow(
                    view.task.id,
                    message=message,
                    conversation_id=message.conversation_id,
                    late=True,
                )
                continue
            self._paper.line(f"{SPEAKERS[message.role]}, {clock_time(message.created_at, now)}:")
            if message.content:
                self._paper.line(_shortened(message))
            if view is not None and view.task.status.can_retry:
                incomplete = "The answer is incomplete. " if message.content else ""
                self._paper.line(incomplete + ending(view.task))


def _runs(message: Message, views: dict[int, TaskChanged]) -> bool:
    view = views.get(message.async_task_id or 0)
    return view is not None and not view.task.status.final


def _messages(number: int) -> str:
    return plural(number, "message") if number else "No messages"


def _shortened(message: Message) -> str:
    text = message.content
    if len(text) <= _LONGEST:
        return text
    return (
        f"{text[:_LONGEST]}\n(Cut here; it has {count(len(text))} characters. "
        f"`stepline conversations show {message.conversation_id}` prints all of it.)"
    )
