"""Rows with times of one's own choosing, past all triggers: for pictures of screens."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg import sql

from tests.support.database import Database
from tests.tui.screen_app import NOW

CHAT_STEPS = (
    ("initializing", 0.0, "Starting to process your chat message..."),
    ("preparing_request", 0.4, "Preparing your conversation for the AI model..."),
    ("calling_ai", 0.9, "Sending your message to openai/gpt-4o..."),
    ("processing_response", 10.2, "AI responded! Now formatting and saving the response..."),
    ("saving_response", 11.1, "Saving AI response to your chat..."),
)


def insert(database: Database, table: str, rows: list[dict[str, Any]]) -> None:
    """Inserts rows as they are: no trigger, no check of foreign keys."""
    with database.owner() as connection:
        connection.execute("SET session_replication_role = replica")
        for row in rows:
            values = [
                json.dumps(value) if isinstance(value, dict | list) else value
                for value in row.values()
            ]
            query = sql.SQL("INSERT INTO public.{} ({}) OVERRIDING SYSTEM VALUE VALUES ({})")
            connection.execute(
                query.format(
                    sql.Identifier(table),
                    sql.SQL(", ").join(map(sql.Identifier, row)),
                    sql.SQL(", ").join([sql.Placeholder()] * len(row)),
                ),
                values,
            )


def task(user: UUID, task_id: int, *, ago: float = 60, **columns: Any) -> dict[str, Any]:
    """A chat task that was created and claimed `ago` seconds before `NOW`."""
    begun = NOW - timedelta(seconds=ago)
    return {
        "id": task_id,
        "task_type": "chat",
        "input_data": {"conversation_id": 1, "message_id": 2},
        "status": "processing",
        "created_by": user,
        "created_at": begun,
        "processing_started_at": begun,
        "timeout_seconds": 180,
        "metadata": {"attempt": 1},
        "updated_at": NOW,
        "revision": 1,
        **columns,
    }


def steps(task_id: int, *, ago: float = 60, until: float = 99) -> list[dict[str, Any]]:
    """The events of a chat task begun `ago` seconds before `NOW`, of its first `until` seconds."""
    begun = NOW - timedelta(seconds=ago)
    return [
        {
            "id": task_id * 100 + number,
            "task_id": task_id,
            "event_type": "step_update",
            "event_data": {"step": step, "message": message},
            "created_at": begun + timedelta(seconds=after),
        }
        for number, (step, after, message) in enumerate(CHAT_STEPS)
        if after <= until
    ]
