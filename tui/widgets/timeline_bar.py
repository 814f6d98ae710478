"""A task's steps as bars to one scale: when each began, and how long it took."""

from collections.abc import Sequence
from datetime import datetime

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from core.timeline import StepState, StepView
from tui.clock import Beat
from tui.context import context
from tui.format import duration, pad, plural
from tui.paint.lines import Line, line
from tui.paint.styles import CURRENT, DIM, DONE, FAILED, PLAIN

MAX_ROWS = 8
"""Workflows may take any number of steps; the last ones are those that matter."""
_SPANS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400)
_TIME_WIDTH = 8
_STYLES: dict[StepState, Style] = {
    StepState.WAITING: DIM,
    StepState.CURRENT: CURRENT,
    StepState.DONE: DONE,
    StepState.FAILED: FAILED,
}


class TimelineBar(Widget):
    """One row per step. While a step runs, its row alone is drawn once a second."""

    DEFAULT_CSS = "TimelineBar { height: 0; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._steps: Sequence[StepView] = ()
        self._hidden = 0
        self._span = 1.0
        self._drawn = ""
        """The current step's bar, as it is on the screen."""

    def show(self, steps: Sequence[StepView]) -> None:
        """Shows these steps from now on."""
        self._steps = steps
        current = next((i for i, s in enumerate(steps) if s.state is StepState.CURRENT), None)
        last = len(steps) if current is None else min(len(steps), current + 3)
        self._hidden = max(0, last - MAX_ROWS)
        height = min(len(steps), MAX_ROWS)
        if self.styles.height is None or self.styles.height.value != height:
            self.styles.height = height
        self._span = span(steps, self._now)
        self.refresh()
        if current is None:
            context(self).clock.leave(self)
        else:
            context(self).clock.join(self, self._beat)

    def on_unmount(self) -> None:
        """Nothing moves any more."""
        context(self).clock.leave(self)

    @property
    def _now(self) -> datetime:
        return context(self).clock.now()

    def _beat(self, beat: Beat) -> None:
        if not beat.ticks_row(0) or not self.is_on_screen:
            return
        longer = span(self._steps, self._now)
        if longer != self._span:
            self._span = longer
            self.refresh()
            return
        for row in range(self.size.height):
            step = self._steps[row + self._hidden]
            if step.state is StepState.CURRENT:
                # The bar is longer only now and then; the time is another one every second.
                width = self.size.width
                cells = self._cells(step, width)
                left = width - _TIME_WIDTH if cells == self._drawn else 0
                self.refresh(Region(left, row, width - left, 1))

    def _cells(self, step: StepView, width: int) -> str:
        begin = next((each.started for each in self._steps if each.started is not None), None)
        room = width - _label_width(width) - _TIME_WIDTH - 5
        return bar(step, begin, self._span, self._now, room)

    def render_line(self, y: int) -> Strip:
        """Draws the step of that row."""
        width = self.size.width
        index = y + self._hidden
        if index >= len(self._steps):
            return Strip.blank(width, self.rich_style)
        if y == 0 and self._hidden:
            symbols = context(self).symbols
            earlier = f"   {symbols.ellipsis} {plural(self._hidden + 1, 'earlier step')}"
            drawn = line((earlier, DIM))
        else:
            drawn = self._row(self._steps[index], width)
        return Strip(drawn).adjust_cell_length(width).apply_style(self.rich_style)

    def _row(self, step: StepView, width: int) -> Line:
        symbols = context(self).symbols
        style = _STYLES[step.state]
        cells = self._cells(step, width)
        if step.state is StepState.CURRENT:
            self._drawn = cells
        label = pad(step.label, _label_width(width), symbols.ellipsis)
        return [
            *line((f" {symbols.step(step.state)} ", style)),
            *line((f"{label} ", DIM if step.state is StepState.WAITING else PLAIN)),
            Segment(cells.replace("#", symbols.bar_full), style),
            Segment(duration(step.seconds(self._now)).rjust(_TIME_WIDTH), DIM),
        ]


def _label_width(width: int) -> int:
    return min(28, max(12, width // 3))


def bar(
    step: StepView,
    begin: datetime | None,
    span: float,
    now: datetime,
    width: int,
) -> str:
    """`width` cells, `#` from where the step began to where it ended; `begin` is the left edge."""
    if begin is None or step.started is None or width <= 0:
        return " " * max(0, width)
    scale = width / span
    first = min(width - 1, int(max(0.0, (step.started - begin).total_seconds()) * scale))
    last = round(((step.ended or now) - begin).total_seconds() * scale)
    cells = max(1, min(width, last) - first)
    return " " * first + "#" * cells + " " * (width - first - cells)


def span(steps: Sequence[StepView], now: datetime) -> float:
    """The seconds that the whole width stands for.

    While the task runs this grows in jumps, so that the bars do not move every second.
    """
    began = [step.started for step in steps if step.started is not None]
    if not began:
        return 1.0
    running = any(step.state is StepState.CURRENT for step in steps)
    end = now if running else max(step.ended or step.started or now for step in steps)
    seconds = max(0.001, (end - began[0]).total_seconds())
    if not running:
        return seconds
    return next((float(nice) for nice in _SPANS if nice >= seconds), seconds)
