"""A task as a row of the panel: two lines at the side, one line in the strip."""

from collections.abc import Sequence
from datetime import datetime

from rich.cells import cell_len
from rich.style import Style

from core.models import Task, TaskStatus
from core.timeline import StepState, StepView
from tui.format import count, duration, fit, pad
from tui.paint import facts, styles
from tui.paint.ladder import rungs
from tui.paint.lines import Line, cut, line, width_of
from tui.symbols import Symbols

SYMBOL_AT = 1
"""The cell of a row's symbol: the one that turns."""
TIME_WIDTH = 7
"""Cells at a row's right edge that tick."""

STATUS_STYLES: dict[TaskStatus, Style] = {
    TaskStatus.PENDING: styles.DIM,
    TaskStatus.PROCESSING: styles.RUNNING,
    TaskStatus.COMPLETED: styles.DONE,
    TaskStatus.FAILED: styles.FAILED,
    TaskStatus.CANCELLED: styles.WARNING,
    TaskStatus.TIMEOUT: styles.FAILED,
}


def elapsed(task: Task, now: datetime) -> str:
    """How long it took or has taken: since its creation while it waits."""
    if task.processing_started_at is None and not task.status.final:
        return duration((now - task.created_at).total_seconds())
    return duration(task.elapsed(now))


def head(
    task: Task,
    symbol: str,
    width: int,
    symbols: Symbols,
    now: datetime,
    *,
    more: Line | None = None,
) -> Line:
    """`⠹ #128 chat          8.4s`; `more` is put between name and time, as far as it fits."""
    name = fit(f"#{task.id} {task.task_type}", max(4, width - 4 - TIME_WIDTH), symbols.ellipsis)
    left = line(
        (" ", styles.PLAIN), (symbol, STATUS_STYLES[task.status]), (f" {name}", styles.PLAIN)
    )
    room = width - width_of(left) - TIME_WIDTH - 3
    if more and room > 3:
        left += line(("  ", styles.PLAIN))
        for segment in more:
            text = fit(segment.text, room, symbols.ellipsis)
            left += line((text, segment.style or styles.PLAIN))
            room -= cell_len(text)
            if room <= 0:
                break
    gap = max(0, width - width_of(left) - TIME_WIDTH)
    time = pad(elapsed(task, now).rjust(TIME_WIDTH), TIME_WIDTH)
    return [*left, *line((" " * gap, styles.PLAIN), (time, styles.DIM))]


def detail(task: Task, steps: Sequence[StepView], width: int, symbols: Symbols) -> Line:
    """What a running task is doing: a bar where the total is known, else steps, else its words."""
    progress = task.progress
    if progress is not None and not task.status.final:
        words = f"{count(progress.done)} / {count(progress.total)}"
        words = f"{words} {progress.unit}" if progress.unit else words
        size = max(4, min(14, width - cell_len(words) - 2))
        bar = symbols.bar(progress.done, progress.total, size)
        return [*line((bar, styles.ACCENT)), *cut(f"  {words}", width - size, styles.DIM)]
    if task.status.final:
        return cut(facts.ended(task), width, styles.DIM, symbols.ellipsis)
    current = next((step for step in steps if step.state is StepState.CURRENT), None)
    if current is not None and 2 * len(steps) + 8 <= width and len(steps) > 1:
        mini = rungs(steps, symbols)
        label = cut(current.label, width - width_of(mini) - 2, styles.PLAIN, symbols.ellipsis)
        return [*mini, *line(("  ", styles.PLAIN)), *label]
    words = task.status_message or (current.label if current else "Waiting to start")
    return cut(words, width, styles.DIM, symbols.ellipsis)


def tells_why(task: Task) -> bool:
    """Whether a finished task has a second line: it says what went wrong."""
    return task.status in (TaskStatus.FAILED, TaskStatus.TIMEOUT)
