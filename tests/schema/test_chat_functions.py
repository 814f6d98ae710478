"""chat_send, chat_history, chat_partial, chat_reply, task_retry: one message's way."""

from uuid import uuid4

import psycopg
import pytest

from tests.support.database import Connection, Database


def _send(user: Connection, conversation: int | None, text: str, request=None):
    row = user.execute(
        "SELECT * FROM chat_send(%s, %s, 180, %s)", (conversation, text, request)
    ).fetchone()
    assert row is not None
    return row


def test_send_writes_message_task_and_answer_together(database: Database) -> None:
    with database.user() as user:
        sent = _send(user, None, "  What is our refund policy?\nFor annual plans.")
        conversation = user.execute("SELECT * FROM chat_conversations").fetchone()
        messages = user.execute("SELECT * FROM chat_messages ORDER BY id").fetchall()
        task = user.execute("SELECT * FROM async_tasks").fetchone()
    assert conversation["title"] == "What is our refund policy?"
    assert [(row["role"], row["content"], row["async_task_id"]) for row in messages] == [
        ("user", "  What is our refund policy?\nFor annual plans.", None),
        ("assistant", "", sent["task_id"]),
    ]
    assert task["status"] == "pending"
    assert task["status_message"] == "Task created, waiting to start..."
    assert task["input_data"] == {
        "conversation_id": conversation["id"],
        "message_id": sent["message_id"],
        "user_message_id": sent["user_message_id"],
    }


@pytest.mark.parametrize("text", ["", "  \n\t ", None])
def test_an_empty_message_writes_nothing(database: Database, text: str | None) -> None:
    with database.user() as user:
        with pytest.raises(psycopg.Error) as refused:
            _send(user, None, text)
        assert refused.value.sqlstate == "SL004"
        assert user.execute("SELECT * FROM chat_conversations").fetchall() == []


def test_somebody_elses_conversation_is_not_found(database: Database) -> None:
    with database.user() as one, database.user() as other:
        sent = _send(one, None, "mine")
        with pytest.raises(psycopg.Error) as refused:
            _send(other, sent["conversation_id"], "theirs")
        assert refused.value.sqlstate == "SL003"


def test_the_same_request_is_written_once(database: Database) -> None:
    request = uuid4()
    with database.user() as user:
        first = _send(user, None, "only once", request)
        again = _send(user, None, "only once", request)
        into = _send(user, first["conversation_id"], "only once", request)
        assert first == again == into
        assert len(user.execute("SELECT * FROM chat_messages").fetchall()) == 2


def test_the_answer_ends_its_task(database: Database) -> None:
    with database.user() as user, database.worker() as worker:
        sent = _send(user, None, "question")
        worker.execute("SELECT task_claim(%s, 'exec-1')", (sent["task_id"],))
        worker.execute("SELECT chat_partial(%s, 'Hal', 'Hm')", (sent["task_id"],))
        partial = user.execute(
            "SELECT * FROM chat_messages WHERE id = %s", (sent["message_id"],)
        ).fetchone()
        assert (partial["content"], partial["thinking"]) == ("Hal", "Hm")
        assert partial["metadata"] == {"partial": True}
        answer = 'It\'s "quoted" {{ x }} $1 \\ 🎉'
        output = '{"tokens_used": 843, "model_used": "openai/gpt-4o"}'
        worker.execute("SELECT chat_reply(%s, %s, 'Hmm.', %s)", (sent["task_id"], answer, output))
        message = user.execute(
            "SELECT * FROM chat_messages WHERE id = %s", (sent["message_id"],)
        ).fetchone()
        task = user.execute("SELECT * FROM async_tasks").fetchone()
    assert (message["content"], message["thinking"]) == (answer, "Hmm.")
    assert message["metadata"] == {}
    assert task["status"] == task["current_step"] == "completed"
    assert task["output_data"]["ai_response"] == answer
    assert task["output_data"]["tokens_used"] == 843
    assert 0 <= float(task["output_data"]["response_time_seconds"]) < 60
    assert task["status_message"].startswith("Response complete! AI generated 843 tokens in ")


def test_history_is_what_was_said_before(database: Database) -> None:
    with database.user() as user, database.worker() as worker:
        first = _send(user, None, "one")
        conversation = first["conversation_id"]
        worker.execute("SELECT task_claim(%s, 'e')", (first["task_id"],))
        worker.execute("SELECT chat_reply(%s, 'answer one', '', '{}')", (first["task_id"],))
        broken = _send(user, conversation, "two")
        worker.execute("SELECT task_claim(%s, 'e')", (broken["task_id"],))
        worker.execute("SELECT chat_partial(%s, 'half an ans')", (broken["task_id"],))
        worker.execute("SELECT task_fail(%s, '{}')", (broken["task_id"],))
        third = _send(user, conversation, "three")
        _send(user, conversation, "four, later")
        rows = worker.execute("SELECT * FROM chat_history(%s)", (third["task_id"],)).fetchall()
    assert [(row["role"], row["content"]) for row in rows] == [
        ("user", "one"),
        ("assistant", "answer one"),
        ("user", "two"),
        ("user", "three"),
    ]


def test_a_retry_keeps_the_partial_answer_with_the_old_attempt(database: Database) -> None:
    with database.user() as user, database.worker() as worker:
        sent = _send(user, None, "question")
        worker.execute("SELECT task_claim(%s, 'e')", (sent["task_id"],))
        worker.execute("SELECT chat_partial(%s, 'half')", (sent["task_id"],))
        worker.execute('SELECT task_fail(%s, \'{"message": "it broke"}\')', (sent["task_id"],))
        kept = user.execute("SELECT * FROM chat_messages ORDER BY id DESC").fetchone()
        assert (kept["content"], kept["metadata"]) == ("half", {"partial": True})
        retried = user.execute("SELECT * FROM task_retry(%s)", (sent["task_id"],)).fetchone()
        old = user.execute("SELECT * FROM async_tasks WHERE id = %s", (sent["task_id"],)).fetchone()
        message = user.execute("SELECT * FROM chat_messages ORDER BY id DESC").fetchone()
        assert old["output_data"]["partial_response"] == "half"
        assert old["status_message"] == "Processing failed: it broke"
        assert old["metadata"]["retried_by"] == retried["id"]
        assert retried["metadata"] == {"retry_of": old["id"], "attempt": 2}
        assert retried["input_data"] == old["input_data"]
        assert (message["content"], message["async_task_id"]) == ("", retried["id"])
        with pytest.raises(psycopg.Error, match="retried already"):
            user.execute("SELECT task_retry(%s)", (sent["task_id"],))


def test_one_conversation_is_answered_in_order(database: Database) -> None:
    with database.user() as user, database.worker() as worker:
        first = _send(user, None, "one")
        second = _send(user, first["conversation_id"], "two")
        other = _send(user, None, "another conversation")

        def take() -> list[int]:
            rows = worker.execute("SELECT id FROM task_next('local:w', '{chat}')").fetchall()
            return [row["id"] for row in rows]

        assert take() == [first["task_id"]]
        assert take() == [other["task_id"]]
        assert take() == []
        worker.execute("SELECT chat_reply(%s, 'x', '', '{}')", (first["task_id"],))
        assert take() == [second["task_id"]]


def test_deleting_a_conversation_cancels_what_runs_in_it(database: Database) -> None:
    with database.user() as user:
        sent = _send(user, None, "question")
        user.execute("DELETE FROM chat_conversations WHERE id = %s", (sent["conversation_id"],))
        task = user.execute("SELECT * FROM async_tasks").fetchone()
        assert task["status"] == "cancelled"
        with pytest.raises(psycopg.Error, match="was it deleted"):
            user.execute("SELECT task_retry(%s)", (task["id"],))
        assert user.execute("SELECT * FROM chat_messages").fetchall() == []


def test_using_a_conversation_takes_it_out_of_the_archive(database: Database) -> None:
    with database.user() as user:
        sent = _send(user, None, "question")
        user.execute("UPDATE chat_conversations SET is_archived = true")
        _send(user, sent["conversation_id"], "more")
        row = user.execute("SELECT is_archived FROM chat_conversations").fetchone()
    assert row["is_archived"] is False
