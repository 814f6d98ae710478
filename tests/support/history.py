"""A long history, made in moments: rows as years would leave them, past all triggers."""

from dataclasses import dataclass
from uuid import UUID

from tests.support.database import Database


@dataclass(frozen=True)
class History:
    """What one filling brought: finished tasks with these ids, the newest a minute old."""

    first: int
    last: int

    common = "recipients"
    """A word that every task says."""
    absent = "nowhere2b3found"
    """A word that no task says."""

    @property
    def rare_task(self) -> int:
        """The task that says the rare word, in the middle."""
        return (self.first + self.last) // 2

    @property
    def rare(self) -> str:
        """A word that one task says."""
        return f"zebra{self.rare_task}finch"


_BEGINNINGS = """
SELECT (SELECT coalesce(max(id), 0) + 1 FROM public.async_tasks) AS task,
  (SELECT coalesce(max(id), 0) + 1 FROM public.chat_conversations) AS conversation,
  (SELECT coalesce(max(id), 0) + 1 FROM public.chat_messages) AS message
"""
# A quarter are chats, four hundred tasks to a conversation; one in fifty of each bad ending.
_CONVERSATIONS = """
INSERT INTO public.chat_conversations (id, user_id, title, created_at, updated_at)
SELECT %(conversation)s + n, %(owner)s, 'Conversation ' || n, at, at
FROM (SELECT n, now() - make_interval(mins => %(count)s - n * 400) AS at
      FROM generate_series(0, (%(count)s - 1) / 400) n) AS made
"""
_TASKS = """
INSERT INTO public.async_tasks (id, task_type, input_data, output_data, status, current_step,
  status_message, created_by, created_at, processing_started_at, processing_completed_at,
  error_details, metadata, updated_at, revision)
SELECT id, (ARRAY['chat', 'email', 'data_import', 'report_generation'])[1 + n %% 4],
  CASE n %% 4 WHEN 0 THEN jsonb_build_object('conversation_id', %(conversation)s + n / 400,
      'message_id', %(message)s + n / 2 + 1, 'user_message_id', %(message)s + n / 2,
      'note', 'for all recipients')
    ELSE jsonb_build_object('subject', 'Figures of week ' || n %% 53, 'recipients', n %% 1000,
      'reference', md5(id::text)) END,
  '{"ok": true}', status, status,
  CASE WHEN id = %(rare_task)s THEN 'Sent to the office of ' || initcap(%(rare)s)
    WHEN status = 'failed' THEN 'Processing failed: no such table'
    ELSE 'Done: ' || n %% 977 || ' rows read' END,
  %(owner)s, at, at + interval '0.2 s', at + make_interval(secs => 0.5 + n %% 997 / 10.0),
  CASE status WHEN 'failed' THEN '{"message": "no such table"}'::jsonb END, '{"attempt": 1}',
  at + interval '2 min', 12
FROM (
  SELECT n, %(first)s + n AS id, now() - make_interval(mins => %(count)s - n) AS at,
    CASE n %% 50 WHEN 7 THEN 'failed' WHEN 19 THEN 'timeout' WHEN 31 THEN 'cancelled'
      ELSE 'completed' END AS status
  FROM generate_series(0, %(count)s - 1) n
) AS made
"""
_MESSAGES = """
INSERT INTO public.chat_messages (id, conversation_id, role, content, created_at, updated_at,
  async_task_id)
SELECT %(message)s + n / 2 + turn, %(conversation)s + n / 400,
  CASE turn WHEN 0 THEN 'user' ELSE 'assistant' END, 'Words of turn ' || n, at, at,
  CASE turn WHEN 1 THEN %(first)s + n END
FROM (SELECT n, now() - make_interval(mins => %(count)s - n) AS at
      FROM generate_series(0, %(count)s - 1, 4) n) AS made, generate_series(0, 1) turn
"""
_EVENTS = """
INSERT INTO public.task_events (task_id, event_type, event_data, created_at)
SELECT %(first)s + n, CASE step WHEN 1 THEN 'status_change' ELSE 'step_update' END,
  CASE step WHEN 1 THEN '{"status": "pending", "message": "Task created"}'::jsonb
    ELSE jsonb_build_object('step', 'step_' || step, 'message', 'Now at step ' || step) END,
  now() - make_interval(mins => %(count)s - n, secs => -step)
FROM generate_series(0, %(count)s - 1) n, generate_series(1, %(events)s) step
"""


def fill(database: Database, owner: UUID, tasks: int, events: int = 10) -> History:
    """Adds so many finished tasks of `owner`, so many events of each, their conversations and
    messages."""
    with database.owner() as connection:
        begin = connection.execute(_BEGINNINGS).fetchone()
        assert begin is not None
        history = History(begin["task"], begin["task"] + tasks - 1)
        values = {
            "owner": owner,
            "count": tasks,
            "events": events,
            "first": begin["task"],
            "conversation": begin["conversation"],
            "message": begin["message"],
            "rare": history.rare,
            "rare_task": history.rare_task,
        }
        with connection.transaction():
            connection.execute("SET LOCAL session_replication_role = replica")
            for statement in (_CONVERSATIONS, _TASKS, _MESSAGES, _EVENTS):
                connection.execute(statement.encode(), values)
            for table in ("async_tasks", "chat_conversations", "chat_messages"):
                connection.execute(
                    f"SELECT setval('public.{table}_id_seq', max(id)) FROM public.{table}".encode()
                )
        connection.execute("ANALYZE")
    return history
