"""What is written: lines, one after the other, on a page that only ever grows at its end."""

import asyncio
import os
import threading
from collections import deque
from contextlib import suppress
from time import monotonic

from core.text import clean
from tui.cli.output import unwritable

_TIME_TO_TYPE = 1.0
"""Seconds without a line from us after which the terminal's line may have been typed in."""


class Paper:
    """stdout, written to by a thread: a slow terminal, or one that was stopped, holds up nobody.

    Everything passes through `clean` once more, so that whatever it comes from, no control
    character but a line's end and a tab reaches the terminal.
    """

    def __init__(self, fd: int, encoding: str, *, prompt: str) -> None:
        """`prompt`: what stands in front of what is typed; empty: nobody types here."""
        self.writer: object = None
        """Whose text was written last, if nothing else was written since."""
        self._fd = fd
        self._encoding = encoding
        self._prompt = prompt
        self._prompted = False
        self._put_at = monotonic()
        self._error: OSError | None = None
        self._waiting: deque[bytes] = deque()
        self._writing = False
        self._changed = threading.Condition()
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    def start(self) -> None:
        """Begins to write."""
        threading.Thread(target=self._write, daemon=True, name="lines").start()

    def line(self, text: str) -> None:
        """Writes a line, or several."""
        self._put(clean(text).rstrip("\n") + "\n")

    def text(self, text: str, writer: object) -> None:
        """Writes a piece of a text; what comes next may belong to the same line."""
        self._put(clean(text))
        self.writer = writer

    def prompt(self, *, goes_on: bool = False) -> None:
        """Asks for a line, or with `goes_on` for the next one, if it was not asked for already."""
        if self._prompt and not self._prompted:
            self._put(f"{self._prompt * (2 if goes_on else 1)} ")
            self._prompted = True

    def entered(self) -> None:
        """A line was typed: the terminal has shown it, and its end."""
        self._prompted = False
        self._put_at = monotonic()
        self.writer = None

    def interrupted(self) -> None:
        """ctrl+c was pressed: the terminal has shown that, and no line's end."""
        self._prompted = True

    def end_line(self) -> None:
        """Leaves no line half written."""
        if self._prompted:
            self._put("")

    def _put(self, text: str) -> None:
        if self._error is not None:
            raise unwritable(self._error)
        if self._prompted or self._may_be_typed_in():
            text = "\n" + text
        self._put_at = monotonic()
        self._prompted = False
        self.writer = None
        with self._changed:
            self._waiting.append(text.encode(self._encoding, "replace"))
            self._changed.notify()

    def _may_be_typed_in(self) -> bool:
        """Whether somebody has had the time to begin a line where we would write.

        Nobody but the terminal knows what was typed before enter is pressed. A line too many is
        better than words that run into each other.
        """
        return bool(self._prompt) and monotonic() - self._put_at > _TIME_TO_TYPE

    async def written(self) -> None:
        """Waits until all of it is written. Raises what `tui.cli.output.put` raises."""
        while self._error is None and (self._waiting or self._writing):
            self._news.clear()
            if self._waiting or self._writing:
                await self._news.wait()
        if self._error is not None:
            raise unwritable(self._error)

    def _write(self) -> None:
        # The loop may be gone while the terminal takes its time.
        with suppress(RuntimeError):
            while self._error is None:
                with self._changed:
                    self._changed.wait_for(lambda: bool(self._waiting))
                    self._writing = True
                    data = b"".join(self._waiting)
                    self._waiting.clear()
                try:
                    _write_all(self._fd, data)
                except OSError as error:
                    self._error = error
                self._writing = False
                self._loop.call_soon_threadsafe(self._news.set)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # another program made the terminal so
            threading.Event().wait(0.01)
