"""One clock for all motion, and the time that the screen goes by.

A widget that shows something running joins with a callback and leaves when it is done or hidden.
Nobody has joined: no timer, no bytes. The clock beats at most 8 times a second. Rows take turns:
which row moves on which beat is decided here, so that no frame is a burst on a slow link.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

BEATS = 8
"""Beats a second at full speed."""
_SLOWEST = 4.0
"""Seconds between beats at most, when the terminal does not drain."""

Animation = Literal["full", "reduced", "none"]


@dataclass(frozen=True, slots=True)
class Beat:
    """One beat: which rows move now."""

    number: int
    per_second: int
    """Beats that make a second (1 where animation is reduced)."""
    spins: bool
    """Whether spinners turn at all."""

    def spins_row(self, row: int, rows: int) -> bool:
        """Whether the spinner of `row`, one of `rows` visible ones, takes its next frame."""
        if not self.spins:
            return False
        # 4 turns a second for a few rows, 2 for some, 1 for many: the bytes stay the same.
        turns = 4 if rows <= 2 else 2 if rows <= 6 else 1
        every = max(min(2, self.per_second), self.per_second // turns)
        return self.number % every == row % every

    def ticks_row(self, row: int) -> bool:
        """Whether the elapsed time of `row` is written anew: once a second.

        Not on the beat of its spinner, and each row on another: no frame is a burst.
        """
        return self.number % self.per_second == (row + 1) % self.per_second

    def frame(self, frames: str) -> str:
        """The spinner's character now."""
        return frames[(self.number * 4 // max(4, self.per_second)) % len(frames)]


class TimerLike(Protocol):
    """What the clock needs of Textual's timer."""

    def stop(self) -> None:
        """Ends it."""


StartTimer = Callable[[float, Callable[[], None]], TimerLike]


class Clock:
    """Beats while somebody has joined; knows the database's time."""

    def __init__(
        self,
        start_timer: StartTimer,
        animation: Animation = "full",
        *,
        remote: bool = False,
        backlog: Callable[[], int] = lambda: 0,
    ) -> None:
        """`start_timer` is `App.set_interval`; `remote`: over SSH, so start slower.

        `backlog` says how many writes the terminal has not taken yet.
        """
        self._start_timer = start_timer
        self._backlog = backlog
        self._spins = animation != "none"
        if animation == "none":
            self._per_second, self._base = 1, 5.0
        elif animation == "reduced":
            self._per_second, self._base = 1, 1.0
        else:
            self._per_second = BEATS // 2 if remote else BEATS
            self._base = 1 / self._per_second
        self._interval = self._base
        self._calm = 0
        self._number = 0
        self._members: dict[int, Callable[[Beat], None]] = {}
        self._timer: TimerLike | None = None
        self._frozen: datetime | None = None
        self.source: Callable[[], datetime] = lambda: datetime.now(UTC)
        """Where the time comes from: `Session.now` once there is a session."""

    def now(self) -> datetime:
        """The database's time, as well as we know it."""
        return self._frozen or self.source()

    def freeze(self, at: datetime) -> None:
        """Stops time and motion, for pictures of the screen."""
        self._frozen = at
        self._stop()

    @property
    def running(self) -> bool:
        """Whether there is a timer now."""
        return self._timer is not None

    def join(self, member: object, callback: Callable[[Beat], None]) -> None:
        """From now on `callback` hears every beat; joining again changes the callback."""
        self._members[id(member)] = callback
        if self._timer is None and self._frozen is None:
            self._timer = self._start_timer(self._interval, self._beat)

    def leave(self, member: object) -> None:
        """Ends what `join` began; harmless if it had not."""
        self._members.pop(id(member), None)
        if not self._members:
            self._stop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _beat(self) -> None:
        if self._slow_down():
            return
        self._number += 1
        beat = Beat(self._number, self._per_second, self._spins)
        for callback in list(self._members.values()):
            callback(beat)

    def _slow_down(self) -> bool:
        """Keeps the pace of the terminal; true if this beat is to be left out."""
        if self._backlog() > 1:
            self._calm = 0
            self._set_interval(min(_SLOWEST, max(self._interval * 2, self._base)))
            return True
        self._calm += 1
        if self._interval > self._base and self._calm >= 4:
            self._calm = 0
            self._set_interval(max(self._base, self._interval / 2))
        return False

    def _set_interval(self, seconds: float) -> None:
        if math.isclose(seconds, self._interval):
            return
        self._interval = seconds
        if self._timer is not None:
            self._stop()
            self._timer = self._start_timer(seconds, self._beat)
