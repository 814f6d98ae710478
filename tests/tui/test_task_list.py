import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from textual.pilot import Pilot

from core.errors import IllegalTransitionError, StoreUnreachableError
from core.models import NEWEST_FIRST, Task, TaskColumn, TaskOrder
from core.session import Session, user_of
from core.settings import Settings
from tests.support.database import Database
from tests.tui.rows import insert, task
from tests.tui.screen_app import HOSTILE, NOW, ScreenApp, SessionApp, until
from tui.bulk import Outcome, each
from tui.screens.task_list import TaskListScreen
from tui.task_index import TaskIndex
from tui.widgets.task_table import TaskTable

SIZES = [(80, 24), (120, 40), (200, 60), (60, 16)]


def scene(user: UUID) -> list[dict[str, Any]]:
    """One task of each state, and a hostile one."""

    def ended(ago: float, after: float) -> Any:
        return NOW - timedelta(seconds=ago - after)

    return [
        task(
            user,
            128,
            ago=8.4,
            current_step="calling_ai",
            status_message="Sending your message to openai/gpt-4o...",
        ),
        task(
            user,
            127,
            ago=41.2,
            task_type="data_import",
            metadata={"progress": {"done": 500, "total": 2000, "unit": "rows"}},
        ),
        task(user, 126, ago=3, status="pending", processing_started_at=None, task_type="email"),
        task(
            user,
            125,
            ago=600,
            status="completed",
            status_message="Response complete! AI generated 843 tokens in 12 seconds.",
            processing_completed_at=ended(600, 12),
        ),
        task(
            user,
            124,
            ago=4000,
            task_type="report_generation",
            status="failed",
            status_message="Processing failed: no such table",
            processing_completed_at=ended(4000, 91),
        ),
        task(
            user,
            123,
            ago=90_000,
            status="cancelled",
            status_message="Cancelled.",
            processing_completed_at=ended(90_000, 4),
        ),
        task(
            user,
            122,
            ago=900_000,
            task_type=HOSTILE.replace("\x1b", "")[:50],
            status="timeout",
            status_message=HOSTILE,
            processing_completed_at=ended(900_000, 180),
        ),
    ]


async def loaded(pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: "#122" in pilot.app.screen_text())  # pyright: ignore
    await pilot.press("j", "j", "space")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("twin", ["unicode", "ascii"])
def test_pictures(
    snap_compare, settings: Settings, database: Database, size: tuple[int, int], twin: str
):
    insert(database, "async_tasks", scene(user_of(settings)[0]))
    app = SessionApp(settings, TaskListScreen, ascii=twin == "ascii")
    assert snap_compare(app, terminal_size=size, run_before=loaded)


def shown(app: ScreenApp) -> list[int]:
    """The ids on the screen, from the top."""
    words = [line.split() for line in app.screen_text().splitlines()[1:]]
    return [int(word[1:]) for line in words for word in line[:2] if word[:1] == "#"]


async def test_filter_sort_and_back(session: Session, database: Database):
    insert(database, "async_tasks", scene(session.store.user_id))
    app = ScreenApp(TaskListScreen(session), session=session)
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: shown(app) == [128, 127, 126, 125, 124, 123, 122])
        await pilot.press("/", *"status:failed,running zz", "enter")
        await until(pilot, lambda: shown(app) == [])
        await pilot.press("/", *["backspace"] * 3, "enter")
        await until(pilot, lambda: shown(app) == [128, 127, 126, 124])
        await pilot.press("o")
        await until(pilot, lambda: shown(app) == [128, 127, 126, 124])
        assert "type ↓" in app.screen_text()
        await pilot.press("O")
        await until(pilot, lambda: shown(app) == [124, 126, 127, 128])
        assert "type ↑" in app.screen_text()
        await pilot.press("escape")
        await until(pilot, lambda: len(shown(app)) == 7)


async def test_a_bad_filter_is_explained_and_kept(session: Session):
    app = ScreenApp(TaskListScreen(session), session=session)
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("/", *"type:emial", "enter")
        await until(pilot, lambda: "did you mean “email”?" in app.screen_text())
        assert "type:emial" in app.screen_text()
        await pilot.press(*["backspace"] * 5, *"chat", "enter")
        await until(pilot, lambda: "did you mean" not in app.screen_text())
        assert app.screen.query_one(TaskTable).has_focus


async def test_follows_the_feed(session: Session, database: Database):
    app = ScreenApp(TaskListScreen(session, "type:chat"), session=session)
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: "No tasks." in app.screen_text())
        first = (await session.chat.send(None, "one")).task_id
        await until(pilot, lambda: shown(app) == [first])
        second = (await session.chat.send(None, "two")).task_id
        await until(pilot, lambda: shown(app) == [second, first])
        assert app.screen.query_one(TaskTable).current == first
        with database.worker() as worker:
            worker.execute("SELECT task_claim(%s, 'w')", (first,))
            worker.execute("SELECT task_step(%s, 'calling_ai', 'Asking')", (first,))
        await until(pilot, lambda: "processing" in app.screen_text())
        await until(pilot, lambda: "Asking" in app.screen_text())


async def test_marked_tasks_are_cancelled_and_retried_at_once(session: Session, database: Database):
    ids = [(await session.chat.send(None, f"{n}")).task_id for n in range(4)][::-1]
    app = ScreenApp(TaskListScreen(session), session=session)
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: shown(app) == ids)
        with database.worker() as worker:
            worker.execute("SELECT task_claim(%s, 'w')", (ids[1],))
            worker.execute("SELECT task_complete(%s, '{}')", (ids[1],))
        await until(pilot, lambda: "completed" in app.screen_text())
        await pilot.press("space", "space", "space", "c")
        await until(pilot, lambda: "Cancel 3 tasks?" in app.screen_text())
        await pilot.press("y")
        await until(pilot, lambda: app.screen_text().count("⊘ cancelled") == 2)
        [sentence] = app.toasts()
        assert sentence.startswith(f"Cancelled 2 tasks; 1 could not be: #{ids[1]} (")
        await pilot.press("escape", "g", "r")
        await until(pilot, lambda: len(shown(app)) == 5)
        assert [*app.toasts()][-1] == f"Retried #{ids[0]}."


async def test_cancel_of_one_asks_and_no_means_no(session: Session):
    task_id = (await session.chat.send(None, "one")).task_id
    app = ScreenApp(TaskListScreen(session), session=session)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shown(app) == [task_id])
        await pilot.press("c")
        await until(pilot, lambda: f"Cancel task #{task_id}?" in app.screen_text())
        await pilot.press("n")
        await until(pilot, lambda: shown(app) == [task_id])
        assert not (await session.tasks.get(task_id)).task.status.final


async def test_enter_inspects_with_the_list_as_neighbours(session: Session, database: Database):
    insert(database, "async_tasks", scene(session.store.user_id))
    app = ScreenApp(TaskListScreen(session, "status:running"), session=session)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shown(app) == [128, 127, 126])
        await pilot.press("j", "enter")
        await until(pilot, lambda: "#127 data_import" in app.screen_text())
        await pilot.press("]")
        await until(pilot, lambda: "#126 email" in app.screen_text())
        await pilot.press("]")
        await until(pilot, lambda: any("last task" in toast for toast in app.toasts()))
        await pilot.press("q")
        await until(pilot, lambda: shown(app) == [128, 127, 126])


def many(database: Database, user: UUID, number: int) -> None:
    with database.owner() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "INSERT INTO async_tasks (id, task_type, input_data, status, created_by, created_at,"
            " timeout_seconds, status_message)"
            " SELECT n, CASE n %% 3 WHEN 0 THEN 'email' ELSE 'chat' END, '{}', 'completed', %s,"
            " %s, 180, 'Message ' || n FROM generate_series(1, %s) n",
            (user, NOW, number),
        )
        connection.execute("SELECT setval('async_tasks_id_seq', %s)", (number,))


async def test_of_twenty_thousand_only_what_is_looked_at_is_read(
    session: Session, database: Database
):
    many(database, session.store.user_id, 20_000)
    screen = TaskListScreen(session)
    app = ScreenApp(screen, session=session)
    async with app.run_test(size=(80, 24)) as pilot:
        started = time.perf_counter()
        await until(pilot, lambda: shown(app)[:2] == [20_000, 19_999])
        assert time.perf_counter() - started < 2
        table = screen.query_one(TaskTable)
        await until(pilot, lambda: table.count == 20_000)
        for _ in range(30):
            await pilot.press("pagedown")
        await until(pilot, lambda: shown(app)[-1] == 20_000 - table.cursor)
        assert len(table.index.missing(range(table.count))) > 18_000


async def test_the_end_of_a_long_list_and_back(session: Session, database: Database):
    many(database, session.store.user_id, 6_000)
    screen = TaskListScreen(session)
    app = ScreenApp(screen, session=session)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shown(app)[:1] == [6_000])
        await pilot.press("G")
        await until(pilot, lambda: shown(app)[-1:] == [1], 20)
        # The first rows were given up meanwhile; they are read again.
        await pilot.press("g")
        await until(pilot, lambda: "Message 6000" in app.screen_text())
        await pilot.press("o")
        await until(pilot, lambda: set(app.screen_text().split()) >= {"chat", "type", "↓"})
        await pilot.press("g", "O")
        await until(pilot, lambda: screen.query_one(TaskTable).cursor == 2_000)
        await pilot.press("g")
        await until(pilot, lambda: shown(app)[:2] == [5_999 + 1, 5_997])


async def test_what_is_heard_while_the_list_is_read_is_in_it(session: Session, database: Database):
    insert(database, "async_tasks", scene(session.store.user_id))
    app = ScreenApp(TaskListScreen(session), session=session)
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: len(shown(app)) == 7)
        ids, hold = session.tasks.ids, asyncio.Event()

        async def slow(*given: Any) -> Sequence[int]:
            found = await ids(*given)
            await hold.wait()
            return found

        session.tasks.ids = slow  # type: ignore[method-assign]
        await pilot.press("o")
        await until(pilot, lambda: "type ↓" in app.screen_text())
        sent = (await session.chat.send(None, "new")).task_id
        await until(pilot, lambda: sent in shown(app))
        hold.set()
        await until(pilot, lambda: shown(app)[1:4] == [122, 128, 125])
        assert sent in shown(app)


async def test_an_order_that_cannot_be_read_is_given_up(session: Session, database: Database):
    insert(database, "async_tasks", scene(session.store.user_id))
    app = ScreenApp(TaskListScreen(session), session=session)
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: len(shown(app)) == 7)
        await session.store.close()
        await pilot.press("o")
        await until(pilot, lambda: any("connection is closed" in toast for toast in app.toasts()))
        await until(pilot, lambda: "task ↓" in app.screen_text())
        assert len(shown(app)) == 7


def row(task_id: int, **given: Any) -> Task:
    columns = task(UUID(int=0), task_id, **given)
    return Task.model_validate(columns)


BY_TYPE = TaskOrder(TaskColumn.TYPE)


def test_a_new_task_stands_where_it_belongs_or_at_the_top():
    index = TaskIndex()
    for order, before, after in [
        (NEWEST_FIRST, [6, 4, 3], [6, 5, 4, 3]),
        (TaskOrder(reverse=True), [3, 4, 6], [3, 4, 5, 6]),
        (BY_TYPE, [4, 3, 6], [5, 4, 3, 6]),
    ]:
        index.arrange(before, order, complete=True)
        index.insert(row(5))
        assert [*index.ids()] == after
        assert (index.place(5), 5 in index) == (after.index(5), True)
        index.drop(5)
        assert [*index.ids()] == before
        assert (index.place(5), 5 in index) == (None, False)


def test_what_comes_with_the_rest_is_not_put_before_it():
    index = TaskIndex()
    index.arrange([9, 8], NEWEST_FIRST, complete=False)
    index.insert(row(7))
    index.insert(row(10))
    assert [*index.ids()] == [10, 9, 8]
    index.arrange([1, 2], TaskOrder(reverse=True), complete=False)
    index.insert(row(7))
    assert [*index.ids()] == [1, 2]


def test_rows_at_hand_stay_at_hand_in_another_order():
    index = TaskIndex()
    index.arrange([9, 8], NEWEST_FIRST, complete=True)
    index.put(row(9))
    index.arrange([8, 9], BY_TYPE, complete=True)
    assert index.row(0) is None
    assert index.row(1) == row(9)
    assert index.missing(range(2)) == [8]


def test_an_older_state_does_not_replace_a_newer_one():
    index = TaskIndex()
    index.arrange([9], NEWEST_FIRST, complete=True)
    index.put(row(9, revision=3))
    index.put(row(9, revision=2, status_message="old"))
    assert index.row(0).status_message is None  # pyright: ignore


async def test_bulk_goes_on_after_a_refusal_and_stops_when_nobody_answers():
    async def do(task_id: int) -> None:
        if task_id == 2:
            raise IllegalTransitionError("Task 2 is completed.")
        if task_id == 4:
            raise StoreUnreachableError("The database does not answer; try again.")

    outcome = await each([1, 2, 3], do)
    assert outcome.sentence("Retried") == (
        "Retried 2 tasks; 1 could not be: #2 (Task 2 is completed)."
    )
    outcome = await each([1, 4, 3], do)
    assert outcome.sentence("Retried") == (
        "Retried #1, then stopped: The database does not answer; try again."
    )
    refused = Outcome(refused=[(n, "No.") for n in range(1, 6)])
    assert refused.sentence("Retried") == (
        "Retried 0 tasks; 5 could not be: #1 (No), #2 (No), #3 (No), and 2 more."
    )


async def test_rows_that_arrive_leave_a_reader_where_they_scrolled(
    session: Session, database: Database
):
    many(database, session.store.user_id, 2_000)
    screen = TaskListScreen(session)
    app = ScreenApp(screen, session=session)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shown(app)[:1] == [2_000])
        table = screen.query_one(TaskTable)
        await until(
            pilot, lambda: table.max_scroll_y > 1_000
        )  # the newest are there before the rest
        table.scroll_to(y=1_000, animate=False)
        await until(pilot, lambda: shown(app)[:1] == [1_000])
        sent = (await session.chat.send(None, "new")).task_id
        await until(pilot, lambda: table.index.place(sent) == 0)
        await pilot.pause()
        assert table.current == 2_000
        assert shown(app)[0] in (1_000, 1_001)
