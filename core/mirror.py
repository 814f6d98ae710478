"""What is known of the rows: their newest revisions, and the tasks with all their events.

A change older than what is known is no change. That makes duplicate, late and refetched rows
harmless, whichever road they come by.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence

from core.changes import (
    Change,
    ConversationChanged,
    Deleted,
    Hint,
    MessageChanged,
    Table,
    TaskChanged,
)
from core.models import Task, TaskEvent
from core.store.base import Rows, Wanted

_KEEP = 5_000
"""How many rows' revisions, and finished tasks, are remembered."""

Key = tuple[Table, int]


class Mirror:
    """The rows as far as they are known; `tell` hears of every change."""

    def __init__(self, tell: Callable[[Change], None]) -> None:
        self._tell = tell
        self._tasks: OrderedDict[int, TaskChanged] = OrderedDict()
        self._open: set[int] = set()
        self._revisions: OrderedDict[Key, int] = OrderedDict()

    @property
    def open_tasks(self) -> frozenset[int]:
        """The tasks that are not final."""
        return frozenset(self._open)

    def ids(self, table: Table) -> list[int]:
        """The rows of a table of which a revision is known."""
        return [row_id for kind, row_id in self._revisions if kind is table]

    def view(self, task_id: int) -> TaskChanged | None:
        """The newest known state of a task, with its events."""
        return self._tasks.get(task_id)

    def knows(self, hint: Hint) -> bool:
        """Whether the row is known at that revision, or a newer one."""
        return 0 < hint.revision <= self._revisions.get((hint.table, hint.id), 0)

    def newest_event(self, task_id: int) -> int:
        """The id of the last event known of a task; 0 for none."""
        view = self._tasks.get(task_id)
        return view.events[-1].id if view and view.events else 0

    def lacks(self, keys: Iterable[Key]) -> Wanted:
        """What to fetch to bring these rows up to date."""
        ids: dict[Table, list[int]] = {table: [] for table in Table}
        for table, row_id in keys:
            ids[table].append(row_id)
        return Wanted(
            tasks={task_id: self.newest_event(task_id) for task_id in ids[Table.TASKS]},
            messages=frozenset(ids[Table.MESSAGES]),
            conversations=frozenset(ids[Table.CONVERSATIONS]),
        )

    def take(self, rows: Rows, asked: Wanted) -> list[int]:
        """Rows as they were fetched; the tasks that must be asked for again.

        Those are the ones of which only newer events were wanted, and which were forgotten with
        the older ones before the answer came.
        """
        events: dict[int, list[TaskEvent]] = {}
        for event in rows.events:
            events.setdefault(event.task_id, []).append(event)
        torn: list[int] = []
        for task in rows.tasks:
            if asked.tasks.get(task.id, 0) > self.newest_event(task.id):
                torn.append(task.id)
            else:
                self.take_task(task, events.get(task.id, ()))
        for message in rows.messages:
            self.take_change(MessageChanged(message))
        for conversation in rows.conversations:
            self.take_change(ConversationChanged(conversation))
        return torn

    def take_task(self, task: Task, events: Sequence[TaskEvent]) -> None:
        """A task with its newer events; either of them may be news."""
        known = self._tasks.get(task.id)
        newest = self.newest_event(task.id)
        fresh = [event for event in events if event.id > newest]
        newer = known is None or task.revision > known.task.revision
        if not newer and not fresh:
            return
        view = TaskChanged(
            task if known is None or newer else known.task,
            [*known.events, *fresh] if known else fresh,
        )
        self._tasks[task.id] = view
        self._tasks.move_to_end(task.id)
        self._remember((Table.TASKS, task.id), view.task.revision)
        if view.task.status.final:
            self._open.discard(task.id)
        else:
            self._open.add(task.id)
        self._tell(view)
        self._trim_tasks()

    def take_change(self, change: MessageChanged | ConversationChanged) -> None:
        """A message or a conversation."""
        if isinstance(change, MessageChanged):
            key, revision = (Table.MESSAGES, change.message.id), change.message.revision
        else:
            key = (Table.CONVERSATIONS, change.conversation.id)
            revision = change.conversation.revision
        if revision > self._revisions.get(key, 0):
            self._remember(key, revision)
            self._tell(change)

    def forget(self, table: Table, row_id: int) -> None:
        """A row is gone."""
        self._revisions.pop((table, row_id), None)
        if table is Table.TASKS:
            self._tasks.pop(row_id, None)
            self._open.discard(row_id)
        self._tell(Deleted(table, row_id))

    def forget_missing(self, asked: Mapping[Key, int], rows: Rows) -> None:
        """What was asked for and did not come is gone."""
        found: set[Key] = {(Table.TASKS, task.id) for task in rows.tasks}
        found |= {(Table.MESSAGES, message.id) for message in rows.messages}
        found |= {(Table.CONVERSATIONS, row.id) for row in rows.conversations}
        for table, row_id in asked.keys() - found:
            self.forget(table, row_id)

    def _trim_tasks(self) -> None:
        """Forgets the finished tasks heard of longest ago; open ones stay."""
        excess = len(self._tasks) - len(self._open) - _KEEP
        if excess < _KEEP // 10:
            return
        for task_id in [key for key in self._tasks if key not in self._open][:excess]:
            del self._tasks[task_id]
            # Without its events the row counts as unknown again.
            self._revisions.pop((Table.TASKS, task_id), None)

    def _remember(self, key: Key, revision: int) -> None:
        self._revisions[key] = revision
        self._revisions.move_to_end(key)
        while len(self._revisions) > 2 * _KEEP:
            self._revisions.popitem(last=False)
