"""A slow link: the terminal takes so many bytes a second while tasks run.

Sizes are running tasks. At 3,000 bytes a second with everything at its default, as over a bad
mobile link; at 300 with `--animation none`, as over a serial line.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median

from bench.figure import Figure, Yardstick
from bench.scene import (
    Scene,
    begin,
    pause,
    quiet,
    reply,
    scene,
    type_letters,
)
from tests.support.pty_terminal import Terminal

SIZES = (20, 50, 100)
SMALL = (2,)
KEY, QUIT = 0.2, 1.0
"""Seconds."""


def run(sizes: Sequence[int]) -> Iterator[Figure]:
    """The bare app on the same link is the yardstick."""
    keys = 20 if max(sizes) > SMALL[0] else 5
    with scene() as here:
        # At 300 the bare app takes most of a minute for a key.
        bare = {3_000: _bare(here, 3_000, keys), 300: _bare(here, 300, 1)}
        none = ("--conversation", "1", "--animation", "none")
        running = 0
        for size in sizes:
            here.run_tasks(size - running)
            running = size
            yield from _at(here, 3_000, size, keys, bare[3_000], "--conversation", "1")
            yield from _at(here, 300, size, min(keys, 8), bare[300], *none)
            yield _answer_on_a_line(here, size)


def _bare(here: Scene, pace: float, keys: int) -> tuple[float, float]:
    """Seconds to a key's echo, and to the end after the key that quits."""
    with here.bare() as app:
        quiet(app)
        app.pace = pace
        return median(type_letters(app, keys, every=0.5)), _end(app, "ctrl+q")


def _at(
    here: Scene, pace: float, size: int, keys: int, bare: tuple[float, float], *options: str
) -> Iterator[Figure]:
    with slow(here, pace, *options) as app:
        echo = median(type_letters(app, keys, every=0.5))
        quit_after = _end(app, "ctrl+d")
    strict = pace > 300
    yield Figure(
        f"link of {pace} bytes/s: key press answered",
        echo,
        "s",
        size,
        Yardstick("bare app on that link", bare[0]),
        KEY if strict else None,
        keys,
    )
    yield Figure(
        f"link of {pace} bytes/s: quit",
        quit_after,
        "s",
        size,
        Yardstick("bare app on that link", bare[1]),
        QUIT if strict else None,
    )


@contextmanager
def slow(here: Scene, pace: float, *options: str) -> Iterator[Terminal]:
    """The program, started at full speed, on a link that is slow from now on, and a while later."""
    with here.app(*options) as app:
        app.wait_for("running")
        app.pace = pace
        pause(5)
        yield app


def _end(app: Terminal, key: str) -> float:
    if key == "ctrl+d":
        # Only on an empty composer, and what was typed has to be gone from it first.
        app.wait_for("Type a message", 60)
    begun = time.perf_counter()
    app.press(key)
    app.process.wait(60)
    return time.perf_counter() - begun


def _answer_on_a_line(here: Scene, size: int) -> Figure:
    """A message sent and answered at 300 bytes a second, from enter to the answer's last word."""
    conversation, _, task = here.send("Good morning")
    with here.database.worker() as worker:
        begin(worker, task)
        reply(worker, task, "Good morning.")
    with slow(here, 300, "--conversation", f"{conversation}", "--animation", "none") as app:
        app.type("Hello?")
        app.wait_for("Hello[?]", 60)
        begun = time.perf_counter()
        app.press("enter")
        task = _newest(here)
        with here.database.worker() as worker:
            worker.execute("SELECT * FROM public.task_claim(%s, %s)", (task, f"bench-{task}"))
            reply(worker, task, f"A short answer beside {size}, and its end.")
        app.wait_for(f"{size}, and its end", 120)
        seconds = app.reads[-1][0] - begun
    return Figure(
        "link of 300 bytes/s: message sent, answer read",
        seconds,
        "s",
        size,
        note="--animation none",
    )


def _newest(here: Scene) -> int:
    """The task that the message just sent makes."""
    with here.database.owner() as owner:
        while True:
            row = owner.execute(
                "SELECT id FROM public.async_tasks WHERE status = 'pending' ORDER BY id LIMIT 1"
            ).fetchone()
            if row is not None:
                return int(row["id"])
            pause(0.01)
