"""Where benchmarks happen: a real PostgreSQL, real processes, real pseudo-terminals."""

import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from uuid import UUID

import psutil
import psycopg

from schema.runner import migrate
from tests.support.command import COMMAND, Stepline, isolated
from tests.support.database import Connection, Database
from tests.support.postgres_server import PostgresServer
from tests.support.pty_terminal import Terminal

BARE = [sys.executable, Path(__file__).with_name("bare.py")]
"""The yardstick program; its screen says `Type a message`."""
READY = "● live"
LETTERS = "ßþðøæłđŋħŧ"
"""Nothing else on the screen has them: bytes that hold one are the echo of its key."""


_letters = cycle(LETTERS)


@dataclass(frozen=True)
class Scene:
    """A database with the schema and one user in it, and the program's environment for both."""

    database: Database
    user_id: UUID
    stepline: Stepline

    @contextmanager
    def app(
        self,
        *options: str,
        size: tuple[int, int] = (120, 40),
        ready: str = READY,
        pace: float | None = None,
    ) -> Iterator[Terminal]:
        """The full-screen program, ready."""
        command = [COMMAND, *options]
        with Terminal(
            command, size=size, env=self.stepline.env, cwd=self.stepline.cwd, pace=pace
        ) as terminal:
            terminal.wait_for(ready, 60)
            yield terminal

    @contextmanager
    def bare(self) -> Iterator[Terminal]:
        """The yardstick program, ready."""
        with Terminal(BARE, env=self.stepline.env, cwd=self.stepline.cwd) as terminal:
            terminal.wait_for("Type a message", 60)
            yield terminal

    def send(self, text: str, conversation: int | None = None) -> tuple[int, int, int]:
        """A user's message: the ids of its conversation, of the empty answer and of its task."""
        with self.database.user(self.user_id) as user:
            row = user.execute(
                "SELECT * FROM public.chat_send(%s, %s, 86400)", (conversation, text)
            ).fetchone()
        assert row is not None
        return row["conversation_id"], row["message_id"], row["task_id"]

    def run_others(self, count: int) -> list[int]:
        """So many tasks of a type without declared steps: the panel shows what they say."""
        with self.database.user(self.user_id) as user:
            rows = user.execute(
                "SELECT (public.task_create('bench', '{}', 86400)).id FROM generate_series(1, %s)",
                (count,),
            ).fetchall()
        tasks = [row["id"] for row in rows]
        with self.database.worker() as worker:
            for task in tasks:
                worker.execute("SELECT * FROM public.task_claim(%s, %s)", (task, f"bench-{task}"))
        return tasks

    def run_tasks(self, count: int) -> list[int]:
        """So many tasks that a worker has begun, one conversation each."""
        tasks = [self.send(f"task number {number}")[2] for number in range(count)]
        with self.database.worker() as worker:
            for task in tasks:
                begin(worker, task)
        return tasks


@contextmanager
def scene() -> Iterator[Scene]:
    """A new one, on a server of its own."""
    server = PostgresServer()
    server.start()
    try:
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE bench")
        migrate(server.conninfo("bench"))
        database = Database(server.conninfo("bench"))
        user_id = database.add_user()
        with tempfile.TemporaryDirectory(prefix="slbench", dir="/tmp") as home:
            stepline = isolated(
                Path(home), STEPLINE_DB_URL=database.conninfo, STEPLINE_USER=str(user_id)
            )
            yield Scene(database, user_id, stepline)
    finally:
        server.stop()


def begin(worker: Connection, task: int) -> None:
    """Claims a task and enters its step that takes longest."""
    worker.execute("SELECT * FROM public.task_claim(%s, %s)", (task, f"bench-{task}"))
    step(worker, task, "Sending your message to OpenAI GPT-4. This usually takes 10-30 seconds...")


def step(worker: Connection, task: int, message: str) -> None:
    """Writes what a workflow writes while it calls the model."""
    worker.execute("SELECT public.task_step(%s, 'calling_ai', %s)", (task, message))


def partial(worker: Connection, task: int, text: str) -> None:
    """The answer so far."""
    worker.execute("SELECT public.chat_partial(%s, %s, NULL)", (task, text))


def reply(worker: Connection, task: int, text: str) -> None:
    """The answer, and the end of its task."""
    output = {"tokens_used": len(text) // 4, "model_used": "bench/model"}
    worker.execute(
        "SELECT * FROM public.chat_reply(%s, %s, NULL, %s)", (task, text, json.dumps(output))
    )


def type_letters(terminal: Terminal, count: int, *, every: float = 0.1) -> list[float]:
    """Seconds from a key press to its echo, for so many keys; leaves nothing typed."""
    waited: list[float] = []
    for letter in islice(_letters, count):
        after, begun = len(terminal.raw), time.perf_counter()
        terminal.type(letter)
        end = terminal.wait_bytes(letter.encode(), after=after, timeout=60)
        waited.append(terminal.arrival(end - 1) - begun)
        pause(begun + every - time.perf_counter())
    terminal.press(*["backspace"] * count)
    return waited


def pause(seconds: float) -> None:
    """Lets time pass that is to be measured."""
    if seconds > 0:
        time.sleep(seconds)


def written(terminal: Terminal, seconds: float) -> float:
    """Bytes a second to the terminal while nobody does anything."""
    before, begun = len(terminal.raw), time.perf_counter()
    pause(seconds)
    return (len(terminal.raw) - before) / (time.perf_counter() - begun)


def cpu_seconds(terminal: Terminal) -> float:
    """CPU that the threads of the program in the terminal have used, without its children."""
    # The scheduler counts nanoseconds; the usual clock of a process, hundredths of a second.
    threads = Path(f"/proc/{terminal.process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def memory_mib(terminal: Terminal) -> float:
    """What the program in the terminal holds in memory (RSS), without its children."""
    return psutil.Process(terminal.process.pid).memory_info().rss / 2**20


def quiet(terminal: Terminal, *, seconds: float = 0.5, timeout: float = 20) -> None:
    """Returns when nothing was written for a while."""
    until = time.perf_counter() + timeout
    while time.perf_counter() < until:
        before = len(terminal.raw)
        pause(seconds)
        if len(terminal.raw) == before:
            return
    raise AssertionError(f"never quiet:\n{terminal.text()}")


def until_shown(terminal: Terminal, keys: Sequence[str], pattern: str) -> float:
    """Seconds from `keys` until the bytes came that show `pattern`, which was not there before."""
    assert not re.search(pattern, terminal.text()), f"{pattern} is shown already"
    begun = time.perf_counter()
    terminal.press(*keys)
    terminal.wait_for(pattern, 60)
    return terminal.reads[-1][0] - begun
