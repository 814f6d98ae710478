"""Over a real OpenSSH server on the loopback: chat, a lost connection, coming back."""

import shlex
import signal
from collections.abc import Iterator, Mapping

import psutil
import pytest

from tests.support.command import COMMAND, Stepline
from tests.support.pty_terminal import Terminal
from tests.support.ssh_server import SshServer, ssh_server
from tests.terminals.driving import SPINNER, assert_no_error, log
from tests.tui.conftest import HandWorker

LIVE = "[●*] live"


@pytest.fixture(scope="module")
def server() -> Iterator[SshServer]:
    """A server as Debian configures it: LANG and LC_* come with the client, COLORTERM does not."""
    with ssh_server() as started:
        yield started


def connect(
    server: SshServer, stepline: Stepline, size: tuple[int, int] = (80, 24), **client: str
) -> Terminal:
    """The app at the other end; what of the client's environment arrives there is up to ssh."""
    local = {"LANG", "TERM", "PATH"}
    there = [f"{name}={value}" for name, value in stepline.env.items() if name not in local]
    command = shlex.join(["env", "-C", str(stepline.cwd), *there, str(COMMAND)])
    here: Mapping[str, str] = {name: stepline.env[name] for name in ("PATH", "HOME", "LANG")}
    return server.connect(command, {**here, "COLORTERM": "truecolor", **client}, size)


def apps(server: SshServer) -> list[psutil.Process]:
    """The apps that run at the other end."""
    return [each for each in server.sessions() if str(COMMAND) in _command(each)]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()[:2]
    except psutil.NoSuchProcess:
        return []


def leave(terminal: Terminal) -> None:
    """Quits, and with it the connection."""
    terminal.press("ctrl+c")
    terminal.wait_for("again to quit")
    terminal.press("ctrl+c")
    assert terminal.wait_exit() == 0


def test_chat_over_ssh(server: SshServer, stepline: Stepline, hand: HandWorker):
    with connect(server, stepline) as terminal:
        terminal.wait_for("● live", 30)
        [app] = apps(server)
        assert app.environ()["TERM"] == "xterm-256color"
        assert "SSH_CONNECTION" in app.environ()
        assert "COLORTERM" not in app.environ()
        terminal.type("grüße über ssh")
        terminal.press("enter")
        terminal.wait_for("1 running")
        hand.claim(1)
        hand.partial(1, "Schöne")
        terminal.wait_for("Schöne")
        terminal.resize(120, 40)
        terminal.wait_for(r"(?s)Schöne.*│")
        hand.reply(1, "Schöne Grüße zurück.")
        terminal.wait_for("Schöne Grüße zurück.")
        leave(terminal)
    # The client restored its own terminal; ours took back what it had asked for.
    assert not any(terminal.mode(mode) for mode in (1000, 1003, 1006, 1049, 2004))
    assert b"38;2;" not in terminal.raw
    assert_no_error(stepline)


def test_a_c_locale_does_not_come_along(server: SshServer, stepline: Stepline):
    """The client's locale is C, so the server's app draws ASCII."""
    with connect(server, stepline, LANG="C") as terminal:
        terminal.wait_for(r"\* live", 30)
        terminal.wait_for("Type a message and press enter")
        assert terminal.text().isascii()
        leave(terminal)


def test_the_clock_starts_slower(server: SshServer, stepline: Stepline, hand: HandWorker):
    """Half the spinner's frames of a local terminal, in the same time."""
    with connect(server, stepline) as terminal:
        terminal.wait_for("● live", 30)
        terminal.type("hello")
        terminal.press("enter")
        terminal.wait_for("1 running")
        hand.claim(1)
        terminal.wait_for("#1 chat.* 2\\.\\ds")
        begun = len(terminal.raw)
        terminal.wait_for("#1 chat.* 5\\.\\ds")
        drawn = bytes(terminal.raw[begun:]).decode(errors="replace")
        turns = sum(drawn.count(frame) for frame in SPINNER)
        # 3 seconds of 2 turns; without ssh it would be 4 a second.
        assert 4 <= turns <= 8
        leave(terminal)


@pytest.mark.parametrize("end", ["client killed", "server killed"])
def test_a_lost_connection_and_back(
    server: SshServer, stepline: Stepline, hand: HandWorker, end: str
):
    with connect(server, stepline) as terminal:
        terminal.wait_for("● live", 30)
        terminal.type("a question")
        terminal.press("enter")
        terminal.wait_for("1 running")
        hand.claim(1)
        hand.partial(1, "Half of it")
        terminal.wait_for("Half of it")
        terminal.type("and a draft")
        terminal.wait_for("> and a draft")
        before = apps(server)
        if end == "client killed":
            terminal.process.kill()
        else:
            for session in server.process.children():
                session.send_signal(signal.SIGKILL)
        # Nothing of ours is left behind.
        _, alive = psutil.wait_procs(before, 15)
        assert before
        assert not alive
    assert "ended by SIGHUP" in log(stepline)
    hand.reply(1, "Half of it, and the rest.")
    with connect(server, stepline) as terminal:
        terminal.wait_for(r"(?s)a question.*Half of it, and the rest\..*> and a draft", 30)
        leave(terminal)
    assert_no_error(stepline)
