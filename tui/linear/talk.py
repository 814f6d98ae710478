"""The conversation of the linear mode: what is typed goes out, what comes is told."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

from core.changes import Change, Deleted, LinkChanged, MessageChanged, Table
from core.errors import ExitCode, NotFoundError, SteplineError
from core.models import Message, Role, Sent
from core.session import Session
from core.text import clean
from tui.drafts import Drafts, Letter
from tui.format import plural, still_running
from tui.linear.answers import Answers
from tui.linear.begun import Begun
from tui.linear.commands import Commands
from tui.linear.link import Link
from tui.linear.paper import Paper
from tui.linear.reading import Reading
from tui.outbox import Outbox
from tui.writing import Writing

_LONGEST_LINE = 4095
"""Bytes of a typed line; the terminal itself drops what is beyond."""


_FRAME = 0.2
"""Seconds in which what comes is told together, a text's end before the steps behind it."""


class Talk:
    """See the module. `begin`, then `take` for every line; `hear` and the outbox run meanwhile."""

    def __init__(
        self, session: Session, drafts: Drafts, paper: Paper, *, asked: int | None, typing: bool
    ) -> None:
        """`asked`: the conversation that was asked for. `typing`: somebody types at a terminal."""
        self.session = session
        self.paper = paper
        self.answers = Answers(session, paper)
        self.reading = Reading(session, paper, self.answers)
        self.outbox = Outbox(drafts, changed=self._letters_changed, sent=self._letter_sent)
        self.left = asyncio.Event()
        """To be set when the user leaves."""
        self._drafts = drafts
        self._writing = Writing(drafts, asked)
        self._asked = asked
        self._typing = typing
        self._subscription = session.feed.subscribe()
        self._commands = Commands(self)
        self._link = Link()
        self._begun = Begun(self._writing)
        self._question: Callable[[], Awaitable[None]] | None = None
        self._unsent_told: set[UUID] = set()
        self._held: list[MessageChanged] = []
        """New messages that may be those of a letter on its way."""
        self.turn = asyncio.Lock()
        """What is read out is read out whole, before the next change is told."""
        self._moved = asyncio.Event()

    @property
    def conversation_id(self) -> int | None:
        """The conversation that is open; None: a new one."""
        return self._writing.conversation_id

    async def begin(self) -> None:
        """Opens the conversation that was asked for, else the one that was open last."""
        wanted = self._writing.conversation_id
        if wanted is not None and self._asked is None:
            try:
                await self.session.chat.conversation(wanted)
            except NotFoundError:
                wanted = None
        if wanted is None and not self._writing.text and not self.outbox.of(None):
            latest = await self.session.chat.conversations()
            wanted = latest[0].id if latest else None
        if self.outbox.letters:
            letters = plural(len(self.outbox.letters), "message")
            self.paper.line(f"{letters} not sent the last time; sending now.")
        await self.open(wanted)

    async def open(self, conversation_id: int | None) -> None:
        """Opens a conversation, or a new one; raises NotFoundError and then changes nothing."""
        async with self.turn:
            # Before its messages are read, or one that comes in between is told of by nobody.
            self.session.feed.watch_conversation(conversation_id)
            try:
                await self.reading.open(conversation_id)
            except SteplineError:
                self.session.feed.watch_conversation(self.conversation_id)
                raise
            self._writing.move(conversation_id)
            self._drafts.set_last_conversation(conversation_id)
            if self._writing.text:
                start = " ".join(clean(self._writing.text[:200]).split())
                self.paper.line(f"A draft is kept here: {start}")
                self.paper.line("/draft sends it.")

    # What is typed

    async def take(self, line: str, *, more: bool = False) -> None:
        """One line that was typed: a part of a message, a message, a command or an answer.

        `more`: the next one was typed already, and need not be asked for.
        """
        if self._typing and len(line.encode("utf-8", "replace")) >= _LONGEST_LINE:
            self._begun.keep(line)
            self.paper.line(
                "Not sent: the line is as long as the terminal lets a line be, so its end may be "
                "missing. It is kept as the draft. End shorter lines with a backslash instead."
            )
        elif (text := self._begun.add(line)) is not None:
            try:
                await self._take(text)
            except SteplineError as error:
                self.paper.line(str(error))
        if not more:
            self.rest()

    async def take_last(self, rest: str) -> None:
        """The input has ended: what is left of it is a line too."""
        if rest or self._begun:
            await self.take(rest)

    async def _take(self, text: str) -> None:
        question, self._question = self._question, None
        if question is not None:
            if text.strip().lower() in ("y", "yes"):
                await question()
                return
            self.paper.line("Not done.")
            if text.strip().lower() in ("n", "no"):
                return
        if text.startswith("/") and not text.startswith("//"):
            await self._commands.do(text[1:])
        elif text.strip():
            self._post(text[1:] if text.startswith("//") else text)
        else:
            self.resend()

    def ask(self, question: str, then: Callable[[], Awaitable[None]]) -> None:
        """Does something after the next line, if that is a yes."""
        self._question = then
        self.paper.line(f"{question} Type y to do it.")

    def _post(self, text: str, request: UUID | None = None) -> None:
        self.outbox.post(self.conversation_id, text, request)

    def resend(self) -> bool:
        """Tries again what could not be sent; false if there is nothing."""
        failed = any(letter.error for letter in self.outbox.letters)
        if failed:
            self.outbox.retry()
        return failed

    def send_draft(self) -> None:
        """Sends the draft that is kept for this conversation."""
        text = self._writing.text
        if not text.strip():
            self.paper.line("There is no draft here.")
            return
        self._post(text, self._writing.sent(text))

    def interrupted(self, advice: str) -> None:
        """ctrl+c was pressed: puts a message away that was begun, and says what comes next."""
        self._question = None
        if self._begun.keep():
            self.paper.line("What you had begun is kept as the draft; /draft sends it.")
        self.paper.line(advice + (" Running tasks go on." if self.answers.running else ""))
        self.rest()

    # What is sent

    @property
    def _on_their_way(self) -> list[Letter]:
        letters = self.outbox.letters
        return [] if any(letter.error for letter in letters) else letters

    async def letters_settled(self) -> None:
        """Waits until every letter is sent, or has failed."""
        await self._until(lambda: not self._on_their_way)

    def _letters_changed(self) -> None:
        for letter in self.outbox.letters:
            if not letter.error:
                self._unsent_told.discard(letter.request)
            elif letter.request not in self._unsent_told:
                self._unsent_told.add(letter.request)
                self.paper.line(f"Not sent: {letter.error} It is kept; /retry sends it again.")
        self._tell_held()
        self.rest()

    def _letter_sent(self, letter: Letter, sent: Sent) -> None:
        said = f"Sent; task #{sent.task_id}"
        if letter.conversation_id is None and self.conversation_id is None:
            self._writing.adopt(sent.conversation_id)
            self.session.feed.watch_conversation(sent.conversation_id)
            self._drafts.set_last_conversation(sent.conversation_id)
            self.answers.conversation_id = sent.conversation_id
        if letter.conversation_id is None or sent.conversation_id != self.conversation_id:
            said += f", conversation {sent.conversation_id}"
        if sent.conversation_id == self.conversation_id:
            self.reading.newest = max(self.reading.newest, sent.message_id)
        before = self.answers.before(sent.task_id, sent.conversation_id)
        self.paper.line(f"{said}." + (f" It waits for #{before}." if before else ""))
        self.answers.follow(sent.task_id, conversation_id=sent.conversation_id)

    # What comes

    async def hear(self) -> None:
        """Tells what changes, for ever."""
        while True:
            # A page that is written slowly gets the newest state, not a backlog.
            await self.paper.written()
            changes = await self._subscription.batch()
            await asyncio.sleep(_FRAME)
            async with self.turn:
                # What has ended is told before what has begun since.
                await self.answers.finish()
                for change in changes:
                    await self._apply(change)
                self.answers.grow()
            self.rest()

    async def _apply(self, change: Change) -> None:
        match change:
            case LinkChanged():
                if sentence := self._link.news(change):
                    self.paper.line(sentence)
                    if self._link.up:
                        self.resend()
            case MessageChanged() if not self.answers.knows(change.message.async_task_id or 0):
                self._held.append(change)
                self._tell_held()
            case Deleted(table=Table.CONVERSATIONS, id=row_id) if row_id == self.conversation_id:
                self.paper.line("This conversation was deleted.")
                await self.reading.open(None)
                self.session.feed.watch_conversation(None)
                self._writing.move(None)
            case _:
                self.answers.apply(change)

    def _tell_held(self) -> None:
        """New messages of this conversation, unless they may be what is being sent."""
        if self._on_their_way:
            return
        held, self._held = self._held, []
        for change in sorted(held, key=lambda each: each.message.id):
            message = change.message
            if message.conversation_id != self.conversation_id:
                continue
            task_id = message.async_task_id
            if task_id is not None and self.answers.knows(task_id):
                self.answers.apply(change)
            elif message.id > self.reading.newest:
                self._tell_new(message)
            elif task_id is not None and task_id not in self.reading.tasks:
                self.paper.line(f"An answer is begun again, as task #{task_id}.")
                self.answers.follow(task_id, message=message, conversation_id=self.conversation_id)

    def _tell_new(self, message: Message) -> None:
        if message.role is Role.ASSISTANT and message.async_task_id is not None:
            self.reading.newest = message.id
            self.answers.follow(
                message.async_task_id, message=message, conversation_id=self.conversation_id
            )
        else:
            self.reading.read_new(message)

    def rest(self) -> None:
        """Asks for a line if nothing is on its way; lets those know who wait for that."""
        self._moved.set()
        if self._begun:
            self.paper.prompt(goes_on=True)
        elif not (self.left.is_set() or self._on_their_way or self.answers.here):
            self.paper.prompt()

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            self._moved.clear()
            await self._moved.wait()

    # The end

    async def all_told(self) -> ExitCode:
        """Waits until everything that was sent is answered; says how that went."""
        await self._until(lambda: not self._on_their_way and not self.answers.running)
        return ExitCode.TRY_AGAIN if self.outbox.letters else self.answers.code

    def farewell(self, rest: str) -> None:
        """Keeps what was begun, `rest` being its last line, and says what else goes on."""
        self.answers.close()
        self._subscription.close()
        if self._begun.keep(rest):
            self.paper.line("What you had begun is kept as the draft of this conversation.")
        if running := len(self.answers.running):
            self.paper.line(still_running(running))
        if letters := len(self.outbox.letters):
            kept = "it is kept and goes" if letters == 1 else "they are kept and go"
            self.paper.line(
                f"{plural(letters, 'message')} not sent; {kept} out when stepline is started again."
            )
        self.paper.end_line()
