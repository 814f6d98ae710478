"""A real pseudo-terminal: spawn a command in it, type, resize, and read its screen.

A thread drains the terminal all the time, so a program is never held up by a test that is busy
elsewhere; `wait_for` wakes on every piece of output and looks at an emulated screen.
"""

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import pyte

from tests.support.keys import sequence

T = TypeVar("T")

# Makes the slave side the controlling terminal of the new session, so that ctrl+c is a SIGINT and
# closing the terminal a SIGHUP; then becomes the command. In a C locale Python sets LC_CTYPE.
_LAUNCHER = (
    "import fcntl, os, sys, termios;"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.environ.pop(sys.argv[1], '');"
    "os.execvp(sys.argv[2], sys.argv[2:])"
)

# Sequences the emulator does not know and would print the tails of: keyboard protocol and
# other private requests.
_UNKNOWN = re.compile(rb"\x1b\[[<>=?][0-9;]*u|\x1b\[[>=][0-9;]*[a-zA-Z]|\x1b[P_^X][^\x1b]*\x1b\\")
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|[\]P_^X][^\x07\x1b]*\x1b?)?\Z")
_MODE_QUERY = re.compile(rb"\x1b\[\?(\d+)\$p")
_PIECE = 64
"""Bytes taken at a time by a terminal that has a pace."""


class ScreenTimeout(AssertionError):
    """What was waited for did not come; the message holds the screen."""


class Terminal:
    """A command running in a terminal of its own. Use it as a context manager."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        size: tuple[int, int] = (120, 40),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pace: float | None = None,
        reports_size: bool = False,
    ) -> None:
        """Starts `command`; `size` is (columns, rows), `env` the whole environment or None.

        `pace`: how many bytes a second it takes, like a slow link; None: all there are.
        `reports_size`: tells the command of a new size in its input too (mode 2048), as kitty,
        foot and Ghostty do, and xterm, tmux and screen do not.
        """
        self._reports_size = reports_size
        columns, rows = size
        self.raw = bytearray()
        """Every byte the command wrote."""
        self.reads: list[tuple[float, int]] = []
        """For each read: when (`time.perf_counter`), and how long `raw` was then."""
        self.pace = pace
        self.latency = 0.0
        """Seconds that an answer to the command takes, as over a link; may be changed."""
        self._replied = b""
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self._screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = b""
        self._unseen = b""
        self._news = threading.Condition()
        self._closed = False
        self._fd, slave = pty.openpty()
        try:
            _set_size(slave, columns, rows)
            whole = _environment(os.environ if env is None else env)
            set_by_python = "" if "LC_CTYPE" in whole else "LC_CTYPE"
            self.process = subprocess.Popen(
                [sys.executable, "-ISc", _LAUNCHER, set_by_python, *map(str, command)],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
                cwd=cwd,
                env=whole,
            )
        except BaseException:
            os.close(self._fd)
            raise
        finally:
            os.close(slave)
        self._stop_reader, self._stop_writer = os.pipe()
        self._stopped = threading.Event()
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Typing.

    def type(self, text: str) -> None:
        """Types `text` as it is."""
        data = text.encode()
        while data:
            data = data[os.write(self._fd, data) :]

    def paste(self, text: str) -> None:
        """Pastes `text` as a terminal does that knows bracketed paste."""
        self.type(f"\x1b[200~{text}\x1b[201~")

    def press(self, *keys: str) -> None:
        """Presses keys by name: `enter`, `ctrl+c`, `alt+enter`, `f1`, `x`."""
        for key in keys:
            self.type(sequence(key))

    def resize(self, columns: int, rows: int) -> None:
        """Changes the size; the command gets a SIGWINCH.

        What was on the screen is gone: a command that does not paint all of it anew is found out.
        """
        with self._news:
            self._emulate()
            self._screen.resize(rows, columns)
            self._screen.erase_in_display(2)
        _set_size(self._fd, columns, rows)
        if self._reports_size and self.mode(2048):
            self.type(f"\x1b[48;{rows};{columns};0;0t")

    # Reading.

    def text(self) -> str:
        """The screen as text, a line per row, without spaces at the ends of lines."""
        with self._news:
            self._emulate()
            return "\n".join(line.rstrip() for line in self._screen.display)

    def line(self, row: int) -> str:
        """One row of the screen, counted from 0."""
        return self.text().split("\n")[row]

    def wait_for(self, pattern: str, timeout: float = 20) -> re.Match[str]:
        """Waits until the screen matches `pattern` (multi-line); returns the match."""
        compiled = re.compile(pattern, re.MULTILINE)
        return self._wait(self._whole(compiled.search), timeout, f"/{pattern}/")

    def wait_gone(self, pattern: str, timeout: float = 20) -> None:
        """Waits until nothing on the screen matches `pattern`."""
        compiled = re.compile(pattern, re.MULTILINE)
        self.wait_until(lambda text: not compiled.search(text), f"no /{pattern}/", timeout)

    def wait_until(self, true: Callable[[str], bool], what: str, timeout: float = 20) -> None:
        """Waits until `true` holds of the screen's text."""
        self._wait(self._whole(lambda text: true(text) or None), timeout, what)

    def wait_raw(self, pattern: bytes, timeout: float = 20) -> re.Match[bytes]:
        """Waits until what was written so far matches `pattern`."""
        return self._wait(
            lambda: re.search(pattern, bytes(self.raw), re.DOTALL), timeout, f"bytes {pattern!r}"
        )

    def wait_replied(self, data: bytes, timeout: float = 20) -> None:
        """Waits until it has given this answer, late as it may be."""
        self._wait(lambda: True if data in self._replied else None, timeout, f"answer {data!r}")

    def arrival(self, offset: int) -> float:
        """When the byte at `offset` of `raw` was read (`time.perf_counter`)."""
        return self.reads[bisect_right(self.reads, offset, key=lambda read: read[1])][0]

    def wait_bytes(self, data: bytes, *, after: int = 0, timeout: float = 20) -> int:
        """Waits until `data` was written behind offset `after`; returns the offset of its end."""

        def probe() -> int | None:
            found = self.raw.find(data, after)
            return None if found < 0 else found + len(data)

        return self._wait(probe, timeout, f"bytes {data!r}")

    def forget(self) -> None:
        """Drops what was written so far, for a run of hours."""
        with self._news:
            self._emulate()
            self.raw.clear()
            self.reads.clear()

    def mode(self, number: int) -> bool:
        """Whether the command has switched this private mode on, and not off again."""
        on, off = (self.raw.rfind(b"\x1b[?%d%c" % (number, end)) for end in b"hl")
        return on > off

    def cells(self) -> list[list[pyte.screens.Char]]:
        """The screen's characters with their looks, a list per row."""
        with self._news:
            self._emulate()
            screen = self._screen
            return [
                [screen.buffer[y][x] for x in range(screen.columns)] for y in range(screen.lines)
            ]

    # Ending.

    def wait_exit(self, timeout: float = 20) -> int:
        """Waits for the command to end by itself; returns its code (-N: by signal N)."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ScreenTimeout(f"still running after {timeout} s:\n{self.text()}") from None
        self._reader.join(5)
        return code

    def hang_up(self) -> None:
        """Takes the terminal away, as a lost SSH connection does."""
        self._stop()

    def close(self) -> None:
        """Ends the command if it still runs, and the terminal."""
        self._stop()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _stop(self) -> None:
        if self._stop_writer < 0:
            return
        os.close(self._stop_writer)
        self._stop_writer = -1
        self._stopped.set()
        self._reader.join()
        os.close(self._stop_reader)
        os.close(self._fd)

    def _wait(self, probe: Callable[[], T | None], timeout: float, what: str) -> T:
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                if (found := probe()) is not None:
                    return found
                left = deadline - time.monotonic()
                if left <= 0 or self._closed:
                    state = "the command ended" if self._closed else f"{timeout} s passed"
                    raise ScreenTimeout(f"{state} without {what}:\n{self.text()}")
                self._news.wait(left)

    def _whole(self, probe: Callable[[str], T | None]) -> Callable[[], T | None]:
        """Looks at whole frames only, as a terminal shows them (mode 2026)."""
        return lambda: None if self.mode(2026) else probe(self.text())

    def _drain(self) -> None:
        while True:
            ready, _, _ = select.select([self._fd, self._stop_reader], [], [])
            if self._stop_reader in ready:
                break
            if self.pace is not None:
                # A link has a steady pace: a piece, and then the time that the piece takes.
                self._stopped.wait(_PIECE / self.pace)
            try:
                data = os.read(self._fd, 65536 if self.pace is None else _PIECE)
            except OSError:  # EIO: nobody holds the other side any more
                break
            if not data:
                break
            with self._news:
                self.reads.append((time.perf_counter(), len(self.raw) + len(data)))
                self._take(data)
                self._news.notify_all()
        with self._news:
            self._closed = True
            self._news.notify_all()

    def _take(self, data: bytes) -> None:
        self.raw += data
        data = self._held + data
        cut = _UNFINISHED.search(data)
        # A sequence cut by the read waits for its rest.
        self._held, data = (data[cut.start() :], data[: cut.start()]) if cut else (b"", data)
        self._unseen += data
        self._answer(data)

    def _emulate(self) -> None:
        """Brings the screen up to date: only when somebody looks, for the emulator is slow."""
        data, self._unseen = self._unseen, b""
        self._stream.feed(self._decoder.decode(_UNKNOWN.sub(b"", data)))

    def _answer(self, data: bytes) -> None:
        """Replies to the questions that would otherwise stall a program."""
        reply = b""
        if b"\x1b[c" in data or b"\x1b[0c" in data:
            reply += b"\x1b[?62;c"
        if b"\x1b[6n" in data:
            self._emulate()
            reply += b"\x1b[%d;%dR" % (self._screen.cursor.y + 1, self._screen.cursor.x + 1)
        for query in _MODE_QUERY.finditer(data):
            known = self._reports_size or query[1] != b"2048"
            reply += b"\x1b[?" + query[1] + (b";2$y" if known else b";0$y")
        if reply and self.latency:
            threading.Timer(self.latency, self._reply, (reply,)).start()
        elif reply:
            os.write(self._fd, reply)

    def _reply(self, reply: bytes) -> None:
        with self._news:
            os.write(self._fd, reply)
            self._replied += reply
            self._news.notify_all()


def _set_size(fd: int, columns: int, rows: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    """`env` as a good terminal sets it; what `env` says of TERM and COLORTERM stays.

    COLUMNS and LINES would win over the terminal's size, and hide a resize.
    """
    ours = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    left_out = {"COLUMNS", "LINES", "TMUX", "STY"}
    return ours | {name: value for name, value in env.items() if name not in left_out}
