"""The use cases of chat, on a real database."""

import json
from uuid import uuid4

import pytest

from core.changes import ConversationChanged, Deleted, MessageChanged, Table, TaskChanged
from core.errors import InputError, NotFoundError
from core.models import Role
from core.session import Session
from tests.support.database import Database


def answer(database: Database, task_id: int, text: str, *, thinking: str = "") -> None:
    with database.worker() as worker:
        worker.execute("SELECT task_claim(%s, 'e')", (task_id,))
        worker.execute("SELECT chat_reply(%s, %s, %s, '{}')", (task_id, text, thinking))


async def test_what_was_sent_shows_at_once(session: Session) -> None:
    reader = session.feed.subscribe()
    sent = await session.chat.send(None, "hello")
    batch = {change.key: change for change in await reader.batch()}
    conversation = batch[(Table.CONVERSATIONS, sent.conversation_id)]
    question = batch[(Table.MESSAGES, sent.user_message_id)]
    reply = batch[(Table.MESSAGES, sent.message_id)]
    task = batch[(Table.TASKS, sent.task_id)]
    assert isinstance(conversation, ConversationChanged)
    assert isinstance(question, MessageChanged)
    assert isinstance(reply, MessageChanged)
    assert isinstance(task, TaskChanged)
    assert question.message.content == "hello"
    assert reply.message.async_task_id == task.task.id
    assert len(task.events) == 1
    assert task.task.timeout_seconds == session.workflows.get("chat").timeout_seconds


@pytest.mark.parametrize("text", ["", "  \n", "\x00"])
async def test_nothing_is_not_sent(session: Session, text: str) -> None:
    with pytest.raises(InputError):
        await session.chat.send(None, text)
    assert await session.chat.conversations() == []


async def test_the_text_is_sent_as_it_was_typed(session: Session) -> None:
    text = "  Ä🎉 \t'; DROP TABLE x; -- {{ $json }} %s \\n \n\n[red]bold[/]\n"
    sent = await session.chat.send(None, text + "\x00")
    assert (await session.chat.message(sent.user_message_id)).content == text


async def test_an_unclear_send_is_sent_again_without_harm(session: Session) -> None:
    request = uuid4()
    first = await session.chat.send(None, "once", request=request)
    assert await session.chat.send(None, "once", request=request) == first
    assert await session.chat.send(first.conversation_id, "once", request=request) == first
    assert len(await session.chat.messages(first.conversation_id)) == 2
    assert len(await session.tasks.running()) == 1


async def test_what_is_not_there(session: Session) -> None:
    for call in (
        session.chat.conversation(4711),
        session.chat.message(4711),
        session.chat.send(4711, "hello"),
        session.chat.rename(4711, "x"),
        session.chat.archive(4711),
        session.chat.delete(4711),
        session.chat.export(4711, "json"),
    ):
        with pytest.raises(NotFoundError, match="4711"):
            await call
    assert await session.chat.messages(4711) == []


async def test_rename_archive_delete(session: Session) -> None:
    sent = await session.chat.send(None, "hello")
    number = sent.conversation_id
    reader = session.feed.subscribe()
    with pytest.raises(InputError, match="title"):
        await session.chat.rename(number, " \n\x1b[31m")
    renamed = await session.chat.rename(number, "A \x1b[31mred\x1b[0m\n title")
    assert renamed.title == "A red title"
    assert (await session.chat.archive(number)).is_archived
    assert await session.chat.conversations() == []
    assert not (await session.chat.archive(number, False)).is_archived
    await session.chat.delete(number)
    changes = await reader.batch()
    assert Deleted(Table.CONVERSATIONS, number) in changes
    assert (await session.tasks.get(sent.task_id)).task.status.value == "cancelled"
    with pytest.raises(NotFoundError):
        await session.chat.conversation(number)


async def test_export_as_markdown(session: Session, database: Database) -> None:
    sent = await session.chat.send(None, "What is 6 x 7?")
    answer(database, sent.task_id, "**42**", thinking="Hm.")
    second = await session.chat.send(sent.conversation_id, "Sure?")
    with database.worker() as worker:
        worker.execute("SELECT task_claim(%s, 'e')", (second.task_id,))
        worker.execute("SELECT chat_partial(%s, 'Quite su')", (second.task_id,))
    text = await session.chat.export(sent.conversation_id, "markdown")
    blocks = text.split("\n\n")
    assert blocks[0] == "# What is 6 x 7?"
    assert blocks[1].startswith("## You, ")
    assert blocks[2] == "What is 6 x 7?"
    assert blocks[3].startswith("## Assistant, ")
    assert blocks[4] == "**42**"
    assert blocks[-2].endswith("UTC (incomplete)")
    assert blocks[-1] == "Quite su\n"


async def test_export_as_json_is_complete(
    session: Session, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.chat._PAGE", 3)
    sent = await session.chat.send(None, "0")
    answer(database, sent.task_id, 'Ä "quoted"')
    for n in range(1, 5):
        await session.chat.send(sent.conversation_id, str(n))
    text = await session.chat.export(sent.conversation_id, "json")
    document = json.loads(text)
    assert document["conversation"]["title"] == "0"
    assert [m["content"] for m in document["messages"] if m["role"] == Role.USER] == list("01234")
    assert len(document["messages"]) == 10
    assert 'Ä \\"quoted\\"' in text
