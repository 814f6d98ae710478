"""`stepline send` through the real worker to a real (loopback) model server."""

import json
import re
import signal
from pathlib import Path

import pytest

from tests.support.command import Stepline
from tests.support.model_process import ModelProcess

CHAT_STEPS = [
    "initializing",
    "preparing_request",
    "calling_ai",
    "processing_response",
    "saving_response",
]


def test_the_answer_is_stdout_and_the_steps_are_stderr(stepline: Stepline):
    done = stepline.run("send", "say:Hello there")
    assert (done.returncode, done.stdout) == (0, "Hello there\n")
    assert "Preparing" in done.stderr
    assert "Hello there" not in done.stderr


def test_json_is_one_object(stepline: Stepline):
    done = stepline.run("send", "--json", "think say:Hello there")
    assert done.returncode == 0
    answer = json.loads(done.stdout)
    assert set(answer) == {
        "task_id",
        "conversation_id",
        "message_id",
        "status",
        "reply",
        "thinking",
        "model",
        "tokens",
        "seconds",
        "steps",
    }
    assert answer["status"] == "completed"
    assert answer["reply"] == "Hello there"
    assert answer["thinking"] == "Let me think about this."
    assert answer["model"] == "test/model-1"
    assert answer["tokens"] == 7
    assert [step["step"] for step in answer["steps"]] == CHAT_STEPS
    assert all(step["label"] and step["seconds"] >= 0 for step in answer["steps"])
    assert sum(step["seconds"] for step in answer["steps"]) == pytest.approx(
        answer["seconds"], abs=0.1
    )


def test_text_comes_from_stdin(stepline: Stepline):
    done = stepline.run("send", "-", text="say:from\nstdin é 漢字\n")
    assert done.returncode == 0
    assert done.stdout.rstrip("\n") == "from\nstdin é 漢字"


@pytest.mark.parametrize("text", ["", "  \n\t "])
def test_blank_text_is_2_and_writes_nothing(stepline: Stepline, text: str):
    before = stepline.run("tasks", "list", "--json").stdout
    done = stepline.run("send", "-", text=text)
    assert done.returncode == 2
    assert re.fullmatch(r"stepline: .*empty.*\n", done.stderr)
    assert stepline.run("tasks", "list", "--json").stdout == before


def test_a_conversation_goes_on(stepline: Stepline):
    first = json.loads(stepline.run("send", "--json", "say:one").stdout)
    done = stepline.run("send", "--json", "-c", first["conversation_id"], "say:two")
    second = json.loads(done.stdout)
    assert second["conversation_id"] == first["conversation_id"]
    assert second["task_id"] > first["task_id"]


def test_an_unknown_conversation_is_2(stepline: Stepline):
    done = stepline.run("send", "-c", 999_999, "hi")
    assert done.returncode == 2
    assert re.fullmatch(r"stepline: .*999999.*\n", done.stderr)


def test_it_streams(stepline: Stepline, model: ModelProcess):
    """What has come is on stdout while the rest is not there yet."""
    words = " ".join(f"word{number}" for number in range(60))
    process = stepline.start("send", f"gate:stream say:{words}")
    assert process.stdout is not None
    first = process.stdout.read(5)
    assert first == "word0"
    model.open("stream")
    assert (first + process.stdout.read()).split() == words.split()
    process.communicate()
    assert process.returncode == 0


def test_failed_is_1_with_a_sentence_and_the_partial_text(stepline: Stepline):
    done = stepline.run("send", "--json", "break say:a b c d e f")
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert answer["status"] == "failed"
    assert answer["reply"].startswith("a")
    last = done.stderr.rstrip("\n").split("\n")[-1]
    assert last.startswith(f"stepline: task #{answer['task_id']}: ")
    assert f"stepline tasks retry {answer['task_id']}" in last


def test_timeout_is_3_and_the_task_goes_on(stepline: Stepline, model: ModelProcess):
    done = stepline.run("send", "--json", "--timeout", 2, "gate:timeout say:a b c d e f g h i")
    assert done.returncode == 3
    answer = json.loads(done.stdout)
    assert answer["status"] in ("pending", "processing")
    model.open("timeout")
    assert f"stepline tasks watch {answer['task_id']}" in done.stderr
    watched = stepline.run("tasks", "watch", answer["task_id"])
    assert watched.returncode == 0
    assert json.loads(watched.stdout.splitlines()[-1])["status"] == "completed"


def test_no_wait_prints_the_ids_and_the_answer_comes_later(stepline: Stepline):
    done = stepline.run("send", "--json", "--no-wait", "pace:0.05 say:a b c d")
    assert done.returncode == 0
    ids = json.loads(done.stdout)
    assert set(ids) == {"conversation_id", "user_message_id", "message_id", "task_id"}
    assert stepline.run("tasks", "watch", ids["task_id"]).returncode == 0
    shown = json.loads(
        stepline.run("conversations", "show", ids["conversation_id"], "--json").stdout
    )
    assert shown["messages"][-1]["content"] == "a b c d"


def test_no_wait_for_people(stepline: Stepline):
    done = stepline.run("send", "--no-wait", "say:x")
    assert re.search(r"^task_id \d+$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_interrupted_the_task_goes_on(
    stepline: Stepline, model: ModelProcess, number: signal.Signals, code: int
):
    process = stepline.start("send", f"gate:{number.name} say:a b c d e f g h i j k l m n o p")
    assert process.stdout is not None
    assert process.stdout.read(1) == "a"
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in said
    match = re.search(r"task #(\d+) goes on", said)
    assert match
    model.open(number.name)
    assert stepline.run("tasks", "watch", match[1]).returncode == 0


def test_cancelled_elsewhere_is_4(stepline: Stepline):
    process = stepline.start("send", "hang say:" + "a " * 100)
    assert process.stdout is not None
    assert process.stdout.read(1) == "a"
    listed = stepline.run("tasks", "list", "--status", "processing", "--json", "--limit", 1)
    [task] = json.loads(listed.stdout)
    assert stepline.run("tasks", "cancel", task["id"]).returncode == 0
    _, said = process.communicate(timeout=30)
    assert process.returncode == 4
    assert f"task #{task['id']}: Cancelled" in said


def test_hostile_text_does_not_reach_the_terminal(stepline: Stepline):
    done = stepline.run("send", "hostile")
    assert done.returncode == 0
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", done.stdout + done.stderr)
    assert "[bold]markup[/bold]" in done.stdout


def test_a_megabyte_on_one_line(stepline: Stepline):
    done = stepline.run("send", "--json", "-", text="say:ok " + "x" * 1_000_000)
    assert done.returncode == 0
    assert json.loads(done.stdout)["status"] == "completed"


def test_the_key_is_never_in_a_log(stepline: Stepline):
    keyed = stepline.having(STEPLINE_LLM_API_KEY="sk-a-key-nobody-may-see")
    assert keyed.run("send", "fail:401").returncode == 1
    state = Path(stepline.env["STEPLINE_DATA_DIR"]) / "state"
    assert "nobody-may-see" not in "".join(
        file.read_text() for file in state.iterdir() if file.is_file()
    )


def test_demo_without_a_key(bare: Stepline):
    done = bare.run("send", "--json", "Hello")
    assert done.returncode == 0
    answer = json.loads(done.stdout)
    assert "OPENROUTER_API_KEY" in answer["reply"]


def test_an_n8n_that_is_away_is_named(stepline: Stepline):
    away = stepline.having(
        N8N_BASE_URL="http://127.0.0.1:9", N8N_CHAT_WORKFLOW_ID="wf1", N8N_WEBHOOK_TOKEN="t"
    )
    done = away.run("send", "--timeout", "8", "hello")
    assert done.returncode == 3
    assert re.search(r"n8n has not begun task #\d+ yet: n8n at \S+ cannot be reached", done.stderr)
    assert "stepline worker" not in done.stderr
