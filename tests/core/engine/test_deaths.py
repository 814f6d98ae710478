"""Workers and databases that die in the middle of an answer; workers that come and go by need."""

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from core.engine.local.auto import WorkerFiles, run_auto_worker
from core.engine.local.supervisor import WorkerSupervisor
from core.lease import Lease
from core.settings import Settings, load_settings
from core.store.embedded import EmbeddedServer
from schema.runner import migrate
from tests.core.engine.scene import Scene
from tests.support.command import isolated
from tests.support.database import Database
from tests.support.openai_server import Hang, OpenAiServer, Reply, ending
from tests.support.postgres_server import PostgresServer

WORDS = " ".join(f"word{number}" for number in range(10))


@pytest.fixture
def mortal(settings: Settings) -> Iterator[tuple[PostgresServer, Scene]]:
    """A scene on a database server of its own, which may be killed."""
    postgres = PostgresServer()
    postgres.start()
    migrate(postgres.conninfo())
    with Database(postgres.conninfo()).owner() as connection:
        # Off in tests: a killed server would forget what it had committed.
        connection.execute("ALTER DATABASE postgres SET synchronous_commit = on")
    yield postgres, Scene(Database(postgres.conninfo()), settings)
    postgres.stop()


async def revived(postgres: PostgresServer) -> None:
    """Starts a killed server again, as soon as its last child is gone."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await asyncio.to_thread(postgres.run)
            except AssertionError:  # the old one's shared memory is still in use
                continue


async def test_an_answer_survives_the_death_of_the_database(
    mortal: tuple[PostgresServer, Scene], server: OpenAiServer
) -> None:
    postgres, scene = mortal
    gate = asyncio.Event()
    server.say(Reply(["Before, ", gate, "after.", *ending()]))
    async with scene.asking(server.url).worker() as worker:
        sent = scene.send("Hi")
        await scene.answered(sent, "Before")
        postgres.kill()
        gate.set()
        await server.requests[0].sent.wait()
        await revived(postgres)
        task = await scene.final(sent.task_id)
        assert task["status"] == "completed"
        assert task["n8n_execution_id"] == worker
        # And it goes on hearing of new ones.
        later = scene.send("say:later")
        assert (await scene.final(later.task_id))["status"] == "completed"
    assert scene.message(sent)["content"] == "Before, after."
    assert len(server.requests) == 2


async def test_a_revived_database_is_brought_back_by_the_worker(
    mortal: tuple[PostgresServer, Scene], server: OpenAiServer
) -> None:
    postgres, scene = mortal
    back = asyncio.Event()

    async def revive() -> None:
        if not back.is_set():
            await revived(postgres)
            back.set()

    async with scene.asking(server.url).worker(revive=revive):
        sent = scene.send("gate:one say:here it is")
        await server.next_request()
        postgres.kill()
        server.gate("one").set()
        await asyncio.wait_for(back.wait(), 30)
        await scene.final(sent.task_id)
    assert scene.message(sent)["content"] == "here it is"


async def test_another_worker_adopts_what_a_killed_one_held(
    scene: Scene, server: OpenAiServer, tmp_path: Path
) -> None:
    server.say(Reply(["Lost", Hang()]), Reply(["Found", *ending()]))
    command = isolated(
        tmp_path / "home",
        STEPLINE_DB_URL=scene.database.conninfo,
        STEPLINE_LLM_BASE_URL=server.url,
    )
    process = command.start("worker")
    try:
        sent = scene.send("Hi")
        await scene.answered(sent, "Lost")
    finally:
        process.kill()
        process.communicate()
    async with scene.worker() as worker:
        task = await scene.final(sent.task_id)
    assert (task["status"], task["n8n_execution_id"]) == ("completed", worker)
    assert scene.message(sent)["content"] == "Found"
    assert len(scene.events(sent.task_id, "adopted")) == 1
    assert scene.steps(sent.task_id).count("completed") == 1


async def test_a_worker_that_knows_its_predecessor_is_dead_adopts_at_once(
    scene: Scene, server: OpenAiServer
) -> None:
    sent = scene.send("say:found")
    with scene.database.worker() as connection:
        connection.execute("SELECT worker_heartbeat('local:dead')")
        connection.execute("SELECT FROM task_claim(%s, 'local:dead')", (sent.task_id,))
    async with scene.worker(predecessor="local:dead"):
        await scene.final(sent.task_id, seconds=2)
    assert scene.message(sent)["content"] == "found"


# The worker that belongs to a data directory.


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch, server: OpenAiServer) -> Iterator[Scene]:
    """A scene on an embedded database, in an environment that child processes share."""
    # Not in pytest's own directory: another pytest of the same user closes it to the account
    # that runs root's PostgreSQL.
    home = Path(tempfile.mkdtemp(prefix="slhome", dir="/tmp"))
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "OPENROUTER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STEPLINE_LLM_BASE_URL", server.url)
    settings = load_settings(data_dir=home / "data")
    postgres = EmbeddedServer(settings.data_dir)
    conninfo = postgres.start()
    migrate(conninfo)
    yield Scene(Database(conninfo), settings)
    postgres.release()
    shutil.rmtree(home)


@pytest.fixture
async def supervisor(at_home: Scene) -> AsyncIterator[WorkerSupervisor]:
    """What an app has while it runs."""
    supervisor = WorkerSupervisor(at_home.settings)
    await supervisor.start()
    yield supervisor
    await supervisor.stop()


async def worker_process(scene: Scene, *not_these: int) -> psutil.Process:
    """The worker that signed the lock, once it is there."""
    lock = WorkerFiles(scene.settings.data_dir).lock
    async with asyncio.timeout(30):
        while True:
            name = lock.read_text() if lock.exists() else ""
            if name and int(name.split(":")[2]) not in not_these:
                return psutil.Process(int(name.split(":")[2]))
            await asyncio.sleep(0.05)  # a file tells nobody that it changed


async def gone(process: psutil.Process, seconds: float = 30) -> None:
    await asyncio.to_thread(process.wait, seconds)


async def test_an_app_gets_a_worker_and_a_new_one_when_it_is_killed(
    at_home: Scene, supervisor: WorkerSupervisor, server: OpenAiServer
) -> None:
    server.say(Reply(["Lost", Hang()]), Reply(["Found", *ending()]))
    sent = at_home.send("Hi")
    await at_home.answered(sent, "Lost")
    first = await worker_process(at_home)
    first.kill()
    killed_at = time.monotonic()
    await at_home.final(sent.task_id)
    # Sooner than a heartbeat is missed: the successor knows from the lock that it is dead.
    assert time.monotonic() - killed_at < 8
    assert at_home.message(sent)["content"] == "Found"
    second = await worker_process(at_home, first.pid)
    await supervisor.stop()
    await gone(second)


async def test_it_finishes_the_answer_after_the_app_left_and_then_ends(
    at_home: Scene, supervisor: WorkerSupervisor, server: OpenAiServer
) -> None:
    sent = at_home.send(f"gate:one say:{WORDS}")
    later = at_home.send("say:and this", sent.conversation_id)
    await server.next_request()
    worker = await worker_process(at_home)
    await supervisor.stop()
    server.gate("one").set()
    await gone(worker)
    assert at_home.message(sent)["content"] == WORDS
    assert at_home.message(later)["content"] == "and this"


async def test_two_apps_have_one_worker_and_it_stays_for_the_second(
    at_home: Scene, supervisor: WorkerSupervisor
) -> None:
    other = WorkerSupervisor(at_home.settings)
    await other.start()
    worker = await worker_process(at_home)
    await supervisor.stop()
    sent = at_home.send("say:still here")
    await at_home.final(sent.task_id)
    assert at_home.one("SELECT worker_count()")["worker_count"] == 1
    assert worker.is_running()
    await other.stop()
    await gone(worker)


async def test_other_model_settings_bring_another_worker(
    at_home: Scene,
    supervisor: WorkerSupervisor,
    server: OpenAiServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = at_home.send("gate:one say:by the first")
    await server.next_request()
    first = await worker_process(at_home)
    monkeypatch.setenv("STEPLINE_LLM_MODEL", "another/model")
    settings = load_settings(data_dir=at_home.settings.data_dir)
    other = WorkerSupervisor(settings)
    await other.start()
    second = await worker_process(at_home, first.pid)
    sent = at_home.send("say:by the second")
    await at_home.final(sent.task_id)
    assert server.requests[-1].json["model"] == "another/model"
    server.gate("one").set()
    await gone(first)
    assert at_home.message(held)["content"] == "by the first"
    assert not at_home.events(held.task_id, "adopted")
    await other.stop()
    await supervisor.stop()
    await gone(second)


async def test_there_is_one_worker_of_a_data_directory(at_home: Scene) -> None:
    lock = Lease(WorkerFiles(at_home.settings.data_dir).lock)
    assert lock.try_exclusive()
    assert not await run_auto_worker(at_home.database.conninfo, at_home.settings)
    lock.release()


async def test_a_worker_that_cannot_start_is_not_tried_in_a_tight_loop(
    settings: Settings, tmp_path: Path
) -> None:
    settings.data_dir.mkdir(parents=True)
    tries = tmp_path / "tries"
    crash = f"open({str(tries)!r}, 'a').write('x'); raise SystemExit(1)"
    supervisor = WorkerSupervisor(settings, command=[sys.executable, "-c", crash])
    await supervisor.start()
    await asyncio.sleep(5)  # what does not happen makes no event
    await supervisor.stop()
    assert 1 <= len(tries.read_text()) <= 3
