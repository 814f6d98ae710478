"""tmux and GNU screen with their default configuration, each a server of the test's own."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.programs import needs
from tests.support.pty_terminal import Terminal

SIZE = (80, 25)
"""The app's 80x24 and tmux's status line."""


class Tmux:
    """A tmux server, and clients of it in terminals."""

    prefix = "ctrl+b"

    def __init__(self, directory: Path, env: Mapping[str, str]) -> None:
        self._base = [needs("tmux"), "-S", str(directory / "tmux"), "-f", "/dev/null"]
        self._env = {**env}

    def run(self, *arguments: str) -> str:
        """What a tmux command says."""
        done = subprocess.run(
            [*self._base, *arguments], env=self._env, check=True, capture_output=True, text=True
        )
        return done.stdout

    def start(self, command: Sequence[str | Path], size: tuple[int, int] = SIZE) -> Terminal:
        """A client in a new session, in which `command` runs."""
        terminal = self._client("new-session", *map(str, command), size=size)
        terminal.wait_for(r"^\[0\] 0:")  # the status line: commands are heard from now on
        return terminal

    def attach(self, size: tuple[int, int] = SIZE, **env: str) -> Terminal:
        """A client of the session that runs."""
        return self._client("attach-session", size=size, **env)

    def _client(self, *arguments: str, size: tuple[int, int], **env: str) -> Terminal:
        return Terminal([*self._base, *arguments], size=size, env={**self._env, **env})

    def end(self) -> None:
        """Ends the server and what runs in it."""
        subprocess.run([*self._base, "kill-server"], check=False, capture_output=True)


class Screen:
    """A GNU screen session, and clients of it in terminals."""

    prefix = "ctrl+a"

    def __init__(self, directory: Path, env: Mapping[str, str]) -> None:
        self._program = needs("screen")
        sockets = directory / "screen"
        sockets.mkdir(mode=0o700)
        # Neither /etc/screenrc nor ~/.screenrc: what screen does by itself.
        ours = {"SCREENDIR": str(sockets), "SCREENRC": "/dev/null", "SYSSCREENRC": "/dev/null"}
        self._env = {**env, **ours}

    def start(self, command: Sequence[str | Path], size: tuple[int, int] = (80, 24)) -> Terminal:
        """A client in a new session, in which `command` runs."""
        return self._client("-S", "test", *map(str, command), size=size)

    def attach(self, size: tuple[int, int] = (80, 24), **env: str) -> Terminal:
        """A client of the session that runs."""
        return self._client("-r", "test", size=size, **env)

    def _client(self, *arguments: str, size: tuple[int, int], **env: str) -> Terminal:
        command = [self._program, "-U", "-c", "/dev/null", *arguments]
        return Terminal(command, size=size, env={**self._env, **env})

    def end(self) -> None:
        """Ends the session and what runs in it."""
        subprocess.run(
            [self._program, "-S", "test", "-X", "quit"],
            env=self._env,
            check=False,
            capture_output=True,
        )


Multiplexer = Tmux | Screen


@contextmanager
def running(kind: type[Tmux] | type[Screen], env: Mapping[str, str]) -> Iterator[Multiplexer]:
    """A server of that kind, ended afterwards; its socket's path is short."""
    directory = Path(tempfile.mkdtemp(prefix="slmux", dir="/tmp"))
    multiplexer = kind(directory, env)
    try:
        yield multiplexer
    finally:
        multiplexer.end()
        shutil.rmtree(directory, ignore_errors=True)
