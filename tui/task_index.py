"""Which tasks a list is made of, in which order, and the rows of those that were looked at.

The database decides the order and gives the ids; the rows themselves, of a hundred thousand tasks,
are kept only for those seen last.
"""

from bisect import insort
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from core.models import NEWEST_FIRST, Task, TaskColumn, TaskOrder

_KEEP = 2_000


class TaskIndex:
    """The list, as far as it is known."""

    def __init__(self) -> None:
        self.complete = False
        """Whether every matching task is in it; if not, its first ones are."""
        self.order = NEWEST_FIRST
        self._ids: list[int] = []
        """In the order of the list."""
        self._known: set[int] = set()
        """The same, in none."""
        self._rows: OrderedDict[int, Task] = OrderedDict()

    def arrange(self, ids: Iterable[int], order: TaskOrder, *, complete: bool) -> None:
        """The tasks of the list, anew; rows at hand stay at hand."""
        self._ids, self.order, self.complete = [*ids], order, complete
        self._known = set(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def put(self, *tasks: Task) -> None:
        """Newer states of rows. They keep their places."""
        for task in tasks:
            known = self._rows.get(task.id)
            if known is None or known.revision <= task.revision:
                self._rows[task.id] = task
            self._rows.move_to_end(task.id)
        while len(self._rows) > _KEEP:
            self._rows.popitem(last=False)

    def insert(self, task: Task) -> None:
        """A task that is new. Where only the database knows its place it stands at the top."""
        self.put(task)
        if self.order.column is not TaskColumn.ID:
            self._ids.insert(0, task.id)
        else:
            sign = 1 if self.order.reverse else -1
            if not self.complete and self._ids and sign * task.id > sign * self._ids[-1]:
                return  # it comes with the rest
            insort(self._ids, task.id, key=lambda each: sign * each)
        self._known.add(task.id)

    def drop(self, task_id: int) -> None:
        """A task is gone."""
        self._rows.pop(task_id, None)
        if task_id in self._known:
            self._known.remove(task_id)
            self._ids.remove(task_id)

    def __contains__(self, task_id: int) -> bool:
        return task_id in self._known

    def id_at(self, index: int) -> int:
        """The id of the task in row `index`."""
        return self._ids[index]

    def ids(self) -> Sequence[int]:
        """All known ids, in the list's order."""
        return self._ids

    def place(self, task_id: int) -> int | None:
        """The row of a task."""
        return self._ids.index(task_id) if task_id in self._known else None

    def row(self, index: int) -> Task | None:
        """The task in row `index`, if it is at hand."""
        task = self._rows.get(self._ids[index])
        if task is not None:
            self._rows.move_to_end(task.id)
        return task

    def missing(self, rows: Iterable[int]) -> list[int]:
        """The ids of those rows whose tasks have to be read again."""
        return [self._ids[row] for row in rows if self._ids[row] not in self._rows]
