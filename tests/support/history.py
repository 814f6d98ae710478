"""A long history, made in moments: rows as the years would leave them, past all triggers."""

from dataclasses import dataclass
from uuid import UUID

from tests.support.database import Connection

EVENTS = 10
"""Events of each task."""


@dataclass(frozen=True)
class History:
    """What a filled database holds of one user: tasks 1 to `tasks`, the newest one minute old."""

    tasks: int

    rare: str = "zebrafinch"
    """A word that one task says, in the middle of the history."""
    common: str = "recipients"
    """A word that almost every task says."""
    absent: str = "nowhere2b3found"
    """A word that no task says."""

    @property
    def rare_task(self) -> int:
        """The task that says the rare word."""
        return self.tasks // 2


_TASKS = """
INSERT INTO public.async_tasks (id, task_type, input_data, output_data, status, current_step,
  status_message, created_by, created_at, processing_started_at, processing_completed_at,
  error_details, metadata, updated_at, revision)
SELECT n, (ARRAY['chat', 'email', 'data_import', 'report_generation'])[1 + n %% 4],
  CASE n %% 4 WHEN 0 THEN jsonb_build_object('conversation_id', n / 400 + 1, 'message_id', n * 2,
      'user_message_id', n * 2 - 1, 'note', 'for all recipients')
    ELSE jsonb_build_object('subject', 'Figures of week ' || n %% 53, 'recipients', n %% 1000,
      'reference', md5(n::text)) END,
  '{"ok": true}', status, status,
  CASE WHEN n = %(rare)s THEN 'Sent to the Zebrafinch office' WHEN status = 'failed'
    THEN 'Processing failed: no such table' ELSE 'Done: ' || n %% 977 || ' rows read' END,
  %(owner)s, at, at + interval '0.2 s', at + make_interval(secs => 0.5 + n %% 997 / 10.0),
  CASE status WHEN 'failed' THEN '{"message": "no such table"}'::jsonb END, '{"attempt": 1}',
  at + interval '2 min', 12
FROM (
  SELECT n, now() - make_interval(mins => %(tasks)s + 1 - n) AS at,
    CASE n %% 50 WHEN 7 THEN 'failed' WHEN 19 THEN 'timeout' WHEN 31 THEN 'cancelled'
      ELSE 'completed' END AS status
  FROM generate_series(1, %(tasks)s) n
) AS made
"""
_EVENTS = """
INSERT INTO public.task_events (task_id, event_type, event_data, created_at)
SELECT n, CASE step WHEN 1 THEN 'status_change' ELSE 'step_update' END,
  CASE step WHEN 1 THEN '{"status": "pending", "message": "Task created"}'::jsonb
    ELSE jsonb_build_object('step', 'step_' || step, 'message', 'Now at step ' || step) END,
  now() - make_interval(mins => %(tasks)s + 1 - n, secs => -step)
FROM generate_series(1, %(tasks)s) n, generate_series(1, %(events)s) step
"""
_CONVERSATIONS = """
INSERT INTO public.chat_conversations (id, user_id, title, created_at, updated_at)
SELECT n, %(owner)s, 'Conversation ' || n, at, at
FROM (SELECT n, now() - make_interval(mins => %(tasks)s - n * 400) AS at
      FROM generate_series(1, %(tasks)s / 400 + 1) n) AS made
"""
_MESSAGES = """
INSERT INTO public.chat_messages (id, conversation_id, role, content, created_at, updated_at,
  async_task_id)
SELECT n * 2 - turn, n / 400 + 1, CASE turn WHEN 0 THEN 'assistant' ELSE 'user' END,
  'Words of turn ' || n, at, at, CASE turn WHEN 0 THEN n END
FROM (SELECT n, now() - make_interval(mins => %(tasks)s + 1 - n) AS at
      FROM generate_series(4, %(tasks)s, 4) n) AS made, generate_series(0, 1) turn
"""


def fill(connection: Connection, owner: UUID, tasks: int, *, events: int = EVENTS) -> History:
    """Fills an empty database with finished tasks of `owner`, their events, conversations and
    messages. The connection has to be a superuser's."""
    history = History(tasks)
    values = {"owner": owner, "tasks": tasks, "events": events, "rare": history.rare_task}
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        for statement in (_CONVERSATIONS, _TASKS, _EVENTS, _MESSAGES):
            connection.execute(statement.encode(), values)
        for table in ("async_tasks", "task_events", "chat_conversations", "chat_messages"):
            connection.execute(
                f"SELECT setval('public.{table}_id_seq', max(id)) FROM public.{table}".encode()
            )
    connection.execute("ANALYZE")
    return history
