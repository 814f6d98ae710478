"""The worker on a real database: what it writes, and that nothing it holds gets lost."""

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import pairwise

import pytest

from core.engine.local.failures import ModelError
from core.errors import SchemaError, StoreUnreachableError
from core.text import clean
from tests.core.engine.scene import Scene, dumped
from tests.support.openai_server import (
    HOSTILE,
    Break,
    Hang,
    OpenAiServer,
    Reasoning,
    Reply,
    answer,
    ending,
    failure,
    pieces,
)
from tests.support.postgres_server import PostgresServer


async def test_a_chat_takes_the_steps_of_the_spec(scene: Scene, server: OpenAiServer) -> None:
    server.say(answer("Hello *there*.", thinking="Hm."))
    async with scene.worker() as worker:
        sent = scene.send("Hi")
        task = await scene.final(sent.task_id)
    message = scene.message(sent)
    assert (message["content"], message["thinking"]) == ("Hello *there*.", "Hm.")
    assert "partial" not in message["metadata"]
    assert task["status"] == "completed"
    assert task["n8n_execution_id"] == worker
    assert task["output_data"] == {
        "ai_response": "Hello *there*.",
        "thinking": "Hm.",
        "tokens_used": 7,
        "model_used": "test/model-1",
        "response_time_seconds": pytest.approx(0, abs=20),
    }
    assert task["status_message"].startswith("Response complete! AI generated 7 tokens in ")
    told = [event["event_data"] for event in scene.events(sent.task_id, "step_update")]
    assert [(each["step"], each["message"]) for each in told[:-1]] == [
        ("initializing", "Starting to process your chat message..."),
        ("preparing_request", "Preparing your conversation for the AI model..."),
        (
            "calling_ai",
            "Sending your message to test/model. This usually takes 10-30 seconds...",
        ),
        (
            "processing_response",
            "AI responded! Now formatting and saving the response...",
        ),
        ("saving_response", "Saving AI response to your chat..."),
    ]
    assert told[-1]["step"] == "completed"
    assert [m["content"] for m in server.requests[0].messages] == ["Hi"]


async def test_the_specs_own_model_has_the_specs_own_name(
    scene: Scene, server: OpenAiServer
) -> None:
    llm = replace(scene.settings.llm, model="openai/gpt-4o")
    scene.settings = replace(scene.settings, llm=llm)
    async with scene.worker():
        sent = scene.send("Hi")
        await scene.final(sent.task_id)
    told = [event["event_data"]["message"] for event in scene.events(sent.task_id, "step_update")]
    assert "Sending your message to OpenAI GPT-4. This usually takes 10-30 seconds..." in told


async def test_messages_of_a_conversation_are_answered_one_after_the_other(
    scene: Scene, server: OpenAiServer
) -> None:
    first = scene.send("hold:first say:one")
    second = scene.send("say:two", first.conversation_id)
    async with scene.worker():
        await server.next_request()
        server.gate("first").set()
        await scene.final(second.task_id)
    assert [m["content"] for m in server.requests[1].messages] == [
        "hold:first say:one",
        "one",
        "say:two",
    ]


async def test_the_text_grows_while_the_model_writes(scene: Scene, server: OpenAiServer) -> None:
    gate = asyncio.Event()
    server.say(Reply([Reasoning("Hm. "), "First", gate, " and second", *ending()]))
    async with scene.worker():
        sent = scene.send("Hi")
        message = await scene.answered(sent, "First")
        assert message["content"] == "First"
        assert message["thinking"] == "Hm."
        assert message["metadata"]["partial"] is True
        assert scene.task(sent.task_id)["current_step"] == "calling_ai"
        gate.set()
        await scene.final(sent.task_id)
    assert scene.message(sent)["content"] == "First and second"


async def test_partial_text_is_written_at_most_ten_times_a_second(
    scene: Scene, server: OpenAiServer
) -> None:
    async with scene.worker():
        sent = scene.send("pace:0.01 say:" + "word " * 100)
        task = await scene.final(sent.task_id)
    seconds = (task["processing_completed_at"] - task["processing_started_at"]).total_seconds()
    writes = scene.message(sent)["revision"] - 1
    assert 3 <= writes <= 10 * seconds + 2


@pytest.mark.parametrize("text", [HOSTILE, "\x00", "x" * 200_000, "'; DROP TABLE x; --\\ \"%s {}"])
async def test_hostile_answers_are_stored_clean_and_whole(
    scene: Scene, server: OpenAiServer, text: str
) -> None:
    whole = "a" + text
    server.say(Reply([*pieces(whole, 3 if len(text) < 1000 else 5000), *ending(model=HOSTILE)]))
    async with scene.worker():
        sent = scene.send("Hi")
        task = await scene.final(sent.task_id)
    assert task["status"] == "completed", task["error_details"]
    assert scene.message(sent)["content"] == clean(whole)
    assert "\\u001b" not in dumped(task)


async def test_hostile_errors_are_stored_clean(scene: Scene, server: OpenAiServer) -> None:
    server.say(failure(418, HOSTILE))
    async with scene.worker():
        task = await scene.final(scene.send("Hi").task_id)
    assert task["status"] == "failed"
    assert "\\u001b" not in dumped(task)
    assert "[bold]markup[/bold]" in task["status_message"]


async def test_a_failure_keeps_the_text_and_says_what_to_do(
    scene: Scene, server: OpenAiServer
) -> None:
    server.say(Reply([Reasoning("Hm."), "Half an ans", Break()]))
    async with scene.worker():
        sent = scene.send("Hi")
        task = await scene.final(sent.task_id)
    assert task["status"] == "failed"
    assert task["status_message"] == f"Processing failed: {task['error_details']['error']}"
    assert task["error_details"]["code"] == "broken_stream"
    assert "kept" in task["status_message"]
    message = scene.message(sent)
    assert (message["content"], message["thinking"]) == ("Half an ans", "Hm.")
    assert message["metadata"]["partial"] is True


async def test_while_it_waits_for_the_model_it_says_so(scene: Scene, server: OpenAiServer) -> None:
    gate = asyncio.Event()
    server.say(failure(429, "slow down", retry_after="1"))
    server.say(Reply(["Hi", gate, *ending()]))
    async with scene.worker():
        sent = scene.send("Hi")
        task = await scene.until(
            lambda row: "slow down" in (row["status_message"] or ""),
            "SELECT * FROM async_tasks WHERE id = %s",
            sent.task_id,
        )
        assert task["status_message"].endswith("Trying again by itself in 1 second...")
        await scene.answered(sent, "Hi")
        assert scene.task(sent.task_id)["status_message"].startswith("Sending your message to")
        gate.set()
        assert (await scene.final(sent.task_id))["status"] == "completed"


async def test_an_answer_cut_at_max_tokens_says_so(scene: Scene, server: OpenAiServer) -> None:
    server.say(Reply(["Half", *ending("length")]))
    async with scene.worker():
        task = await scene.final(scene.send("Hi").task_id)
    assert task["status"] == "completed"
    assert task["output_data"]["notice"] == "The answer was cut at max_tokens (2000)."


async def test_a_cancel_closes_the_model_connection_within_a_second(
    scene: Scene, server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.engine.local.loop._PULSE", 60.0)  # by the notification alone
    server.say(Reply(["Half", Hang()]))
    async with scene.worker():
        sent = scene.send("Hi")
        request = await server.next_request()
        await scene.answered(sent, "Half")
        scene.cancel(sent.task_id)
        await asyncio.wait_for(request.disconnected.wait(), 1)
    assert scene.task(sent.task_id)["status"] == "cancelled"
    assert scene.message(sent)["content"] == "Half"


async def test_a_cancel_that_nobody_hears_of_is_seen_by_the_pulse(
    scene: Scene, server: OpenAiServer
) -> None:
    server.say(Reply([Hang()]))
    async with scene.worker():
        sent = scene.send("Hi")
        request = await server.next_request()
        with scene.database.owner() as connection:
            connection.execute("ALTER TABLE async_tasks DISABLE TRIGGER hint")
        scene.cancel(sent.task_id)
        await asyncio.wait_for(request.disconnected.wait(), 3)


async def test_a_task_created_without_a_notification_is_found(
    scene: Scene, server: OpenAiServer
) -> None:
    async with scene.worker():
        await scene.final(scene.send("say:so it listens").task_id)
        with scene.database.owner() as connection:
            connection.execute("ALTER TABLE async_tasks DISABLE TRIGGER hint")
        sent = scene.send("say:found")
        await scene.answered(sent, "found", seconds=10)


async def test_the_deadline_is_the_databases_and_closes_the_connection(
    scene: Scene, server: OpenAiServer
) -> None:
    server.say(Reply(["Half", Hang()]))
    async with scene.worker():
        sent = scene.send("Hi", timeout=1)
        request = await server.next_request()
        task = await scene.final(sent.task_id)
        await asyncio.wait_for(request.disconnected.wait(), 1)
    assert task["status"] == "timeout"
    assert task["status_message"] == "Request timed out after 1 seconds. Please try again."
    assert scene.message(sent)["content"] == "Half"
    taken = task["processing_completed_at"] - task["processing_started_at"]
    assert 1 <= taken.total_seconds() < 3


async def test_two_workers_share_fifty_tasks_and_none_runs_twice(
    scene: Scene, server: OpenAiServer
) -> None:
    sent = [scene.send(f"say:answer {number}") for number in range(50)]
    async with scene.worker() as one, scene.worker() as two:
        for each in sent:
            await scene.final(each.task_id)
    assert len(server.requests) == 50
    with scene.database.owner() as connection:
        rows = connection.execute("SELECT n8n_execution_id, status FROM async_tasks").fetchall()
    assert {row["n8n_execution_id"] for row in rows} == {one, two}
    assert {row["status"] for row in rows} == {"completed"}
    for number, each in enumerate(sent):
        assert scene.message(each)["content"] == f"answer {number}"
        assert scene.steps(each.task_id).count("initializing") == 1


async def test_no_more_than_its_share_at_once(scene: Scene, server: OpenAiServer) -> None:
    sent = [scene.send(f"gate:{number} say:x") for number in range(3)]
    async with scene.worker(concurrency=2):
        await server.next_request()
        await server.next_request()
        states = {scene.task(each.task_id)["status"] for each in sent}
        assert states == {"processing", "pending"}
        for number in range(3):
            server.gate(str(number)).set()
        for each in sent:
            assert (await scene.final(each.task_id))["status"] == "completed"


async def test_a_task_taken_over_is_dropped_and_not_written(
    scene: Scene, server: OpenAiServer
) -> None:
    server.say(Reply([Hang()]))
    async with scene.worker() as worker:
        sent = scene.send("Hi")
        request = await server.next_request()
        with scene.database.owner() as connection:
            connection.execute(
                "UPDATE async_tasks SET n8n_execution_id = 'local:other' WHERE id = %s",
                (sent.task_id,),
            )
            # As alive as a worker can be, or the first one would take the task back.
            connection.execute("SELECT worker_heartbeat('local:other')")
        await asyncio.wait_for(request.disconnected.wait(), 3)
        task = scene.task(sent.task_id)
        assert task["status"] == "processing"
        assert task["n8n_execution_id"] != worker
        assert scene.message(sent)["content"] == ""


async def test_a_claim_whose_answer_was_lost_is_taken_up(
    scene: Scene, server: OpenAiServer
) -> None:
    async with scene.worker(worker_id="local:me"):
        with scene.database.owner() as connection:
            # A worker of this name claims, and the connection breaks before it hears of it.
            connection.execute("ALTER TABLE async_tasks DISABLE TRIGGER hint")
            sent = scene.send("say:found again")
            connection.execute("SELECT task_claim(%s, 'local:me')", (sent.task_id,))
            connection.execute("ALTER TABLE async_tasks ENABLE TRIGGER hint")
        await scene.answered(sent, "found again", seconds=10)


async def test_a_handler_that_breaks_fails_its_task_and_nothing_else(
    scene: Scene, server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    async with scene.worker():
        with monkeypatch.context() as patch:
            patch.setattr("core.engine.local.chat._display", broken)
            task = await scene.final(scene.send("Hi").task_id)
        assert task["status"] == "failed"
        assert "RuntimeError" in task["status_message"]
        assert "secret detail" not in dumped(task)
        sent = scene.send("say:next")
        assert (await scene.final(sent.task_id))["status"] == "completed"


async def test_a_chat_task_without_a_message_fails_with_a_sentence(
    scene: Scene, server: OpenAiServer
) -> None:
    with scene.database.user(scene.user) as connection:
        row = connection.execute(
            "SELECT id FROM task_create('chat', '{\"conversation_id\": 99, \"message_id\": 99}')"
        ).fetchone()
    assert row is not None
    async with scene.worker():
        task = await scene.final(row["id"])
    assert task["status"] == "failed"
    assert "no message to answer" in task["status_message"]
    assert not server.requests


async def test_it_says_why_it_cannot_begin(scene: Scene, postgres: PostgresServer) -> None:
    from core.engine.local.worker import run_worker

    with pytest.raises(SchemaError, match="stepline migrate"):
        await run_worker(postgres.conninfo("template1"), scene.settings)
    with pytest.raises(StoreUnreachableError, match="does not answer"):
        await run_worker("host=/nonexistent dbname=x", scene.settings)


async def test_the_demo_answers_without_a_key(scene: Scene) -> None:
    llm = type(scene.settings.llm)()
    scene.settings = replace(scene.settings, llm=llm)
    async with scene.worker():
        sent = scene.send("Why is the sky blue?")
        task = await scene.final(sent.task_id)
    assert task["output_data"]["model_used"] == "stepline-demo"
    assert 1 <= task["output_data"]["response_time_seconds"] <= 10
    content = scene.message(sent)["content"]
    assert "demo" in content
    assert "Why is the sky blue?" in content


def test_model_errors_are_json() -> None:
    error = ModelError("No.", "code", status=400, retry_after=1.5, said="x")
    assert json.loads(json.dumps(error.details)) == error.details


async def test_workers_that_come_and_go_leave_nobody_behind(scene: Scene) -> None:
    async with AsyncExitStack() as stack:
        names = [await stack.enter_async_context(scene.worker()) for _ in range(3)]
        assert all(a != b for a, b in pairwise(sorted(names)))
        assert scene.one("SELECT worker_count()")["worker_count"] == 3
    assert scene.one("SELECT count(*) FROM stepline.workers")["count"] == 0
