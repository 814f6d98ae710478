"""What holds for every command: help, usage, exit codes, streams."""

import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.command import COMMAND, Stepline

COMMANDS = (
    "send",
    "tasks",
    "tasks list",
    "tasks show",
    "tasks create",
    "tasks watch",
    "tasks retry",
    "tasks cancel",
    "conversations",
    "conversations list",
    "conversations show",
    "conversations export",
    "worker",
    "migrate",
    "doctor",
    "config",
    "config show",
    "config path",
    "config init",
    "completion",
)


def test_version_is_the_package_s(bare: Stepline):
    done = bare.run("--version")
    assert (done.returncode, done.stdout) == (0, f"stepline {version('stepline')}\n")


def test_module_is_the_same_program(bare: Stepline):
    done = subprocess.run(
        [sys.executable, "-m", "tui.cli", "--version"],
        capture_output=True,
        text=True,
        env=dict(bare.env),
        cwd=Path(__file__).parents[2],
        check=True,
    )
    assert done.stdout == bare.run("--version").stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_the_options_of_all(bare: Stepline, command: str):
    done = bare.run(*command.split(), "--help")
    assert done.returncode == 0
    assert done.stderr == ""
    assert f"stepline {command}" in done.stdout
    assert "--data-dir" in done.stdout
    assert "--profile" in done.stdout


def test_help_names_every_command(bare: Stepline):
    done = bare.run("--help")
    for name in {command.split()[0] for command in COMMANDS}:
        assert re.search(rf"^  {name} ", done.stdout, re.MULTILINE)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from tui.cli import main; main(['--help']);"
        "heavy = {'pydantic', 'psycopg', 'httpx', 'textual', 'rich', 'jsonschema'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_help_is_quick(bare: Stepline):
    def best_of_5(*command: str | Path) -> float:
        times: list[float] = []
        for _ in range(5):
            begun = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=dict(bare.env))
            times.append(time.perf_counter() - begun)
        return min(times)

    assert best_of_5(COMMAND, "--help") - best_of_5(sys.executable, "-c", "pass") < 0.3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["snd", "hi"], "Did you mean 'send'?"),
        (["send"], "Missing argument 'TEXT'"),
        (["tasks", "show", "x"], "'x' is not a valid integer"),
        (["send", "hi", "--timeout", "0"], "0"),
        (["tasks", "list", "--limit", "0"], "0"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
        (["--animation", "wild"], "'wild' is not one of"),
    ],
)
def test_wrong_usage_is_2(bare: Stepline, arguments: list[str], said: str):
    done = bare.run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr


def test_without_a_terminal_the_app_does_not_start(bare: Stepline):
    done = bare.run()
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("stepline: the full-screen program needs a terminal")
    assert done.stderr.count("\n") == 1


def test_app_options_belong_to_the_app(bare: Stepline):
    done = bare.run("--no-mouse", "config", "path")
    assert done.returncode == 2
    assert "--no-mouse" in done.stderr


@pytest.mark.parametrize("place", ["before", "between", "after"])
def test_options_for_all_work_everywhere(bare: Stepline, tmp_path: Path, place: str):
    option = ["--data-dir", str(tmp_path / "elsewhere")]
    words = {
        "before": [*option, "config", "show", "--json"],
        "between": ["config", *option, "show", "--json"],
        "after": ["config", "show", *option, "--json"],
    }[place]
    done = bare.run(*words)
    assert done.returncode == 0
    assert f'"value": "{tmp_path / "elsewhere"}"' in done.stdout


def test_the_later_option_wins(bare: Stepline, tmp_path: Path):
    done = bare.run("--data-dir", tmp_path / "a", "config", "show", "--data-dir", tmp_path / "b")
    assert str(tmp_path / "b") in done.stdout
    assert str(tmp_path / "a") not in done.stdout


def test_unknown_profile_is_one_sentence(bare: Stepline):
    done = bare.run("tasks", "list", "--profile", "team")
    assert done.returncode == 2
    assert re.fullmatch(r'stepline: .*no profile "team".*\n', done.stderr)


def test_unreachable_database_is_3(bare: Stepline):
    url = "postgresql://me:hunter2secret@127.0.0.1:1/none"
    done = bare.having(STEPLINE_DB_URL=url).run("tasks", "list")
    assert done.returncode == 3
    assert re.fullmatch(r"stepline: .*\n", done.stderr)
    assert "hunter2secret" not in done.stderr


def test_unexpected_error_is_one_sentence_and_its_traceback_in_the_log(
    bare: Stepline, tmp_path: Path
):
    # A data directory below a file: no check of ours expects that of the log's directory.
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import core.chat\n"
        "async def explode(*_, **__): raise RuntimeError('boom sk-0123456789abcdef')\n"
        "core.chat.ChatService.conversations = explode\n"
    )
    done = bare.having(PYTHONPATH=str(broken)).run("conversations", "list")
    assert done.returncode == 1
    assert done.stdout == ""
    log = Path(bare.env["STEPLINE_DATA_DIR"]) / "state" / "stepline.log"
    assert re.fullmatch(r"stepline: unexpected error \(RuntimeError: boom .*\n", done.stderr)
    assert str(log) in done.stderr
    assert "Traceback (most recent call last)" in log.read_text()
    assert "0123456789abcdef" not in done.stderr + log.read_text()


def test_a_reader_that_leaves_is_no_error(bare: Stepline):
    shell = f"{COMMAND} migrate --print | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, env=dict(bare.env), check=True
    )
    first, code = done.stdout.split("\n")[:2]
    assert first == "BEGIN;"
    assert code in ("0", "141")
    assert done.stderr == ""


def test_a_full_disk_behind_stdout_is_one_sentence(bare: Stepline):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [COMMAND, "config", "path"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(bare.env),
            check=False,
        )
    assert done.returncode == 1
    assert re.fullmatch(r"stepline: .*No space left on device.*\n", done.stderr)


def test_output_survives_a_narrow_encoding(stepline: Stepline):
    narrow = stepline.having(LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert stepline.run("send", "--no-wait", "漢字 é").returncode == 0
    done = narrow.run("conversations", "list", "--json")
    assert done.returncode == 0
    assert "\\u6f22\\u5b57" in done.stdout
    assert narrow.run("conversations", "list").returncode == 0
