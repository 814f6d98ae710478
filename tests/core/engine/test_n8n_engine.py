"""What the client does about n8n's answers: tells it again, waits for it, says what went wrong."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from core.changes import Change, EngineChanged, MessageChanged, TaskChanged
from core.errors import WorkflowNotConfiguredError
from core.models import Task, TaskStatus
from core.session import Session
from core.settings import N8nSettings, Settings
from tests.support.database import Database
from tests.support.webhook_server import WebhookServer

TOKEN = "the-token"
Open = Callable[..., Awaitable[Session]]


@pytest.fixture
async def n8n() -> AsyncIterator[WebhookServer]:
    async with WebhookServer() as server:
        yield server


@pytest.fixture
async def open_session(
    settings: Settings, n8n: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Open]:
    """Opens a session whose engine is that n8n."""
    monkeypatch.setenv("N8N_CHAT_WORKFLOW_ID", "wf1")
    async with AsyncExitStack() as stack:

        async def open_it(
            workflows: Path | None = None, live: bool = True, token: str = TOKEN
        ) -> Session:
            from pydantic import SecretStr

            chosen = replace(
                settings,
                engine="n8n",
                n8n=N8nSettings(base_url=n8n.url, token=SecretStr(token)),
                workflows_file=workflows or settings.workflows_file,
            )
            session = await Session.open(chosen, live=live)
            stack.push_async_callback(session.close)
            if live:
                await session.feed.live()
            return session

        yield open_it


async def heard(session: Session, wanted: Callable[[Change], bool]) -> Change:
    """The first change that is wanted, from now on."""
    subscription = session.feed.subscribe()
    try:
        async with asyncio.timeout(30):
            while True:
                for change in await subscription.batch():
                    if wanted(change):
                        return change
    finally:
        subscription.close()


async def said(session: Session, task_id: int, words: str) -> Task:
    """The task, once its message holds these words."""

    def holds(change: Change) -> bool:
        return (
            isinstance(change, TaskChanged)
            and change.task.id == task_id
            and words in (change.task.status_message or "")
        )

    waiting = asyncio.create_task(heard(session, holds))
    view = await session.tasks.get(task_id)
    if holds(view):
        waiting.cancel()
        return view.task
    change = await waiting
    assert isinstance(change, TaskChanged)
    return change.task


def outcomes(database: Database, task_id: int) -> list[str]:
    with database.owner() as owner:
        rows = owner.execute(
            "SELECT event_data ->> 'outcome' AS outcome FROM task_events "
            "WHERE task_id = %s AND event_type = 'webhook_sent' ORDER BY id",
            (task_id,),
        )
        return [row["outcome"] for row in rows]


async def test_the_webhook_is_called_with_the_spec_payload_and_the_token(
    open_session: Open, n8n: WebhookServer, database: Database
) -> None:
    session = await open_session()
    sent = await session.chat.send(None, "Hello")
    task = await said(session, sent.task_id, "Sent to n8n")
    [call] = n8n.calls
    assert call.path == "/webhook/chat/process"
    assert call.headers["x-stepline-token"] == TOKEN
    assert call.body == {
        "task_id": sent.task_id,
        "task_type": "chat",
        "input_data": task.input_data,
        "user_id": str(session.store.user_id),
    }
    assert task.status is TaskStatus.PENDING
    assert task.workflow_id == "wf1"
    assert outcomes(database, sent.task_id) == ["sent"]


async def test_a_short_command_leaves_only_when_n8n_was_told(
    open_session: Open, n8n: WebhookServer, database: Database
) -> None:
    session = await open_session(live=False)
    sent = await session.chat.send(None, "Hello")
    await session.close()
    assert [call.body["task_id"] for call in n8n.calls] == [sent.task_id]
    assert outcomes(database, sent.task_id) == ["sent"]


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_passing_trouble_is_tried_again(
    open_session: Open, n8n: WebhookServer, database: Database, status: int
) -> None:
    n8n.statuses.extend([status, status])
    session = await open_session()
    sent = await session.chat.send(None, "Hello")
    await said(session, sent.task_id, "Sent to n8n")
    assert len(n8n.calls) == 3
    assert outcomes(database, sent.task_id) == ["sent"]


@pytest.mark.parametrize(
    ("status", "fix"),
    [
        (401, "set N8N_BASIC_AUTH_USER"),
        (403, "run `stepline n8n push`"),
        (302, "correct N8N_BASE_URL"),
        (413, "N8N_BASE_URL"),
    ],
)
async def test_a_no_for_good_fails_the_task_and_says_what_to_do(
    open_session: Open, n8n: WebhookServer, status: int, fix: str
) -> None:
    n8n.statuses.append(status)
    session = await open_session()
    sent = await session.chat.send(None, "Hello")
    task = await said(session, sent.task_id, fix)
    assert task.status is TaskStatus.FAILED
    assert f"HTTP {status}" in (task.status_message or "")
    assert TOKEN not in (task.status_message or "")
    assert len(n8n.calls) == 1


async def test_a_webhook_that_is_registered_late_is_waited_for(
    open_session: Open, n8n: WebhookServer
) -> None:
    n8n.statuses.extend([404, 404, 404, 404])
    session = await open_session()
    sent = await session.chat.send(None, "Hello")
    await said(session, sent.task_id, "Sent to n8n")
    assert len(n8n.calls) == 5


async def test_while_n8n_is_down_the_task_waits_and_runs_when_it_is_back(
    open_session: Open, n8n: WebhookServer, database: Database
) -> None:
    session = await open_session()
    await n8n.down()
    down = asyncio.create_task(
        heard(session, lambda change: isinstance(change, EngineChanged) and not change.up)
    )
    await asyncio.sleep(0)
    sent = await session.chat.send(None, "Hello")
    task = await said(session, sent.task_id, "cannot be reached")
    assert task.status is TaskStatus.PENDING
    assert isinstance(await down, EngineChanged)
    assert not session.engine.health.up
    up = asyncio.create_task(
        heard(session, lambda change: isinstance(change, EngineChanged) and change.up)
    )
    await n8n.up()
    await up
    await said(session, sent.task_id, "Sent to n8n")
    assert outcomes(database, sent.task_id) == ["unreachable", "sent"]


async def test_what_a_crash_left_pending_is_told_of_at_the_next_start(
    open_session: Open, n8n: WebhookServer, database: Database
) -> None:
    first = await open_session()
    await n8n.down()
    sent = await first.chat.send(None, "Hello")
    await said(first, sent.task_id, "cannot be reached")
    await first.close()
    assert n8n.calls == []
    await n8n.up()
    second = await open_session()
    await said(second, sent.task_id, "Sent to n8n")
    assert [call.body["task_id"] for call in n8n.calls] == [sent.task_id]


async def test_the_next_message_of_a_conversation_is_told_of_when_its_turn_comes(
    open_session: Open, n8n: WebhookServer, database: Database
) -> None:
    session = await open_session()
    first = await session.chat.send(None, "One")
    await said(session, first.task_id, "Sent to n8n")
    second = await session.chat.send(first.conversation_id, "Two")
    other = await session.chat.send(None, "Three")
    await said(session, other.task_id, "Sent to n8n")
    assert [call.body["task_id"] for call in n8n.calls] == [first.task_id, other.task_id]
    await session.tasks.cancel(first.task_id)
    await said(session, second.task_id, "Sent to n8n")
    assert [call.body["task_id"] for call in n8n.calls][2:] == [second.task_id]


async def test_no_answer_in_time_is_not_a_failure(
    open_session: Open, n8n: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.engine.n8n.webhook.ANSWER", 0.2)
    n8n.silent = True
    session = await open_session()
    sent = await session.chat.send(None, "Hello")
    task = await said(session, sent.task_id, "has not answered yet")
    assert task.status is TaskStatus.PENDING


async def test_a_send_that_the_feed_has_overtaken_is_told_at_once(
    open_session: Open, n8n: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await open_session()
    trigger = session.engine.trigger

    def late(task: Task) -> None:
        session.engine._take(task, wait=15.0)  # type: ignore[attr-defined]
        trigger(task)

    monkeypatch.setattr(session.engine, "trigger", late)
    began = asyncio.get_running_loop().time()
    sent = await session.chat.send(None, "Hello")
    await said(session, sent.task_id, "Sent to n8n")
    assert asyncio.get_running_loop().time() - began < 10
    assert len(n8n.calls) == 1


async def test_whoever_did_not_send_a_task_does_not_fail_it(
    open_session: Open, n8n: WebhookServer, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    monkeypatch.setattr("core.engine.n8n.engine._NOT_OURS", 0.1)
    n8n.statuses.append(403)
    session = await open_session()
    task = await session.store.task_create("chat", {}, 600, "wf1")
    waiting = await said(session, task.id, "webhook token is not the right one")
    assert waiting.status is TaskStatus.PENDING
    assert outcomes(database, task.id) == ["unreachable"]


async def test_an_n8n_that_is_there_and_refuses_for_now_is_left_alone_for_a_while(
    open_session: Open, n8n: WebhookServer, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    monkeypatch.setattr("core.engine.n8n.engine._AGAIN", 3.0)
    n8n.statuses.extend([429] * 3)
    session = await open_session()
    sent = await session.chat.send(None, "Hello")
    await said(session, sent.task_id, "HTTP 429")
    assert session.engine.health.up
    assert len(n8n.calls) == 3
    await said(session, sent.task_id, "Sent to n8n")
    assert outcomes(database, sent.task_id) == ["unreachable", "sent"]
    assert len(n8n.calls) == 4


async def test_a_good_answer_that_breaks_off_is_one(open_session: Open, n8n: WebhookServer) -> None:
    n8n.stream = [b"x" * 10, None]
    session = await open_session()
    sent = await session.chat.send(None, "Hello")
    await said(session, sent.task_id, "Sent to n8n")


async def test_a_token_that_cannot_be_sent_fails_the_task_and_is_told_nowhere(
    open_session: Open, n8n: WebhookServer, caplog: pytest.LogCaptureFixture
) -> None:
    session = await open_session(token="tök-secret")
    sent = await session.chat.send(None, "Hello")
    task = await said(session, sent.task_id, "cannot be called with these settings")
    assert task.status is TaskStatus.FAILED
    assert n8n.calls == []
    assert "tök-secret" not in caplog.text


async def test_a_stream_that_says_nothing_is_not_waited_for(
    open_session: Open,
    n8n: WebhookServer,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.engine.n8n.webhook.ANSWER", 0.2)
    n8n.silent = True
    session = await open_session(workflows=streaming(settings, tmp_path))
    sent = await session.chat.send(None, "Hello")
    task = await said(session, sent.task_id, "has not answered yet")
    assert task.status is TaskStatus.PENDING


def streaming(settings: Settings, directory: Path) -> Path:
    """A registry in which the chat streams."""
    registry = directory / "workflows.toml"
    text = settings.workflows_file.read_text()
    registry.write_text(text.replace("\nlocal = true\n", "\nlocal = true\nstream = true\n", 1))
    return registry


async def test_text_that_streams_in_is_shown_and_the_database_has_the_last_word(
    open_session: Open, n8n: WebhookServer, settings: Settings, tmp_path: Path, database: Database
) -> None:
    rest = asyncio.Event()

    def chunk(kind: str, content: str = "") -> bytes:
        return json.dumps({"type": kind, "content": content}).encode() + b"\n"

    n8n.stream = [
        chunk("begin") + chunk("item", "Hel") + b"junk\n" + chunk("item", "lo \x1b[31m"),
        rest,
        chunk("item", "world") + chunk("end"),
    ]
    session = await open_session(workflows=streaming(settings, tmp_path))

    def shows(words: str) -> Callable[[Change], bool]:
        return lambda change: isinstance(change, MessageChanged) and change.message.content == words

    begun = asyncio.create_task(heard(session, shows("Hel")))
    await asyncio.sleep(0)
    sent = await session.chat.send(None, "Hi")
    change = await begun
    assert isinstance(change, MessageChanged)
    assert change.message.partial
    whole = asyncio.create_task(heard(session, shows("Hello world")))
    await asyncio.sleep(0)
    rest.set()
    await whole
    stored = (await session.chat.message(sent.message_id)).content
    assert stored == ""


async def test_a_type_without_a_workflow_says_how_to_get_one(open_session: Open) -> None:
    session = await open_session()
    with pytest.raises(WorkflowNotConfiguredError, match="stepline n8n push"):
        await session.tasks.create("email", {"campaign_id": 1})
