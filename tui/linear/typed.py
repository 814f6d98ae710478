"""The lines that are typed, or come through a pipe."""

import asyncio
import os
import threading
from contextlib import suppress

_AHEAD = 1000
"""Lines that may wait to be taken before no more are read."""


class TypedLines:
    """Reads in the background: a line is taken when somebody has time for it.

    A thread, because a file cannot be waited for in another way, and making a terminal non-blocking
    would make it so for every program that shares it.
    """

    def __init__(self, fd: int) -> None:
        self.rest = ""
        """After the end: what was typed behind the last line's end."""
        self._fd = fd
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._room = threading.Semaphore(_AHEAD)
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Begins to read."""
        threading.Thread(target=self._read, daemon=True, name="typed-lines").start()

    @property
    def more(self) -> bool:
        """Whether a line waits to be taken."""
        return not self._lines.empty()

    async def next(self) -> str | None:
        """The next line, without its end; None when there will be no more."""
        line = await self._lines.get()
        self._room.release()
        return line

    def _read(self) -> None:
        held = b""
        # The loop may be gone by the time a line comes.
        with suppress(RuntimeError):
            while data := self._chunk():
                *lines, held = (held + data).split(b"\n")
                for line in lines:
                    self._put(_text(line))
            self.rest = _text(held)
            self._put(None)

    def _chunk(self) -> bytes:
        try:
            return os.read(self._fd, 65536)
        except OSError:  # the terminal is gone, or stdin is closed
            return b""

    def _put(self, line: str | None) -> None:
        self._room.acquire()
        self._loop.call_soon_threadsafe(self._lines.put_nowait, line)


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")
