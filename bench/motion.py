"""What the screen costs while nothing or something runs: bytes to the terminal, and CPU.

Sizes are running tasks; 0 is idle. At 120x40 in truecolor, main screen, everything at its default.
"""

from collections.abc import Iterator, Sequence

from bench.figure import Figure, Yardstick
from bench.scene import Scene, cpu_seconds, quiet, scene, written

SIZES = (0, 1, 20, 40, 80)
SMALL = (0, 1)
LIMITS = {0: 0.0, 1: 500.0, 20: 5_000.0}
"""Bytes a second."""
_SECONDS = 10.0


def run(sizes: Sequence[int]) -> Iterator[Figure]:
    """One app for each size; the bare app's CPU first."""
    seconds = _SECONDS if max(sizes) > 1 else 3.0
    with scene() as here:
        with here.bare() as bare:
            quiet(bare)
            before = cpu_seconds(bare)
            bytes_bare = written(bare, seconds)
            cpu_bare = 100 * (cpu_seconds(bare) - before) / seconds
        running = 0
        for size in sorted(sizes):
            here.run_tasks(size - running)
            running = size
            yield from _at(here, size, seconds, bytes_bare, cpu_bare)


def _at(
    here: Scene, size: int, seconds: float, bytes_bare: float, cpu_bare: float
) -> Iterator[Figure]:
    with here.app("--conversation", "1") if size else here.app() as app:
        app.wait_for(f"{size} running")
        if size == 0:
            quiet(app)
        written(app, 2)  # the first frames after a start
        before = cpu_seconds(app)
        sent = written(app, seconds)
        cpu = 100 * (cpu_seconds(app) - before) / seconds
    name = "idle" if size == 0 else "running tasks"
    yield Figure(
        f"{name}: to the terminal",
        sent,
        "bytes/s",
        size,
        Yardstick("bare app", bytes_bare),
        LIMITS.get(size),
    )
    yield Figure(
        f"{name}: CPU",
        cpu,
        "% of a core",
        size,
        Yardstick("bare app", cpu_bare),
        cpu_bare if size == 0 else None,
    )
