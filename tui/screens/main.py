"""The main screen: conversation, task panel, composer; it carries what goes between them."""

from textual import events, on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widgets import Static

from core.changes import Change, ConversationChanged, Deleted, LinkChanged, LinkState, Table
from core.errors import NotFoundError, SteplineError
from core.models import Sent
from tui import hints
from tui.actions import bindings, bindings_of
from tui.context import context
from tui.drafts import Drafts, Letter
from tui.messages import Changes, SessionOpened, StartFailed
from tui.outbox import Outbox
from tui.screens.live import tell
from tui.screens.task_screen import TaskScreen
from tui.widgets.composer import Composer
from tui.widgets.conversation import ConversationPane
from tui.widgets.header import StatusHeader
from tui.widgets.key_line import KeyLine
from tui.widgets.task_panel import TaskPanel
from tui.widgets.task_rows import TaskRows
from tui.widgets.transcript import Transcript
from tui.writing import Writing

WIDE = 100
"""Columns from which on the task panel stands at the side."""
SMALLEST = (60, 16)
"""Columns and rows below which nothing is laid out."""
_SAVE_AFTER = 0.4
"""Seconds after a key press until the draft is on the disk."""


class MainScreen(TaskScreen, inherit_bindings=False):
    """See the module."""

    BINDINGS = [*bindings("start"), *bindings_of("app.next_pane", "app.previous_pane", "app.back")]  # noqa: RUF012

    def __init__(self, drafts: Drafts, conversation_id: int | None) -> None:
        """`conversation_id`: which conversation to show; None: the one that was open last."""
        super().__init__()
        self._drafts = drafts
        self._asked_for = conversation_id
        self._writing = Writing(drafts, conversation_id)
        self._save_timer: Timer | None = None
        self._failed = False
        self.running = 0
        """How many tasks run, as far as is known."""
        self._outbox = Outbox(drafts, changed=self._letters_changed, sent=self._letter_sent)

    def compose(self) -> ComposeResult:
        """Top to bottom; the grid puts the panel at the side where there is room."""
        yield StatusHeader(id="header")
        yield ConversationPane(id="conversation")
        yield TaskPanel(id="panel")
        with Vertical(id="typing"):
            yield Static("", id="problem", markup=False)
            with Horizontal():
                yield Static(f" {context(self).symbols.prompt} ", id="prompt", markup=False)
                yield Composer(id="composer")
        yield KeyLine(*hints.COMPOSER, id="hints")
        yield Static("stepline needs 60 columns and 16 rows.", id="tiny", markup=False)

    # The parts

    @property
    def header(self) -> StatusHeader:
        """The first line."""
        return self.query_one(StatusHeader)

    @property
    def conversation(self) -> ConversationPane:
        """The conversation pane."""
        return self.query_one(ConversationPane)

    @property
    def panel(self) -> TaskPanel:
        """The task panel."""
        return self.query_one(TaskPanel)

    @property
    def composer(self) -> Composer:
        """Where is typed."""
        return self.query_one(Composer)

    def on_mount(self) -> None:
        """Usable at once: what is typed before there is a session is kept."""
        self.header.show(engine=context(self).settings.engine)
        self.composer.set_text(self._writing.text)
        self.composer.focus()

    def on_resize(self, event: events.Resize) -> None:
        """Chooses the layout; nothing is mounted anew, so nothing is lost."""
        width, height = event.size
        self.set_class(width < WIDE, "-narrow")
        self.set_class(width < SMALLEST[0] or height < SMALLEST[1], "-tiny")
        self.panel.set_strip(width < WIDE, room=max(0, (height - 8) // 2))

    # The session

    def starting(self, *sentences: str) -> None:
        """What is going on until there is a session."""
        self._failed = False
        self._tell_problem("")
        self.header.show(link=LinkChanged(LinkState.CONNECTING))
        self.conversation.notice(*sentences)

    @on(StartFailed)
    def _start_failed(self, event: StartFailed) -> None:
        self._failed = True
        keymap = context(self).keymap
        typing, reading = keymap.first("compose.retry"), keymap.first("start.retry")
        leave = keymap.first("compose.leave")
        self.conversation.notice(f"{typing} tries again, or {leave} and then {reading}.")
        self.header.show(link=LinkChanged(LinkState.OFFLINE))
        self._tell_problem(event.sentence)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """`r` tries again only after a failed start."""
        return action != "start_retry" or self._failed

    async def action_start_retry(self) -> None:
        """Tries again to open the session."""
        await self.run_action("app.open_session")

    @on(SessionOpened)
    def _session_opened(self) -> None:
        self.panel.load()
        self._enter()
        self._send_letters()

    @work(group="outbox")
    async def _send_letters(self) -> None:
        await self._outbox.run(context(self).session)

    @work(group="enter", exclusive=True)
    async def _enter(self) -> None:
        chat = context(self).session.chat
        wanted = self._writing.conversation_id
        try:
            if wanted is not None:
                try:
                    await chat.conversation(wanted)
                except NotFoundError as error:
                    if self._asked_for is not None:
                        tell(self, str(error), bad=True)
                    wanted = None
            if wanted is None and not self.composer.text and not self._outbox.of(None):
                latest = await chat.conversations()
                wanted = latest[0].id if latest else None
        except SteplineError as error:
            self._tell_problem(str(error))
        self.open_conversation(wanted, take_along=True)

    @on(Changes)
    def _changes(self, event: Changes) -> None:
        for change in event.batch:
            self._apply(change)
        self.conversation.apply(event.batch)
        self.panel.apply(event.batch)

    @on(TaskPanel.Counted)
    def _counted(self, event: TaskPanel.Counted) -> None:
        self.running = event.running
        self.header.show(running=event.running)

    def _apply(self, change: Change) -> None:
        current = self.conversation.conversation_id
        if isinstance(change, LinkChanged):
            self.header.show(link=change)
        elif isinstance(change, ConversationChanged) and change.conversation.id == current:
            self.header.show(title=change.conversation.title)
        elif isinstance(change, Deleted) and (change.table, change.id) == (
            Table.CONVERSATIONS,
            current,
        ):
            self.open_conversation(None)

    # Conversations

    def open_conversation(self, conversation_id: int | None, *, take_along: bool = False) -> None:
        """Shows another conversation (None: a new one), with what was typed in it.

        `take_along`: what is being typed goes along, as at the start, when one types before it is
        known which conversation that is.
        """
        if self._writing.move(conversation_id, take_along=take_along):
            self.composer.set_text(self._writing.text)
        self._drafts.set_last_conversation(conversation_id)
        self.header.show(title="New conversation" if conversation_id is None else "")
        self.conversation.open(conversation_id)
        self._letters_changed()
        if conversation_id is not None:
            self._read_title(conversation_id)

    @work(group="title", exclusive=True)
    async def _read_title(self, conversation_id: int) -> None:
        try:
            conversation = await context(self).session.chat.conversation(conversation_id)
        except SteplineError:
            return  # the pane says what is wrong
        if conversation_id == self.conversation.conversation_id:
            self.header.show(title=conversation.title)

    @on(ConversationPane.NewWanted)
    def _new(self) -> None:
        self.open_conversation(None)
        self.composer.focus()

    @on(ConversationPane.Loaded)
    def _loaded(self, event: ConversationPane.Loaded) -> None:
        self.composer.sent_before = event.history
        self._tell_problem("")

    @on(ConversationPane.Failed)
    def _failed_to_read(self, event: ConversationPane.Failed) -> None:
        self._tell_problem(event.sentence)

    # Typing and sending

    @on(Composer.Submitted)
    def _submitted(self, event: Composer.Submitted) -> None:
        if not event.text.strip():
            if any(letter.error for letter in self._outbox.letters):
                self._outbox.retry()
            return
        self.composer.sent_before.append(event.text)
        request = self._writing.sent(event.text)
        self._outbox.post(self._writing.conversation_id, event.text, request)
        self.conversation.transcript.scroll_to_end()

    def _letters_changed(self) -> None:
        if not self.is_mounted:
            return
        letters = self._outbox.of(self._writing.conversation_id)
        failed = next((letter for letter in letters if letter.error), None)
        if failed is not None and not self.composer.text and len(letters) == 1:
            # Back into the composer; if something else is being typed there, it waits in the
            # conversation.
            self._tell_problem(f"Not sent: {failed.error}")
            self._take_back(failed)
            return
        self.conversation.set_letters(letters)
        if failed is not None:
            self._tell_problem(f"Not sent: {failed.error}")

    def _take_back(self, letter: Letter) -> None:
        self._writing.take_back(letter)
        self.composer.set_text(letter.text)
        self._outbox.withdraw(letter)

    def _letter_sent(self, letter: Letter, sent: Sent) -> None:
        self._tell_problem("")
        if letter.conversation_id is None and self._writing.conversation_id is None:
            self._writing.adopt(sent.conversation_id)
            self.open_conversation(sent.conversation_id)

    @on(ConversationPane.ResendWanted)
    def _resend(self) -> None:
        self._outbox.retry()

    @on(ConversationPane.LetterWanted)
    def _edit_letter(self, event: ConversationPane.LetterWanted) -> None:
        if self.composer.text:
            tell(self, "Something is being typed; send or delete it first.")
        elif event.letter in self._outbox.letters:
            self._take_back(event.letter)
            self.composer.focus()

    @on(ConversationPane.TypeWanted)
    def _type(self, event: ConversationPane.TypeWanted) -> None:
        if event.text is not None and self.composer.whole_text not in ("", event.text):
            tell(self, "Something is being typed; send or delete it first.")
        elif event.text is not None:
            self.composer.set_text(event.text)
        self.composer.focus()

    @on(Composer.Edited)
    def _edited(self, event: Composer.Edited) -> None:
        self._writing.text = event.text
        if self._save_timer is None:
            self._save_timer = self.set_timer(_SAVE_AFTER, self._save_draft)

    def _save_draft(self) -> None:
        if self._save_timer is not None:
            self._save_timer.stop()
            self._save_timer = None
        self._writing.save()

    def on_unmount(self) -> None:
        """The draft outlives the app."""
        self._save_draft()

    def _tell_problem(self, sentence: str) -> None:
        problem = self.query_one("#problem", Static)
        problem.update(sentence)
        problem.display = bool(sentence)

    @on(Composer.Wants)
    async def _wants(self, event: Composer.Wants) -> None:
        transcript = self.conversation.transcript
        match event.action_id:
            case "compose.leave":
                transcript.focus()
            case "compose.page_up":
                transcript.scroll_page(-1)
            case "compose.page_down":
                transcript.scroll_page(1)
            case "compose.search":
                self.conversation.begin_search()
            case "compose.retry" if self._failed:
                await self.action_start_retry()
            case "compose.retry":
                self.conversation.retry_last()
            case "compose.quit":
                self.app.exit()

    # Focus

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The last line names the keys of the pane that has the focus."""
        line = self.query_one("#hints", KeyLine)
        if isinstance(event.widget, Composer):
            line.show(*hints.COMPOSER)
        elif isinstance(event.widget, Transcript):
            line.show(*hints.CONVERSATION)
        elif isinstance(event.widget, TaskRows):
            line.show(*hints.PANEL)
        else:
            line.show(*hints.SEARCH)

    def _go_pane(self, step: int) -> None:
        panes = [self.composer, self.panel.rows, self.conversation.transcript]
        panes = [pane for pane in panes if pane.focusable]
        here = panes.index(self.focused) if self.focused in panes else 0
        panes[(here + step) % len(panes)].focus()

    def action_app_next_pane(self) -> None:
        """From typing to the tasks, to the conversation, to typing."""
        self._go_pane(1)

    def action_app_previous_pane(self) -> None:
        """The other way round."""
        self._go_pane(-1)

    def action_app_back(self) -> None:
        """Out of the search, then to the conversation; never out of the app."""
        self.conversation.end_search()
        self.conversation.transcript.focus()
