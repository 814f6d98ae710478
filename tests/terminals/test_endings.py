"""However it ends, the shell that started it finds its terminal as it was."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.owner import owner_name
from core.settings import Settings
from tests.support.command import Stepline
from tests.terminals.driving import log
from tests.terminals.shell import Shell
from tests.tui.conftest import HandWorker
from tui.drafts import Drafts

LIVE = "● live"
BOOM = """
import tui.widgets.header as header
right = header.StatusHeader.render_line
def boom(self, y):
    if self._link.state.value == {state!r}:
        raise ZeroDivisionError("boom")
    return right(self, y)
header.StatusHeader.render_line = boom
"""


@pytest.fixture
def state(stepline: Stepline) -> Path:
    """The state directory of the app."""
    return stepline.cwd / "data" / "state"


@pytest.fixture
def drafts(state: Path, settings: Settings) -> Drafts:
    """The app's drafts, as they are on the disk."""
    return Drafts(state / "drafts" / owner_name(settings, None))


@pytest.fixture
def shell(stepline: Stepline) -> Iterator[Shell]:
    """A shell in which the app runs, with a draft in it."""
    with Shell(stepline) as started:
        started.start()
        started.terminal.wait_for(LIVE)
        started.terminal.type("a thought")
        started.terminal.wait_for("> a thought")
        yield started


@pytest.fixture
def full_disk(state: Path) -> Iterator[Path]:
    """The state directory on a file system without a free byte."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    state.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(state)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let us mount a file system")
    try:
        with (state / "rest").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1024))
    except OSError:
        pass
    yield state
    subprocess.run(["umount", str(state)], check=True)


def test_quitting(shell: Shell):
    shell.terminal.press("ctrl+c")
    shell.terminal.wait_for("again to quit")
    shell.terminal.press("ctrl+c")
    shell.assert_left_as_it_was(0)


def test_quitting_while_a_task_runs_says_that_it_goes_on(shell: Shell):
    shell.terminal.press("enter")
    shell.terminal.wait_for("1 running")
    shell.terminal.press("ctrl+d")
    said = shell.assert_left_as_it_was(0)
    assert "1 task is still running; it goes on without this terminal." in said


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT"])
def test_a_signal(shell: Shell, drafts: Drafts, name: str):
    shell.send(signal.Signals[name])
    said = shell.assert_left_as_it_was(128 + signal.Signals[name])
    assert "Traceback" not in said
    assert drafts.load(None) == "a thought"


def test_a_lost_terminal_keeps_the_draft_and_is_no_error(
    shell: Shell, stepline: Stepline, drafts: Drafts
):
    shell.terminal.press("enter")
    shell.terminal.wait_for("1 running")
    shell.terminal.type("a second thought")
    shell.terminal.wait_for("> a second thought")
    jobs = shell.jobs()
    shell.terminal.hang_up()
    for job in jobs:
        job.wait(10)
    assert "ended by SIGHUP" in log(stepline)
    assert "Traceback" not in log(stepline)
    assert drafts.load(1) == "a second thought"


def test_stopped_and_continued_it_is_drawn_anew(shell: Shell, hand: HandWorker):
    terminal = shell.terminal
    terminal.press("enter")
    terminal.wait_for("1 running")
    terminal.type("more")
    terminal.wait_for("> more")
    shell.send(signal.SIGTSTP)
    terminal.wait_raw(rb"Stopped")
    shell.wait_for_prompt()
    shell.assert_restored()
    shell.run("clear")
    terminal.wait_until(lambda text: text.strip() == "ready>", "an empty screen")
    # Meanwhile the answer comes, and the window gets another size.
    hand.claim(1)
    hand.reply(1, "Here it is.")
    terminal.resize(90, 30)
    shell.run("fg")
    terminal.wait_for(r"(?s) stepline .*a thought.*Here it is\..*> more")
    assert terminal.mode(1049)
    terminal.press("ctrl+c")
    terminal.wait_for("again to quit")
    terminal.press("ctrl+c")
    shell.assert_left_as_it_was(0)


@pytest.mark.parametrize("when", ["connecting", "live"])
def test_a_crash_in_a_widget_is_one_sentence_and_a_log(
    stepline: Stepline, tmp_path: Path, when: str
):
    (tmp_path / "sitecustomize.py").write_text(BOOM.format(state=when))
    with Shell(stepline, PYTHONPATH=str(tmp_path)) as shell:
        shell.start()
        said = shell.assert_left_as_it_was(1)
    assert "stepline ended unexpectedly" in said
    assert "Traceback" not in said
    assert "boom" not in said
    assert "ZeroDivisionError: boom" in log(stepline)


def test_a_crash_at_the_start(stepline: Stepline, tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(
        "import tui.screens.main as main\nmain.MainScreen.compose = lambda self: 1 / 0\n"
    )
    with Shell(stepline, PYTHONPATH=str(tmp_path)) as shell:
        # Its answers to what it is asked at the start come when there is no app any more.
        shell.terminal.latency = 0.5
        shell.start()
        shell.terminal.wait_replied(b"\x1b[?2048;")
        said = shell.assert_left_as_it_was(1)
    assert "stepline ended unexpectedly" in said
    assert "Traceback" not in said
    assert "ZeroDivisionError" in log(stepline)


def test_wrong_settings_never_open_the_screen(stepline: Stepline):
    with Shell(stepline, STEPLINE_ANIMATION="wild") as shell:
        shell.start()
        shell.assert_left_as_it_was(2)
        assert b"\x1b[?1049h" not in shell.terminal.raw


@pytest.mark.parametrize("crash", [False, True], ids=["quit", "crash"])
def test_no_room_for_the_log(stepline: Stepline, state: Path, tmp_path: Path, crash: bool):
    state.mkdir(parents=True)
    (state / "stepline.log").symlink_to("/dev/full")
    path = tmp_path / "sitecustomize.py"
    path.write_text(BOOM.format(state="live") if crash else "")
    with Shell(stepline, PYTHONPATH=str(tmp_path)) as shell:
        shell.start()
        if not crash:
            shell.terminal.wait_for(LIVE)
            shell.send(signal.SIGTERM)
        said = shell.assert_left_as_it_was(1 if crash else 128 + signal.SIGTERM)
        assert "Traceback" not in said
        assert "No space" not in bytes(shell.terminal.raw).decode()


def _cannot_keep(shell: Shell, why: str) -> None:
    """Typing says so once, in one sentence, and nothing that was typed is lost."""
    terminal = shell.terminal
    shell.start()
    terminal.wait_for(LIVE)
    terminal.type("a thought")
    terminal.wait_for(rf"(?s)What you type cannot be kept on the disk +\({why}\).*> a thought")
    terminal.press("enter")
    terminal.wait_for(r"(?s)^ a thought.*1 running|1 running(?s:.*)^ a thought")
    terminal.type("and more")
    terminal.wait_for("> and more")
    shell.send(signal.SIGTERM)
    shell.assert_left_as_it_was(128 + signal.SIGTERM)


def test_a_full_disk(stepline: Stepline, full_disk: Path):
    with Shell(stepline) as shell:
        _cannot_keep(shell, "No space left on device")


def test_not_one_byte_can_be_written(stepline: Stepline):
    with Shell(stepline, "ulimit -f 0") as shell:
        _cannot_keep(shell, "File too large")


def test_a_state_directory_that_is_none(stepline: Stepline, state: Path):
    state.parent.mkdir(parents=True)
    state.write_text("")
    with Shell(stepline) as shell:
        _cannot_keep(shell, "Not a directory")
