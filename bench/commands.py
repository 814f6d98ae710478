"""How long commands take from exec to exit, beside a bare interpreter.

Sizes are tasks in the history.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.figure import Figure, Yardstick, middle
from bench.scene import scene
from tests.support.command import COMMAND, Stepline
from tests.support.history import fill

SIZES = (10, 10_000, 100_000)
SMALL = (10,)
_PYTHON = [sys.executable, "-c", "pass"]


def run(sizes: Sequence[int]) -> Iterator[Figure]:
    """Medians; the first run of each, which warms the caches, does not count."""
    runs = 7 if max(sizes) > SMALL[0] else 2
    with scene() as here:
        python = Yardstick("python -c pass", _median(_PYTHON, here.stepline, runs))
        seconds = _median([COMMAND, "--help"], here.stepline, runs)
        yield Figure("stepline --help", seconds, "s", 0, python, None, runs)
        stored = 0
        for size in sizes:
            fill(here.database, here.user_id, tasks=size - stored, events=10)
            stored = size
            seconds = _median([COMMAND, "tasks", "list"], here.stepline, runs)
            yield Figure("stepline tasks list", seconds, "s", size, python, None, runs)


def _median(command: Sequence[str | Path], stepline: Stepline, runs: int) -> float:
    def once() -> float:
        begun = time.perf_counter()
        subprocess.run(
            command,
            env=dict(stepline.env),
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        return time.perf_counter() - begun

    once()
    return middle(once, runs)
