"""All tasks, full screen: filter, sort, mark, retry and cancel many, inspect one."""

from collections.abc import Awaitable, Callable
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Input

from core.changes import Change, Deleted, Table, TaskChanged
from core.errors import InputError
from core.models import NEWEST_FIRST, TaskColumn, TaskFilter, TaskOrder
from core.session import Session
from tui import query
from tui.actions import bindings, bindings_of
from tui.bulk import each
from tui.context import context
from tui.format import plural
from tui.screens.confirm import ConfirmScreen
from tui.screens.inspector import InspectorScreen
from tui.screens.live import LiveScreen, tell, tried
from tui.screens.new_task import NewTaskScreen
from tui.task_index import TaskIndex
from tui.widgets.key_line import KeyLine
from tui.widgets.quiet_input import QuietInput
from tui.widgets.task_heading import TaskColumns, TaskHeading
from tui.widgets.task_table import TaskTable

_FIRST = 200
"""So many ids are asked for before all of them: they are there at once, however many there are."""


class TaskListScreen(LiveScreen[None]):
    """Reads the ids of all tasks, and the rows of those looked at; follows the feed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("tasks"),
        *bindings_of("list.search", "list.down"),
    ]
    DEFAULT_CSS = """
    TaskListScreen {
        #filter { display: none; }
        &.-filtering #filter { display: block; }
    }
    """

    def __init__(self, session: Session, line: str = "") -> None:
        """`line` is the filter at first."""
        super().__init__(session)
        self._index = TaskIndex()
        self._line = line
        self._wanted = TaskFilter()
        self._order = NEWEST_FIRST
        self._wrong = ""
        self._to_end = False
        self._meanwhile: list[Change] | None = None
        """What was heard since the ids are being read: they may be from before it."""

    def compose(self) -> ComposeResult:
        """Heading, filter, columns, rows, keys."""
        yield TaskHeading(self._index)
        yield QuietInput(self._line, placeholder=query.EXAMPLE, id="filter")
        yield TaskColumns()
        yield TaskTable(self._index)
        yield KeyLine(
            ("list.open", "open"),
            ("list.search", "filter"),
            ("tasks.sort", "sort"),
            ("list.select", "mark"),
            ("task.retry", "retry"),
            ("task.cancel", "cancel"),
            ("task.new", "new"),
            ("app.back", "back"),
            ("app.help", "help"),
        )

    def on_mount(self) -> None:
        """Reads the list."""
        super().on_mount()
        self._table.focus()
        self._filter(self._line)

    @property
    def _table(self) -> TaskTable:
        return self.query_one(TaskTable)

    @on(TaskTable.Marked)
    def _head(self) -> None:
        self.query_one(TaskHeading).show(len(self._table.marked), self._line, self._wrong)

    # Reading.

    def _filter(self, line: str) -> None:
        try:
            types = [workflow.task_type for workflow in self.session.workflows.all()]
            wanted = query.parse(line, now=context(self).clock.now(), types=types)
        except InputError as error:
            self._wrong = str(error)
            self._head()
            return
        self._wrong, self._line, self._wanted = "", line, wanted
        self._index.arrange((), self._order, complete=False)
        self._table.marked.clear()
        self._table.arranged(None)
        self._head()
        self._read()

    @work(group="read", exclusive=True)
    async def _read(self) -> None:
        self._meanwhile = meanwhile = []
        order, usual = self._order, self._order.column is TaskColumn.ID
        for limit in (_FIRST, None) if usual and not len(self._index) else (None,):
            ids = await tried(self, self.session.tasks.ids(self._wanted, order, limit))
            if ids is None:
                self._order = self._index.order
                break
            here = self._table.current
            complete = limit is None or len(ids) < limit
            self._index.arrange(ids, order, complete=complete)
            self._table.arranged(here)
            self._show(meanwhile)
            if complete:
                break
        self._meanwhile = None
        if self._to_end:
            self._table.cursor = len(self._index) - 1
        self._to_end = False
        self.query_one(TaskColumns).order = self._order
        self._head()

    @on(TaskTable.RowsWanted)
    @work(group="fetch")
    async def _fetch(self, event: TaskTable.RowsWanted) -> None:
        tasks = await tried(self, self.session.tasks.rows(event.ids))
        if tasks is None:
            self._table.given_up(event.ids)
            return
        self._index.put(*tasks)
        gone = {*event.ids} - {task.id for task in tasks}
        self._show([Deleted(Table.TASKS, task_id) for task_id in gone])
        self._table.fetched(event.ids)

    def heard(self, changes: list[Change]) -> None:
        """Rows that changed, and tasks that are new."""
        if self._meanwhile is not None:
            self._meanwhile += changes
        self._show(changes)

    def _show(self, changes: list[Change]) -> None:
        here, arranged = self._table.current, False
        for change in changes:
            if isinstance(change, TaskChanged):
                task = change.task
                if task.id in self._index:
                    self._index.put(task)
                    self._table.changed(task)
                elif query.matches(self._wanted, task):
                    self._index.insert(task)
                    arranged = True
            elif isinstance(change, Deleted) and change.table is Table.TASKS:
                self._index.drop(change.id)
                self._table.marked.discard(change.id)
                arranged = True
        if arranged:
            self._table.arranged(here)
            self._head()

    # Moving.

    @on(TaskTable.Chosen)
    def _inspect(self) -> None:
        if (task_id := self._table.current) is not None:
            self.app.push_screen(InspectorScreen(self.session, task_id, self._index.ids()))

    @on(TaskTable.EndWanted)
    def _go_on_to_the_end(self) -> None:
        if self._index.complete:
            self._table.action_list_last()
        else:
            self._to_end = self._meanwhile is not None

    def action_list_search(self) -> None:
        """To the filter line."""
        self.add_class("-filtering")
        self.query_one("#filter", QuietInput).focus()

    def action_list_down(self) -> None:
        """From the filter line into the list."""
        self._table.focus()

    @on(Input.Submitted, "#filter")
    def _apply(self, event: Input.Submitted) -> None:
        self._filter(event.value)
        if not self._wrong:
            self._table.focus()

    def action_app_back(self) -> None:
        """Takes the marks away, takes the filter away, or leaves."""
        if self._table.marked and self._table.has_focus:
            self.action_tasks_select_all()
        elif self.has_class("-filtering"):
            self.remove_class("-filtering")
            self._table.focus()
            self.query_one("#filter", QuietInput).value = ""
            if self._line or self._wrong:
                self._filter("")
        else:
            self.action_screen_close()

    # Order and marks.

    def action_tasks_sort(self) -> None:
        """By the next column."""
        columns = [*TaskColumn]
        after = columns.index(self._order.column) + 1
        self._arrange(TaskOrder(columns[after % len(columns)]))

    def action_tasks_reverse(self) -> None:
        """The other way round."""
        self._arrange(TaskOrder(self._order.column, not self._order.reverse))

    def _arrange(self, order: TaskOrder) -> None:
        self._order = self.query_one(TaskColumns).order = order
        self._read()

    def action_tasks_select_all(self) -> None:
        """Marks all that match the filter, or takes all marks away."""
        if self._table.marked:
            self._table.marked.clear()
        elif self._index.complete:
            self._table.marked.update(self._index.ids())
        else:
            tell(self, "Not all tasks are read yet; try again in a moment.")
        self._table.refresh()
        self._head()

    # Doing.

    def action_task_new(self) -> None:
        """Asks for a new task."""
        self.app.push_screen(NewTaskScreen(self.session))

    def _chosen(self) -> list[int]:
        if self._table.marked:
            return [each for each in self._index.ids() if each in self._table.marked]
        return [] if self._table.current is None else [self._table.current]

    @work(group="write", exclusive=True)
    async def action_task_retry(self) -> None:
        """Retries the marked tasks, or the one under the cursor."""
        ids = self._chosen()
        if len(ids) < 2 or await self._sure(f"Retry {plural(len(ids), 'task')}?", "retry them"):
            await self._do(ids, self.session.tasks.retry, "Retried")

    @work(group="write", exclusive=True)
    async def action_task_cancel(self) -> None:
        """Cancels the marked tasks, or the one under the cursor, once confirmed."""
        ids = self._chosen()
        if ids and await self._sure(
            f"Cancel {f'task #{ids[0]}' if len(ids) == 1 else plural(len(ids), 'task')}?",
            "cancel it" if len(ids) == 1 else "cancel them",
        ):
            await self._do(ids, self.session.tasks.cancel, "Cancelled")

    async def _sure(self, question: str, yes: str) -> bool:
        return await self.app.push_screen_wait(ConfirmScreen(question, yes=yes))

    async def _do(self, ids: list[int], do: Callable[[int], Awaitable[object]], verb: str) -> None:
        if not ids:
            return
        outcome = await each(ids, do)
        self._table.marked.difference_update(outcome.done)
        self._table.refresh()
        self._head()
        tell(self, outcome.sentence(verb), bad=bool(outcome.refused or outcome.stopped))
