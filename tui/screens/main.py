"""The main screen: conversation, task panel, composer; it carries what goes between them."""

from textual import events, on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from core.changes import (
    Change,
    ConversationChanged,
    Deleted,
    EngineChanged,
    LinkChanged,
    LinkState,
    Table,
)
from core.errors import NotFoundError, SteplineError
from tui import hints
from tui.actions import bindings, bindings_of
from tui.context import context
from tui.drafts import Drafts, drafts_of
from tui.messages import Changes, SessionOpened, StartFailed
from tui.screens.live import tell
from tui.screens.writing_screen import WritingScreen
from tui.widgets.composer import Composer
from tui.widgets.conversation import ConversationPane
from tui.widgets.header import StatusHeader
from tui.widgets.key_line import KeyLine
from tui.widgets.task_panel import TaskPanel
from tui.widgets.task_rows import TaskRows
from tui.widgets.transcript import Transcript

WIDE = 100
"""Columns from which on the task panel stands at the side."""


class MainScreen(WritingScreen, inherit_bindings=False):
    """See the module."""

    BINDINGS = [*bindings("start"), *bindings_of("app.next_pane", "app.previous_pane", "app.back")]  # noqa: RUF012

    def __init__(self, drafts: Drafts, conversation_id: int | None) -> None:
        """`conversation_id`: which conversation to show; None: the one that was open last."""
        super().__init__(drafts, conversation_id)
        self._failed = False
        self.running = 0
        """How many tasks run, as far as is known."""

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

    @property
    def header(self) -> StatusHeader:
        """The first line."""
        return self.query_one(StatusHeader)

    @property
    def panel(self) -> TaskPanel:
        """The task panel."""
        return self.query_one(TaskPanel)

    def on_mount(self) -> None:
        """Usable at once: what is typed before there is a session is kept."""
        self.header.show(engine=context(self).settings.engine)
        self.composer.set_text(self._writing.text)
        self.composer.focus()

    def on_resize(self, event: events.Resize) -> None:
        """Chooses the layout; nothing is mounted anew, so nothing is lost."""
        width, height = event.size
        self.set_class(width < WIDE, "-narrow")
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
        # Who signs in may be another than the kept session named, or the first to be known.
        here = context(self)
        self.belong_to(drafts_of(here.settings, here.session.store.user_id))
        self.panel.load()
        self._enter()
        self._send_letters()

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
        elif isinstance(change, EngineChanged):
            self.header.show(engine_up=change.up)
        elif isinstance(change, ConversationChanged) and change.conversation.id == current:
            self.header.show(title=change.conversation.title)
        elif isinstance(change, Deleted) and (change.table, change.id) == (
            Table.CONVERSATIONS,
            current,
        ):
            self.open_conversation(None)

    # Conversations

    def _watch(self, conversation_id: int | None) -> None:
        """Asks for the messages of that conversation as they change."""
        opened = context(self).opened
        if opened is not None:
            opened.feed.watch_conversation(conversation_id)

    def open_conversation(self, conversation_id: int | None, *, take_along: bool = False) -> None:
        """As there; and its title."""
        super().open_conversation(conversation_id, take_along=take_along)
        self.header.show(title="New conversation" if conversation_id is None else "")
        self._watch(conversation_id)
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
