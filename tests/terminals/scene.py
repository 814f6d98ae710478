"""A user's day, as rows: a conversation, running and finished tasks, all of it just now."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from core.session import user_of
from core.settings import Settings
from tests.support.database import Database
from tests.tui.rows import insert, steps, task
from tests.tui.screen_app import NOW

TITLE = "Refund policy for annual plans"
LAST_WORDS = "These are the last words."
RUNNING = 3


def fill(database: Database, settings: Settings) -> None:
    """The rows of one user, whose last message is being answered."""
    user = user_of(settings)[0]
    insert(database, "chat_conversations", [_conversation(user, 1, TITLE)])
    insert(database, "chat_messages", [*_talk(user)])
    insert(database, "async_tasks", [*_finished(user), *_running(user)])
    insert(database, "task_events", [*steps(125, ago=200), *steps(128, ago=8.4, until=1)])
    _shift(database)


def _conversation(user: UUID, number: int, title: str) -> dict[str, Any]:
    times = {"created_at": NOW, "updated_at": NOW}
    return {"id": number, "user_id": user, "title": title, "revision": 1, **times}


def _talk(user: UUID) -> list[dict[str, Any]]:
    long = "\n\n".join(f"Paragraph {number}: money comes **back**." for number in range(1, 31))
    said = [
        ("user", "What is a refund?", None, {}),
        ("assistant", f"## A refund\n\n{long}\n\n`terms` apply.", 125, {}),
        ("user", "And for annual plans?", None, {}),
        ("assistant", f"Annual plans too. {LAST_WORDS}", 128, {"partial": True}),
    ]
    return [
        {
            "id": number,
            "conversation_id": 1,
            "role": role,
            "content": content,
            "async_task_id": task_id,
            "metadata": metadata,
            "created_at": NOW - timedelta(seconds=300 - number),
            "updated_at": NOW,
            "revision": 1,
        }
        for number, (role, content, task_id, metadata) in enumerate(said, 1)
    ]


def _finished(user: UUID) -> list[dict[str, Any]]:
    output = {
        "ai_response": "Money back.",
        "model_used": "openai/gpt-4o",
        "tokens_used": 843,
        "response_time_seconds": 12.0,
        "choices": [{"index": number, "text": f"choice {number}"} for number in range(20)],
    }
    kinds: list[dict[str, Any]] = [
        {"status": "timeout", "task_type": "email", "status_message": "It took too long."},
        {"status": "cancelled", "task_type": "email", "status_message": "Cancelled by you."},
        {
            "status": "failed",
            "task_type": "report_generation",
            "status_message": "Processing failed: no such table",
            "error_details": {"message": "no such table"},
        },
        {"status": "completed", "status_message": "Response complete!", "output_data": output},
    ]
    end = NOW - timedelta(seconds=188)
    return [
        task(user, number, ago=200, processing_completed_at=end, **columns)
        for number, columns in enumerate(kinds, 122)
    ]


def _running(user: UUID) -> list[dict[str, Any]]:
    progress = {"progress": {"done": 500, "total": 2000, "unit": "rows"}}
    sending = "Sending your message to openai/gpt-4o. This takes 10-30 seconds..."
    patient = {"timeout_seconds": 3600}
    return [
        task(user, 126, ago=124, task_type="email", status_message="Sending batch 2", **patient),
        task(user, 127, ago=41, task_type="data_import", metadata=progress, **patient),
        task(user, 128, ago=8, current_step="calling_ai", status_message=sending, **patient),
    ]


_TIMES = {
    "chat_conversations": ("created_at", "updated_at"),
    "chat_messages": ("created_at", "updated_at"),
    "async_tasks": (
        "created_at",
        "updated_at",
        "processing_started_at",
        "processing_completed_at",
    ),
    "task_events": ("created_at",),
}


def _shift(database: Database) -> None:
    """Brings what was inserted as of `NOW` to the time it is."""
    by = datetime.now(UTC) - NOW
    with database.owner() as connection:
        connection.execute("SET session_replication_role = replica")
        for table, columns in _TIMES.items():
            moved = ", ".join(f"{column} = {column} + %(by)s" for column in columns)
            connection.execute(f"UPDATE public.{table} SET {moved}", {"by": by})  # pyright: ignore
