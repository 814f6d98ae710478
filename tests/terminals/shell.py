"""The shell that a user starts the app from, and how it finds its terminal afterwards."""

import re
import signal
from types import TracebackType
from typing import Self

import psutil

from tests.support.command import COMMAND, Stepline
from tests.support.pty_terminal import Terminal

PROMPT = b"ready> "
MODES = (1000, 1002, 1003, 1004, 1006, 1015, 1049, 2004, 2026, 2048)
"""Mouse, focus, alternate screen, bracketed paste, frames, sizes in band."""


class Shell:
    """bash in a terminal: what is run in it is a job of the shell, as a user's is."""

    def __init__(self, stepline: Stepline, before: str = "", **env: str) -> None:
        """`before` is run first of all."""
        # Without line editing bash itself changes no mode of the terminal.
        command = ["bash", "--norc", "--noprofile", "--noediting", "-i"]
        whole = {**stepline.env, "PS1": PROMPT.decode(), **env}
        self.terminal = Terminal(command, size=(80, 24), env=whole, cwd=stepline.cwd)
        self._asked = 0
        self._prompts = 0
        if before:
            self.run(before)
        self._attributes = self.answer("$(stty -g)")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.jobs():
            process.kill()
        self.terminal.close()

    def run(self, command: object) -> None:
        """Types a command, once there is a prompt."""
        self.wait_for_prompt()
        self._prompts = self.terminal.raw.count(PROMPT)
        self.terminal.type(f"{command}\n")

    def start(self, *options: str) -> None:
        """Runs the app."""
        self.run(" ".join([str(COMMAND), *options]))

    def answer(self, expression: str) -> str:
        """What the shell makes of an expression."""
        self._asked += 1
        mark = f"={self._asked}="
        self.run(f'echo "{mark}{expression}{mark}"')
        pattern = f"{mark}([0-9a-f:]+){mark}".encode()
        return self.terminal.wait_raw(pattern)[1].decode()

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the app, and to nothing else."""
        [app] = [process for process in self.jobs() if str(COMMAND) in process.cmdline()]
        app.send_signal(number)

    def jobs(self) -> list[psutil.Process]:
        """What runs in it."""
        return psutil.Process(self.terminal.process.pid).children(recursive=True)

    def assert_left_as_it_was(self, code: int) -> str:
        """The prompt is back, every mode is off, and a command works; returns what was said."""
        terminal = self.terminal
        assert self.answer("$?") == str(code)
        self.assert_restored()
        assert self.answer("$(stty -g)") == self._attributes
        return bytes(terminal.raw).rpartition(b"\x1b[?1049l")[2].decode()

    def wait_for_prompt(self) -> None:
        """Waits until the shell asks for a command."""
        raw = self.terminal.raw
        self.terminal.wait_until(lambda _: raw.count(PROMPT) > self._prompts, "a prompt")

    def assert_restored(self) -> None:
        """Every mode is off, the cursor is there."""
        raw = self.terminal.raw
        assert [mode for mode in MODES if self.terminal.mode(mode)] == []
        assert raw.rfind(b"\x1b[?25l") <= raw.rfind(b"\x1b[?25h")
        # Kitty's keyboard protocol: what was put on the stack was taken off it.
        assert len(re.findall(rb"\x1b\[>\d+u", raw)) <= raw.count(b"\x1b[<u")
