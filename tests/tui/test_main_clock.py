"""The clock: who moves when, and when nobody does."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.tui.conftest import HandWorker, Running, until
from tui.clock import BEATS, Beat, Clock


class FakeTimers:
    """Timers that beat when the test says so."""

    def __init__(self) -> None:
        self.running: list[tuple[float, Callable[[], None]]] = []
        self.backlog = 0

    def __call__(self, interval: float, callback: Callable[[], None]) -> "FakeTimers.One":
        entry = (interval, callback)
        self.running.append(entry)
        return self.One(self, entry)

    class One:
        def __init__(self, timers: "FakeTimers", entry: tuple[float, Callable[[], None]]) -> None:
            self._timers, self._entry = timers, entry

        def stop(self) -> None:
            self._timers.running.remove(self._entry)

    def beat(self) -> float:
        """Lets the one timer fire; its interval."""
        [(interval, callback)] = self.running
        callback()
        return interval


def test_it_runs_only_while_somebody_has_joined():
    timers = FakeTimers()
    clock = Clock(timers)
    assert not clock.running
    beats: list[Beat] = []
    clock.join(timers, beats.append)
    clock.join(timers, beats.append)
    assert timers.beat() == 1 / BEATS
    assert len(beats) == 1
    clock.leave(timers)
    clock.leave(timers)
    assert timers.running == []


@pytest.mark.parametrize("rows", [1, 2, 5, 20])
def test_every_row_ticks_once_a_second_and_frames_are_spread(rows: int):
    per_beat = []
    for number in range(BEATS):
        beat = Beat(number, BEATS, spins=True)
        spins = [beat.spins_row(row, rows) for row in range(rows)]
        ticks = [beat.ticks_row(row) for row in range(rows)]
        assert not any(spin and tick for spin, tick in zip(spins, ticks, strict=True))
        per_beat.append(sum(spins) + sum(ticks))
    for row in range(rows):
        assert sum(Beat(number, BEATS, spins=True).ticks_row(row) for number in range(BEATS)) == 1
        assert any(Beat(number, BEATS, spins=True).spins_row(row, rows) for number in range(BEATS))
    assert max(per_beat) <= 6


@pytest.mark.parametrize(("animation", "interval"), [("full", 1 / 8), ("reduced", 1), ("none", 5)])
def test_animation(animation, interval: float):
    timers = FakeTimers()
    clock = Clock(timers, animation)
    beats: list[Beat] = []
    clock.join(timers, beats.append)
    assert timers.beat() == interval
    assert beats[0].spins_row(0, 1) is (animation == "reduced") or animation == "full"
    if animation == "none":
        assert not beats[0].spins_row(0, 1)
        assert beats[0].ticks_row(0)


def test_it_starts_slower_over_ssh():
    timers = FakeTimers()
    Clock(timers, remote=True).join(timers, lambda _: None)
    assert timers.beat() == 2 / BEATS


def test_it_slows_down_while_the_terminal_does_not_drain_and_recovers():
    timers = FakeTimers()
    clock = Clock(timers, backlog=lambda: timers.backlog)
    beats: list[Beat] = []
    clock.join(timers, beats.append)
    timers.backlog = 5
    for _ in range(10):
        timers.beat()
    assert beats == []
    assert timers.running[0][0] == 4.0
    timers.backlog = 0
    for _ in range(40):
        timers.beat()
    assert len(beats) == 40
    assert timers.running[0][0] == 1 / BEATS


def test_frozen_time_stands_still():
    timers = FakeTimers()
    clock = Clock(timers)
    at = datetime(2025, 6, 1, tzinfo=UTC)
    clock.join(timers, lambda _: None)
    clock.freeze(at)
    assert clock.now() == at
    assert timers.running == []


async def test_nothing_visible_runs_nothing_beats(running: Running, hand: HandWorker):
    async with running() as (app, pilot):
        clock = app.context.clock
        assert not clock.running
        await pilot.press(*"hello", "enter")
        await until(pilot, lambda: clock.running)
        task = app.main.panel.board.running[0].task.id
        hand.claim(task)
        hand.reply(task, "done")
        await until(pilot, lambda: "0 running" in app.screen_text())
        await until(pilot, lambda: not clock.running)
