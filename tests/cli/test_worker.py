"""`stepline worker` as a process, on a database by URL; and what happens to `send` without one."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.command import Stepline
from tests.support.database import Database
from tests.support.model_process import ModelProcess


@pytest.fixture
def remote(stepline: Stepline, database: Database) -> Stepline:
    """The command on a PostgreSQL by URL, where nobody starts workers by himself."""
    return stepline.having(STEPLINE_DB_URL=database.conninfo)


@contextmanager
def working(stepline: Stepline) -> Iterator[subprocess.Popen[str]]:
    process = stepline.start("worker")
    assert process.stderr is not None
    try:
        assert "takes tasks" in process.stderr.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


def send(stepline: Stepline, text: str) -> int:
    return json.loads(stepline.run("send", "--no-wait", "--json", text).stdout)["task_id"]


def begun(stepline: Stepline, task_id: int) -> None:
    """Waits until the model has begun to answer."""
    watch = stepline.start("tasks", "watch", task_id)
    assert watch.stdout is not None
    assert any(json.loads(line)["step"] == "calling_ai" for line in watch.stdout)
    watch.kill()
    watch.communicate()


def status(stepline: Stepline, task_id: int) -> str:
    return json.loads(stepline.run("tasks", "show", task_id, "--json").stdout)["status"]


def test_it_works_on_what_was_there_and_on_what_comes(remote: Stepline):
    earlier = send(remote, "say:earlier")
    with working(remote):
        assert remote.run("tasks", "watch", earlier).returncode == 0
        assert remote.run("send", "say:later").stdout == "later\n"


def test_without_a_worker_send_says_so(remote: Stepline):
    done = remote.run("send", "--timeout", 6, "say:x")
    assert done.returncode == 3
    assert re.search(r"No worker has taken task #\d+ yet; `stepline worker`", done.stderr)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_finishes_what_it_holds(remote: Stepline, model: ModelProcess, number: signal.Signals):
    with working(remote) as worker:
        task_id = send(remote, f"gate:finish-{number.name} say:a b c d e f")
        begun(remote, task_id)
        worker.send_signal(number)
        assert worker.stderr is not None
        assert "Finishing what it holds (1)" in worker.stderr.readline()
        model.open(f"finish-{number.name}")
        assert worker.wait(30) == 0
    assert status(remote, task_id) == "completed"


def test_a_second_signal_ends_it_and_another_one_goes_on(remote: Stepline, model: ModelProcess):
    with working(remote) as worker:
        task_id = send(remote, "gate:second say:a b c d e f g h i j")
        begun(remote, task_id)
        worker.send_signal(signal.SIGINT)
        assert worker.stderr is not None
        assert "Finishing" in worker.stderr.readline()
        worker.send_signal(signal.SIGINT)
        _, said = worker.communicate(timeout=10)
        assert worker.returncode == 130
        assert "Traceback" not in said
    assert status(remote, task_id) == "processing"
    model.open("second")
    with working(remote):
        assert remote.run("tasks", "watch", task_id).returncode == 0


def test_an_unreachable_database_is_3(bare: Stepline):
    done = bare.having(STEPLINE_DB_URL="postgresql://127.0.0.1:1/none").run("worker")
    assert done.returncode == 3
    assert re.fullmatch(r"stepline: .*\n", done.stderr)


def test_send_survives_the_death_of_its_worker(bare: Stepline, model: ModelProcess):
    """The worker that `send` started is killed in the middle of the answer."""
    command = bare.having(STEPLINE_LLM_BASE_URL=model.url)
    words = " ".join(f"word{number}" for number in range(40))
    process = command.start("send", f"gate:worker-death say:{words}")
    assert process.stdout is not None
    assert process.stdout.read(5) == "word0"
    [worker] = [
        child for child in psutil.Process(process.pid).children() if "worker" in child.cmdline()
    ]
    worker.kill()
    model.open("worker-death")
    text = "word0" + process.stdout.read()
    process.communicate()
    assert process.returncode == 0
    assert text.split() == words.split()


def test_send_survives_the_death_of_its_database(bare: Stepline, model: ModelProcess):
    """PostgreSQL is killed in the middle of the answer."""
    command = bare.having(STEPLINE_LLM_BASE_URL=model.url)
    words = " ".join(f"word{number}" for number in range(40))
    process = command.start("send", f"gate:database-death say:{words}")
    assert process.stdout is not None
    assert process.stdout.read(5) == "word0"
    pid_file = Path(command.env["STEPLINE_DATA_DIR"]) / "postgres/postmaster.pid"
    psutil.Process(int(pid_file.read_text().splitlines()[0])).kill()
    model.open("database-death")
    text = "word0" + process.stdout.read()
    process.communicate()
    assert process.returncode == 0
    assert text.split() == words.split()
