"""The use cases of tasks: create, retry, cancel, look up, watch."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from core.changes import Change, Deleted, Table, TaskChanged
from core.engine.base import Engine
from core.errors import NotFoundError
from core.feed import Feed
from core.models import NEWEST_FIRST, JsonObject, Task, TaskFilter, TaskOrder
from core.store.base import NO_EVENTS, Store, Wanted
from core.timeline import StepView, timeline
from core.workflows import Registry


class TaskService:
    """What can be done with tasks of any type. Errors are those of the store and the registry."""

    def __init__(self, store: Store, feed: Feed, workflows: Registry, engine: Engine) -> None:
        self._store = store
        self._feed = feed
        self._workflows = workflows
        self._engine = engine

    async def create(self, task_type: str, input_data: JsonObject) -> Task:
        """A new pending task.

        Raises UnknownTaskTypeError, WorkflowNotConfiguredError or InputError before anything is
        written.
        """
        workflow = self._workflows.runnable(task_type, self._engine.name)
        self._workflows.validate(workflow, input_data)
        task = await self._store.task_create(
            task_type, input_data, workflow.timeout_seconds, workflow.workflow_id
        )
        self._engine.trigger(task)
        return self._noted(task)

    async def retry(self, task_id: int) -> Task:
        """A new attempt with the same input; the old task stays as it ended."""
        old = (await self.get(task_id)).task
        self._workflows.runnable(old.task_type, self._engine.name)
        task = await self._store.task_retry(task_id)
        self._feed.hint_task(task_id)
        self._engine.trigger(task)
        return self._noted(task)

    async def cancel(self, task_id: int) -> Task:
        """Cancels a task that is pending or processing; its engine stops soon after."""
        task = self._noted(await self._store.task_cancel(task_id))
        self._engine.stop(task)
        return task

    async def get(self, task_id: int) -> TaskChanged:
        """A task as it is now, with its events; raises NotFoundError."""
        view = await self._feed.refresh(task_id)
        if view is None:
            raise NotFoundError(
                f"There is no task {task_id}: `stepline tasks list` shows those there are."
            )
        return view

    async def list(self, wanted: TaskFilter) -> Sequence[Task]:
        """The newest matching tasks, newest first."""
        return await self._store.tasks(wanted)

    async def ids(
        self, wanted: TaskFilter, order: TaskOrder = NEWEST_FIRST, limit: int | None = None
    ) -> Sequence[int]:
        """The ids of all matching tasks, or of the first `limit`, in an order."""
        return await self._store.task_ids(wanted, order, limit)

    async def rows(self, task_ids: Iterable[int]) -> Sequence[Task]:
        """The tasks of these ids as they are now; those that don't exist are left out."""
        rows = await self._store.fetch(Wanted(tasks=dict.fromkeys(task_ids, NO_EVENTS)))
        return rows.tasks

    async def running(self) -> Sequence[Task]:
        """All pending and processing tasks, newest first."""
        return await self._store.running_tasks()

    async def watch(self, task_id: int | None = None) -> AsyncGenerator[Change]:
        """Every change of one task, beginning with its state now, until it is final or deleted;
        with None, every change of any of the user's rows, for ever."""
        subscription = self._feed.subscribe()
        begun = datetime.now(UTC) + timedelta(seconds=self._store.clock_offset)
        try:
            if task_id is not None:
                yield (view := await self.get(task_id))
                if view.task.status.final:
                    return
            while True:
                for change in await subscription.batch():
                    if task_id is None:
                        # Catching up looks a little into the past, which is not asked for here.
                        if not isinstance(change, TaskChanged) or change.task.updated_at >= begun:
                            yield change
                    elif change.key == (Table.TASKS, task_id):
                        yield change
                        if isinstance(change, Deleted):
                            return
                        if isinstance(change, TaskChanged) and change.task.status.final:
                            return
        finally:
            subscription.close()

    def steps(self, view: TaskChanged) -> Sequence[StepView]:
        """The task's steps so far and to come."""
        return timeline(view.task, view.events, self._workflows.find(view.task.task_type))

    def _noted(self, task: Task) -> Task:
        self._feed.note(TaskChanged(task, ()))
        return task
