from datetime import timedelta
from typing import Any

import pytest
from textual.pilot import Pilot

from core.session import Session, user_of
from core.settings import Settings
from core.timeline import StepState, StepView
from tests.support.database import Database
from tests.tui.rows import insert, steps, task
from tests.tui.screen_app import HOSTILE, NOW, ScreenApp, SessionApp, until
from tui.screens.inspector import InspectorScreen
from tui.widgets.timeline_bar import bar, span

SIZES = [(80, 24), (120, 40), (200, 60), (60, 16)]


def inspect(session: Session) -> InspectorScreen:
    return InspectorScreen(session, 128, [129, 128, 127])


async def loaded(pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: "#128" in pilot.app.screen_text())  # pyright: ignore


@pytest.mark.parametrize("size", SIZES)
def test_picture_of_a_finished_task(
    snap_compare, settings: Settings, database: Database, size: tuple[int, int]
):
    user = user_of(settings)[0]
    done = task(
        user,
        128,
        status="completed",
        current_step="completed",
        status_message="Response complete! AI generated 843 tokens in 12 seconds.",
        processing_completed_at=NOW - timedelta(seconds=48),
        output_data={
            "ai_response": "Annual plans can be refunded within 30 days.\n\n" + "More text. " * 30,
            "thinking": None,
            "tokens_used": 843,
            "model_used": "openai/gpt-4o",
            "response_time_seconds": 12,
        },
    )
    insert(database, "async_tasks", [done])
    insert(database, "task_events", steps(128))
    assert snap_compare(SessionApp(settings, inspect), terminal_size=size, run_before=loaded)


@pytest.mark.parametrize("size", SIZES)
def test_picture_of_a_running_task(
    snap_compare, settings: Settings, database: Database, size: tuple[int, int]
):
    running = task(
        user_of(settings)[0],
        128,
        ago=8.4,
        current_step="calling_ai",
        status_message="Sending your message to openai/gpt-4o...",
        n8n_execution_id="worker-1",
        metadata={"attempt": 2, "retry_of": 120},
    )
    insert(database, "async_tasks", [running])
    insert(database, "task_events", steps(128, ago=8.4, until=8.4))
    assert snap_compare(SessionApp(settings, inspect), terminal_size=size, run_before=loaded)


def hostile(settings: Settings, database: Database) -> None:
    bad = task(
        user_of(settings)[0],
        128,
        task_type=HOSTILE.replace("\x1b", "")[:50],
        status="failed",
        current_step=HOSTILE[:50],
        status_message=HOSTILE,
        error_details={HOSTILE: [HOSTILE]},
        processing_completed_at=NOW,
    )
    insert(database, "async_tasks", [bad])
    events = steps(128)
    events[0]["event_data"] = {"step": HOSTILE, "message": HOSTILE}
    insert(database, "task_events", events)


@pytest.mark.parametrize("size", SIZES)
def test_picture_of_hostile_text(
    snap_compare, settings: Settings, database: Database, size: tuple[int, int]
):
    hostile(settings, database)
    assert snap_compare(SessionApp(settings, inspect), terminal_size=size, run_before=loaded)


def test_picture_in_ascii(snap_compare, settings: Settings, database: Database):
    hostile(settings, database)
    app = SessionApp(settings, inspect, ascii=True)
    assert snap_compare(app, terminal_size=(80, 24), run_before=loaded)


async def new_task(session: Session) -> int:
    sent = await session.chat.send(None, "Hello")
    return sent.task_id


async def test_follows_a_task_from_pending_to_done(session: Session, database: Database):
    task_id = await new_task(session)
    app = ScreenApp(InspectorScreen(session, task_id), session=session)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "pending" in app.screen_text())
        with database.worker() as worker:
            worker.execute("SELECT task_claim(%s, 'worker-7')", (task_id,))
            await until(pilot, lambda: "processing" in app.screen_text())
            assert "worker-7" in app.screen_text()
            worker.execute("SELECT task_step(%s, 'calling_ai', 'Asking the model')", (task_id,))
            await until(pilot, lambda: "Asking the model" in app.screen_text())
            assert "◐ AI is thinking" in app.screen_text()
            await pilot.press("tab")
            worker.execute("SELECT chat_reply(%s, 'Hi!', null, '{\"a\": 1}')", (task_id,))
            await until(pilot, lambda: "✓ completed" in app.screen_text())
            await until(pilot, lambda: "a: 1" in app.screen_text())
            assert "✓ AI is thinking" in app.screen_text()


async def test_cancel_asks_once_and_retry_shows_the_new_attempt(session: Session):
    task_id = await new_task(session)
    app = ScreenApp(InspectorScreen(session, task_id), session=session)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "pending" in app.screen_text())
        await pilot.press("c", "n")
        assert (await session.tasks.get(task_id)).task.status == "pending"
        await pilot.press("c")
        await until(pilot, lambda: f"Cancel task #{task_id}?" in app.screen_text())
        await pilot.press("y")
        await until(pilot, lambda: "⊘ cancelled" in app.screen_text())
        await pilot.press("c")
        await pilot.pause()
        assert f"Task #{task_id} is already cancelled." in app.toasts()
        await pilot.press("r")
        await until(pilot, lambda: f"attempt 2, after #{task_id}" in app.screen_text())
        assert "pending" in app.screen_text()


async def test_what_the_database_refuses_is_said(session: Session):
    task_id = await new_task(session)
    app = ScreenApp(InspectorScreen(session, task_id), session=session)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "pending" in app.screen_text())
        await pilot.press("r")
        await until(pilot, lambda: bool([*app.toasts()]))
        assert str(task_id) in next(iter(app.toasts()))


async def test_next_and_previous_task(session: Session):
    ids = [await new_task(session) for _ in range(3)]
    app = ScreenApp(InspectorScreen(session, ids[1]), session=session)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: f"#{ids[1]} " in app.screen_text())
        await pilot.press("]")
        await until(pilot, lambda: f"#{ids[0]} " in app.screen_text())
        await pilot.press("]")
        await until(pilot, lambda: "This is the last task of the list." in app.toasts())
        await pilot.press("[")
        await until(pilot, lambda: f"#{ids[1]} " in app.screen_text())


async def test_search_from_the_keyboard_and_back(session: Session):
    task_id = await new_task(session)
    app = ScreenApp(InspectorScreen(session, task_id), session=session)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "conversation_id" in app.screen_text())
        await pilot.press("/", *"message", "enter")
        await until(pilot, lambda: "match 1 of 2" in app.screen_text())
        await pilot.press("n")
        await until(pilot, lambda: "match 2 of 2" in app.screen_text())
        await pilot.press("/", "escape")
        assert app.screen.query_one("JsonTree").has_focus
        await pilot.press("escape")
        assert len(app.screen_stack) == 1


async def test_an_unknown_task_says_so_and_closes(session: Session):
    app = ScreenApp(InspectorScreen(session, 4711), session=session)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: any("4711" in toast for toast in app.toasts()))
        await until(pilot, lambda: len(app.screen_stack) == 1)


async def test_there_is_no_execution_to_open_for_the_local_worker(session: Session):
    app = ScreenApp(InspectorScreen(session, await new_task(session)), session=session)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("o")
        assert any("no n8n execution" in toast for toast in app.toasts())


async def test_five_tabs_go_around(session: Session):
    app = ScreenApp(InspectorScreen(session, await new_task(session)), session=session)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "[Input]" in app.screen_text())
        for name in ("Output", "Error", "Events", "Raw", "Input"):
            await pilot.press("tab")
            assert f"[{name}]" in app.screen_text()
        await pilot.press("shift+tab")
        await until(pilot, lambda: 'task_type: "chat"' in app.screen_text())


async def test_the_clock_runs_only_while_the_task_does(session: Session, database: Database):
    task_id = await new_task(session)
    app = ScreenApp(InspectorScreen(session, task_id), session=session, frozen=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "waiting" in app.screen_text())
        assert app.context.clock.running
        with database.worker() as worker:
            worker.execute("SELECT task_claim(%s, 'w')", (task_id,))
            worker.execute("SELECT task_step(%s, 'calling_ai', 'Asking')", (task_id,))
            await until(pilot, lambda: "◐ AI is thinking" in app.screen_text())
            before = app.screen_text()
            await until(pilot, lambda: app.screen_text() != before)
            worker.execute("SELECT chat_reply(%s, 'Hi!', null, '{}')", (task_id,))
        await until(pilot, lambda: "✓ completed" in app.screen_text())
        assert not app.context.clock.running


async def test_leaving_stops_the_clock(session: Session):
    task_id = await new_task(session)
    app = ScreenApp(InspectorScreen(session, task_id), session=session, frozen=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "waiting" in app.screen_text())
        await pilot.press("q")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert not app.context.clock.running


def step(begin: float, end: float | None, name: str = "a") -> StepView:
    at = [None if each is None else NOW + timedelta(seconds=each) for each in (begin, end)]
    state = StepState.CURRENT if end is None else StepState.DONE
    return StepView(name, name, "", state, at[0], at[1])


@pytest.mark.parametrize(
    ("view", "drawn"),
    [
        (step(0, 5), "#####     "),
        (step(5, 10), "     #####"),
        (step(9.99, 10), "         #"),
        (step(0, 0), "#         "),
        (step(2, None), "  ######  "),
        (step(0, 100), "##########"),
        (StepView("a", "a", "", StepState.WAITING), "          "),
    ],
)
def test_bars_are_to_scale(view: StepView, drawn: str):
    assert bar(view, NOW, 10, NOW + timedelta(seconds=8), 10) == drawn


def test_the_scale_is_exact_at_the_end_and_grows_in_jumps_before():
    assert span([step(0, 3), step(3, 8.4)], NOW) == pytest.approx(8.4)
    running = [step(0, 3), step(3, None)]
    spans = [span(running, NOW + timedelta(seconds=seconds)) for seconds in (4, 5, 6, 9, 11)]
    assert spans == [5, 5, 10, 10, 20]
    assert span([], NOW) == 1


def test_of_many_steps_the_last_are_shown(snap_compare, settings: Settings, database: Database):
    running = task(user_of(settings)[0], 128, ago=60, current_step="step_29")
    events = [
        {
            "id": number + 1,
            "task_id": 128,
            "event_type": "step_update",
            "event_data": {"step": f"step_{number}"},
            "created_at": NOW - timedelta(seconds=60 - 2 * number),
        }
        for number in range(30)
    ]
    insert(database, "async_tasks", [running])
    insert(database, "task_events", events)
    app = SessionApp(settings, inspect)
    assert snap_compare(app, terminal_size=(80, 24), run_before=loaded)
