"""What every store promises (`core.store.base.Store`).

These tests know a store only through `open_user` and the port. What workers do meanwhile is done
in the database itself.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from core.changes import Hint, LinkChanged, LinkState, Table
from core.errors import (
    IllegalTransitionError,
    InputError,
    NotFoundError,
    SteplineError,
    StoreUnreachableError,
)
from core.models import Role, TaskColumn, TaskFilter, TaskOrder, TaskStatus
from core.store.base import NO_EVENTS, Rows, Store, Wanted
from tests.core.store.scene import OpenUser, create
from tests.schema.scenes import events, late_task, one, task_row
from tests.support.database import Database
from tests.support.supabase.target import Target


@pytest.fixture(params=["postgres", "supabase"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which store a test of the contract runs on."""
    return request.param


@pytest.fixture
def open_user(kind: str, request: pytest.FixtureRequest) -> OpenUser:
    """Opens a store for a new user, or for the one given."""
    return request.getfixturevalue({"postgres": "open_store", "supabase": "open_supabase"}[kind])


@pytest.fixture
def there(kind: str, request: pytest.FixtureRequest) -> Database:
    """The database behind the store: for what workers do meanwhile."""
    if kind == "postgres":
        return request.getfixturevalue("database")
    target: Target = request.getfixturevalue("target")
    return target.database


@pytest.fixture
async def store(open_user: OpenUser) -> Store:
    """The store of a new user."""
    return await open_user()


# Writes


async def test_a_new_task_is_what_was_asked_for(store: Store) -> None:
    data = {"to": "Ä🎉", "deep": {"list": [1, 2.5, None, True, ""]}, "quote": "'; -- \\ %s {x}"}
    task = await store.task_create("email", data, 77, "wf-1")
    assert (task.task_type, task.input, task.timeout_seconds) == ("email", data, 77)
    assert (task.workflow_id, task.created_by) == ("wf-1", store.user_id)
    assert (task.status, task.revision, task.output) == (TaskStatus.PENDING, 1, {})
    assert task.created_at.tzinfo is not None
    rows = await store.fetch(Wanted(tasks={task.id: 0}))
    assert list(rows.tasks) == [task]
    assert [event.data["status"] for event in rows.events] == ["pending"]


async def test_a_message_comes_with_its_task_and_its_empty_answer(store: Store) -> None:
    sent = await store.chat_send(None, " What now?\nReally. ", 60, uuid4())
    rows = await store.fetch(
        Wanted(
            tasks={sent.task_id: 0},
            messages=frozenset((sent.user_message_id, sent.message_id)),
            conversations=frozenset((sent.conversation_id,)),
        )
    )
    [task], [conversation] = rows.tasks, rows.conversations
    question, answer = sorted(rows.messages, key=lambda row: row.id)
    assert (question.role, question.content) == (Role.USER, " What now?\nReally. ")
    assert (answer.role, answer.content, answer.async_task_id) == (Role.ASSISTANT, "", task.id)
    assert conversation.title == "What now?"
    assert (task.task_type, task.timeout_seconds) == ("chat", 60)


async def test_the_same_request_is_sent_once(store: Store) -> None:
    request = uuid4()
    sent = await asyncio.gather(*(store.chat_send(None, "once", 60, request) for _ in range(4)))
    assert all(each == sent[0] for each in sent)
    assert len(await store.conversations()) == 1
    assert len(await store.running_tasks()) == 1


async def test_cancel_and_retry(store: Store) -> None:
    task = await create(store)
    with pytest.raises(IllegalTransitionError, match=f"Task {task.id} is pending"):
        await store.task_retry(task.id)
    cancelled = await store.task_cancel(task.id)
    assert (cancelled.status, cancelled.revision) == (TaskStatus.CANCELLED, 2)
    assert await store.task_cancel(task.id) == cancelled
    again = await store.task_retry(task.id)
    assert (again.status, again.retry_of, again.attempt) == (TaskStatus.PENDING, task.id, 2)
    with pytest.raises(IllegalTransitionError, match=f"retried already, as task {again.id}"):
        await store.task_retry(task.id)


async def test_a_finished_task_cannot_be_cancelled(store: Store, there: Database) -> None:
    task = await create(store)
    with there.worker() as worker:
        worker.execute("SELECT task_claim(%s, 'e')", (task.id,))
        worker.execute("SELECT task_complete(%s, '{}')", (task.id,))
    with pytest.raises(IllegalTransitionError, match="already completed"):
        await store.task_cancel(task.id)


async def test_what_is_overdue_times_out(store: Store, there: Database) -> None:
    await create(store)
    late = late_task(there, "processing", owner=store.user_id)
    assert await store.task_expire() == 1
    assert await store.task_expire() == 0
    [task] = await store.tasks(TaskFilter(statuses=(TaskStatus.TIMEOUT,)))
    assert task.id == late


async def test_conversations_are_renamed_archived_and_deleted(store: Store) -> None:
    sent = await store.chat_send(None, "first", 60, uuid4())
    number = sent.conversation_id
    assert (await store.conversation_rename(number, "Zweite")).title == "Zweite"
    assert (await store.conversation_archive(number, True)).is_archived
    assert await store.conversations() == []
    assert [row.id for row in await store.conversations(archived=True)] == [number]
    assert not (await store.conversation_archive(number, False)).is_archived
    await store.conversation_delete(number)
    assert await store.conversations() == []
    assert await store.messages(number) == []
    assert await store.running_tasks() == []


@pytest.mark.parametrize("theirs", [False, True], ids=["nobody's", "somebody else's"])
async def test_what_is_not_there(open_user: OpenUser, store: Store, theirs: bool) -> None:
    other = await open_user()
    sent = await other.chat_send(None, "theirs", 60, uuid4())
    task = sent.task_id if theirs else 4711
    conversation = sent.conversation_id if theirs else 4711
    message = sent.message_id if theirs else 4711
    calls: list[Awaitable[object]] = [
        store.task_cancel(task),
        store.task_retry(task),
        store.chat_send(conversation, "x", 60, uuid4()),
        store.conversation_rename(conversation, "x"),
        store.conversation_archive(conversation, True),
        store.conversation_delete(conversation),
    ]
    for call in calls:
        with pytest.raises(NotFoundError, match=rf"here is no \w+ {task}|{conversation}"):
            await call
    assert await store.messages(conversation) == []
    rows = await store.fetch(
        Wanted(
            tasks={task: 0},
            messages=frozenset((message,)),
            conversations=frozenset((conversation,)),
        )
    )
    assert rows == Rows(tasks=[], events=[], messages=[], conversations=[])
    assert len(await other.messages(sent.conversation_id)) == 2


async def test_bad_input_writes_nothing(store: Store) -> None:
    with pytest.raises(InputError):
        await store.chat_send(None, " \n", 60, uuid4())
    with pytest.raises(InputError):
        await store.task_create(" ", {}, 60, None)
    with pytest.raises(SteplineError):
        await store.task_create("x" * 51, {}, 60, None)
    with pytest.raises(SteplineError):
        await store.task_create("email", {}, 0, None)
    assert await store.tasks(TaskFilter()) == []
    assert await store.conversations() == []


# Reads


async def test_tasks_by_every_filter(store: Store, open_user: OpenUser) -> None:
    other = await open_user()
    await create(other, note="theirs")
    old = await create(store, subject="Quarterly 100%_done")
    report = await create(store, "report_generation", title="quarterly numbers")
    await store.task_cancel(report.id)
    sent = await store.chat_send(None, "hello", 60, uuid4())

    async def found(**wanted: object) -> list[int]:
        return [task.id for task in await store.tasks(TaskFilter.model_validate(wanted))]

    assert await found() == [sent.task_id, report.id, old.id]
    assert await found(statuses=("cancelled",)) == [report.id]
    assert await found(statuses=("cancelled", "pending")) == [sent.task_id, report.id, old.id]
    assert await found(types=("email", "chat")) == [sent.task_id, old.id]
    assert await found(text="quarterly") == [report.id, old.id]
    assert await found(text="QUARTERLY numbers") == [report.id]
    assert await found(text="100%_d") == [old.id]
    assert await found(text="1%d") == []
    assert await found(text="cancelled by") == [report.id]
    assert await found(conversation_id=sent.conversation_id) == [sent.task_id]
    assert await found(limit=1) == [sent.task_id]
    assert await found(limit=2) == [sent.task_id, report.id]
    assert await found(since=report.created_at) == [sent.task_id, report.id]
    assert await found(since=datetime.now(UTC) + timedelta(hours=1)) == []
    assert await found(types=("email",), text="quarterly", statuses=("pending",)) == [old.id]
    assert [task.id for task in await store.running_tasks()] == [sent.task_id, old.id]


async def test_ids_in_every_order(store: Store, open_user: OpenUser, there: Database) -> None:
    await create(await open_user(), note="theirs")
    waiting = (await create(store, "chat")).id
    failed, running, cancelled = [(await create(store, name)).id for name in ("b", "a", "a")]
    await store.task_cancel(cancelled)
    with there.worker() as worker:
        for task in (failed, running):
            worker.execute("SELECT task_claim(%s, 'e')", (task,))
        worker.execute("SELECT task_fail(%s, '{}')", (failed,))

    async def found(column: str, reverse: bool = False, limit: int | None = None) -> list[int]:
        order = TaskOrder(TaskColumn(column), reverse)
        return await store.task_ids(TaskFilter(), order, limit)

    assert await found("id") == [cancelled, running, failed, waiting]
    assert await found("id", True) == [waiting, failed, running, cancelled]
    assert await found("id", limit=2) == [cancelled, running]
    assert await found("id", True, limit=2) == [waiting, failed]
    assert await found("type") == [cancelled, running, failed, waiting]
    assert await found("type", True) == [waiting, failed, cancelled, running]
    assert await found("status") == [running, waiting, failed, cancelled]
    assert await found("status", True, limit=3) == [cancelled, failed, waiting]
    assert {*(await found("elapsed"))[:2]} == {running, failed}
    assert (await found("elapsed"))[2:] == [cancelled, waiting]
    assert await store.task_ids(TaskFilter(text="A\x00", types=("b", "a")), limit=9) != []
    with pytest.raises(InputError):
        await store.task_ids(TaskFilter(text="x" * 1001))


async def test_rows_are_fetched_without_their_events(store: Store) -> None:
    task = await create(store)
    rows = await store.fetch(Wanted(tasks={task.id: NO_EVENTS}))
    assert (rows.tasks, rows.events) == ([task], [])


async def test_events_are_fetched_from_where_one_is(store: Store) -> None:
    first, second = await create(store), await create(store)
    await store.task_cancel(first.id)
    rows = await store.fetch(Wanted(tasks={first.id: 0, second.id: 0}))
    ids = [event.id for event in rows.events]
    assert ids == sorted(ids)
    known = [event for event in rows.events if event.task_id == first.id]
    rows = await store.fetch(Wanted(tasks={first.id: known[0].id, second.id: ids[-1]}))
    assert [event.id for event in rows.events] == [event.id for event in known[1:]]
    assert {task.id for task in rows.tasks} == {first.id, second.id}
    assert await store.fetch(Wanted()) == Rows(tasks=[], events=[], messages=[], conversations=[])


async def test_messages_come_in_pages(store: Store) -> None:
    number = (await store.chat_send(None, "0", 60, uuid4())).conversation_id
    for n in range(1, 5):
        await store.chat_send(number, str(n), 60, uuid4())
    every = [row.id for row in await store.messages(number)]
    assert every == sorted(every)
    assert len(every) == 10

    async def page(**where: int) -> list[int]:
        return [row.id for row in await store.messages(number, limit=4, **where)]

    assert await page() == every[-4:]
    assert await page(before_id=every[-4]) == every[2:6]
    assert await page(before_id=every[2]) == every[:2]
    assert await page(after_id=0) == every[:4]
    assert await page(after_id=every[3]) == every[4:8]
    assert await page(after_id=every[-1]) == []


async def test_conversations_by_use_and_by_word(store: Store) -> None:
    first = (await store.chat_send(None, "apples", 60, uuid4())).conversation_id
    second = (await store.chat_send(None, "pears 50%", 60, uuid4())).conversation_id

    async def found(**wanted: object) -> list[int]:
        return [row.id for row in await store.conversations(**wanted)]  # type: ignore[arg-type]

    assert await found() == [second, first]
    await store.chat_send(first, "and plums", 60, uuid4())
    assert await found() == [first, second]
    assert await found(text="PLUM") == [first]
    assert await found(text=" pears ") == [second]
    assert await found(text="50%") == [second]
    assert await found(text="5%0") == []
    assert await found(limit=1) == [first]
    assert await found(text="apples", archived=True) == []


# The change stream


async def hints_until(
    store: Store, wanted: set[tuple[Table, int]], act: Callable[[], Awaitable[object]]
) -> list[Hint]:
    """The hints of what `act` does, begun once the stream is live."""
    heard: list[Hint] = []
    async with asyncio.timeout(10), aclosing(store.hints()) as stream:  # type: ignore[type-var]
        async for item in stream:
            if isinstance(item, LinkChanged):
                assert item.state is LinkState.LIVE
                await act()
                continue
            heard.append(item)
            if wanted <= {(hint.table, hint.id) for hint in heard}:
                return heard
    raise AssertionError("the stream ended")


async def test_hints_tell_of_ones_own_rows(store: Store, open_user: OpenUser) -> None:
    other = await open_user()
    sent = await store.chat_send(None, "hello", 60, uuid4())

    async def act() -> None:
        await other.chat_send(None, "theirs", 60, uuid4())
        await store.task_cancel(sent.task_id)
        await store.conversation_rename(sent.conversation_id, "x")

    heard = await hints_until(
        store, {(Table.TASKS, sent.task_id), (Table.CONVERSATIONS, sent.conversation_id)}, act
    )
    assert heard[0] == Hint(Table.TASKS, sent.task_id, 2)
    assert {(hint.table, hint.id) for hint in heard} == {
        (Table.TASKS, sent.task_id),
        (Table.CONVERSATIONS, sent.conversation_id),
    }


async def test_reconciliation_finds_what_changed_and_only_that(
    store: Store, open_user: OpenUser, there: Database
) -> None:
    other = await open_user()
    await other.chat_send(None, "theirs", 60, uuid4())
    old = await create(store)
    with there.owner() as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute("UPDATE async_tasks SET updated_at = updated_at - interval '1 hour'")
    start = await store.reconcile(None)
    assert list(start.hints) == []
    sent = await store.chat_send(None, "mine", 60, uuid4())
    answer = await store.reconcile(start.cursor)
    assert answer.cursor > start.cursor
    assert {(hint.table, hint.id) for hint in answer.hints} == {
        (Table.TASKS, sent.task_id),
        (Table.CONVERSATIONS, sent.conversation_id),
        (Table.MESSAGES, sent.user_message_id),
        (Table.MESSAGES, sent.message_id),
    }
    await store.task_cancel(old.id)
    found = {hint for hint in (await store.reconcile(answer.cursor)).hints if hint.id == old.id}
    assert Hint(Table.TASKS, old.id, 2) in found


# The rest


async def test_closing_twice_and_using_it_then(store: Store) -> None:
    await store.close()
    await store.close()
    with pytest.raises(StoreUnreachableError, match="closed"):
        await store.running_tasks()


async def test_the_clock_is_the_databases(store: Store, there: Database) -> None:
    here = datetime.now(UTC) + timedelta(seconds=store.clock_offset)
    with there.owner() as owner:
        there = one(owner, "SELECT clock_timestamp() AS now")["now"]
    assert abs((there - here).total_seconds()) < 2


async def test_text_from_outside_is_cleaned(store: Store, there: Database) -> None:
    task = await create(store)
    with there.worker() as worker:
        worker.execute("SELECT task_claim(%s, 'e')", (task.id,))
        worker.execute(
            "SELECT task_step(%s, E'st\\x1b[31mep', E'\\x1b]0;owned\\x07on \\x1b[2Jit')", (task.id,)
        )
    [row] = await store.running_tasks()
    assert (row.current_step, row.status_message) == ("step", "on it")


async def test_one_users_history_is_in_the_database(store: Store, there: Database) -> None:
    task = await create(store)
    await store.task_cancel(task.id)
    with there.owner() as owner:
        assert task_row(owner, task.id)["status"] == "cancelled"
        assert events(owner, task.id) == [
            ("status_change", "pending"),
            ("status_change", "cancelled"),
            ("step_update", "cancelled"),
        ]
