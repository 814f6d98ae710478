"""`stepline tasks`."""

import json
import re
import select
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_send import CHAT_STEPS
from tests.support.command import Stepline
from tests.support.model_process import ModelProcess


def send(stepline: Stepline, text: str) -> dict[str, Any]:
    """A message and its end."""
    return json.loads(stepline.run("send", "--json", text).stdout)


def listed(stepline: Stepline, *options: object) -> list[dict[str, Any]]:
    done = stepline.run("tasks", "list", "--json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def failed(stepline: Stepline) -> dict[str, Any]:
    answer = send(stepline, "fail:401")
    assert answer["status"] == "failed"
    return answer


def test_list_is_an_array_newest_first(stepline: Stepline):
    ids = [send(stepline, f"say:{word}")["task_id"] for word in ("one", "two")]
    tasks = listed(stepline)
    assert [task["id"] for task in tasks[:2]] == ids[::-1]
    assert [task["id"] for task in listed(stepline, "--limit", 1)] == ids[:0:-1]


def test_list_filters(stepline: Stepline, failed: dict[str, Any]):
    send(stepline, "say:fine")
    assert {task["status"] for task in listed(stepline, "--status", "failed")} == {"failed"}
    assert failed["task_id"] in [task["id"] for task in listed(stepline, "--status", "bad,failed")]
    assert listed(stepline, "--since", "2h")
    assert listed(stepline, "--since", "2999-01-01") == []
    assert listed(stepline, "--type", "email") == []
    assert listed(stepline, "--text", "key", "--status", "failed")
    assert listed(stepline, "--text", "no such text anywhere") == []


@pytest.mark.parametrize(
    ("options", "near"),
    [
        (["--status", "faild"], "failed"),
        (["--type", "chta"], "chat"),
        (["--since", "yesterdayish"], "2h"),
        (["--status", 'x" type:"chat'], "status"),
    ],
)
def test_list_refuses_what_it_does_not_know(stepline: Stepline, options: list[str], near: str):
    done = stepline.run("tasks", "list", *options)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert near in done.stderr


def test_list_for_people(stepline: Stepline, failed: dict[str, Any]):
    done = stepline.run("tasks", "list", "--limit", 1)
    head, row = done.stdout.splitlines()
    assert head.split() == ["ID", "STATUS", "TYPE", "CREATED", "TIME", "MESSAGE"]
    assert row.split()[:3] == [str(failed["task_id"]), "failed", "chat"]


def test_show(stepline: Stepline, failed: dict[str, Any]):
    done = stepline.run("tasks", "show", failed["task_id"], "--json")
    task = json.loads(done.stdout)
    assert (done.returncode, task["id"], task["status"]) == (0, failed["task_id"], "failed")
    assert [step["step"] for step in task["steps"]][:2] == CHAT_STEPS[:2]
    assert task["steps"][-1]["state"] == "failed"
    assert task["error_details"]["status"] == 401
    assert [event["event_type"] for event in task["events"]].count("error") == 1
    people = stepline.run("tasks", "show", failed["task_id"])
    assert "status:     failed" in people.stdout
    assert "input:" in people.stdout
    assert "error:" in people.stdout


def test_unknown_task_is_2(stepline: Stepline):
    for command in ("show", "watch", "retry", "cancel"):
        done = stepline.run("tasks", command, 999_999)
        assert done.returncode == 2, command
        assert re.fullmatch(r"stepline: .*999999.*\n", done.stderr), command
        assert done.stdout == ""


def test_watch_has_a_line_for_every_step(stepline: Stepline):
    task_id = send(stepline, "say:x")["task_id"]
    done = stepline.run("tasks", "watch", task_id)
    assert done.returncode == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(
        set(line) == {"task_id", "status", "step", "message", "at", "event_id"} for line in lines
    )
    steps = list(dict.fromkeys(line["step"] for line in lines if line["step"]))
    assert steps == [*CHAT_STEPS, "completed"]
    assert lines[0]["status"] == "pending"
    assert lines[-1]["status"] == "completed"
    ids = [line["event_id"] for line in lines if line["event_id"] is not None]
    assert ids == sorted(set(ids))


def test_watch_follows_live_what_it_tells_later(stepline: Stepline, model: ModelProcess):
    ids = json.loads(stepline.run("send", "--no-wait", "--json", "gate:watch say:a b c d").stdout)
    watch = stepline.start("tasks", "watch", ids["task_id"])
    assert watch.stdout is not None
    live = [watch.stdout.readline().rstrip("\n")]
    model.open("watch")
    live += watch.stdout.read().splitlines()
    watch.communicate()
    later = stepline.run("tasks", "watch", ids["task_id"]).stdout.splitlines()
    with_event = [line for line in live if json.loads(line)["event_id"]]
    assert with_event == [line for line in later if json.loads(line)["event_id"]]


def test_watch_all_until_interrupted(stepline: Stepline):
    process = stepline.start("tasks", "watch")
    assert process.stdout is not None
    # Nothing is promised until it listens; so tasks are sent until one is seen.
    sent: set[int] = set()
    while not select.select([process.stdout], [], [], 0)[0] and len(sent) < 20:
        sent.add(send(stepline, "say:x")["task_id"])
    assert json.loads(process.stdout.readline())["task_id"] in sent
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130


def test_exit_code_of_watch_is_the_task_s(stepline: Stepline, failed: dict[str, Any]):
    done = stepline.run("tasks", "watch", failed["task_id"])
    assert done.returncode == 1
    assert "stepline tasks retry" in done.stderr


def test_retry_and_wait(stepline: Stepline):
    first = send(stepline, "fail-once:401 retry and wait")
    assert first["status"] == "failed"
    done = stepline.run("tasks", "retry", first["task_id"], "--wait", "--json")
    assert done.returncode == 0
    task = json.loads(done.stdout)
    assert task["status"] == "completed"
    assert task["metadata"]["retry_of"] == first["task_id"]
    again = stepline.run("tasks", "retry", first["task_id"])
    assert again.returncode == 1
    assert re.fullmatch(r"stepline: .*retried already.*\n", again.stderr)


def test_retry_prints_the_new_id(stepline: Stepline, failed: dict[str, Any]):
    done = stepline.run("tasks", "retry", failed["task_id"])
    assert done.returncode == 0
    assert int(done.stdout) > failed["task_id"]
    assert stepline.run("tasks", "watch", done.stdout.strip()).returncode == 1


def test_cancel(stepline: Stepline):
    ids = json.loads(stepline.run("send", "--no-wait", "--json", "hang say:x y").stdout)
    done = stepline.run("tasks", "cancel", ids["task_id"], "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["status"] == "cancelled"
    assert stepline.run("tasks", "watch", ids["task_id"]).returncode == 4


def test_a_finished_task_cannot_be_cancelled(stepline: Stepline):
    done = stepline.run("tasks", "cancel", send(stepline, "say:x")["task_id"])
    assert done.returncode == 1
    assert re.fullmatch(r"stepline: .*completed.*\n", done.stderr)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chta", "--input", "{}"], "chat"),
        (["email", "--input", "{}"], "email"),
        (["chat", "--input", "{}"], "conversation_id"),
        (["chat", "--input", "{"], "not JSON"),
        (["chat", "--input", "[]"], "JSON object"),
        (["chat", "--input", "@/no/such/file"], "cannot be read"),
        (["chat", "--input", "@/"], "cannot be read"),
        (["chat"], "--input"),
    ],
)
def test_create_refuses_in_one_sentence_and_writes_nothing(
    stepline: Stepline, arguments: list[str], said: str
):
    before = listed(stepline)
    done = stepline.run("tasks", "create", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert listed(stepline) == before


@pytest.mark.parametrize("way", ["argument", "file", "stdin"])
def test_create_and_wait(stepline: Stepline, tmp_path: Path, way: str):
    sent = send(stepline, "say:hello")
    shown = json.loads(stepline.run("tasks", "show", sent["task_id"], "--json").stdout)
    given = json.dumps(shown["input_data"])
    (tmp_path / "input.json").write_text(given)
    value = {"argument": given, "file": f"@{tmp_path / 'input.json'}", "stdin": "-"}[way]
    done = stepline.run("tasks", "create", "chat", "--input", value, "--wait", text=given)
    assert done.stdout.strip().isdigit()
    task = json.loads(stepline.run("tasks", "show", done.stdout.strip(), "--json").stdout)
    assert task["input_data"] == shown["input_data"]
    assert task["status"] in ("completed", "failed")
    assert done.returncode == (0 if task["status"] == "completed" else 1)
