"""The linear mode in a real terminal, read as the lines that it wrote."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.command import COMMAND, Stepline
from tests.support.pty_terminal import Terminal


def half(gate: str) -> list[str]:
    """The lines of a message whose answer stops in its second line until that gate is opened."""
    return [f"gate:{gate} say:The first line.\\", "The second line. " * 3]


class Page:
    """What the terminal has received so far, which can only grow."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self._read = 0

    def say(self, line: str) -> None:
        """Types a line and presses enter."""
        self.terminal.type(line)
        self.terminal.press("enter")

    def wait(self, pattern: str, timeout: float = 30) -> re.Match[bytes]:
        """Waits for something behind what was waited for before; `^` is a line's beginning."""
        behind = rf"(?m)\A(?s:.{{{self._read}}}.*?)(?-s:{pattern})".encode()
        found = self.terminal.wait_raw(behind, timeout)
        self._read = found.end()
        return found

    @property
    def text(self) -> str:
        """All of it."""
        return bytes(self.terminal.raw).decode().replace("\r\n", "\n")

    def assert_plain(self) -> None:
        """No escape sequences, no control characters, nothing written over."""
        assert not re.search(r"[^\n\t\x20-\x7e\xa0-\U0010ffff]", self.text)


@contextmanager
def linear(stepline: Stepline, *options: str, ready: bool = True) -> Iterator[Page]:
    """The linear mode in a terminal, ready for a line."""
    command = [COMMAND, "--linear", *options]
    with Terminal(command, env=stepline.env, cwd=stepline.cwd) as terminal:
        page = Page(terminal)
        if ready:
            page.wait(r"^> ")
        yield page
