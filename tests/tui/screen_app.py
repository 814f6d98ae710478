"""A small app around one widget or screen, with the context that the real app gives."""

import os
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, cast

from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widget import Widget

from core.session import Session
from core.settings import Settings
from tui.clock import Clock
from tui.context import Context
from tui.keys import Keymap
from tui.symbols import ASCII, UNICODE
from tui.theme import NAME, own_theme

# Times are shown in the machine's time zone; pictures need one that is always the same.
os.environ["TZ"] = "UTC"
time.tzset()

NOW = datetime(2025, 6, 1, 14, 2, tzinfo=UTC)

HOSTILE = (
    "[red]bold[/red] [@click=app.bell]x[/] \x1b[31m\x1b]0;title\x07 "
    "漢字 e\u0301\u0301 שלום \u202eabc " + "w" * 300
)
"""Markup, escape sequences, wide, combining, right-to-left, too long."""


class ScreenApp(App[None]):
    """Shows `shown`; time stands still at `NOW` unless told otherwise."""

    ENABLE_COMMAND_PALETTE = False

    def __init__(
        self,
        shown: Widget | Screen[Any],
        *,
        ascii: bool = False,
        session: object = None,
        frozen: bool = True,
    ):
        super().__init__()
        self.register_theme(own_theme())
        self.theme = NAME
        self.shown = shown
        clock = Clock(self.set_interval)
        if frozen:
            clock.freeze(NOW)
        self.context = Context(
            settings=cast(Any, None),
            symbols=ASCII if ascii else UNICODE,
            keymap=Keymap(),
            clock=clock,
            opened=cast(Any, session),
        )

    def compose(self) -> ComposeResult:
        if not isinstance(self.shown, Screen):
            yield self.shown

    async def on_mount(self) -> None:
        await self.show()

    async def show(self) -> None:
        if isinstance(self.shown, Screen):
            await self.push_screen(self.shown)
        else:
            self.shown.focus()

    def screen_text(self) -> str:
        """The screen as it is read."""
        lines = self.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in lines)

    def toasts(self) -> Iterable[str]:
        """What the app told the user."""
        return [notification.message for notification in self._notifications]


class SessionApp(ScreenApp):
    """Opens a real session, then the screen made with it. For pictures: nothing is live."""

    def __init__(self, settings: Settings, make: Callable[[Session], Screen[Any]], **given: Any):
        super().__init__(Widget(), **given)
        self._settings = settings
        self._make = make

    def compose(self) -> ComposeResult:
        return iter(())

    async def show(self) -> None:
        self.context.opened = await Session.open(self._settings, live=False, worker=False)
        await self.push_screen(self._make(self.context.opened))

    async def on_unmount(self) -> None:
        await self.context.session.close()


async def until(pilot: Pilot[Any], true: Callable[[], bool], seconds: float = 5) -> None:
    """Waits until `true()`; fails with the screen's text if it never becomes so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, cast(ScreenApp, pilot.app).screen_text()
        await pilot.pause(0.01)
