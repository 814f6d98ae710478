"""Everything that needs Textual's private side, in one place: output, signals, crashes.

Textual is pinned to one minor version for the sake of this file.
"""

import asyncio
import logging
import os
import signal
import termios
import threading
from codecs import getincrementaldecoder
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from select import select
from time import monotonic
from typing import IO, Any

from textual import events
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._compositor import CompositorUpdate
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.css.query import NoMatches
from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver
from textual.screen import Screen
from textual.worker import WorkerFailed

from tui.shown import Shown

log = logging.getLogger(__name__)

_MAX_WAITING = 200
"""Writes that may wait before the app itself has to; the clock slows down long before."""
_ESCAPE = 0.05
"""Seconds between two looks at whether a lone escape stays alone."""
_PATIENCE = 0.3
"""Seconds that the end waits for a terminal that does not take what was written."""
_REPORTS = 1.0
"""Seconds in which a terminal may still answer what it was asked at the start."""
_RESTORE = (
    b"\x18\x1b[?2026l\x1b[?2004l\x1b[?7h\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[<u"
    b"\x1b[?1049l\x1b[?25h\x1b[?1004l"
)
"""What Textual writes to leave; first of all, CAN ends a sequence that was cut in the middle."""


class Writer(threading.Thread):
    """Writes to the terminal in the background.

    Unlike Textual's: it survives a terminal that is gone, and at the end it throws away frames
    that the terminal has not taken instead of waiting for them.
    """

    def __init__(self, file: IO[str]) -> None:
        super().__init__(daemon=True, name="terminal-output")
        self._fd = file.fileno()
        self._waiting: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._gone = False
        self._writing = False

    @property
    def backlog(self) -> int:
        """How many writes the terminal has not taken yet."""
        return len(self._waiting) + self._writing

    def write(self, text: str) -> None:
        """Queues text; waits only when very much is queued already."""
        data = text.encode("utf-8", "replace")
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < _MAX_WAITING or self._gone, 10)
            if not self._gone:
                self._waiting.append(data)
                self._changed.notify_all()

    def isatty(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """The terminal's."""
        return self._fd

    def flush(self) -> None:
        """Nothing to do: nothing is held back."""

    def run(self) -> None:
        """Takes what is queued, in as few writes as possible."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting) or self._stopping)
                if not self._waiting:
                    return
                data = b"".join(self._waiting)
                self._waiting.clear()
                self._writing = True
                self._changed.notify_all()
            self._put(data)
            self._writing = False

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view and not self._gone:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                threading.Event().wait(0.01)
            except OSError:
                self._gone = True

    def stop(self) -> None:
        """Ends within a moment; what restores the terminal is written whatever waits before it."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self.join(_PATIENCE)
        if not self.is_alive():
            return
        # The terminal is slow: drop the frames, those in the kernel too.
        self._gone = True
        with self._changed:
            self._waiting.clear()
        with suppress(termios.error):
            termios.tcflush(self._fd, termios.TCOFLUSH)
        self.join(_PATIENCE)
        with suppress(OSError):
            os.set_blocking(self._fd, False)
            os.write(self._fd, _RESTORE)
        with suppress(OSError):
            os.set_blocking(self._fd, True)


class _Named(Enum):
    """Keys that Textual's table of sequences lacks."""

    ALT_ENTER = "alt+enter"


# What terminals without the newer keyboard protocols send; Textual would take it for enter.
ANSI_SEQUENCES_KEYS["\x1b\r"] = (_Named.ALT_ENTER,)  # pyright: ignore


class _Knock(threading.Event):
    """An event that can be waited for together with a file."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self._writer = os.pipe()

    def set(self) -> None:
        """Also makes `reader` readable."""
        super().set()
        os.write(self._writer, b"!")

    def clear(self) -> None:
        """Takes that back."""
        if self.is_set():
            os.read(self.reader, 1)
        super().clear()


class Driver(LinuxDriver):
    """Textual's driver, with our writer, and asleep while nobody types."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.exit_event = _Knock()
        self._asked_at = 0.0
        self._reports = 0
        self._answered = threading.Event()

    def run_input_thread(self) -> None:
        """Hands on what is typed. Textual's wakes ten times a second to look at the clock; a clock
        is needed only within a sequence: is it an escape, or the beginning of more?
        """
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        stop = self.exit_event.reader
        while not self.exit_event.is_set():
            pause = None if parser._timeout_time is None else _ESCAPE
            ready, _, _ = select([self.fileno, stop], [], [], pause)
            if self.fileno in ready:
                data = os.read(self.fileno, 4096)
                if not data:
                    return
                self._reports += data.count(b"$y")
                if self._reports >= 2:  # one for each mode that Textual asks about
                    self._answered.set()
                for message in parser.feed(decode(data)):
                    self.process_message(message)
            for message in parser.tick():
                self.process_message(message)

    def start_application_mode(self) -> None:
        """As Textual's; also when it comes back from having been stopped."""
        if isinstance(self._app, Sparing):
            self._app.shown.forget()
        theirs = linux_driver.WriterThread  # pyright: ignore
        linux_driver.WriterThread = Writer  # pyright: ignore
        self._asked_at, self._reports = monotonic(), 0
        self._answered.clear()
        try:
            super().start_application_mode()
        finally:
            linux_driver.WriterThread = theirs  # pyright: ignore

    def disable_input(self) -> None:
        """As Textual's; but what ends as soon as it began waits for the terminal's answers first,
        which the shell would take for typing."""
        if self._key_thread is not None and self._key_thread.is_alive():
            self._answered.wait(max(0.0, self._asked_at + _REPORTS - monotonic()))
        super().disable_input()

    @property
    def backlog(self) -> int:
        """How many writes the terminal has not taken yet."""
        writer = self._writer_thread
        return writer.backlog if isinstance(writer, Writer) else 0


def backlog(app: "App[Any]") -> int:
    """How many writes the terminal has not taken yet; 0 where that is not known."""
    driver = app._driver
    return driver.backlog if isinstance(driver, Driver) else 0


def can_have_mouse(env: Mapping[str, str]) -> bool:
    """Not inside GNU screen: while a program has the mouse there, screen holds esc back until the
    next key, and makes alt and that key of the two.
    """
    return not env.get("STY")


def leave_on_signals(app: "App[Any]") -> None:
    """These signals end the app in order: the terminal is restored, drafts are kept."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        with suppress(ValueError, RuntimeError):  # not the main thread, as in tests
            loop.add_signal_handler(number, _leave, app, number)


def _leave(app: "App[Any]", number: signal.Signals) -> None:
    log.info("ended by %s", number.name)
    app.exit(return_code=128 + number)


class Sparing(App[None]):
    """An app that writes only what differs from what the terminal shows."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.shown = Shown()

    def _display(self, screen: "Screen[Any]", renderable: Any) -> None:
        if isinstance(renderable, CompositorUpdate):
            renderable = self.shown.difference(renderable)
        super()._display(screen, renderable)

    async def on_event(self, event: events.Event) -> None:
        """After another size the terminal shows whatever it likes."""
        if isinstance(event, events.Resize):
            self.shown.forget()
        await super().on_event(event)


class QuietCrash(App[None]):
    """An app whose unexpected errors end in the log, not on the terminal."""

    crash: Exception | None = None
    """The first unexpected error."""
    _leaving = False

    async def _shutdown(self) -> None:
        self._leaving = True
        await super()._shutdown()

    def _handle_exception(self, error: Exception) -> None:
        cause = error.error if isinstance(error, WorkerFailed) else error
        if self._leaving and isinstance(cause, NoMatches):
            return  # an answer that came while the widgets for it were taken down
        log.error("unexpected error", exc_info=error)
        self.crash = self.crash or error
        self._return_code = 1
        if self._exception is None:
            # What Textual's test pilot raises in the test.
            self._exception = error
            self._exception_event.set()
        self._close_messages_no_wait()

    @property
    def _background_screens(self) -> "list[Screen[Any]]":
        """None under a screen that covers all: Textual would draw the top one anew, whole, for
        every change of one below it.
        """
        return [] if self.screen.styles.background.a == 1 else super()._background_screens
