"""Plugs that are pulled, and the ways out."""

import signal
from pathlib import Path

import psutil
import pytest

from tests.linear.lines import Page, half, linear
from tests.support.command import Stepline
from tests.support.model_process import ModelProcess
from tui.drafts import Drafts


def half_answered(page: Page, gate: str) -> None:
    for line in half(gate):
        page.say(line)
    page.wait(r"^The first line\.\r$")


def kill_database(stepline: Stepline) -> None:
    pid_file = Path(stepline.env["STEPLINE_DATA_DIR"]) / "postgres/postmaster.pid"
    psutil.Process(int(pid_file.read_text().splitlines()[0])).kill()


def test_ctrl_d_on_an_empty_line_quits(stepline: Stepline):
    with linear(stepline) as page:
        page.terminal.press("ctrl+d")
        assert page.terminal.wait_exit() == 0
        page.assert_plain()
        assert page.text.endswith("> \n")  # the shell's prompt gets a line of its own


def test_what_was_typed_before_the_end_is_kept(stepline: Stepline, drafts: Drafts):
    with linear(stepline) as page:
        page.say("a thought\\")
        page.terminal.type("half")
        page.wait("half")
        page.terminal.press("ctrl+d", "ctrl+d")
        page.wait(r"^What you had begun is kept as the draft")
        assert page.terminal.wait_exit() == 0
    assert drafts.load(None) == "a thought\nhalf"


def test_ctrl_c_asks_once_and_the_second_one_is_130(stepline: Stepline, model: ModelProcess):
    with linear(stepline) as page:
        half_answered(page, "ctrl-c")
        page.terminal.press("ctrl+c")
        page.wait(r"^Press ctrl\+c again to quit\. Running tasks go on\.\r$")
        # A line in between means that one stays.
        page.say("/tasks")
        page.wait(r"^#1 chat, processing")
        page.terminal.press("ctrl+c")
        page.wait(r"^Press ctrl\+c again to quit\.")
        page.terminal.press("ctrl+c")
        page.wait(r"^1 task is still running; it goes on without this terminal\.\r$")
        assert page.terminal.wait_exit() == 130
        page.assert_plain()
        assert "Traceback" not in page.text
    model.open("ctrl-c")
    assert stepline.run("tasks", "watch", "1").returncode == 0


def test_ctrl_c_puts_a_begun_message_away(stepline: Stepline, drafts: Drafts):
    with linear(stepline) as page:
        page.say("say:begun\\")
        page.wait(r"^>> ")
        page.terminal.press("ctrl+c")
        page.wait(r"^What you had begun is kept as the draft; /draft sends it\.\r$")
        page.wait(r"^Press ctrl\+c again to quit\.\r$")
        assert drafts.load(None) == "say:begun"
        page.say("/draft")
        page.wait(r"^begun\r$")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it_in_order(stepline: Stepline, model: ModelProcess, number: signal.Signals):
    with linear(stepline) as page:
        half_answered(page, number.name)
        page.say("a thought\\")
        page.wait(r"^>> ")
        page.terminal.process.send_signal(number)
        page.wait(r"^What you had begun is kept as the draft of this conversation\.\r$")
        page.wait(r"^1 task is still running")
        assert page.terminal.wait_exit() == 128 + number
        page.assert_plain()
    model.open(number.name)
    with linear(stepline, ready=False) as page:
        page.wait(r"^A draft is kept here: a thought\r$")


def test_a_lost_terminal_ends_it(stepline: Stepline):
    with linear(stepline) as page:
        page.terminal.hang_up()
        assert page.terminal.wait_exit() == 128 + signal.SIGHUP


def test_a_terminal_that_was_stopped_keeps_nobody(stepline: Stepline):
    with linear(stepline) as page:
        page.terminal.press("ctrl+s")
        page.say("/help")
        page.terminal.process.send_signal(signal.SIGTERM)
        assert page.terminal.wait_exit() == 128 + signal.SIGTERM


def test_the_database_is_killed_and_comes_back(stepline: Stepline, model: ModelProcess):
    with linear(stepline) as page:
        half_answered(page, "database")
        kill_database(stepline)
        page.wait(r"^.*database.*\r$", 60)
        page.wait(r"^Connected to the database again\.\r$", 60)
        model.open("database")
        page.wait(r"^Generated in", 60)
        assert page.text.count("\nThe second line. The second line.") == 2  # typed, and answered
        page.say("say:and another")
        page.wait(r"^and another\r$")
        page.say("/quit")
        assert page.terminal.wait_exit() == 0
        page.assert_plain()


def test_the_worker_is_killed_and_another_begins_again(stepline: Stepline, model: ModelProcess):
    with linear(stepline) as page:
        half_answered(page, "worker")
        [worker] = [
            child
            for child in psutil.Process(page.terminal.process.pid).children()
            if "worker" in child.cmdline()
        ]
        worker.kill()
        page.wait(r"^The worker was lost; another one begins again\.\r$", 90)
        model.open("worker")
        page.wait(r"^Generated in", 60)


def test_an_unreachable_database_is_a_sentence_and_3(stepline: Stepline):
    away = stepline.having(STEPLINE_DB_URL="postgresql://me:hunter2@127.0.0.1:1/none")
    with linear(away, ready=False) as page:
        assert page.terminal.wait_exit() == 3
        assert "stepline doctor" in page.text
        assert "hunter2" not in page.text


def test_an_unknown_conversation_is_2(stepline: Stepline):
    with linear(stepline, "-c", "99", ready=False) as page:
        page.wait(r"There is no conversation 99")
        assert page.terminal.wait_exit() == 2
