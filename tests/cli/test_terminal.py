"""Commands in a real terminal."""

import re
from importlib.metadata import version

from tests.support.command import COMMAND, Stepline
from tests.support.model_process import ModelProcess
from tests.support.pty_terminal import Terminal


def test_send_shows_steps_and_answer_on_one_screen(stepline: Stepline):
    command = [COMMAND, "send", "say:The answer, all of it."]
    with Terminal(command, env=stepline.env, cwd=stepline.cwd) as terminal:
        assert terminal.wait_exit() == 0
        lines = [line for line in terminal.text().split("\n") if line]
    assert "The answer, all of it." in lines
    assert sum(line.startswith("Preparing request:") for line in lines) == 1


def test_ctrl_c_leaves_a_sentence(stepline: Stepline, model: ModelProcess):
    command = [COMMAND, "send", "gate:ctrl-c say:" + "word " * 50]
    with Terminal(command, env=stepline.env, cwd=stepline.cwd) as terminal:
        terminal.wait_for("^word word")
        terminal.press("ctrl+c")
        assert terminal.wait_exit() == 130
        assert re.search(r"^Interrupted; task #\d+ goes on", terminal.text(), re.MULTILINE)
        assert "Traceback" not in terminal.text()
    model.open("ctrl-c")


def test_tables_end_where_the_line_ends(stepline: Stepline):
    stepline.run("send", "say:x")
    command = [COMMAND, "tasks", "list", "--limit", "1"]
    with Terminal(command, size=(70, 10), env=stepline.env, cwd=stepline.cwd) as terminal:
        assert terminal.wait_exit() == 0
        head, row, *rest = terminal.text().split("\n")
    assert head.startswith("ID ")
    assert row.endswith("…")
    assert set(rest) == {""}


def test_version_in_a_terminal(bare: Stepline):
    with Terminal([COMMAND, "--version"], env=bare.env) as terminal:
        terminal.wait_for(re.escape(version("stepline")))
