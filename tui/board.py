"""Which tasks the task panel shows, in which order: running first, then the newest."""

from collections.abc import Iterable

from core.changes import Deleted, Table, TaskChanged

KEEP = 100
"""Finished tasks kept; the full list is another screen."""


class Board:
    """The newest known state of the tasks that matter now."""

    def __init__(self) -> None:
        self._views: dict[int, TaskChanged] = {}

    def clear(self) -> None:
        """Forgets everything."""
        self._views.clear()

    def put(self, views: Iterable[TaskChanged]) -> None:
        """Takes newer states in."""
        for view in views:
            known = self._views.get(view.task.id)
            if known is None or view.task.revision >= known.task.revision:
                self._views[view.task.id] = view
        finished = sorted(self._earlier_ids(), reverse=True)
        for task_id in finished[KEEP:]:
            del self._views[task_id]

    def drop(self, deleted: Deleted) -> None:
        """Forgets a deleted task."""
        if deleted.table is Table.TASKS:
            self._views.pop(deleted.id, None)

    def _earlier_ids(self) -> list[int]:
        return [task_id for task_id, view in self._views.items() if view.task.status.final]

    @property
    def running(self) -> list[TaskChanged]:
        """Pending and processing tasks, newest first."""
        return [view for view in self._newest_first() if not view.task.status.final]

    @property
    def earlier(self) -> list[TaskChanged]:
        """Finished tasks, newest first."""
        return [view for view in self._newest_first() if view.task.status.final]

    def get(self, task_id: int) -> TaskChanged | None:
        """A task, if it is on the board."""
        return self._views.get(task_id)

    def _newest_first(self) -> list[TaskChanged]:
        return [self._views[task_id] for task_id in sorted(self._views, reverse=True)]
