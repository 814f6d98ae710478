"""Starting the app in a terminal, and what is asked of it again and again."""

import re

from tests.support.command import COMMAND, Stepline
from tests.support.pty_terminal import Terminal

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
LIVE = "[●*] live"


def start(
    stepline: Stepline,
    *options: str,
    size: tuple[int, int] = (80, 24),
    reports_size: bool = False,
    **env: str,
) -> Terminal:
    """The app in a terminal; COLORTERM is what OpenSSH makes of it: not there."""
    whole = {"COLORTERM": "", **stepline.env, **env}
    command = [COMMAND, *options]
    return Terminal(command, size=size, env=whole, cwd=stepline.cwd, reports_size=reports_size)


def log(stepline: Stepline) -> str:
    """What the app wrote into its log."""
    path = stepline.cwd / "data" / "state" / "stepline.log"
    return path.read_text() if path.exists() else ""


def assert_no_error(stepline: Stepline) -> None:
    """Nothing unexpected happened."""
    written = log(stepline)
    assert "Traceback" not in written, written
    assert " ERROR " not in written, written


def still(text: str) -> str:
    """The screen without what moves: spinners, times, and the ends of a scroll bar's handle."""
    text = re.sub("[▁▂▃▄▅▆▇]", " ", text)
    text = re.sub(f"[{SPINNER}]|(?<= )[|/\\\\-](?= #)", "~", text)
    text = re.sub(r" +$", "", text, flags=re.MULTILINE)
    return re.sub(r" *(\d+h)?(\d+m)?\d*\.?\d+s\b", " TIME", text)


def leave(terminal: Terminal) -> None:
    """Quits as a user does."""
    terminal.press("ctrl+c")
    terminal.wait_for("again to quit")
    terminal.press("ctrl+c")
    assert terminal.wait_exit() == 0
