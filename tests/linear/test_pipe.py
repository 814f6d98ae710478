"""Without a terminal: every line of stdin a message, and an exit code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from core.settings import default_workflows_file
from tests.support.command import COMMAND, Stepline
from tests.support.model_process import ModelProcess
from tui.drafts import Drafts


def test_lines_are_messages_and_the_end_waits_for_the_answers(stepline: Stepline):
    done = stepline.run("--linear", text="say:one\nsay:two\r\nsay:three\\\nlines")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^one$", done.stdout, re.MULTILINE)
    assert re.search(r"^two$", done.stdout, re.MULTILINE)
    assert re.search(r"^three\nlines$", done.stdout, re.MULTILINE)
    assert done.stdout.count("Generated in") == 3
    assert "> " not in done.stdout


@pytest.mark.parametrize(
    ("text", "code"),
    [("", 0), ("say:fine\n", 0), ("say:fine\nfail:401 x\n", 1), ("/help\n/nonsense\n", 0)],
)
def test_the_exit_code_is_the_verdict(stepline: Stepline, text: str, code: int):
    assert stepline.run("--linear", text=text).returncode == code


def test_a_cancelled_answer_is_4(stepline: Stepline):
    done = stepline.run("--linear", text="gate:never say:x\n/cancel\ny\n")
    assert done.returncode == 4
    assert "Cancelled by you." in done.stdout


def test_what_was_typed_first_is_done_first(stepline: Stepline):
    done = stepline.run("--linear", text="say:one\n/new\nsay:two\n")
    assert done.returncode == 0
    assert "Sent; task #1, conversation 1." in done.stdout
    assert "Sent; task #2, conversation 2." in done.stdout
    assert re.search(r"^#1 in conversation 1: Generated", done.stdout, re.MULTILINE) or (
        "\none\n" in done.stdout
    )


def test_it_talks_before_the_input_ends(stepline: Stepline, model: ModelProcess):
    with subprocess.Popen(
        [COMMAND, "--linear"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(stepline.env),
        cwd=stepline.cwd,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("gate:pipe say:first\\\nsecond line, much longer\n")
        process.stdin.flush()
        assert any(line == "first\n" for line in process.stdout)
        model.open("pipe")
        assert any(line.startswith("Generated in") for line in process.stdout)
        process.stdin.close()
        assert process.wait(30) == 0


def test_a_reader_that_leaves_is_no_error(stepline: Stepline):
    shell = f"echo say:one | {COMMAND} --linear | head -n 1; echo ${{PIPESTATUS[1]}}"
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, env=dict(stepline.env), check=True
    )
    first, code = done.stdout.splitlines()
    assert first.startswith("Setting up the database")
    assert code == "141"
    assert done.stderr == ""


def test_a_message_nobody_can_take_is_kept(stepline: Stepline, drafts: Drafts, tmp_path: Path):
    nobody = tmp_path / "workflows.toml"
    nobody.write_text(default_workflows_file().read_text().replace("local = true", "local = false"))
    done = stepline.having(STEPLINE_WORKFLOWS=str(nobody)).run("--linear", text="say:kept\n")
    assert done.returncode == 3
    assert re.search(r"^Not sent: .* It is kept; /retry sends it again\.$", done.stdout, re.M)
    assert "1 message not sent; it is kept and goes out when stepline is started" in done.stdout
    assert [letter.text for letter in drafts.undelivered()] == ["say:kept"]
    thrown = stepline.having(STEPLINE_WORKFLOWS=str(nobody)).run(
        "--linear", text="/discard\ny\n/discard\n"
    )
    assert thrown.returncode == 0
    assert "Not sent: say:kept" in thrown.stdout
    assert "Everything was sent" in thrown.stdout
    assert drafts.undelivered() == []


def test_neither_textual_nor_rich_is_loaded(stepline: Stepline):
    code = (
        "import sys; from tui.cli import main; code = main(['--linear']);"
        "print(code, sorted({'textual', 'rich', 'httpx'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input="say:one\n/help\n/tasks\n/task\n/more\n/conversations\n",
        capture_output=True,
        text=True,
        env=dict(stepline.env),
        cwd=Path(__file__).parents[2],
        check=True,
    )
    assert "Generated in" in done.stdout
    assert done.stderr == "0 []\n"


def test_only_the_chat_itself_is_linear(stepline: Stepline):
    done = stepline.run("--linear", "tasks", "list")
    assert done.returncode == 2
    assert "--linear" in done.stderr


def test_the_setting_and_its_opposite(stepline: Stepline):
    set_so = stepline.having(STEPLINE_LINEAR="true")
    assert set_so.run(text="say:one\n").returncode == 0
    refused = set_so.run("--no-linear")
    assert refused.returncode == 2
    assert "needs a terminal" in refused.stderr
