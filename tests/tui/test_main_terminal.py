"""The real command in a real terminal: how it leaves it, however it ends."""

import os
import signal
import sys
from pathlib import Path

import pytest

from core.settings import Settings
from tests.support.database import Database
from tests.support.pty_terminal import Terminal
from tui.drafts import Drafts

STEPLINE = Path(sys.executable).with_name("stepline")
RESTORED = [b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?2004l"]


def start(database: Database, tmp_path: Path, **env: str) -> Terminal:
    """The app, on the test's database."""
    whole = {
        **os.environ,
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "STEPLINE_DATA_DIR": str(tmp_path / "data"),
        "STEPLINE_DB_URL": database.conninfo,
        "STEPLINE_USER": "tester",
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "LC_ALL": "",
        **env,
    }
    return Terminal([STEPLINE], size=(80, 24), env=whole)


def restored(terminal: Terminal) -> bool:
    """Whether everything that was switched on was switched off again, at the end."""
    tail = bytes(terminal.raw[-600:])
    return all(sequence in tail for sequence in RESTORED)


def drafts(tmp_path: Path, settings: Settings) -> Drafts:
    return Drafts(tmp_path / "data" / "state" / "drafts" / settings.profile)


def test_quitting_while_a_task_runs_says_that_it_goes_on(database: Database, tmp_path: Path):
    with start(database, tmp_path) as terminal:
        terminal.wait_for("● live")
        terminal.type("hello")
        terminal.press("enter")
        terminal.wait_for("1 running")
        terminal.press("ctrl+d")
        assert terminal.wait_exit() == 0
        assert restored(terminal)
        terminal.wait_for("1 task is still running; it goes on without this terminal")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_restores_the_terminal_and_keeps_the_draft(
    database: Database, tmp_path: Path, settings: Settings, number: signal.Signals
):
    with start(database, tmp_path) as terminal:
        terminal.wait_for("● live")
        terminal.type("a thought")
        terminal.wait_for("a thought")
        terminal.process.send_signal(number)
        assert terminal.wait_exit() == 128 + number
        assert restored(terminal)
    assert drafts(tmp_path, settings).load(None) == "a thought"


def test_a_lost_terminal_ends_it_and_keeps_the_draft(
    database: Database, tmp_path: Path, settings: Settings
):
    with start(database, tmp_path) as terminal:
        terminal.wait_for("● live")
        terminal.type("a thought")
        terminal.wait_for("a thought")
        terminal.hang_up()
        terminal.wait_exit()
    assert drafts(tmp_path, settings).load(None) == "a thought"


def test_a_crash_in_a_widget_is_one_sentence_and_a_log(database: Database, tmp_path: Path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import tui.widgets.header as header\n"
        "def boom(self, y):\n"
        "    if self._link.state.value == 'live':\n"
        "        raise ZeroDivisionError('boom')\n"
        "    return right(self, y)\n"
        "right = header.StatusHeader.render_line\n"
        "header.StatusHeader.render_line = boom\n"
    )
    with start(database, tmp_path, PYTHONPATH=str(broken)) as terminal:
        assert terminal.wait_exit() == 1
        assert restored(terminal)
        said = bytes(terminal.raw).rpartition(b"\x1b[?1049l")[2]
        assert b"ended unexpectedly" in said
        assert b"Traceback" not in said
        assert b"boom" not in said
    log = tmp_path / "data" / "state" / "stepline.log"
    assert "ZeroDivisionError: boom" in log.read_text()


def test_no_mouse_asks_for_no_mouse(database: Database, tmp_path: Path):
    with start(database, tmp_path, STEPLINE_MOUSE="false") as terminal:
        terminal.wait_for("● live")
        assert b"\x1b[?1000h" not in terminal.raw
        terminal.press("ctrl+d")
        terminal.wait_exit()


@pytest.mark.parametrize(
    "env", [{"LANG": "C", "LC_ALL": "C"}, {"TERM": "dumb"}], ids=["locale", "dumb"]
)
def test_ascii_only(database: Database, tmp_path: Path, env: dict[str, str]):
    with start(database, tmp_path, **env) as terminal:
        terminal.wait_for(r"\* live")
        terminal.type("hello")
        terminal.press("enter")
        terminal.wait_for(r"\. Starting up")
        assert terminal.text().isascii()
        terminal.press("ctrl+d")
        terminal.wait_exit()


def test_no_colour(database: Database, tmp_path: Path):
    with start(database, tmp_path, NO_COLOR="1") as terminal:
        terminal.wait_for("● live")
        terminal.type("hello")
        terminal.press("enter")
        terminal.wait_for("1 running")
        assert b"\x1b[36" not in terminal.raw
        terminal.press("ctrl+d")
        terminal.wait_exit()
