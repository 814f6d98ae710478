"""One line of facts about a task, and one with what it says."""

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widget import Widget

from core.models import Task, TaskStatus
from tui.clock import Beat
from tui.context import context
from tui.format import duration, fit
from tui.paint import styles
from tui.paint.taskrow import STATUS_STYLES


class TaskFacts(Horizontal):
    """Id, type, status, attempt, engine; elapsed of limit, which ticks once a second."""

    DEFAULT_CSS = """
    TaskFacts {
        height: 2;
        _Facts { width: 1fr; height: 2; }
        _Elapsed { width: 16; height: 1; text-align: right; }
    }
    """

    def compose(self) -> ComposeResult:
        """The two parts: only the second one moves."""
        yield _Facts()
        yield _Elapsed()

    def show(self, task: Task, engine: str) -> None:
        """Shows `task` as it is now."""
        self.query_one(_Facts).show(task, engine)
        self.query_one(_Elapsed).show(task)


class _Facts(Widget):
    shown: Task | None = None
    engine = ""

    def show(self, task: Task, engine: str) -> None:
        self.shown, self.engine = task, engine
        self.refresh()

    def render(self) -> Text:
        task, symbols = self.shown, context(self).symbols
        if task is None:
            return Text(" Loading")
        line = Text(no_wrap=True, overflow="crop")
        line.append(f" #{task.id} ", styles.BOLD).append(fit(task.task_type, 24, symbols.ellipsis))
        status = f"  {symbols.status(task.status)} {task.status.value}"
        line.append(status, STATUS_STYLES[task.status])
        attempt = f"  attempt {task.attempt}"
        if task.retry_of is not None:
            attempt += f", after #{task.retry_of}"
        if task.retried_by is not None:
            attempt += f", retried by #{task.retried_by}"
        line.append(attempt).append(f"  {_engine(task, self.engine)}", styles.DIM)
        line.truncate(self.size.width, overflow="crop")
        message = fit(task.status_message or "", self.size.width - 1, symbols.ellipsis)
        return line.append(f"\n {message}", styles.DIM)


class _Elapsed(Widget):
    shown: Task | None = None

    def show(self, task: Task) -> None:
        self.shown = task
        self.refresh()
        if task.status.final:
            context(self).clock.leave(self)
        else:
            context(self).clock.join(self, self._beat)

    def on_unmount(self) -> None:
        context(self).clock.leave(self)

    def _beat(self, beat: Beat) -> None:
        if beat.ticks_row(0):
            self.refresh()

    def render(self) -> Text:
        task = self.shown
        if task is None:
            return Text()
        now = context(self).clock.now()
        limit = duration(task.timeout_seconds, tenths=False)
        if task.status is TaskStatus.PENDING:
            waited = duration((now - task.created_at).total_seconds(), tenths=False)
            return Text(f"waiting {waited} ", no_wrap=True)
        return Text(f"{duration(task.elapsed(now))} of {limit} ", no_wrap=True)


def _engine(task: Task, engine: str) -> str:
    """Which engine, and which of its executions; the local worker's ids begin with its name."""
    execution = task.n8n_execution_id or ""
    return execution if execution.startswith(engine) else f"{engine} {execution}".rstrip()
