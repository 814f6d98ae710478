"""One message of the conversation: what is known of it, and its painted lines."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rich.style import Style

from core.changes import TaskChanged
from core.models import Message, Role, Task, TaskStatus
from core.timeline import StepView
from tui.drafts import Letter
from tui.format import clock_time, count, duration, plural
from tui.keys import Keymap
from tui.paint import facts, styles
from tui.paint.ladder import MAX_WIDTH, ladder, waiting
from tui.paint.lines import Line, indented, justified, line, wrap
from tui.paint.markdown import Growing, render
from tui.symbols import ASCII, Symbols

_NAMES = {Role.USER: "you", Role.ASSISTANT: "assistant", Role.SYSTEM: "system"}
_COLOURS = {Role.USER: styles.USER, Role.ASSISTANT: styles.ASSISTANT, Role.SYSTEM: styles.DIM}


@dataclass(slots=True)
class Painter:
    """What painting depends on, besides the message."""

    width: int
    symbols: Symbols
    keymap: Keymap
    now: datetime

    @property
    def ascii_only(self) -> bool:
        """Whether only ASCII is drawn."""
        return self.symbols is ASCII


@dataclass(slots=True, eq=False)
class Entry:
    """A message and its task. `paint` makes `lines` from the rest."""

    message: Message
    view: TaskChanged | None = None
    steps: Sequence[StepView] = ()
    show_steps: bool = False
    """Whether a finished task's steps are unfolded."""
    show_thinking: bool = False
    lines: list[Line] = field(default_factory=list[Line])
    ticking: int | None = None
    """Index of the line whose time ticks."""
    _growing: Growing = field(default_factory=Growing)

    @property
    def running(self) -> bool:
        """Whether its task is not final yet."""
        return self.view is not None and not self.view.task.status.final

    @property
    def source(self) -> str:
        """The text to copy."""
        return self.message.content

    def paint(self, to: Painter) -> None:
        """Paints all lines, a blank one at the end included."""
        self.ticking = None
        at = clock_time(self.message.created_at, to.now)
        role = self.message.role
        lines = [justified(line((_NAMES[role], _COLOURS[role])), at, to.width, styles.DIM)]
        if role is Role.ASSISTANT:
            self._paint_answer(lines, to)
        else:
            lines += wrap(self.message.content, to.width)
        lines.append([])
        self.lines = lines

    def tick(self, to: Painter) -> int | None:
        """Paints the ticking time anew; returns the line's index, None if nothing ticks."""
        if self.ticking is None:
            return None
        steps = ladder(self.steps, to.width, to.symbols, to.now)
        if steps.ticking is None:
            return None
        self.lines[self.ticking] = steps.lines[steps.ticking]
        return self.ticking

    def _paint_answer(self, lines: list[Line], to: Painter) -> None:
        task = self.view.task if self.view else None
        if task is not None and self.running:
            self._paint_steps(lines, to, task)
        elif task is not None:
            completed = task.status is TaskStatus.COMPLETED
            text = facts.generated(task) if completed else _took(task, self.steps)
            self._paint_fold(lines, to, text, "chat.steps", self.show_steps)
            if self.show_steps:
                lines += ladder(self.steps, to.width, to.symbols, to.now).lines
        elif self.message.async_task_id is not None:
            # Holds the place of the fold line while the task is being fetched.
            lines.append(line((f"{to.symbols.folded} #{self.message.async_task_id}", styles.DIM)))
        self._paint_thinking(lines, to)
        lines += self._text(to)
        if task is not None and (notice := facts.notice(task)):
            lines += wrap(notice, to.width, styles.WARNING)
        if task is not None and task.status.final and task.status is not TaskStatus.COMPLETED:
            self._paint_ending(lines, to, task)

    def _paint_steps(self, lines: list[Line], to: Painter, task: Task) -> None:
        painted = ladder(self.steps, to.width, to.symbols, to.now)
        if painted.ticking is None and task.status_message:
            lines += waiting(task.status_message, min(to.width, MAX_WIDTH))
        if painted.ticking is not None:
            self.ticking = len(lines) + painted.ticking
        lines += painted.lines

    def _paint_thinking(self, lines: list[Line], to: Painter) -> None:
        thinking = self.message.thinking
        if not thinking:
            return
        words = plural(len(thinking.split()), "word")
        verb = "Thinking" if self.running and not self.message.content else "Thought"
        self._paint_fold(lines, to, f"{verb}, {words}", "chat.thinking", self.show_thinking)
        if self.show_thinking:
            lines += indented(wrap(thinking, to.width - 2, styles.THINKING), 2)

    def _paint_fold(
        self, lines: list[Line], to: Painter, text: str, action: str, unfolded: bool
    ) -> None:
        symbol = to.symbols.unfolded if unfolded else to.symbols.folded
        key = f"  {to.keymap.first(action)}"
        first, *rest = wrap(text, max(8, to.width - 2 - len(key)), styles.DIM)
        lines.append([*line((f"{symbol} ", styles.DIM)), *first, *line((key, styles.DIM))])
        lines += indented(rest, 2)

    def _text(self, to: Painter) -> list[Line]:
        content = self.message.content
        if not content:
            return []
        if self.running:
            return self._growing.render(content, to.width, ascii_only=to.ascii_only)
        return render(content, to.width, ascii_only=to.ascii_only)

    def _paint_ending(self, lines: list[Line], to: Painter, task: Task) -> None:
        if self.message.content:
            lines.append(line(("(incomplete)", styles.WARNING)))
        colour = styles.WARNING if task.status is TaskStatus.CANCELLED else styles.FAILED
        symbol = to.symbols.status(task.status)
        first, *rest = wrap(facts.ended(task), max(8, to.width - 2), colour)
        lines.append([*line((f"{symbol} ", colour)), *first])
        lines += indented(rest, 2)
        keys = [f"{to.keymap.first('list.open')} inspector"]
        if task.can_retry:
            keys.insert(0, f"{to.keymap.first('task.retry')} retry")
        first = f"(while typing: {to.keymap.first('compose.leave')} first)"
        lines.append(line(("  " + "  ".join([*keys, first]), styles.DIM)))


@dataclass(slots=True, eq=False)
class Outgoing:
    """A message that is on its way, or could not be sent."""

    letter: Letter
    lines: list[Line] = field(default_factory=list[Line])

    @property
    def source(self) -> str:
        """The text to copy."""
        return self.letter.text

    def paint(self, to: Painter) -> None:
        """Paints all lines, a blank one at the end included."""
        state, style = ("not sent", styles.FAILED) if self.letter.error else ("sending", styles.DIM)
        head = justified(line(("you", styles.USER)), state, to.width, style)
        self.lines = [head, *wrap(self.letter.text, to.width, styles.DIM)]
        if self.letter.error:
            self._paint_error(to, style)
        self.lines.append([])

    def _paint_error(self, to: Painter, style: Style) -> None:
        first, *rest = wrap(self.letter.error, max(8, to.width - 2), style)
        self.lines.append([*line((f"{to.symbols.failed} ", style)), *first])
        self.lines += indented(rest, 2)
        again, edit = to.keymap.first("task.retry"), to.keymap.first("chat.edit")
        self.lines.append(line((f"  {again} send again  {edit} edit", styles.DIM)))


def _took(task: Task, steps: Sequence[StepView]) -> str:
    text = f"{plural(len(steps), 'step')} in {duration(task.elapsed(task.updated_at))}"
    return f"{text}, attempt {count(task.attempt)}" if task.attempt > 1 else text
