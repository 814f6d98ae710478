"""A task's steps as lines: one per step, the status message under the current one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.style import Style

from core.timeline import StepState, StepView
from tui.format import duration, fit
from tui.paint import styles
from tui.paint.lines import Line, indented, justified, line, wrap
from tui.symbols import Symbols

MAX_WIDTH = 64
"""Wider panes do not pull a step's time away from its name."""
TIME_WIDTH = 7

_STYLES: dict[StepState, Style] = {
    StepState.DONE: styles.DONE,
    StepState.CURRENT: styles.CURRENT,
    StepState.WAITING: styles.DIM,
    StepState.FAILED: styles.FAILED,
}


@dataclass(frozen=True, slots=True)
class Ladder:
    """Painted steps, and where the time is that ticks."""

    lines: list[Line]
    ticking: int | None = None
    """The index of the current step's line."""


def ladder(
    steps: Sequence[StepView], width: int, symbols: Symbols, now: datetime, *, messages: bool = True
) -> Ladder:
    """All steps; `messages`: with the current (or failed) step's sentence under it."""
    width = max(12, min(width, MAX_WIDTH))
    lines: list[Line] = []
    ticking: int | None = None
    for step in steps:
        if step.state is StepState.CURRENT:
            ticking = len(lines)
        lines.append(_step(step, width, symbols, now))
        if messages and step.message and step.state is StepState.CURRENT:
            lines += indented(wrap(step.message, width - 4, styles.DIM), 3)
    return Ladder(lines, ticking)


def waiting(message: str, width: int) -> list[Line]:
    """What stands in the ladder's place while no step is known."""
    return indented(wrap(message, width - 2, styles.DIM), 1)


def rungs(steps: Sequence[StepView], symbols: Symbols) -> Line:
    """The ladder in one line: `✓ ✓ ◐ · ·`."""
    parts: list[tuple[str, Style]] = []
    for step in steps:
        parts.append((symbols.step(step.state), _STYLES[step.state]))
        parts.append((" ", styles.PLAIN))
    return line(*parts[:-1])


def _step(step: StepView, width: int, symbols: Symbols, now: datetime) -> Line:
    seconds = duration(step.seconds(now))
    style = _STYLES[step.state]
    label = fit(step.label, width - TIME_WIDTH - 4, symbols.ellipsis)
    words = styles.PLAIN if step.state is StepState.DONE else style
    left = line((" ", styles.PLAIN), (symbols.step(step.state), style), (f" {label}", words))
    return justified(left, seconds, width, styles.DIM) if seconds else left
