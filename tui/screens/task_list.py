"""All tasks, full screen: filter, sort, mark, retry and cancel many, inspect one."""

from collections.abc import Awaitable, Callable
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Input

from core.changes import Change, Deleted, Table, TaskChanged
from core.errors import InputError
from core.models import TaskFilter
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
from tui.task_index import Column, TaskIndex
from tui.widgets.key_line import KeyLine
from tui.widgets.quiet_input import QuietInput
from tui.widgets.task_heading import TaskColumns, TaskHeading
from tui.widgets.task_table import TaskTable

_PAGE = 200
_EVERYTHING = 1 << 62
_SIBLINGS = 500
"""How many tasks around the opened one `]` and `[` of the inspector go through."""


class TaskListScreen(LiveScreen[None]):
    """Reads page by page what is looked at; follows the feed."""

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
        self._wrong = ""
        self._until = 0
        self._to_end = False

    def compose(self) -> ComposeResult:
        """Heading, filter, columns, rows, keys."""
        yield TaskHeading(self._index)
        yield QuietInput(self._line, placeholder=query.EXAMPLE, id="filter")
        yield TaskColumns(self._index)
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
        """Reads the first page."""
        super().on_mount()
        self._table.focus()
        self._filter(self._line)

    @property
    def _table(self) -> TaskTable:
        return self.query_one(TaskTable)

    @property
    def _reading_all(self) -> bool:
        return self._until >= _EVERYTHING and not self._index.complete

    @on(TaskTable.Marked)
    def _head(self) -> None:
        note = "reading all of them; esc stops" if self._reading_all else self._line
        self.query_one(TaskHeading).show(len(self._table.marked), note, self._wrong)

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
        self._index.clear()
        self._table.marked.clear()
        self._table.arranged(None)
        self._read_to(_PAGE if self._index.usual else _EVERYTHING, again=True)

    def _read_to(self, rows: int, *, again: bool = False) -> None:
        if again or self._until <= len(self._index):
            self._until = rows
            self._read()
        else:
            self._until = max(self._until, rows)
        self._head()

    @work(group="read", exclusive=True)
    async def _read(self) -> None:
        while not self._index.complete and len(self._index) < self._until:
            page = self._wanted.model_copy(update={"before_id": self._index.oldest, "limit": _PAGE})
            tasks = await tried(self, self.session.tasks.list(page))
            if tasks is None:
                break
            here = self._table.current if len(self._index) else None
            last = len(tasks) < _PAGE
            self._index.add_page(tasks, context(self).clock.now(), last=last)
            self._table.arranged(here)
            self._head()
        self._until = len(self._index)
        if self._to_end and self._index.complete:
            self._table.cursor = len(self._index) - 1
        self._to_end = False
        self._head()

    @on(TaskTable.MoreWanted)
    def _read_on(self, event: TaskTable.MoreWanted) -> None:
        self._read_to(event.count)

    @on(TaskTable.RowsWanted)
    @work(group="fetch")
    async def _fetch(self, event: TaskTable.RowsWanted) -> None:
        views = await tried(self, self.session.feed.load(event.ids))
        if views is not None:
            for task_id in event.ids:
                view = views.get(task_id)
                if view is None:
                    self._index.drop(task_id)
                else:
                    self._index.put(view.task, context(self).clock.now())
            self._table.fetched()

    def heard(self, changes: list[Change]) -> None:
        """Rows that changed, and tasks that are new."""
        now = context(self).clock.now()
        here, arranged = self._table.current, False
        for change in changes:
            if isinstance(change, TaskChanged):
                task = change.task
                if self._index.put(task, now):
                    self._table.changed(task)
                elif self._is_new(task.id) and query.matches(self._wanted, task):
                    self._index.insert(task, now)
                    arranged = True
            elif isinstance(change, Deleted) and change.table is Table.TASKS:
                self._index.drop(change.id)
                self._table.marked.discard(change.id)
                arranged = True
        if arranged:
            self._table.arranged(here)
            self._head()

    def _is_new(self, task_id: int) -> bool:
        # What is older than all that was read comes with its page.
        return self._index.complete or task_id > (self._index.oldest or 0)

    # Moving.

    @on(TaskTable.Chosen)
    def _inspect(self) -> None:
        if (task_id := self._table.current) is not None:
            top = max(0, self._table.cursor - _SIBLINGS // 2)
            siblings = self._index.ids()[top : top + _SIBLINGS]
            self.app.push_screen(InspectorScreen(self.session, task_id, siblings))

    @on(TaskTable.EndWanted)
    def _read_all(self) -> None:
        self._to_end = True
        self._read_to(_EVERYTHING)

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
        """Stops reading, takes the marks away, takes the filter away, or leaves."""
        if self._reading_all:
            self.workers.cancel_group(self, "read")
            self._until = len(self._index)
            self._index.order(Column.ID, reverse=False)
            self._table.arranged(self._table.current)
            self.query_one(TaskColumns).refresh()
            self._head()
        elif self._table.marked and self._table.has_focus:
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
        columns = [*Column]
        after = columns.index(self._index.column) + 1
        self._order(columns[after % len(columns)], reverse=False)

    def action_tasks_reverse(self) -> None:
        """The other way round."""
        self._order(self._index.column, reverse=not self._index.reverse)

    def _order(self, column: Column, *, reverse: bool) -> None:
        here = self._table.current
        self._index.order(column, reverse)
        if not self._index.usual and not self._index.complete:
            self._read_to(_EVERYTHING)
        self._table.arranged(here)
        self.query_one(TaskColumns).refresh()
        self._head()

    def action_tasks_select_all(self) -> None:
        """Marks all that match the filter, or takes all marks away."""
        if self._table.marked:
            self._table.marked.clear()
        elif self._index.complete:
            self._table.marked.update(self._index.ids())
        else:
            tell(self, "Not all tasks are read yet: go to the end first, or filter.")
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
