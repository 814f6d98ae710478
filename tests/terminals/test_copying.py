"""`y` reaches the user's own clipboard: outside and inside tmux and screen, up to the limit."""

import base64
import re

import pytest

from tests.support.command import COMMAND, Stepline
from tests.support.multiplexers import Screen, Tmux, running
from tests.support.pty_terminal import Terminal
from tests.terminals.driving import start
from tests.tui.conftest import HandWorker
from tui.clipboard import MAX_BYTES

ANSWER = "Größe: 5 ✓\n\n漢字 `code` **bold**\n\n" + "A long line. " * 200
LONGEST = "end " + "x" * (MAX_BYTES - 4)


def sequences(terminal: Terminal) -> list[str]:
    """What the terminal was asked to put into its clipboard."""
    found = re.findall(rb"\x1b\]52;c?;([A-Za-z0-9+/=]*)(?:\x07|\x1b\\)", bytes(terminal.raw))
    return [base64.b64decode(each).decode() for each in found]


def copy_answer(terminal: Terminal, hand: HandWorker, answer: str, says: str) -> None:
    """Has a question answered and presses `y` on the answer."""
    terminal.wait_for("[●*] live", 30)
    terminal.type("go")
    terminal.press("enter")
    terminal.wait_for("1 running")
    hand.claim(1)
    hand.reply(1, answer)
    terminal.wait_for("0 running")
    terminal.press("esc")
    terminal.wait_for("i type")
    terminal.press("y")
    terminal.wait_for(says)


def copied(answer: str) -> str:
    """What is said when it was copied."""
    return f"Copied the (reply|answer|message) \\({len(answer.encode()):,} bytes\\)"


@pytest.mark.parametrize("answer", [ANSWER, LONGEST], ids=["many", "longest"])
def test_a_plain_terminal(stepline: Stepline, hand: HandWorker, answer: str):
    with start(stepline) as terminal:
        copy_answer(terminal, hand, answer, copied(answer))
        encoded = base64.b64encode(answer.encode())
        terminal.wait_raw(re.escape(b"\x1b]52;c;" + encoded + b"\x07"))


def test_one_byte_too_many_is_refused_in_a_sentence(stepline: Stepline, hand: HandWorker):
    with start(stepline) as terminal:
        copy_answer(terminal, hand, LONGEST + "x", r"Too long for the terminal's clipboard")
        terminal.wait_for(r"(?s)74,995 +bytes.*Nothing +was +copied")
        assert b"\x1b]52" not in terminal.raw


@pytest.mark.parametrize("answer", [ANSWER, LONGEST], ids=["many", "longest"])
def test_tmux_with_its_defaults(stepline: Stepline, hand: HandWorker, answer: str):
    """The text is in tmux's buffer, and tmux hands it on to its own terminal."""
    with running(Tmux, stepline.env) as tmux, tmux.start([COMMAND]) as terminal:
        assert isinstance(tmux, Tmux)
        assert "external" in tmux.run("show-options", "-s", "set-clipboard")
        copy_answer(terminal, hand, answer, copied(answer))
        assert tmux.run("show-buffer") == answer
        terminal.wait_raw(rb"\x1b\]52;.*\x07")
        assert sequences(terminal) == [answer]


def test_a_tmux_that_passes_things_through(stepline: Stepline, hand: HandWorker):
    """Where tmux itself cannot be asked (another host, a container) the wrapped sequence helps."""
    away = ["env", "PATH=/nowhere", COMMAND]
    with running(Tmux, stepline.env) as tmux, tmux.start(["sh"]) as terminal:
        assert isinstance(tmux, Tmux)
        tmux.run("set-option", "-g", "allow-passthrough", "on")
        terminal.type(" ".join(map(str, away)) + "\r")
        copy_answer(terminal, hand, ANSWER, copied(ANSWER))
        terminal.wait_raw(rb"\x1b\]52;.*\x07")
        assert ANSWER in sequences(terminal)


@pytest.mark.parametrize("answer", [ANSWER, LONGEST], ids=["many", "longest"])
def test_screen_hands_it_on(stepline: Stepline, hand: HandWorker, answer: str):
    with running(Screen, stepline.env) as screen, screen.start([COMMAND]) as terminal:
        copy_answer(terminal, hand, answer, copied(answer))
        terminal.wait_raw(rb"\x1b\]52;.*\x07")
        assert sequences(terminal) == [answer]
