"""Which tasks a list is made of, in which order, and the rows of those that were looked at.

Of a hundred thousand tasks only the ids and what they are sorted by are kept; the rows themselves
are kept for those seen last. In the usual order, newest first, even the ids are read only as far
as somebody has scrolled.
"""

from bisect import insort
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from core.models import Task, TaskStatus

_KEEP = 2_000
_RANKS = {
    TaskStatus.PROCESSING: 0,
    TaskStatus.PENDING: 1,
    TaskStatus.FAILED: 2,
    TaskStatus.TIMEOUT: 3,
    TaskStatus.CANCELLED: 4,
    TaskStatus.COMPLETED: 5,
}


class Column(StrEnum):
    """What tasks are sorted by; within equal ones, newest first."""

    ID = "id"
    TYPE = "type"
    STATUS = "status"
    ELAPSED = "elapsed"


@dataclass(frozen=True, slots=True)
class _Keys:
    type: str
    status: int
    elapsed: float


class TaskIndex:
    """The list, as far as it is known."""

    def __init__(self) -> None:
        self.complete = False
        """Whether every matching task is in it."""
        self.column = Column.ID
        self.reverse = False
        self._ids: list[int] = []
        """In the order of the list."""
        self._keys: dict[int, _Keys] = {}
        self._rows: OrderedDict[int, Task] = OrderedDict()
        self._types: dict[str, int] = {}
        self._oldest: int | None = None

    def clear(self) -> None:
        """Begins again, with nothing; the order stays."""
        self.complete = False
        self._ids, self._oldest = [], None
        self._keys.clear()
        self._rows.clear()

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def oldest(self) -> int | None:
        """The next page begins before this task."""
        return self._oldest

    @property
    def usual(self) -> bool:
        """Whether the order is newest first, the only one that needs no complete list."""
        return self.column is Column.ID and not self.reverse

    def add_page(self, tasks: Sequence[Task], now: datetime, *, last: bool) -> None:
        """The next older page; `last`: there are none after it."""
        for task in tasks:
            known = task.id in self._keys
            self._note(task, now)
            if not known:
                self._ids.append(task.id)
        if tasks:
            self._oldest = tasks[-1].id
        self.complete = last
        if last and not self.usual:
            self._sort()

    def put(self, task: Task, now: datetime) -> bool:
        """A newer state of a row; whether the task is in the list. It keeps its place."""
        if task.id not in self._keys:
            return False
        known = self._rows.get(task.id)
        if known is None or known.revision <= task.revision:
            self._note(task, now)
        return True

    def insert(self, task: Task, now: datetime) -> None:
        """A task that is new; older ones come with their page."""
        self._note(task, now)
        if self.complete or self.usual:
            insort(self._ids, task.id, key=self._key)
        else:
            self._ids.insert(0, task.id)

    def drop(self, task_id: int) -> None:
        """A task is gone."""
        if self._keys.pop(task_id, None) is not None:
            self._ids.remove(task_id)
            self._rows.pop(task_id, None)

    def order(self, column: Column, reverse: bool) -> None:
        """Another order; takes effect once the list is complete, the usual one at once."""
        self.column, self.reverse = column, reverse
        if self.complete or self.usual:
            self._sort()

    def id_at(self, index: int) -> int:
        """The id of the task in row `index`."""
        return self._ids[index]

    def ids(self) -> Sequence[int]:
        """All known ids, in the list's order."""
        return self._ids

    def place(self, task_id: int) -> int | None:
        """The row of a task."""
        return self._ids.index(task_id) if task_id in self._keys else None

    def row(self, index: int) -> Task | None:
        """The task in row `index`, if it is at hand."""
        task = self._rows.get(self._ids[index])
        if task is not None:
            self._rows.move_to_end(task.id)
        return task

    def missing(self, rows: Iterable[int]) -> list[int]:
        """The ids of those rows whose tasks have to be read again."""
        return [self._ids[row] for row in rows if self._ids[row] not in self._rows]

    def _note(self, task: Task, now: datetime) -> None:
        self._keys[task.id] = _Keys(task.task_type, _RANKS[task.status], task.elapsed(now))
        self._rows[task.id] = task
        self._rows.move_to_end(task.id)
        while len(self._rows) > _KEEP:
            self._rows.popitem(last=False)

    def _sort(self) -> None:
        types = sorted({keys.type for keys in self._keys.values()})
        self._types = {name: rank for rank, name in enumerate(types)}
        self._ids.sort(key=self._key)

    def _key(self, task_id: int) -> tuple[float, int]:
        keys, sign = self._keys[task_id], -1 if self.reverse else 1
        match self.column:
            case Column.ID:
                return 0, -sign * task_id
            case Column.TYPE:
                # A type that was not there when the list was sorted goes after the others.
                return sign * self._types.get(keys.type, len(self._types)), -task_id
            case Column.STATUS:
                return sign * keys.status, -task_id
            case Column.ELAPSED:
                return -sign * keys.elapsed, -task_id
