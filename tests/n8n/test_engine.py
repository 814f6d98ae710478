"""The product against a real n8n: a session whose engine it is, through all that can go wrong."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from core.changes import MessageChanged
from core.models import Sent, Task, TaskStatus
from core.session import Session
from core.settings import N8nSettings
from core.timeline import StepState
from tests.n8n.publish import TOKEN
from tests.n8n.scene import N8nScene

STEPS = [
    "initializing",
    "preparing_request",
    "calling_ai",
    "processing_response",
    "saving_response",
]


@pytest.fixture
async def session(
    scene: N8nScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Session]:
    """A live session; its messages are answered by n8n."""
    n8n = scene.published.server
    monkeypatch.setenv("N8N_CHAT_WORKFLOW_ID", scene.published.workflows["chat"])
    settings = replace(
        scene.settings,
        engine="n8n",
        user=f"user {uuid4()}",
        n8n=N8nSettings(
            base_url=n8n.base_url, token=SecretStr(TOKEN), api_key=SecretStr(n8n.api_key)
        ),
    )
    session = await Session.open(settings)
    await session.feed.live()
    yield session
    await session.close()


async def ended(session: Session, sent: Sent) -> Task:
    """The task, once it is final."""
    async with asyncio.timeout(90):
        async for change in session.tasks.watch(sent.task_id):
            last = change
    return last.task  # type: ignore[union-attr]


async def test_a_chat_with_its_steps_and_the_link_to_its_execution(
    session: Session, scene: N8nScene
) -> None:
    sent = await session.chat.send(None, "say:Hello from n8n")
    task = await ended(session, sent)
    assert task.status is TaskStatus.COMPLETED, task.status_message
    view = await session.tasks.get(sent.task_id)
    steps = session.tasks.steps(view)
    assert [step.name for step in steps] == STEPS
    assert {step.state for step in steps} == {StepState.DONE}
    assert (await session.chat.message(sent.message_id)).content == "Hello from n8n"
    link = session.engine.link(task)
    base = scene.published.server.base_url
    assert link == f"{base}/workflow/{task.workflow_id}/executions/{task.n8n_execution_id}"


async def test_a_cancel_stops_the_execution(session: Session, scene: N8nScene) -> None:
    mark = f"silent {uuid4()}"
    sent = await session.chat.send(None, mark)
    await scene.at_model(mark)
    task = await session.tasks.cancel(sent.task_id)
    assert task.status is TaskStatus.CANCELLED
    stopped = await asyncio.to_thread(scene.ended, sent.task_id)
    assert stopped["status"] == "canceled"
    assert (await session.tasks.get(sent.task_id)).task.status is TaskStatus.CANCELLED


async def test_n8n_killed_and_started_again(session: Session, scene: N8nScene) -> None:
    """In the middle of one task, and before another is sent: the one ends, by n8n's own look at
    what it left behind or by its deadline, and is retried; the other waits and runs."""
    n8n = scene.published.server
    mark = uuid4().hex
    running = await session.chat.send(None, f"hold:{mark} say:the second time")
    await scene.at_model(mark)
    await asyncio.to_thread(n8n.kill)
    down = asyncio.Event()

    async def watch() -> None:
        subscription = session.feed.subscribe()
        while session.engine.health.up:
            await subscription.batch()
        down.set()

    watching = asyncio.create_task(watch())
    waiting = await session.chat.send(None, "say:I have waited")
    await asyncio.wait_for(down.wait(), 60)
    await watching
    assert (await session.tasks.get(waiting.task_id)).task.status is TaskStatus.PENDING
    assert (await session.tasks.get(running.task_id)).task.status is TaskStatus.PROCESSING
    await asyncio.to_thread(n8n.run)
    assert (await ended(session, waiting)).status is TaskStatus.COMPLETED
    over = await ended(session, running)
    assert over.status in (TaskStatus.FAILED, TaskStatus.TIMEOUT)
    scene.model.open(mark)
    again = await session.tasks.retry(running.task_id)
    async with asyncio.timeout(90):
        async for change in session.tasks.watch(again.id):
            last = change
    assert last.task.status is TaskStatus.COMPLETED  # type: ignore[union-attr]
    assert (await session.chat.message(running.message_id)).content == "the second time"


async def test_tokens_are_shown_before_the_end(
    session: Session, scene: N8nScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = session.settings.workflows_file.read_text()
    own = tmp_path / "workflows.toml"
    own.write_text(
        text.replace("\nlocal = true\n", "\nlocal = true\nstream = true\n", 1).replace(
            '"chat/process"', '"chat/streaming"'
        )
    )
    streaming = await Session.open(replace(session.settings, workflows_file=own))
    try:
        await streaming.feed.live()
        subscription = streaming.feed.subscribe()
        mark = uuid4().hex
        sent = await streaming.chat.send(None, f"gate:{mark} say:one two three four five six")
        seen = ""
        async with asyncio.timeout(60):
            while not seen:
                for change in await subscription.batch():
                    if isinstance(change, MessageChanged) and change.message.id == sent.message_id:
                        seen = seen or change.message.content
        row = await streaming.chat.message(sent.message_id)
        assert row.content == ""
        scene.model.open(mark)
        task = await ended(streaming, sent)
        assert task.status is TaskStatus.COMPLETED, task.status_message
        whole = (await streaming.chat.message(sent.message_id)).content
        assert whole.startswith(seen.strip())
        assert len(whole) > len(seen)
    finally:
        await streaming.close()
