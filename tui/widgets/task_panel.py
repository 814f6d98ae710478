"""The task panel: which tasks there are, and what can be done with the one under the cursor."""

from dataclasses import dataclass

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.timer import Timer

from core.changes import Change, Deleted, TaskChanged
from core.errors import SteplineError
from core.models import TaskFilter
from tui.actions import bindings
from tui.board import KEEP, Board
from tui.context import context
from tui.messages import CancelTask, InspectTask, RetryTask
from tui.screens.live import tell
from tui.widgets.task_rows import Row, TaskRows

MAX_STRIP = 6
"""Rows of the strip that the panel is on narrow screens, its rule included."""

_MANY = 5
"""Rows changed at once from which on they are painted at most so often:"""
_PAUSE = 0.2
"""Seconds; faster than this nobody reads a status."""


class TaskPanel(Vertical):
    """Fed by the main screen; a column at the side, or a strip above the composer."""

    BINDINGS = bindings("panel")

    @dataclass
    class Counted(Message):
        """How many tasks run now."""

        running: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.board = Board()
        self._strip = False
        self._room = MAX_STRIP
        self._pause: Timer | None = None
        self._late = False
        """Whether something changed that the pause keeps from being shown."""

    def compose(self) -> ComposeResult:
        """The rows."""
        yield TaskRows(id="tasks")

    @property
    def rows(self) -> TaskRows:
        """The rows."""
        return self.query_one(TaskRows)

    def set_strip(self, strip: bool, room: int) -> None:
        """A strip of at most `room` rows, or a column."""
        self._strip, self._room = strip, min(room, MAX_STRIP)
        self.rows.set_compact(strip)
        self._fit()

    def apply(self, batch: list[Change]) -> None:
        """Shows what changed."""
        views = [change for change in batch if isinstance(change, TaskChanged)]
        gone = [change for change in batch if isinstance(change, Deleted)]
        if views or gone:
            self.board.put(views)
            for deleted in gone:
                self.board.drop(deleted)
            self._show_soon(len(views))

    @work(group="board", exclusive=True)
    async def load(self) -> None:
        """Reads what runs, and the newest of what ran."""
        session = context(self).session
        try:
            running = await session.tasks.running()
            newest = await session.tasks.list(TaskFilter(limit=KEEP // 2))
            ids = {task.id for task in running}
            views = await session.feed.load(ids)
        except SteplineError as error:
            tell(self, str(error), bad=True)
            return
        # Of finished ones the row is enough; their events are read by who wants them.
        self.board.put(TaskChanged(task, ()) for task in newest if task.id not in views)
        self.board.put(views.values())
        self._show()

    def _show_soon(self, changed: int) -> None:
        """At once, unless so much changes that painting it all would hold up the keys."""
        if self._pause is not None:
            self._late = True
            return
        self._show()
        if changed >= _MANY:
            self._pause = self.set_timer(_PAUSE, self._paused)

    def _paused(self) -> None:
        self._pause = None
        if self._late:
            self._late = False
            self._show_soon(_MANY)

    def _show(self) -> None:
        session = context(self).session
        running, earlier = self.board.running, self.board.earlier
        rows = [Row(view, session.tasks.steps) for view in [*running, *earlier]]
        self.rows.show(rows, len(running))
        self.post_message(self.Counted(len(running)))
        self._fit()

    def _fit(self) -> None:
        if not self._strip:
            self.styles.height = "1fr"
            self.display = True
            return
        count = len(self.board.running) + len(self.board.earlier)
        height = min(self._room, count + 1)
        self.display = count > 0 and self._room > 1
        current = self.styles.height
        if current is None or current.value != height or not current.is_cells:
            self.styles.height = height

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Without a session there are no tasks."""
        return context(self).opened is not None

    @on(TaskRows.Opened)
    def _opened(self, event: TaskRows.Opened) -> None:
        event.stop()
        siblings = [view.task.id for view in [*self.board.running, *self.board.earlier]]
        self.post_message(InspectTask(event.task_id, tuple(siblings)))

    def action_task_retry(self) -> None:
        """Retries the task under the cursor."""
        task = self.rows.selected
        if task is None:
            return
        if task.can_retry:
            self.post_message(RetryTask(task.id))
        else:
            tell(self, "Only a failed, cancelled or timed-out task can be retried, and only once.")

    def action_task_cancel(self) -> None:
        """Cancels the task under the cursor."""
        task = self.rows.selected
        if task is None:
            return
        if task.status.final:
            tell(self, f"Task #{task.id} is not running.")
        else:
            self.post_message(CancelTask(task.id))

    async def action_task_new(self) -> None:
        """The form for a new task."""
        await self.run_action("app.task_new")
