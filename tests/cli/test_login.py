"""`stepline login`, `logout`, `whoami`, and the other commands in a Supabase project."""

import json
import time
from pathlib import Path

import psutil
import pytest

from tests.support.command import COMMAND, Stepline, isolated
from tests.support.pty_terminal import Terminal
from tests.support.supabase import Supabase
from tests.support.supabase.target import Target

EMAIL, PASSWORD = "ada@example.org", "correct horse"


@pytest.fixture
def project(target: Target) -> Supabase:
    """For users that are made by hand."""
    if target.stand_in is None:
        pytest.skip("a real project's users are not ours to make")
    return target.stand_in


@pytest.fixture
def stepline(target: Target, tmp_path: Path) -> Stepline:
    """The command in the project, with nobody signed in."""
    return isolated(tmp_path / "home", SUPABASE_URL=target.url, SUPABASE_ANON_KEY=target.anon_key)


def test_in_with_a_password_out_and_in_between(stepline: Stepline, project: Supabase) -> None:
    user_id = project.auth.add_user(EMAIL)
    done = stepline.run("whoami")
    assert (done.returncode, done.stdout) == (2, "")
    assert "stepline login" in done.stderr
    done = stepline.run("login", EMAIL, text=f"{PASSWORD}\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"Signed in as {EMAIL}.\n")
    assert stepline.run("whoami").stdout == f"{EMAIL}  {user_id}\n"
    assert json.loads(stepline.run("whoami", "--json").stdout) == {
        "user_id": str(user_id),
        "email": EMAIL,
    }
    assert stepline.run("tasks", "list").returncode == 0
    done = stepline.run("logout")
    assert (done.returncode, done.stderr) == (0, "Signed out.\n")
    done = stepline.run("logout")
    assert (done.returncode, done.stderr) == (0, "Nobody was signed in.\n")
    done = stepline.run("tasks", "list")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "stepline login" in done.stderr


def test_the_password_comes_from_the_environment_too(stepline: Stepline, project: Supabase) -> None:
    project.auth.add_user(EMAIL)
    assert stepline.having(STEPLINE_PASSWORD=PASSWORD).run("login", EMAIL).returncode == 0
    wrong = stepline.having(STEPLINE_PASSWORD="hunter2hunter2").run("login", EMAIL)
    assert wrong.returncode == 2
    assert "hunter2" not in wrong.stderr
    nothing = stepline.run("login", EMAIL)
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)
    assert "STEPLINE_PASSWORD" in nothing.stderr


def test_the_password_is_asked_for_and_not_shown(stepline: Stepline, project: Supabase) -> None:
    project.auth.add_user(EMAIL)
    with Terminal([COMMAND, "login"], env=stepline.env, cwd=stepline.cwd) as terminal:
        terminal.wait_for("E-mail:")
        terminal.type(f"{EMAIL}\r")
        terminal.wait_for("Password:")
        terminal.type(f"{PASSWORD}\r")
        terminal.wait_for(f"Signed in as {EMAIL}")
        assert terminal.wait_exit() == 0
        assert PASSWORD.encode() not in terminal.raw
    with Terminal([COMMAND, "login"], env=stepline.env, cwd=stepline.cwd) as terminal:
        terminal.wait_for("E-mail:")
        # Python does not see a signal of the last instant before it waits for the line.
        command = psutil.Process(terminal.process.pid)
        while command.status() != psutil.STATUS_SLEEPING:
            time.sleep(0.01)
        terminal.press("ctrl+c")
        assert terminal.wait_exit() == 130


def test_a_code_by_mail(stepline: Stepline, project: Supabase) -> None:
    # The first code of an address is known beforehand here, and only here.
    code = f"001{len(EMAIL):03}"
    done = stepline.run("login", EMAIL, "--code", text=f"{code}\n")
    assert (done.returncode, done.stderr.splitlines()) == (
        0,
        [f"A code is on its way to {EMAIL}.", f"Signed in as {EMAIL}."],
    )
    done = stepline.run("login", EMAIL, "--code", text="nonsense\n")
    assert done.returncode == 2
    assert "wrong or too old" in done.stderr


def test_without_a_name(stepline: Stepline, project: Supabase) -> None:
    assert stepline.run("login", "--anonymous").returncode == 0
    assert stepline.run("whoami").stdout.startswith("anonymous  ")
    assert stepline.run("login", "--anonymous", EMAIL).returncode == 2
    project.auth.anonymous = False
    done = stepline.run("login", "--anonymous")
    assert done.returncode == 2
    assert "allows no anonymous users" in done.stderr


def test_a_server_brings_its_tokens(stepline: Stepline, target: Target) -> None:
    signed = target.sign_in()
    server = stepline.having(
        STEPLINE_ACCESS_TOKEN=signed.access, STEPLINE_REFRESH_TOKEN=signed.refresh
    )
    assert str(signed.user_id) in server.run("whoami").stdout
    assert server.run("tasks", "list", "--json").stdout.strip() == "[]"
    for command in (("login", EMAIL), ("logout",)):
        done = server.run(*command)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "unset STEPLINE_ACCESS_TOKEN" in done.stderr


def test_an_unreachable_project_is_3(stepline: Stepline) -> None:
    done = stepline.having(SUPABASE_URL="http://127.0.0.1:1").run("login", EMAIL, text="x\n")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "does not answer" in done.stderr


def test_a_service_key_is_refused_by_every_command(stepline: Stepline) -> None:
    service = stepline.having(SUPABASE_ANON_KEY="sb_secret_abcdef")
    for command in (("login", EMAIL), ("whoami",), ("tasks", "list"), ("--linear",)):
        done = service.run(*command)
        assert (done.returncode, done.stdout) == (2, "")
        assert "is a service key" in done.stderr
        assert "abcdef" not in done.stderr


def test_another_store_has_nothing_to_sign_in_to(bare: Stepline) -> None:
    done = bare.run("login", EMAIL)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "nothing to sign in to" in done.stderr
    assert bare.run("whoami").stdout.startswith("local.user@localhost  ")


def test_migrate_asks_for_the_database(stepline: Stepline) -> None:
    done = stepline.run("migrate")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "STEPLINE_DB_URL" in done.stderr


def test_no_secret_is_in_the_log(stepline: Stepline, project: Supabase) -> None:
    project.auth.add_user(EMAIL)
    stepline.run("login", EMAIL, text=f"{PASSWORD}\n")
    project.faults.refuse = 9
    stepline.run("tasks", "list")
    log = Path(stepline.env["STEPLINE_DATA_DIR"]) / "state" / "stepline.log"
    text = log.read_text() if log.exists() else ""
    for secret in (PASSWORD, project.anon_key, *project.project._issued):
        assert secret not in text
