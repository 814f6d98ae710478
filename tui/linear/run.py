"""Runs the linear mode: opens the session, takes the lines one by one, ends."""

import asyncio
import signal
import sys
from contextlib import suppress
from time import monotonic
from typing import Any

from core.errors import ExitCode, SteplineError
from core.session import Session
from core.settings import Settings
from tui.cli.output import put
from tui.cli.running import with_session
from tui.drafts import drafts_at_start
from tui.linear.paper import Paper
from tui.linear.talk import Talk
from tui.linear.typed import TypedLines
from tui.symbols import choose

_AGAIN = 10.0
"""Seconds in which the second ctrl+c quits: a screen reader takes its time to read the sentence."""
_PATIENCE = 0.3
"""Seconds that a hurried end waits for a terminal that does not take what was written."""


def run(settings: Settings, *, conversation: int | None = None) -> int:
    """Runs until the user leaves or the input ends; returns the exit code."""

    if settings.first_start:
        put("Setting up the database (first start, takes a few seconds).")

    async def work(session: Session) -> int:
        return await _Run(session, settings, conversation).until_left()

    return with_session(work, settings=settings, live=True, worker=True)


class _Run:
    def __init__(self, session: Session, settings: Settings, conversation: int | None) -> None:
        self._typing = sys.stdin.isatty()
        prompt = choose(settings.ascii).prompt if self._typing else ""
        self._paper = Paper(sys.stdout.fileno(), sys.stdout.encoding, prompt=prompt)
        self._lines = TypedLines(sys.stdin.fileno())
        drafts = drafts_at_start(settings, session.store.user_id)
        self._talk = Talk(session, drafts, self._paper, asked=conversation, typing=self._typing)
        self._session = session
        self._quit_asked = -_AGAIN
        self._interrupted = False

    async def until_left(self) -> int:
        """The whole of it; whatever ends it, what was typed is kept and what goes on is said."""
        loop = asyncio.get_running_loop()
        asks = self._typing and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
        if asks:
            loop.add_signal_handler(signal.SIGINT, self._ctrl_c)
        self._paper.start()
        hurried = True
        try:
            self._paper.line("stepline, as plain lines. /help tells what can be typed.")
            await self._talk.begin()
            code = await self._lines_or_leave()
            hurried = False
        finally:
            if asks:
                loop.remove_signal_handler(signal.SIGINT)  # from here on one is enough
            await self._end(hurried=hurried or self._interrupted)
        return ExitCode.INTERRUPTED if self._interrupted else code

    async def _lines_or_leave(self) -> int:
        """Takes lines, sends and hears, until the lines end or the user leaves."""
        taking = asyncio.create_task(self._take_lines())
        others = (
            self._talk.left.wait(),
            self._talk.hear(),
            self._talk.outbox.run(self._session),
        )
        tasks: list[asyncio.Task[Any]] = [taking, *(asyncio.create_task(one) for one in others)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()
        return taking.result() if taking in done else ExitCode.DONE

    async def _take_lines(self) -> int:
        self._lines.start()
        self._talk.rest()
        while not self._talk.left.is_set() and (line := await self._lines.next()) is not None:
            self._paper.entered()
            self._quit_asked = -_AGAIN
            await self._talk.take(line, more=self._lines.more)
        if self._typing or self._talk.left.is_set():
            return ExitCode.DONE
        await self._talk.take_last(self._lines.rest)
        return await self._talk.all_told()

    def _ctrl_c(self) -> None:
        """Asks once; the second time leaves."""
        self._paper.interrupted()
        if monotonic() - self._quit_asked < _AGAIN:
            self._interrupted = True
            self._talk.left.set()
            return
        self._quit_asked = monotonic()
        self._talk.interrupted("Press ctrl+c again to quit.")

    async def _end(self, *, hurried: bool) -> None:
        rest = self._lines.rest if self._typing else ""
        if rest:
            self._paper.interrupted()  # it stands there without a line's end
        if not hurried:
            self._talk.farewell(rest)
            await self._paper.written()
            return
        # A terminal that is gone, or that takes nothing, must not keep us.
        with suppress(SteplineError, OSError, TimeoutError):
            self._talk.farewell(rest)
            async with asyncio.timeout(_PATIENCE):
                await self._paper.written()
