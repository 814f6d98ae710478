"""From exec to a usable screen, beside the smallest Textual program in which one can type.

Ready is when the screen stands and takes keys: the first letter is echoed. When the changes of the
database arrive too (live) is told apart, and so is the first start of all, which makes the
database. The database is the embedded one, as most users have it; sizes are messages stored in
the conversation that opens.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import psycopg

from bench.figure import Figure, Yardstick
from bench.scene import BARE, LETTERS, READY
from core.store.embedded import EmbeddedServer
from schema.runner import migrate
from tests.support.command import COMMAND, Stepline, isolated
from tests.support.database import Database
from tests.support.postgres_server import PostgresServer
from tests.support.pty_terminal import Terminal
from tests.support.supabase.target import target_for

SIZES = (10, 1_000, 10_000)
SMALL = (1,)
TIMES = 1.4
"""How much longer than the bare app it may take."""
LATER = 0.1
"""Seconds that a Supabase project may cost to ready over the embedded profile."""

_FILL = """
WITH conversation AS (
  INSERT INTO public.chat_conversations (user_id, title)
  SELECT id, 'Stored' FROM auth.users ORDER BY created_at DESC LIMIT 1 RETURNING id
)
INSERT INTO public.chat_messages (conversation_id, role, content)
SELECT conversation.id, CASE WHEN n %% 2 = 1 THEN 'user' ELSE 'assistant' END,
       'Message **' || n || '** of a conversation.'
FROM conversation, generate_series(1, %s) n
"""


def run(sizes: Sequence[int]) -> Iterator[Figure]:
    """The first start of all, then warm ones on more and more messages."""
    runs = 5 if max(sizes) > 1 else 1
    with tempfile.TemporaryDirectory(prefix="slbench", dir="/tmp") as home:
        yield from _first(Path(home), min(runs, 3))
        stepline = isolated(Path(home) / "0")
        for size in sizes:
            yield from _warm(stepline, size, runs)
        yield from _project(Path(home) / "project", stepline, runs)


def _first(home: Path, runs: int) -> Iterator[Figure]:
    bare, useful, live = [], [], []
    for number in range(runs):
        stepline = isolated(home / str(number))
        bare.append(_bare(stepline))
        taken = _start(stepline, "Setting up the database")
        useful.append(taken[0])
        live.append(taken[1])
        stepline.end_worker()
    yardstick = _yardstick(bare)
    limit = TIMES * yardstick.value
    name = "first start of all"
    yield Figure(f"{name}: something useful", median(useful), "s", 0, yardstick, limit, runs)
    yield Figure(f"{name}: live", median(live), "s", 0, yardstick, None, runs)


def _warm(stepline: Stepline, size: int, runs: int) -> Iterator[Figure]:
    bare, ready, live, cold = [], [], [], []
    for run_number in range(runs):
        server = EmbeddedServer(Path(stepline.env["STEPLINE_DATA_DIR"]))
        conninfo = server.start()
        if run_number == 0:
            with psycopg.connect(conninfo, autocommit=True) as owner:
                owner.execute(_FILL, (size,))
        bare.append(_bare(stepline))
        taken = _start(stepline)
        ready.append(taken[0])
        live.append(taken[1])
        stepline.end_worker()
        server.release()
        cold.append(_start(stepline)[1])
        stepline.end_worker()
    yardstick = _yardstick(bare)
    limit = TIMES * yardstick.value
    yield Figure("start to ready", median(ready), "s", size, yardstick, limit, runs)
    yield Figure("start to live", median(live), "s", size, yardstick, None, runs)
    yield Figure("start to live, server stopped", median(cold), "s", size, yardstick, None, runs)


def _project(home: Path, embedded: Stepline, runs: int) -> Iterator[Figure]:
    """The same in a Supabase project, whose client is to cost nothing before the first paint."""
    postgres = PostgresServer()
    postgres.start()
    try:
        migrate(postgres.conninfo())
        with target_for(Database(postgres.conninfo())) as target:
            signed = target.sign_in()
            stepline = isolated(
                home,
                SUPABASE_URL=target.url,
                SUPABASE_ANON_KEY=target.anon_key,
                STEPLINE_ACCESS_TOKEN=signed.access,
                STEPLINE_REFRESH_TOKEN=signed.refresh,
            )
            server = EmbeddedServer(Path(embedded.env["STEPLINE_DATA_DIR"]))
            server.start()
            ready, live, beside = [], [], []
            for _ in range(runs):
                beside.append(_start(embedded))
                embedded.end_worker()
                taken = _start(stepline)
                ready.append(taken[0])
                live.append(taken[1])
            server.release()
    finally:
        postgres.stop()
    first = Yardstick("embedded profile", median(taken[0] for taken in beside))
    then = Yardstick("embedded profile", median(taken[1] for taken in beside))
    name = "start in a Supabase project (stand-in)"
    yield Figure(f"{name}: ready", median(ready), "s", 0, first, first.value + LATER, runs)
    yield Figure(f"{name}: live", median(live), "s", 0, then, None, runs)


def _yardstick(bare: Sequence[float]) -> Yardstick:
    return Yardstick("bare app to its first echo", median(bare))


def _bare(stepline: Stepline) -> float:
    return _timed(BARE, stepline, "Type a message", "ctrl+q")[0]


def _start(stepline: Stepline, useful: str = "Type a message") -> tuple[float, float]:
    return _timed([COMMAND], stepline, useful, "ctrl+c", READY)


def _timed(
    command: Sequence[str | Path], stepline: Stepline, useful: str, leave: str, live: str = ""
) -> tuple[float, float]:
    """Seconds until `useful` is shown and a key echoed, and until `live` is."""
    begun = time.perf_counter()
    with Terminal(command, env=stepline.env, cwd=stepline.cwd) as terminal:
        terminal.wait_for(useful, 60)
        terminal.type(LETTERS[0])
        echo = terminal.wait_bytes(LETTERS[0].encode(), timeout=60)
        ready = terminal.arrival(echo - 1) - begun
        terminal.wait_for(live, 60)
        shown = time.perf_counter() - begun
        terminal.press("backspace", leave, leave)
        terminal.wait_exit()
    return ready, shown
