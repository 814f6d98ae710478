"""What a benchmark says: a figure beside its yardstick, and the limit that holds for it.

Machines differ, so a figure alone says little: the yardstick is something simple, measured in the
same run on the same machine, and where a limit can be a multiple of it, it is.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

Size = int | str


@dataclass(frozen=True, slots=True)
class Yardstick:
    """Something simple from the same run."""

    what: str
    value: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure."""

    name: str
    """What was measured, such as `start to ready`."""
    value: float
    unit: str
    size: Size = 1
    """What it was taken at: rows, tasks, messages; see the benchmark."""
    yardstick: Yardstick | None = None
    limit: float | None = None
    """At most this, in `unit`; a limit in multiples of the yardstick is multiplied out before."""
    samples: int = 1
    note: str = ""

    @property
    def missed(self) -> bool:
        """Whether the limit does not hold."""
        return self.limit is not None and self.value > self.limit

    def as_json(self) -> dict[str, Any]:
        """For the report, without what is not there."""
        told: dict[str, Any] = {
            "figure": self.name,
            "size": self.size,
            "value": _short(self.value),
            "unit": self.unit,
        }
        if self.yardstick is not None:
            told["yardstick"] = {
                "what": self.yardstick.what,
                "value": _short(self.yardstick.value),
            }
            if self.yardstick.value:
                told["times"] = _short(self.value / self.yardstick.value)
        if self.limit is not None:
            told["limit"] = _short(self.limit)
            told["missed"] = self.missed
        if self.samples > 1:
            told["samples"] = self.samples
        if self.note:
            told["note"] = self.note
        return told


class LeftOutError(Exception):
    """A benchmark that cannot be run here, or not like this; `str` says why."""


class Benchmark(Protocol):
    """A module of this package: `SIZES` (the size that counts first, then larger ones), `SMALL`
    (what the smoke test uses) and `run`.

    `run` yields figures, and raises `AssertionError` where a result, not a time, is wrong, and
    `LeftOutError` where it measures nothing.
    """

    SIZES: Sequence[int]
    SMALL: Sequence[int]

    def run(self, sizes: Sequence[int]) -> Iterator[Figure]:
        """Measures."""
        ...


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the others lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def middle(measure: Callable[[], float], runs: int) -> float:
    """The median of `runs` measurements."""
    return median(measure() for _ in range(runs))


def _short(value: float) -> float:
    return float(f"{value:.4g}")
