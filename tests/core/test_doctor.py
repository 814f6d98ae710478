"""The doctor's checks: what is well, what is not, and that each finding says what to do."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from core.doctor import Check, Verdict, database, endpoint, examine, machine
from core.errors import ConfigError
from core.settings import LlmSettings, Settings
from tests.support.database import Database
from tests.support.openai_server import OpenAiServer, Reply, failure

GOOD = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "en_US.UTF-8"}
MODELS = Reply(body={"data": [{"id": "test/model-1"}, {"id": "llama3.2:latest"}]})


def found(checks: list[Check]) -> dict[str, Verdict]:
    for check in checks:
        assert check.sentence.endswith((".", "…")), check
        assert bool(check.fix) == (check.verdict is not Verdict.OK), check
    return {check.name: check.verdict for check in checks}


# The terminal


@pytest.mark.parametrize(
    ("env", "name", "verdict"),
    [
        ({}, "terminal", Verdict.OK),
        ({"TERM": ""}, "terminal", Verdict.WARN),
        ({"TERM": "dumb"}, "terminal", Verdict.WARN),
        ({}, "encoding", Verdict.OK),
        ({"LC_ALL": "C"}, "encoding", Verdict.WARN),
        ({"LANG": "de_DE.ISO-8859-1"}, "encoding", Verdict.WARN),
        ({}, "colours", Verdict.OK),
        ({"COLORTERM": ""}, "colours", Verdict.OK),
        ({"COLORTERM": "", "TERM": "xterm"}, "colours", Verdict.WARN),
        ({"COLORTERM": "", "TERM": "xterm", "NO_COLOR": "1"}, "colours", Verdict.OK),
        ({"TMUX": "/nowhere,1,0"}, "tmux", Verdict.WARN),
        ({"TMUX": "/nowhere,1,0", "TERM": "tmux-256color"}, "tmux", Verdict.OK),
    ],
)
def test_terminal(
    env: dict[str, str], name: str, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", "/nowhere")  # a tmux of this machine has no say here
    assert found(list(machine.terminal(GOOD | env)))[name] is verdict


@pytest.mark.parametrize(
    ("option", "value", "verdict"),
    [
        ("escape-time", "500", Verdict.WARN),
        ("escape-time", "10", Verdict.OK),
        ("set-clipboard", "off", Verdict.WARN),
        ("set-clipboard", "external", Verdict.OK),
    ],
)
def test_tmux_options(
    option: str, value: str, verdict: Verdict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tmux = tmp_path / "tmux"
    tmux.write_text(f'#!/bin/sh\n[ "$3" = {option} ] && echo {value}\nexit 0\n')
    tmux.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    env = {**GOOD, "TMUX": "/nowhere,1,0", "TERM": "tmux-256color"}
    assert found(list(machine.terminal(env)))["tmux"] is verdict


# Files


def test_files_that_are_well(settings: Settings):
    assert set(found(list(machine.files(settings))).values()) == {Verdict.OK}


def test_a_directory_below_a_file(settings: Settings, tmp_path: Path):
    (tmp_path / "file").write_text("")
    wrong = replace(settings, state_dir=tmp_path / "file/state")
    assert found(list(machine.files(wrong)))["log directory"] is Verdict.FAIL


def test_little_space(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    embedded = replace(settings, store="embedded")
    monkeypatch.setattr(machine, "_COMFORTABLE", 2**60)
    assert found(list(machine.files(embedded)))["disk"] is Verdict.WARN
    monkeypatch.setattr(machine, "_NEEDED", 2**60)
    assert found(list(machine.files(embedded)))["disk"] is Verdict.FAIL


def test_broken_workflows(settings: Settings, tmp_path: Path):
    (tmp_path / "workflows.toml").write_text("[chat\n")
    wrong = replace(settings, workflows_file=tmp_path / "workflows.toml")
    assert found(list(machine.files(wrong)))["workflows"] is Verdict.FAIL


def test_warnings_of_the_settings_are_findings(settings: Settings):
    told = replace(settings, warnings=("Others can read x; run `chmod 600 x`.",))
    check = next(check for check in machine.files(told) if check.verdict is Verdict.WARN)
    assert (check.sentence, check.fix) == ("Others can read x.", "run `chmod 600 x`.")


async def test_wrong_settings_are_a_finding_and_end_it():
    def load() -> Settings:
        raise ConfigError('config.toml, line 1: there is no key "them".')

    checks = [check async for check in examine(load, GOOD)]
    assert found(checks)["settings"] is Verdict.FAIL
    assert checks[-1].name == "settings"


# The database


async def test_a_database_that_is_well(settings: Settings):
    verdicts = found([check async for check in database.checks(settings)])
    assert verdicts == {
        "database": Verdict.OK,
        "schema": Verdict.OK,
        "live changes": Verdict.OK,
        "worker": Verdict.WARN,
        "clock": Verdict.OK,
    }


async def test_a_worker_that_is_alive(settings: Settings, database: Database):
    from core.doctor.database import checks

    with database.worker() as connection:
        connection.execute("SELECT worker_heartbeat('local:test')")
    assert found([check async for check in checks(settings)])["worker"] is Verdict.OK


async def test_a_stream_that_is_silent(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database, "_LIVE", 0.5)
    monkeypatch.setattr("core.store.postgres._hint", lambda _: None)
    verdicts = found([check async for check in database.checks(settings)])
    assert verdicts["live changes"] is Verdict.FAIL


async def test_a_database_that_is_not_there(settings: Settings):
    url = SecretStr("postgresql://me:hunter2@127.0.0.1:1/x")
    gone = replace(settings, database_url=url)
    checks = [check async for check in database.checks(gone)]
    assert found(checks) == {"database": Verdict.FAIL}
    assert "hunter2" not in str(checks)


async def test_a_schema_that_is_missing(settings: Settings, database: Database):
    from core.doctor.database import checks

    with database.owner() as connection:
        connection.execute(
            "DELETE FROM stepline.migrations"
            " WHERE version = (SELECT max(version) FROM stepline.migrations)"
        )
    assert found([check async for check in checks(settings)]) == {"schema": Verdict.FAIL}


def test_a_clock_that_is_off():
    assert database.clock(-120).verdict is Verdict.WARN
    assert "ahead of" in database.clock(-120).sentence
    assert "behind" in database.clock(120).sentence


# The model


@pytest.fixture
async def server() -> AsyncIterator[OpenAiServer]:
    async with OpenAiServer() as server:
        yield server


def llm(server: OpenAiServer, model: str = "test/model-1", key: str | None = "sk-1") -> LlmSettings:
    secret = None if key is None else SecretStr(key)
    return LlmSettings(base_url=server.url, model=model, api_key=secret)


async def test_demo_is_said_plainly():
    check = await endpoint.check(LlmSettings())
    assert found([check]) == {"model": Verdict.WARN}
    assert "demo" in check.sentence


@pytest.mark.parametrize("model", ["test/model-1", "llama3.2"])
async def test_a_model_that_is_served(server: OpenAiServer, model: str):
    server.say(MODELS)
    assert found([await endpoint.check(llm(server, model))]) == {"model": Verdict.OK}
    [request] = server.requests
    assert (request.method, request.path) == ("GET", "/v1/models")
    assert request.headers["authorization"] == "Bearer sk-1"


async def test_a_model_that_is_not_served(server: OpenAiServer):
    server.say(MODELS)
    check = await endpoint.check(llm(server, "test/model-2"))
    assert found([check]) == {"model": Verdict.WARN}
    assert "llama3.2:latest" in check.fix


@pytest.mark.parametrize("status", [401, 403, 500])
async def test_a_refusal(server: OpenAiServer, status: int):
    server.say(failure(status))
    assert found([await endpoint.check(llm(server))]) == {"model": Verdict.FAIL}


async def test_openrouter_is_asked_for_the_key(
    server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
):
    """Its list of models is open to everybody, and says nothing about the key."""
    monkeypatch.setattr("core.engine.local.failures.Failures.openrouter", True)
    server.say(failure(401), Reply(body={"data": {}}), MODELS)
    assert found([await endpoint.check(llm(server))]) == {"model": Verdict.FAIL}
    assert found([await endpoint.check(llm(server))]) == {"model": Verdict.OK}
    assert [request.path for request in server.requests] == ["/v1/key", "/v1/key", "/v1/models"]


@pytest.mark.parametrize(
    "reply",
    [
        failure(404),
        Reply(body="<html>hello</html>", content_type="text/html"),
        Reply(body={"data": []}),
        Reply(body=[1, 2]),
    ],
)
async def test_an_answer_without_models(server: OpenAiServer, reply: Reply):
    server.say(reply)
    assert found([await endpoint.check(llm(server))]) == {"model": Verdict.WARN}


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/v1", "http://no.such.host.invalid/v1"])
async def test_nobody_there(url: str):
    settings = LlmSettings(base_url=url, api_key=SecretStr("sk-1"))
    assert found([await endpoint.check(settings)]) == {"model": Verdict.FAIL}


async def test_silence(server: OpenAiServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(endpoint, "_TIMEOUT", 0.2)
    server.say(Reply(before=server.gate("never")))
    assert found([await endpoint.check(llm(server))]) == {"model": Verdict.FAIL}


async def test_a_key_that_cannot_be_sent(server: OpenAiServer):
    check = await endpoint.check(llm(server, key="sk-1\n漢字"))
    assert found([check]) == {"model": Verdict.FAIL}
    assert "sk-1" not in str(check)
