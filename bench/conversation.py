"""A conversation that has grown: opening it, moving in it, an answer streamed at its end.

Sizes are Markdown messages; the yardstick is the same conversation with ten.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from bench.figure import Figure, Yardstick
from bench.scene import (
    Scene,
    begin,
    cpu_seconds,
    memory_mib,
    partial,
    pause,
    quiet,
    reply,
    scene,
    until_shown,
)
from tests.support.pty_terminal import Terminal

SIZES = (10_000, 20_000, 40_000)
SMALL = (100,)
FEW = 10
OPEN, MOVE, MEMORY = 0.3, 0.050, 120.0
"""Seconds over the yardstick; seconds; MiB."""
_RUNS = 5

_FILL = """
WITH conversation AS (
  INSERT INTO public.chat_conversations (user_id, title)
  VALUES (%(user)s, 'Of ' || %(count)s || ' messages') RETURNING id
), message AS (
  INSERT INTO public.chat_messages (conversation_id, role, content)
  SELECT conversation.id, CASE WHEN n %% 2 = 1 THEN 'user' ELSE 'assistant' END,
    format(E'## Message %%s.\n\nSome **bold** words, `code`, and a list:\n\n- one\n- two\n\n'
           '```python\ndef answer() -> int:\n    return %%s\n```\n\nThe end of %%s.', n, n, n)
  FROM conversation, generate_series(1, %(count)s) n
)
SELECT id FROM conversation
"""


@dataclass(frozen=True)
class Taken:
    """What one conversation cost."""

    opened: float
    moves: dict[str, float]
    stream: float
    """CPU seconds of an answer streamed at its end."""
    memory: float


def run(sizes: Sequence[int]) -> Iterator[Figure]:
    """All keys are pressed at the keyboard of the real program."""
    with scene() as here:
        few = _measure(here, FEW)
        for size in sizes:
            taken = _measure(here, size)
            yield Figure(
                "conversation: opened",
                taken.opened,
                "s",
                size,
                Yardstick(f"with {FEW} messages", few.opened),
                few.opened + OPEN,
                _RUNS,
            )
            for name, seconds in taken.moves.items():
                yardstick = Yardstick(f"with {FEW} messages", few.moves[name])
                yield Figure(f"conversation: {name}", seconds, "s", size, yardstick, MOVE, _RUNS)
            yield Figure(
                "conversation: CPU of an answer streamed at its end",
                taken.stream,
                "s",
                size,
                Yardstick(f"with {FEW} messages", few.stream),
                # "The same", on a machine whose speed drifts.
                1.25 * few.stream,
            )
            yield Figure(
                "conversation: memory of the process",
                taken.memory,
                "MiB",
                size,
                Yardstick(f"with {FEW} messages", few.memory),
                MEMORY,
            )


def _measure(here: Scene, size: int) -> Taken:
    with here.database.owner() as owner:
        row = owner.execute(_FILL, {"user": here.user_id, "count": size}).fetchone()
        assert row is not None
        long = row["id"]
        row = owner.execute(_FILL, {"user": here.user_id, "count": 2}).fetchone()
        assert row is not None
        other = row["id"]
    last, first = rf"The end of {size}\.", r"Message 1\."
    with here.app("--conversation", str(other)) as app:
        app.wait_for(r"The end of 2\.")
        quiet(app)
        opened = [_open(app, size, 2, last) for _ in range(_RUNS)]
        moves: dict[str, list[float]] = {"page up": [], "jump to top": [], "jump to end": []}
        app.press("esc")
        app.wait_for("i type")
        for _ in range(_RUNS):
            moves["page up"].append(_page(app))
            moves["jump to top"].append(until_shown(app, "g", first))
            quiet(app)
            moves["jump to end"].append(until_shown(app, "G", last))
            quiet(app)
        app.press("i")
        stream = _stream(here, app, long)
        return Taken(
            median(opened),
            {name: median(seconds) for name, seconds in moves.items()},
            stream,
            memory_mib(app),
        )


def _open(app: Terminal, size: int, other: int, last: str) -> float:
    """Seconds from enter on its row in the list of conversations to its last line."""
    _find(app, f"Of {other} messages")
    app.press("enter")
    app.wait_for(rf"The end of {other}\.")
    quiet(app, seconds=0.3)
    _find(app, f"Of {size} messages")
    seconds = until_shown(app, ["enter"], last)
    quiet(app, seconds=0.3)
    return seconds


def _find(app: Terminal, title: str) -> None:
    """Looks for a title in the list of conversations; enter opens what is found."""
    app.press("ctrl+o")
    app.wait_for("enter open")
    app.type(f"/{title}")
    app.wait_for(rf"{title}.*\d\d:\d\d")
    quiet(app, seconds=0.3)


def _page(app: Terminal) -> float:
    """Seconds from page up to the first byte of another page, whole when it is quiet again."""
    before = app.text()
    after = len(app.raw)
    begun = _until_written(app, "pgup", after)
    quiet(app, seconds=0.3)
    assert app.text() != before
    return begun


def _until_written(app: Terminal, key: str, after: int) -> float:
    """Seconds from a key press to the end of the frame that answers it."""
    begun = time.perf_counter()
    app.press(key)
    end = app.wait_bytes(b"\x1b[?2026l", after=after)
    return app.arrival(end - 1) - begun


def _stream(here: Scene, app: Terminal, conversation: int) -> float:
    """CPU seconds of the program while an answer of 5 s grows ten times a second."""
    task = here.send("Stream, please.", conversation)[2]
    with here.database.worker() as worker:
        begin(worker, task)
        app.wait_for("Stream, please")
        before, text = cpu_seconds(app), ""
        for number in range(50):
            text += f"Sentence **{number}** of an answer that grows. "
            partial(worker, task, text)
            pause(0.1)
        app.wait_for(r"Sentence 49")
        used = cpu_seconds(app) - before
        reply(worker, task, text)
        app.wait_for("Generated in")
    return used
