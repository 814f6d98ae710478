"""The use cases of tasks, on a real database, with the feed showing what was done."""

import asyncio

import pytest

from core.changes import Change, Deleted, Table, TaskChanged
from core.errors import (
    IllegalTransitionError,
    InputError,
    NotFoundError,
    UnknownTaskTypeError,
    WorkflowNotConfiguredError,
)
from core.models import Task, TaskFilter, TaskStatus
from core.session import Session
from core.timeline import StepState
from tests.support.database import Database


async def make(session: Session) -> Task:
    """A task of a type that no worker here touches, and that the service may retry."""
    sent = await session.chat.send(None, "hello")
    return (await session.tasks.get(sent.task_id)).task


@pytest.mark.parametrize(
    ("task_type", "data", "error"),
    [
        ("emial", {}, UnknownTaskTypeError),
        ("email", {"to": "a@example.org"}, WorkflowNotConfiguredError),
        ("chat", {"conversation_id": "one"}, InputError),
    ],
)
async def test_what_cannot_run_is_not_written(
    session: Session, task_type: str, data: dict, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await session.tasks.create(task_type, data)
    assert await session.tasks.list(TaskFilter()) == []


async def test_ones_own_writes_show_at_once(session: Session) -> None:
    reader = session.feed.subscribe()
    task = await make(session)
    # Not a moment later: nothing is awaited between the write and the look.
    cancelled = await session.tasks.cancel(task.id)
    view = session.feed.view(task.id)
    assert view is not None
    assert view.task == cancelled
    async with asyncio.timeout(5):
        changes = await reader.batch()
    assert (Table.TASKS, task.id) in {change.key for change in changes}
    reader.close()


async def test_a_retry_is_checked_and_shown_on_both(session: Session) -> None:
    task = await make(session)
    with pytest.raises(IllegalTransitionError):
        await session.tasks.retry(task.id)
    await session.tasks.cancel(task.id)
    new = await session.tasks.retry(task.id)
    assert new.retry_of == task.id
    assert (await session.tasks.get(task.id)).task.retried_by == new.id
    with pytest.raises(IllegalTransitionError):
        await session.tasks.retry(task.id)
    assert [row.id for row in await session.tasks.running()] == [new.id]


async def test_what_nothing_can_run_is_not_retried(session: Session) -> None:
    task = await session.store.task_create("email", {}, 60, None)
    await session.tasks.cancel(task.id)
    with pytest.raises(WorkflowNotConfiguredError):
        await session.tasks.retry(task.id)
    assert await session.tasks.running() == []


async def test_a_task_that_is_not_there(session: Session) -> None:
    for call in (session.tasks.get, session.tasks.cancel, session.tasks.retry):
        with pytest.raises(NotFoundError, match="4711"):
            await call(4711)
    with pytest.raises(NotFoundError):
        await anext(session.tasks.watch(4711))


async def collect(session: Session, task_id: int, begun: asyncio.Event) -> list[Change]:
    seen: list[Change] = []
    async for change in session.tasks.watch(task_id):
        seen.append(change)
        begun.set()
    return seen


async def test_watching_goes_on_until_the_end(session: Session, database: Database) -> None:
    task = await make(session)
    other = await make(session)
    begun = asyncio.Event()
    async with asyncio.timeout(10):
        watching = asyncio.create_task(collect(session, task.id, begun))
        await begun.wait()
        await session.tasks.cancel(other.id)
        with database.worker() as worker:
            worker.execute("SELECT task_claim(%s, 'e')", (task.id,))
            worker.execute("SELECT task_step(%s, 'calling_ai', 'Asking')", (task.id,))
            worker.execute("SELECT chat_reply(%s, '42', '', '{}')", (task.id,))
        seen = await watching
    views = [change for change in seen if isinstance(change, TaskChanged)]
    assert len(views) == len(seen)
    assert {view.task.id for view in views} == {task.id}
    assert views[0].task.status is TaskStatus.PENDING
    assert views[-1].task.status is TaskStatus.COMPLETED
    assert [view.task.revision for view in views] == sorted(view.task.revision for view in views)
    steps = [step.name for step in session.tasks.steps(views[-1])]
    assert steps[:2] == ["initializing", "calling_ai"]


async def test_watching_what_has_ended_or_goes_away(session: Session, database: Database) -> None:
    ended, gone = await make(session), await make(session)
    await session.tasks.cancel(ended.id)
    begun = asyncio.Event()
    async with asyncio.timeout(10):
        [only] = await collect(session, ended.id, asyncio.Event())
        assert isinstance(only, TaskChanged)
        watching = asyncio.create_task(collect(session, gone.id, begun))
        await begun.wait()
        with database.owner() as owner:
            owner.execute("DELETE FROM async_tasks WHERE id = %s", (gone.id,))
        assert (await watching)[-1] == Deleted(Table.TASKS, gone.id)


async def test_a_watcher_that_leaves_is_forgotten(session: Session) -> None:
    task = await make(session)
    watching = session.tasks.watch(task.id)
    await anext(watching)
    assert len(session.feed._subscriptions) == 1
    await watching.aclose()
    assert session.feed._subscriptions == []


async def test_steps_to_come_are_those_of_the_workflow(session: Session) -> None:
    task = await make(session)
    steps = session.tasks.steps(await session.tasks.get(task.id))
    workflow = session.workflows.get("chat")
    assert [step.name for step in steps] == [step.name for step in workflow.steps][:-1]
    assert {step.state for step in steps} == {StepState.WAITING}
