"""Half an hour of a busy day: 20 updates a second, a message every 10 s, keys all the while.

Sizes are minutes. Memory and the echo of keys, which is what a slow loop would delay, are compared
between the second fifth (the first one fills caches) and the last.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean

from bench.figure import Figure, Yardstick, percentile
from bench.scene import (
    Scene,
    begin,
    cpu_seconds,
    memory_mib,
    partial,
    pause,
    reply,
    scene,
    step,
    type_letters,
)
from tests.support.pty_terminal import Terminal

SIZES = (30,)
SMALL = (0,)
UPDATES = 20
"""A second."""
MESSAGE_EVERY = 10.0
"""Seconds."""
_TASKS = 10
_SMALL_SECONDS = 10.0
GROWTH, LAG = 4.0, 1.25
"""MiB by which memory may grow; how much longer an echo may take at the end."""


@dataclass(frozen=True)
class Sample:
    """What was seen in one stretch of the run."""

    memory: float
    echo: float
    """Seconds, 95 of 100 keys."""
    cpu: float
    """Share of a core."""


def run(sizes: Sequence[int]) -> Iterator[Figure]:
    """One program from beginning to end."""
    for minutes in sizes:
        seconds = minutes * 60 or _SMALL_SECONDS
        with scene() as here:
            tasks = here.run_others(_TASKS)
            with here.app() as app:
                app.wait_for(f"{_TASKS} running")
                samples = _soak(here, app, tasks, seconds)
        fifth = max(1, len(samples) // 5)
        early, late = samples[fifth : 2 * fifth], samples[-fifth:]
        name = f"soak, {len(samples)} samples:"
        yield Figure(
            f"{name} memory grown",
            mean(each.memory for each in late) - mean(each.memory for each in early),
            "MiB",
            minutes,
            Yardstick("memory early", mean(each.memory for each in early)),
            GROWTH if minutes else None,
        )
        yield Figure(
            f"{name} key echo late, p95",
            mean(each.echo for each in late),
            "s",
            minutes,
            Yardstick("early", mean(each.echo for each in early)),
            LAG * mean(each.echo for each in early) if minutes else None,
        )
        yield Figure(
            f"{name} CPU late",
            100 * mean(each.cpu for each in late),
            "% of a core",
            minutes,
            Yardstick("early", 100 * mean(each.cpu for each in early)),
        )


def _soak(here: Scene, app: Terminal, tasks: Sequence[int], seconds: float) -> list[Sample]:
    stop = threading.Event()
    failed: list[BaseException] = []

    def guarded(work: Callable[[Scene, Sequence[int], threading.Event], None]) -> None:
        try:
            work(here, tasks, stop)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (_update, _converse)]
    for thread in threads:
        thread.start()
    samples: list[Sample] = []
    until = time.perf_counter() + seconds
    stretch = min(60.0, seconds / 5)
    try:
        while time.perf_counter() < until and not failed:
            began, used = time.perf_counter(), cpu_seconds(app)
            echoes: list[float] = []
            while time.perf_counter() < began + stretch:
                echoes += type_letters(app, 5, every=0.2)
                pause(1)
            cpu = (cpu_seconds(app) - used) / (time.perf_counter() - began)
            samples.append(Sample(memory_mib(app), percentile(echoes, 0.95), cpu))
            # What was written is not kept for ever on this side either.
            app.forget()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failed, failed
    app.wait_for("live")
    return samples


def _update(here: Scene, tasks: Sequence[int], stop: threading.Event) -> None:
    with here.database.worker() as worker:
        number = 0
        while not stop.wait(1 / UPDATES):
            number += 1
            task = tasks[number % len(tasks)]
            worker.execute(
                "SELECT public.task_step(%s, 'initializing', %s)", (task, f"row {number} of many")
            )


def _converse(here: Scene, tasks: Sequence[int], stop: threading.Event) -> None:
    conversation: int | None = None
    with here.database.worker() as worker:
        while not stop.is_set():
            conversation, _, task = here.send("What is our **refund** policy?", conversation)
            begin(worker, task)
            text = ""
            for number in range(10):
                text += f"Sentence **{number}** of an answer. "
                partial(worker, task, text)
                if stop.wait(0.2):
                    break
            step(worker, task, "Saving")
            reply(worker, task, text)
            stop.wait(MESSAGE_EVERY - 2)
