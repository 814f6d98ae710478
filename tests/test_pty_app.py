"""The real program in a real terminal: type, read the screen, pull plugs."""

import json
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.command import COMMAND, Stepline, isolated
from tests.support.model_process import ModelProcess, model_process
from tests.support.pty_terminal import Terminal

SIZES = [(80, 24), (120, 40)]
READY = r"● live"
HALF = "gate:GATE Say half of this, wait for a sign from outside, and then the rest. The end."
"""A message whose answer stops in the middle until that gate is opened."""


@pytest.fixture(scope="module")
def model() -> Iterator[ModelProcess]:
    """A model server that obeys words in the message."""
    with model_process() as model:
        yield model


@pytest.fixture
def stepline(model: ModelProcess) -> Iterator[Stepline]:
    """The command with an empty home of its own."""
    home = Path(tempfile.mkdtemp(prefix="slapp", dir="/tmp"))
    command = isolated(home, STEPLINE_LLM_BASE_URL=model.url, STEPLINE_LLM_MODEL="test/model-1")
    yield command
    command.end_worker()
    shutil.rmtree(home)


@contextmanager
def app(stepline: Stepline, *options: str, size: tuple[int, int] = (120, 40)) -> Iterator[Terminal]:
    """The app, connected and ready to type."""
    command = [COMMAND, *options]
    with Terminal(command, size=size, env=stepline.env, cwd=stepline.cwd) as terminal:
        terminal.wait_for(READY, 30)
        yield terminal


def half_answered(terminal: Terminal, gate: str) -> str:
    """Sends a message and waits until half its answer is there; returns the message."""
    text = HALF.replace("GATE", gate)
    say(terminal, text)
    terminal.wait_for(f"You said: gate:{gate}")
    return text


def say(terminal: Terminal, text: str) -> None:
    """Types a message and sends it."""
    terminal.type(text)
    terminal.press("enter")


def to_conversation(terminal: Terminal) -> None:
    """Leaves the composer; only then is the next key one of its own, and not alt and that key."""
    terminal.press("esc")
    terminal.wait_for("i type")


def leave(terminal: Terminal) -> None:
    """Quits as a user does; the terminal is as it was."""
    terminal.press("ctrl+c")
    terminal.wait_for("again to quit")
    terminal.press("ctrl+c")
    assert terminal.wait_exit() == 0
    assert_restored(terminal)


def assert_restored(terminal: Terminal) -> None:
    """Alternate screen, hidden cursor, bracketed paste and mouse reports are all taken back."""
    raw = bytes(terminal.raw)
    for mode in (b"1049", b"2004", b"1000", b"1003", b"1006"):
        on, off = raw.rfind(b"\x1b[?" + mode + b"h"), raw.rfind(b"\x1b[?" + mode + b"l")
        assert on <= off, mode
    assert raw.rfind(b"\x1b[?25l") < raw.rfind(b"\x1b[?25h")


def tasks(stepline: Stepline) -> list[dict[str, Any]]:
    done = stepline.run("tasks", "list", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_answered(stepline: Stepline, text: str) -> None:
    """One message was sent, and its answer is whole."""
    [task] = tasks(stepline)
    assert task["status"] == "completed"
    assert task["output_data"]["ai_response"] == f"You said: {text}"
    conversation = str(task["input_data"]["conversation_id"])
    done = stepline.run("conversations", "show", conversation, "--json")
    messages = json.loads(done.stdout)["messages"]
    assert [message["content"] for message in messages] == [text, f"You said: {text}"]


@pytest.mark.parametrize("size", SIZES)
def test_type_read_quit_and_come_back(stepline: Stepline, size: tuple[int, int]):
    with app(stepline, size=size) as terminal:
        say(terminal, "hello")
        terminal.wait_for("You said: hello")
        terminal.wait_for("Generated in")
        leave(terminal)
    with app(stepline, size=size) as terminal:
        terminal.wait_for("You said: hello")
        terminal.wait_for("Generated in")
        leave(terminal)


@pytest.mark.parametrize("size", SIZES)
def test_steps_are_seen_while_it_runs_and_typing_never_blocks(
    stepline: Stepline, model: ModelProcess, size: tuple[int, int]
):
    gate = f"typing-{size[0]}"
    with app(stepline, size=size) as terminal:
        half_answered(terminal, gate)
        terminal.wait_for("AI is thinking")
        say(terminal, "and this one meanwhile")
        terminal.type("a draft")
        terminal.wait_for("> a draft")
        model.open(gate)
        terminal.wait_for("You said: and this one meanwhile")
    assert [task["status"] for task in tasks(stepline)] == ["completed", "completed"]


@pytest.mark.parametrize("end", ["hang up", "SIGTERM", "SIGKILL"])
def test_whatever_ends_the_app_the_answer_is_there_on_return(
    stepline: Stepline, model: ModelProcess, end: str
):
    gate = end.replace(" ", "-")
    with app(stepline) as terminal:
        text = half_answered(terminal, gate)
        if end == "hang up":
            terminal.hang_up()
        else:
            terminal.process.send_signal(signal.Signals[end])
        code = terminal.wait_exit()
        if end == "SIGTERM":
            assert code == 128 + signal.SIGTERM
            assert_restored(terminal)
    model.open(gate)
    with app(stepline) as terminal:
        terminal.wait_for("Generated in")
        leave(terminal)
    assert_answered(stepline, text)


@pytest.mark.parametrize("victim", ["worker", "database"])
def test_what_is_killed_below_it_comes_back(stepline: Stepline, model: ModelProcess, victim: str):
    with app(stepline) as terminal:
        text = half_answered(terminal, victim)
        if victim == "worker":
            [worker] = [
                child
                for child in psutil.Process(terminal.process.pid).children()
                if "worker" in child.cmdline()
            ]
            worker.kill()
        else:
            pid_file = Path(stepline.env["STEPLINE_DATA_DIR"]) / "postgres/postmaster.pid"
            psutil.Process(int(pid_file.read_text().splitlines()[0])).kill()
        model.open(victim)
        terminal.wait_for("Generated in", 60)
        terminal.wait_for(READY)
        leave(terminal)
    assert_answered(stepline, text)


def test_a_failure_is_a_sentence_and_r_tries_again(stepline: Stepline):
    with app(stepline) as terminal:
        say(terminal, "fail-once:401 try me again")
        terminal.wait_for("API key")
        to_conversation(terminal)
        terminal.press("r")
        terminal.wait_for("You said: fail-once")
        terminal.wait_for("Generated in")
        leave(terminal)
    assert [task["status"] for task in tasks(stepline)] == ["completed", "failed"]


def test_c_cancels_after_asking(stepline: Stepline):
    with app(stepline) as terminal:
        half_answered(terminal, "never-opened")
        to_conversation(terminal)
        terminal.press("c")
        terminal.wait_for(r"(?i)cancel.*\?")
        terminal.press("y")
        terminal.wait_for(r"(?i)cancelled")
        leave(terminal)
    assert [task["status"] for task in tasks(stepline)] == ["cancelled"]


def test_an_unreachable_database_is_told_on_the_screen(stepline: Stepline):
    elsewhere = stepline.having(STEPLINE_DB_URL="postgresql://me:hunter2@127.0.0.1:1/none")
    command = [COMMAND]
    with Terminal(command, env=elsewhere.env, cwd=elsewhere.cwd) as terminal:
        terminal.wait_for("database")
        terminal.wait_for("stepline doctor")
        assert "hunter2" not in terminal.text()
        terminal.press("ctrl+c", "ctrl+c")
        terminal.wait_exit()
        assert_restored(terminal)


def test_hostile_text_never_reaches_the_terminal(stepline: Stepline):
    with app(stepline) as terminal:
        say(terminal, "hostile")
        terminal.wait_for("Generated in")
        leave(terminal)
    raw = bytes(terminal.raw)
    assert b"\x1b]52" not in raw
    assert b"\x9b2J" not in raw
    assert "\u202e".encode() not in raw
