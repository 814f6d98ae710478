"""What the main screen looks like, at three sizes; time stands still."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from textual.pilot import Pilot

from core.session import user_of
from core.settings import Settings
from tests.support.database import Database
from tests.tui.conftest import Picture, until
from tests.tui.rows import insert, steps
from tests.tui.rows import task as any_task
from tests.tui.screen_app import HOSTILE, NOW

SIZES = [(80, 24), (120, 40), (200, 60), (60, 16)]


def message(user: UUID, number: int, role: str, content: str, **columns: Any) -> dict[str, Any]:
    """A message of conversation 1."""
    at = NOW - timedelta(seconds=300 - number)
    return {
        "id": number,
        "conversation_id": 1,
        "role": role,
        "content": content,
        "created_at": at,
        "updated_at": at,
        "revision": 1,
        **columns,
    }


def scene(database: Database, settings: Settings, title: str = "Refund policy") -> UUID:
    """A conversation; its user."""
    user = user_of(settings)[0]
    insert(
        database,
        "chat_conversations",
        [
            {
                "id": 1,
                "user_id": user,
                "title": title,
                "created_at": NOW,
                "updated_at": NOW,
                "revision": 1,
            }
        ],
    )
    return user


def task(user: UUID, number: int, **columns: Any) -> dict[str, Any]:
    """A task that does not time out, though the screen's time stands still and ours does not."""
    return any_task(user, number, **{"timeout_seconds": 2_000_000_000, **columns})


def ended(user: UUID, number: int, status: str, said: str, **columns: Any) -> dict[str, Any]:
    """A finished task."""
    return task(
        user,
        number,
        ago=200,
        status=status,
        status_message=said,
        processing_completed_at=NOW - timedelta(seconds=188),
        **columns,
    )


def busy(database: Database, settings: Settings) -> None:
    """What ui.md shows."""
    user = scene(database, settings, "Refund policy for annual plans")
    output = {"model_used": "openai/gpt-4o", "tokens_used": 843, "response_time_seconds": 12.0}
    insert(
        database,
        "async_tasks",
        [
            ended(user, 123, "cancelled", "Cancelled by you.", task_type="email"),
            ended(
                user,
                124,
                "failed",
                "Processing failed: no such table",
                task_type="report_generation",
            ),
            ended(user, 125, "completed", "Response complete!", output_data=output),
            task(
                user,
                126,
                ago=124,
                task_type="email",
                status_message="Sending batch 2 of 10 (100 emails)",
            ),
            task(
                user,
                127,
                ago=41.2,
                task_type="data_import",
                metadata={"progress": {"done": 500, "total": 2000, "unit": "rows"}},
            ),
            task(
                user,
                128,
                ago=8.4,
                current_step="calling_ai",
                status_message="Sending your message to openai/gpt-4o. This takes 10-30 seconds...",
            ),
        ],
    )
    insert(database, "task_events", [*steps(125, ago=200), *steps(128, ago=8.4, until=1)])
    insert(
        database,
        "chat_messages",
        [
            message(user, 1, "user", "What is a refund?"),
            message(
                user,
                2,
                "assistant",
                "## A refund\n\nMoney **back**. See `terms`:\n\n- in 30 days\n- to your card\n",
                thinking="The user wants a definition.",
                async_task_id=125,
            ),
            message(user, 3, "user", "What is our refund policy for annual plans?"),
            message(
                user,
                4,
                "assistant",
                "Annual plans can be refunded within",
                metadata={"partial": True},
                async_task_id=128,
            ),
        ],
    )


async def shown(pilot: Pilot[Any]) -> None:
    app = pilot.app
    assert isinstance(app, Picture)
    await until(
        pilot,
        lambda: (
            app.connected
            and "running" in app.screen_text()
            and "0 running" not in app.screen_text()
        ),
    )
    await until(pilot, lambda: "Annual plans" in app.screen_text())


@pytest.mark.parametrize("size", SIZES)
def test_picture_while_three_tasks_run(
    snap_compare, settings: Settings, database: Database, size: tuple[int, int]
):
    busy(database, settings)
    assert snap_compare(Picture(settings), terminal_size=size, run_before=shown)


def test_picture_in_ascii(snap_compare, settings: Settings, database: Database):
    busy(database, settings)
    plain = replace(settings, ascii=True)
    assert snap_compare(Picture(plain), terminal_size=(80, 24), run_before=shown)


@pytest.mark.parametrize("size", SIZES)
def test_picture_of_the_panel_with_the_focus(
    snap_compare, settings: Settings, database: Database, size: tuple[int, int]
):
    busy(database, settings)

    async def focus_panel(pilot: Pilot[Any]) -> None:
        await shown(pilot)
        await pilot.press("tab", "j", "j", "j", "j")

    assert snap_compare(Picture(settings), terminal_size=size, run_before=focus_panel)


def test_picture_of_an_empty_start(snap_compare, settings: Settings):
    async def empty(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, Picture)
        await until(pilot, lambda: app.connected and "press enter" in app.screen_text())

    assert snap_compare(Picture(settings), terminal_size=(80, 24), run_before=empty)


def test_picture_of_a_terminal_that_is_too_small(snap_compare, settings: Settings):
    assert snap_compare(Picture(settings), terminal_size=(50, 12))


@pytest.mark.parametrize("size", SIZES)
def test_picture_of_hostile_text(
    snap_compare, settings: Settings, database: Database, size: tuple[int, int]
):
    """Escape sequences, markup, wide, combining, right-to-left text, in every place."""
    user = scene(database, settings, HOSTILE)
    output = {"model_used": HOSTILE, "tokens_used": 1, "response_time_seconds": 2}
    insert(
        database,
        "async_tasks",
        [
            ended(user, 124, "failed", HOSTILE),
            ended(user, 125, "completed", HOSTILE, output_data=output),
            task(user, 127, task_type=HOSTILE[:50], status_message=HOSTILE),
            task(user, 128, current_step=HOSTILE[:50], status_message=HOSTILE),
        ],
    )
    insert(
        database,
        "task_events",
        [
            {
                "id": 1,
                "task_id": 128,
                "event_type": "step_update",
                "event_data": {"step": HOSTILE, "message": HOSTILE},
                "created_at": NOW,
            }
        ],
    )
    insert(
        database,
        "chat_messages",
        [
            message(user, 1, "user", HOSTILE),
            message(user, 2, "assistant", HOSTILE, thinking=HOSTILE, async_task_id=125),
            message(user, 3, "user", "Annual plans"),
            message(user, 4, "assistant", HOSTILE, async_task_id=124, metadata={"partial": True}),
            message(user, 5, "assistant", HOSTILE, async_task_id=128, metadata={"partial": True}),
        ],
    )

    async def seen(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, Picture)
        await until(
            pilot,
            lambda: (
                app.connected
                and "running" in app.screen_text()
                and "0 running" not in app.screen_text()
            ),
        )
        text = app.screen_text()
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "[red]" in text

    assert snap_compare(Picture(settings), terminal_size=size, run_before=seen)
