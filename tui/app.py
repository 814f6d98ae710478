"""The app: what all screens share. It paints first and connects second."""

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from textual import work
from textual.filter import LineFilter
from textual.screen import Screen
from textual.widgets import TextArea

from core.changes import LinkChanged, LinkState
from core.errors import SignInNeededError, SteplineError
from core.logs import setup
from core.settings import Settings
from tui import startup, terminal
from tui.actions import bindings
from tui.clock import Clock
from tui.context import Context
from tui.drafts import drafts_at_start
from tui.filters import AsciiTwins, NoColour
from tui.format import still_running
from tui.keys import Keymap
from tui.messages import Changes, SessionOpened, StartFailed
from tui.screens.live import tell
from tui.screens.main import MainScreen
from tui.symbols import ASCII, choose
from tui.theme import NAME, own_theme
from tui.typeahead import KeysInOrder

log = logging.getLogger(__name__)

_AGAIN = 3.0
"""Seconds in which the second ctrl+c quits."""
_PAUSE = 1.0
"""Seconds without typing after which a dialog that nobody asked for may come."""


class SteplineApp(terminal.QuietCrash, terminal.Sparing, KeysInOrder, inherit_bindings=False):
    """Owns the context and the session; the screens do the rest."""

    TITLE = "stepline"
    CSS_PATH = Path(__file__).with_name("stepline.tcss")
    BINDINGS = bindings("app", priority=("app.quit",))
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, settings: Settings, conversation: int | None = None) -> None:
        """Raises `ConfigError` where `[keys]` is wrong."""
        super().__init__(driver_class=None if os.name == "nt" else terminal.Driver)
        keymap = Keymap(settings.keys)
        self.set_keymap(keymap.overrides)
        self.context = Context(
            settings=settings,
            symbols=choose(settings.ascii),
            keymap=keymap,
            clock=Clock(
                self.set_interval,
                settings.animation,
                remote="SSH_CONNECTION" in os.environ,
                backlog=lambda: terminal.backlog(self),
            ),
        )
        self.animation_level = "none"
        self.register_theme(own_theme())
        self.theme = self._theme(settings.theme)
        self._main = MainScreen(drafts_at_start(settings), conversation)
        self._quit_asked = 0.0
        self._signed_out = False

    def _theme(self, wanted: str) -> str:
        """The theme of that name, where there is one and the terminal has the colours for it."""
        theme = self.available_themes.get(wanted)
        # In 16 colours those of a theme become one another, letters and what is behind them.
        few = self.console.color_system not in ("256", "truecolor")
        return NAME if theme is None or (few and not theme.ansi) else wanted

    def get_default_screen(self) -> Screen[None]:
        """The main screen is there from the first paint on."""
        return self._main

    @property
    def main(self) -> MainScreen:
        """The main screen."""
        return self._main

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's, or no colour at all; and ASCII where the terminal can do no more."""
        filters = [NoColour()] if self.no_color else super().get_line_filters()
        return [*filters, AsciiTwins()] if self.context.symbols is ASCII else filters

    def on_mount(self) -> None:
        """Connects once something is on the screen."""
        terminal.leave_on_signals(self)
        self.call_after_refresh(self.action_open_session)

    # The session

    def action_open_session(self) -> None:
        """Opens the session in the background; also what `r` does after a failed start."""
        settings = self.context.settings
        self._main.starting(
            "Setting up the database (first start, takes a few seconds)…"
            if settings.first_start
            else "Connecting to the database…"
        )
        for warning in settings.warnings:
            tell(self._main, warning)
        self._open()

    @work(group="session", exclusive=True)
    async def _open(self) -> None:
        # The drivers behind this take longer to import than a key press may wait.
        await asyncio.to_thread(_import_what_opens_a_session, self.context.settings.store)
        from core.session import Session

        try:
            session = await Session.open(self.context.settings)
        except SteplineError as error:
            startup.done()
            log.warning("the session could not be opened: %s", error)
            self._main.post_message(StartFailed(str(error)))
            if isinstance(error, SignInNeededError):
                self._sign_in(str(error))
            return
        startup.done()
        self.context.opened = session
        self.context.clock.source = session.now
        subscription = session.feed.subscribe()
        self._main.post_message(Changes([session.feed.state, session.engine.health]))
        self._main.post_message(SessionOpened())
        await asyncio.to_thread(_import_what_paints_an_answer)
        while True:
            changes = await subscription.batch()
            self._main.post_message(Changes(changes))
            for change in changes:
                if isinstance(change, LinkChanged):
                    out = change.state is LinkState.SIGNED_OUT
                    if out and not self._signed_out:
                        self._sign_in(change.detail)
                    self._signed_out = out

    def action_app_sign_in(self) -> None:
        """Asks who one is, where that matters."""
        state = self.context.opened.feed.state.state if self.context.opened else None
        if self.context.settings.store != "supabase":
            tell(
                self.screen, "There is nothing to sign in to: the database is no Supabase project."
            )
        elif state not in (None, LinkState.SIGNED_OUT):
            tell(self.screen, "You are signed in; `stepline logout` ends the session.")
        else:
            self._main.typed_at = 0.0
            self._sign_in("")

    @work(group="sign_in")
    async def _sign_in(self, reason: str) -> None:
        """What is below stays as it is: the draft too."""
        settings, opened = self.context.settings, self.context.opened
        if settings.supabase.access_token or settings.supabase.refresh_token:
            return  # the environment's session is not ours to begin; the sentence says so
        # What is typed for the composer must not land in a line for passwords.
        while (left := self._main.typed_at + _PAUSE - monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(left)
        if self._elsewhere("SignInScreen", always=True):
            return
        from tui.screens.sign_in import SignInScreen

        user_id = opened.store.user_id if opened is not None else None
        if not await self.push_screen_wait(SignInScreen(settings, reason, user_id)):
            return
        if opened is None:
            self.action_open_session()
        else:
            self._main.signed_in()

    # Actions of all screens

    def notify(self, message: str, **how: Any) -> None:
        """One sentence at a time: a stack of them would hide the conversation."""
        self.clear_notifications()
        super().notify(message, **how)

    def action_app_quit(self) -> None:
        """Copies what is selected; else quits when pressed twice."""
        focused = self.focused
        if isinstance(focused, TextArea) and focused.selected_text:
            focused.action_copy()
            return
        if monotonic() - self._quit_asked < _AGAIN:
            self.exit()
            return
        self._quit_asked = monotonic()
        key = self.context.keymap.first("app.quit")
        running = " Running tasks go on." if self._main.running else ""
        tell(self._main, f"Press {key} again to quit.{running}")

    def action_app_redraw(self) -> None:
        """Writes the whole screen once again: something else may have written to it."""
        self.shown.forget()
        self.screen.refresh(layout=True)

    def action_app_next_pane(self) -> None:
        """The next pane."""
        self.screen.focus_next()

    def action_app_previous_pane(self) -> None:
        """The previous pane."""
        self.screen.focus_previous()

    def action_app_help(self) -> None:
        """The keys that work here."""
        from tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen.here(self.screen, self.focused))

    @work(group="palette", exclusive=True)
    async def action_app_palette(self) -> None:
        """Any action by its name."""
        from tui.palette import Palette

        if isinstance(self.screen, Palette):
            return
        command = await self.push_screen_wait(Palette(self.screen, self.focused))
        if command is not None:
            await self.run_action(command.action.method, command.node)

    @work(group="screen", exclusive=True)
    async def action_app_conversations(self) -> None:
        """All conversations; the one chosen there is opened."""
        if self._elsewhere("ConversationsScreen"):
            return
        from tui.screens.conversations import ConversationsScreen

        current = self._main.conversation.conversation_id
        chosen = await self.push_screen_wait(ConversationsScreen(self.context.session, current))
        if chosen is not None:
            self._main.open_conversation(None if chosen == "new" else chosen)
            self._main.composer.focus()

    def action_app_tasks(self) -> None:
        """All tasks."""
        if not self._elsewhere("TaskListScreen"):
            from tui.screens.task_list import TaskListScreen

            self.push_screen(TaskListScreen(self.context.session))

    def action_task_new(self) -> None:
        """The form for a new task."""
        if not self._elsewhere("NewTaskScreen"):
            from tui.screens.new_task import NewTaskScreen

            self.push_screen(NewTaskScreen(self.context.session))

    def _elsewhere(self, name: str, *, always: bool = False) -> bool:
        """Whether this screen cannot be opened now: it is open, or it needs a session, which most
        do (but `always`), and there is none."""
        if self.context.opened is None and not always:
            tell(self.screen, "Not connected yet.")
            return True
        return any(type(screen).__name__ == name for screen in self.screen_stack)


def _import_what_opens_a_session(store: str) -> None:
    import core.session

    if store == "supabase":
        import core.auth.account
        import core.store.supabase
    else:
        import core.store.postgres  # noqa: F401


def _import_what_paints_an_answer() -> None:
    from tui.paint.markdown import warm

    warm()


def run(settings: Settings, *, conversation: int | None = None) -> int:
    """Runs the app until the user leaves; returns the exit code. Raises `ConfigError`."""
    path = setup(settings.state_dir)
    app = SteplineApp(settings, conversation)
    asyncio.run(_run(app))
    if app.crash is not None:
        print(f"stepline ended unexpectedly; what happened is in {path}.", file=sys.stderr)
        return 1
    if app.main.running:
        with suppress(OSError):  # the terminal may be what went away
            print(still_running(app.main.running), file=sys.stderr)
    return app.return_code or 0


async def _run(app: SteplineApp) -> None:
    try:
        mouse = app.context.settings.mouse and terminal.can_have_mouse(os.environ)
        await app.run_async(mouse=mouse)
    finally:
        if app.context.opened is not None:
            await app.context.opened.close()
