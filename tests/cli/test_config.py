"""`stepline config` and `stepline completion`."""

import json
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.command import COMMAND, Stepline


def file_of(command: Stepline) -> Path:
    return Path(command.env["HOME"]) / ".config/stepline/config.toml"


def test_path_is_told_before_the_file_exists(bare: Stepline):
    done = bare.run("config", "path")
    assert done.stdout == f"{file_of(bare)}\n"
    assert not file_of(bare).exists()


def test_init_writes_a_private_file_that_loads(bare: Stepline):
    done = bare.run("config", "init")
    assert done.returncode == 0
    assert done.stdout == f"{file_of(bare)}\n"
    assert stat.S_IMODE(file_of(bare).stat().st_mode) == 0o600
    before = bare.run("config", "show", "--json")
    file_of(bare).unlink()
    assert json.loads(before.stdout) == json.loads(bare.run("config", "show", "--json").stdout)


def test_init_never_overwrites_unasked(bare: Stepline):
    bare.run("config", "init")
    file_of(bare).write_text('theme = "nord"\n')
    done = bare.run("config", "init")
    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert file_of(bare).read_text() == 'theme = "nord"\n'
    assert bare.run("config", "init", "--force").returncode == 0
    assert file_of(bare).read_text() != 'theme = "nord"\n'


def test_init_goes_where_the_environment_says(bare: Stepline, tmp_path: Path):
    named = bare.having(STEPLINE_CONFIG=str(tmp_path / "own.toml"))
    assert named.run("config", "init").returncode == 0
    assert (tmp_path / "own.toml").exists()


def test_show_masks_secrets_and_tells_sources(bare: Stepline):
    done = bare.having(STEPLINE_LLM_API_KEY="sk-very-secret").run("config", "show", "--json")
    assert "sk-very-secret" not in done.stdout
    assert json.loads(done.stdout)["llm.api_key"]["source"] == "STEPLINE_LLM_API_KEY"


def test_a_wrong_file_is_one_sentence_and_still_has_a_path(bare: Stepline):
    file_of(bare).parent.mkdir(parents=True)
    file_of(bare).write_text('them = "nord"\n')
    done = bare.run("config", "show")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "them" in done.stderr
    assert bare.run("config", "path").returncode == 0


def test_others_who_can_read_the_key_are_mentioned(bare: Stepline):
    file_of(bare).parent.mkdir(parents=True)
    file_of(bare).write_text('[llm]\napi_key = "sk-very-secret"\n')
    file_of(bare).chmod(0o644)
    done = bare.run("conversations", "list")
    assert done.returncode == 0
    assert "chmod 600" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(bare: Stepline, shell: str):
    done = bare.run("completion", shell)
    assert done.returncode == 0
    assert "_STEPLINE_COMPLETE" in done.stdout


def test_bash_completes_commands_and_options(bare: Stepline):
    script = (
        f'PATH="{COMMAND.parent}:$PATH"; eval "$(stepline completion bash)"; '
        "COMP_WORDS=(stepline tasks wa); COMP_CWORD=2; _stepline_completion stepline; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=dict(bare.env), check=True
    )
    assert done.stdout == "watch\n"
