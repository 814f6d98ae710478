"""The exports in `workflows/`, on a real n8n, a real PostgreSQL and a model on the loopback."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from tests.n8n.publish import TOKEN, Export, Publisher, node_of, set_field
from tests.n8n.scene import N8nScene
from tests.support.n8n_server import free_port
from tests.support.openai_server import HOSTILE

WAYS = ["chat/process", "chat/streaming"]
STEPS = {
    "initializing": "Starting to process your chat message...",
    "preparing_request": "Preparing your conversation for the AI model...",
    "calling_ai": "Sending your message to OpenAI GPT-4. This usually takes 10-30 seconds...",
    "processing_response": "AI responded! Now formatting and saving the response...",
    "saving_response": "Saving AI response to your chat...",
    "completed": "Response complete! AI generated",
}
NASTY = (
    r"""it's "quoted", {{ $json.secret }} ={{ 1 + 1 }} $1 $2:raw ${x} \' \\ %s, a,b,,c"""
    " 🎉 NULL ');--"
)


@pytest.mark.parametrize("path", WAYS)
async def test_every_step_in_its_order_with_the_words_of_the_plan(
    scene: N8nScene, path: str
) -> None:
    sent = scene.send("tags say:Hello, you.")
    assert scene.call(sent.task_id, path).status_code == 200
    task = await scene.final(sent.task_id)
    assert task["status"] == "completed", task
    seen = [event["event_data"] for event in scene.events(sent.task_id, "step_update")]
    assert [event["step"] for event in seen] == list(STEPS)
    for event, words in zip(seen, STEPS.values(), strict=True):
        assert event["message"].startswith(words)
    assert scene.message(sent)["content"] == "Hello, you."
    assert scene.message(sent)["thinking"] == "Let me think about this."
    assert task["output_data"]["ai_response"] == "Hello, you."
    assert scene.ended(sent.task_id)["status"] == "success"


async def test_what_the_model_used_and_thought_is_kept(scene: N8nScene) -> None:
    sent = scene.send("think say:Hello")
    scene.call(sent.task_id)
    task = await scene.final(sent.task_id)
    assert task["output_data"]["tokens_used"] == 7
    assert task["output_data"]["model_used"] == "test/model-1"
    assert task["status_message"].startswith("Response complete! AI generated 7 tokens in ")
    assert scene.message(sent)["thinking"] == "Let me think about this."


@pytest.mark.parametrize("path", WAYS)
@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (f"say:{NASTY}", NASTY),
        ("hostile", HOSTILE.replace("\0", "")),
        ("long:200", ("All work and no play. " * 1000)[:1000] * 200),
    ],
    ids=["quotes", "controls", "200kB"],
)
async def test_an_answer_arrives_as_it_is(
    scene: N8nScene, path: str, asked: str, answer: str
) -> None:
    sent = scene.send(asked)
    scene.call(sent.task_id, path)
    task = await scene.final(sent.task_id)
    assert task["status"] == "completed", task["status_message"]
    assert scene.message(sent)["content"] == answer.rstrip()


@pytest.mark.parametrize("path", WAYS)
async def test_the_model_reads_the_conversation_with_its_roles(scene: N8nScene, path: str) -> None:
    first = scene.send(f"say:{NASTY}")
    scene.call(first.task_id, path)
    await scene.final(first.task_id)
    mark = f"again {uuid4()}"
    second = scene.send(mark, first.conversation_id)
    scene.call(second.task_id, path)
    assert (await scene.final(second.task_id))["status"] == "completed"
    [request] = scene.asked(mark)
    assert request["messages"] == [
        {"role": "user", "content": f"say:{NASTY}"},
        {"role": "assistant", "content": NASTY},
        {"role": "user", "content": mark},
    ]


async def test_twenty_calls_at_once_are_one_call_of_the_model(scene: N8nScene) -> None:
    mark = f"once {uuid4()}"
    sent = scene.send(mark)
    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda _: scene.call(sent.task_id), range(20)))
    assert {reply.status_code for reply in replies} == {200}
    assert (await scene.final(sent.task_id))["status"] == "completed"
    scene.until_idle()
    assert len(scene.asked(mark)) == 1


@pytest.mark.parametrize("path", WAYS)
@pytest.mark.parametrize(
    ("order", "code", "words"),
    [
        ("fail:401", "unauthorized", "does not accept the API key"),
        ("fail:402", "no_credit", "wants payment"),
        ("fail:404", "not_found", "does not know openai/gpt-4o"),
        ("fail:429", "limit", "is limiting requests"),
        ("fail:500", "server_error", "has a problem (HTTP 500)"),
        ("break long:1", "broken_stream", "did not finish its answer"),
        ("html", "protocol", "something else than a chat completion"),
        ("empty", "empty", "sent an empty answer"),
    ],
)
async def test_a_model_that_does_not_answer_is_a_reason_to_read(
    scene: N8nScene, path: str, order: str, code: str, words: str
) -> None:
    sent = scene.send(order)
    scene.call(sent.task_id, path)
    task = await scene.final(sent.task_id)
    assert task["status"] == "failed"
    assert words in task["status_message"]
    assert task["error_details"]["code"] == code
    assert scene.message(sent)["content"] == ""


async def test_n8ns_words_for_an_account_without_credit_are_taken_apart(scene: N8nScene) -> None:
    sent = scene.send("quota")
    scene.call(sent.task_id, "chat/streaming")
    task = await scene.final(sent.task_id)
    assert task["error_details"]["code"] == "no_credit"
    assert "wants payment: Insufficient quota detected; add credit" in task["status_message"]
    assert "<a" not in task["status_message"]


async def test_an_error_in_the_answer_and_a_filter_are_failures(scene: N8nScene) -> None:
    for order, words in (("error", "Provider disconnected"), ("filter", "content filter")):
        sent = scene.send(order)
        scene.call(sent.task_id)
        task = await scene.final(sent.task_id)
        assert task["status"] == "failed"
        assert words in task["status_message"]


async def test_a_model_that_nobody_runs(scene: N8nScene) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/v1"
    for file in ("chat", "chat-streaming"):
        with scene.published.changed(file, "Settings", "base_url", nowhere, path=f"no/{file}"):
            sent = scene.send("hello")
            scene.call(sent.task_id, f"no/{file}")
            task = await scene.final(sent.task_id)
            assert task["error_details"]["code"] == "unreachable", task["error_details"]
            assert nowhere in task["status_message"]


async def test_a_node_that_fails_ends_the_task_with_its_reason(scene: N8nScene) -> None:
    """By the error workflow: here a step that the database refuses."""

    def spoil(export: Export) -> None:
        node_of(export, "Preparing")["parameters"]["query"] = "SELECT 1 / 0 AS nothing"

    with scene.published.variant("chat", "no/spoilt", spoil):
        sent = scene.send("hello")
        scene.call(sent.task_id, "no/spoilt")
        task = await scene.final(sent.task_id)
    assert task["status"] == "failed"
    assert task["status_message"] == "Processing failed: division by zero"
    details = task["error_details"]
    assert set(details) == {"message", "node", "execution_url"}
    assert details["node"] == "Preparing"
    assert task["n8n_execution_id"] in details["execution_url"]


@pytest.mark.parametrize("path", WAYS)
@pytest.mark.parametrize("order", ["silent", "hang"])
async def test_a_model_that_hangs_ends_at_the_deadline(
    scene: N8nScene, path: str, order: str
) -> None:
    sent = scene.send(order, timeout=5)
    scene.call(sent.task_id, path)
    task = await scene.final(sent.task_id)
    assert task["status"] == "timeout"
    assert task["status_message"] == "Request timed out after 5 seconds. Please try again."
    assert task["error_details"]["error"] == "Workflow timeout after 5 seconds"


@pytest.mark.parametrize(("limit", "deadline", "status"), [(7, 5, "timeout"), (3, 60, "failed")])
async def test_an_execution_that_n8n_ends_reaches_the_error_workflow(
    scene: N8nScene, limit: int, deadline: int, status: str
) -> None:
    """Past the deadline it is a timeout, whatever n8n says."""

    def never(export: Export) -> None:
        node_of(export, "Endpoint")["parameters"]["options"]["timeout"] = 600000

    with scene.published.variant("chat-streaming", "no/slow", never, executionTimeout=limit):
        sent = scene.send("silent", timeout=deadline)
        calling = asyncio.create_task(scene.calls(sent.task_id, "no/slow"))
        task = await scene.final(sent.task_id)
        calling.cancel()
    assert task["status"] == status
    if status == "timeout":
        assert task["status_message"] == "Request timed out after 5 seconds. Please try again."
    else:
        assert "because it timed out" in task["status_message"]
    assert task["error_details"]["node"] == "Model"


@pytest.mark.parametrize("path", WAYS)
async def test_cancelled_by_the_user_and_stopped(scene: N8nScene, path: str) -> None:
    mark = f"silent {uuid4()}"
    sent = scene.send(mark, timeout=20)
    calling = asyncio.create_task(scene.calls(sent.task_id, path))
    await scene.at_model(mark)
    scene.cancel(sent.task_id)
    scene.stop(sent.task_id)
    calling.cancel()
    assert scene.ended(sent.task_id)["status"] == "canceled"
    task = scene.task(sent.task_id)
    assert (task["status"], task["status_message"]) == ("cancelled", "Cancelled by you.")


async def test_cancelled_without_a_stop_ends_at_the_next_step(scene: N8nScene) -> None:
    mark = f"hold:{uuid4()}"
    sent = scene.send(mark)
    scene.call(sent.task_id)
    await scene.at_model(mark)
    scene.cancel(sent.task_id)
    scene.model.open(mark.removeprefix("hold:"))
    assert scene.ended(sent.task_id)["status"] == "error"
    assert scene.task(sent.task_id)["status"] == "cancelled"
    assert scene.message(sent)["content"] == ""


@pytest.mark.parametrize("path", WAYS)
def test_without_the_token_nothing_happens(scene: N8nScene, path: str) -> None:
    sent = scene.send("hello")
    assert scene.call(sent.task_id, path, token=None).status_code == 403
    assert scene.call(sent.task_id, path, token="a guess").status_code == 403
    scene.until_idle()
    assert scene.task(sent.task_id)["status"] == "pending"


async def test_of_the_body_only_the_task_is_believed(scene: N8nScene) -> None:
    other = N8nScene(scene.database, scene.settings, scene.published, scene.model)
    secret = other.send(f"a secret {uuid4()}")
    mine = scene.send("say:mine")
    forged = {
        "conversation_id": secret.conversation_id,
        "message_id": secret.message_id,
        "user_message_id": secret.user_message_id,
    }
    scene.call(mine.task_id, input_data=forged, user_id=str(other.user))
    assert (await scene.final(mine.task_id))["status"] == "completed"
    assert scene.message(mine)["content"] == "mine"
    assert scene.message(secret)["content"] == ""
    assert scene.task(secret.task_id)["status"] == "pending"
    assert not scene.asked("a secret")


@pytest.mark.parametrize("nonsense", ["1; DROP TABLE async_tasks", [1, 2], {"a": 1}, None, -1, ""])
def test_nonsense_for_a_task_changes_nothing(scene: N8nScene, nonsense: object) -> None:
    sent = scene.send("hello")
    assert scene.call(nonsense).status_code == 200
    scene.until_idle()
    assert scene.task(sent.task_id)["status"] == "pending"


async def test_two_messages_of_a_conversation_keep_their_order(scene: N8nScene) -> None:
    mark = f"hold:{uuid4()}"
    first = scene.send(f"{mark} say:one")
    second = scene.send("say:two", first.conversation_id)
    scene.call(first.task_id)
    await scene.at_model(mark)
    scene.call(second.task_id)
    scene.until_idle(but=1)
    assert scene.task(second.task_id)["status"] == "pending"
    scene.model.open(mark.removeprefix("hold:"))
    await scene.final(first.task_id)
    scene.call(second.task_id)
    assert (await scene.final(second.task_id))["status"] == "completed"
    assert (scene.message(first)["content"], scene.message(second)["content"]) == ("one", "two")


async def test_tokens_are_seen_before_the_end(scene: N8nScene) -> None:
    gate = str(uuid4())
    sent = scene.send(f"gate:{gate} say:{'one two three ' * 8}")
    seen = ""
    async with (
        httpx.AsyncClient(trust_env=False, timeout=60) as client,
        client.stream(
            "POST",
            f"{scene.published.server.base_url}/webhook/chat/streaming",
            headers={"X-Stepline-Token": TOKEN},
            json={"task_id": sent.task_id},
        ) as reply,
    ):
        async for line in reply.aiter_lines():
            chunk = json.loads(line)
            if chunk["type"] == "item":
                if "three" in chunk["content"] or "two" in seen:
                    assert seen or scene.task(sent.task_id)["status"] == "processing"
                    scene.model.open(gate)
                seen += chunk["content"]
    assert seen.startswith("one two three one two")
    assert (await scene.final(sent.task_id))["status"] == "completed"
    assert scene.message(sent)["content"] == seen.rstrip()


async def test_a_message_without_its_question_is_not_sent_to_the_model(scene: N8nScene) -> None:
    before = len(scene.model.requests())
    with scene.database.user(scene.user) as connection:
        row = connection.execute("SELECT id FROM task_create('chat', '{}')").fetchone()
    assert row is not None
    scene.call(row["id"])
    task = await scene.final(row["id"])
    assert task["status_message"].endswith(
        "there is no message to answer; send one to the conversation"
    )
    assert len(scene.model.requests()) == before


def quickly(workflow: str, due_after: int = 0) -> Callable[[Export], None]:
    """A sweep every two seconds, of the tasks that nobody spoke of for `due_after` seconds."""

    def change(export: Export) -> None:
        every = {"rule": {"interval": [{"field": "seconds", "secondsInterval": 2}]}}
        node_of(export, "Every minute")["parameters"] = every
        due = node_of(export, "Due")["parameters"]
        due["query"] = due["query"].replace("$1::text[]", f"$1::text[], {due_after}")
        set_field(export, "Workflows", "workflows", json.dumps({"chat": workflow}))

    return change


async def test_the_sweep_takes_care_of_what_was_forgotten(
    scene: N8nScene, published: Publisher
) -> None:
    forgotten = scene.send("say:found again")
    late = scene.send("say:late", timeout=1)
    broken = scene.send("fail:401")
    with scene.database.owner() as connection:
        connection.execute("ALTER TABLE async_tasks DISABLE TRIGGER USER")
        connection.execute(
            "UPDATE async_tasks SET updated_at = now() - interval '1 minute' WHERE id = ANY (%s)",
            ([forgotten.task_id, late.task_id, broken.task_id],),
        )
        connection.execute("ALTER TABLE async_tasks ENABLE TRIGGER USER")
    await asyncio.sleep(1.1)  # until the deadline of the second has passed

    with published.variant("sweep", None, quickly(published.workflows["chat"], due_after=30)):
        found = await scene.final(forgotten.task_id)
        expired = await scene.final(late.task_id)
        failed = await scene.final(broken.task_id)
    assert found["status"] == "completed", found["status_message"]
    assert scene.message(forgotten)["content"] == "found again"
    assert expired["status"] == "timeout"
    assert failed["error_details"]["code"] == "unauthorized"


async def test_what_the_sweep_called_has_its_error_workflow_and_deadline(
    scene: N8nScene, published: Publisher
) -> None:
    def spoil(export: Export) -> None:
        node_of(export, "Preparing")["parameters"]["query"] = "SELECT 1 / 0 AS nothing"

    with published.variant("chat", "no/called", spoil) as spoilt:
        sent = scene.send("say:x")
        with published.variant("sweep", None, quickly(spoilt)):
            task = await scene.final(sent.task_id)
    assert task["status_message"] == "Processing failed: division by zero"
    sent = scene.send("silent", timeout=8)
    with published.variant("sweep", None, quickly(published.workflows["chat"])):
        task = await scene.final(sent.task_id)
    assert task["status"] == "timeout"
    assert task["error_details"]["error"] == "Workflow timeout after 8 seconds"


async def test_the_sweep_calls_the_streaming_chat_too(
    scene: N8nScene, published: Publisher
) -> None:
    sent = scene.send("say:without a stream")
    with published.variant("sweep", None, quickly(published.workflows["chat-streaming"])):
        task = await scene.final(sent.task_id)
    assert task["status"] == "completed", task["status_message"]
    assert scene.message(sent)["content"] == "without a stream"
