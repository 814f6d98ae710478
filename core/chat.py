"""The use cases of chat: send, read, rename, archive, delete, export."""

import json
from contextlib import suppress
from typing import Literal
from uuid import UUID, uuid4

from core.changes import ConversationChanged, Deleted, MessageChanged, Table, TaskChanged
from core.engine.base import Engine
from core.errors import InputError, NotFoundError, StoreUnreachableError
from core.feed import Feed
from core.models import Conversation, Message, Role, Sent
from core.store.base import Store, Wanted
from core.text import clean_line
from core.workflows import Registry

_PAGE = 500

SPEAKERS = {Role.USER: "You", Role.ASSISTANT: "Assistant", Role.SYSTEM: "System"}
"""What a message's author is called at the head of it."""


class ChatService:
    """What can be done with conversations. Errors are those of the store."""

    def __init__(self, store: Store, feed: Feed, workflows: Registry, engine: Engine) -> None:
        self._store = store
        self._feed = feed
        self._workflows = workflows
        self._engine = engine

    async def send(
        self, conversation_id: int | None, content: str, *, request: UUID | None = None
    ) -> Sent:
        """Writes the user's message and the task that answers it; None begins a conversation.

        `request` names this message: sent again with the same one after a failure that left it
        unclear whether it was written, it is never written twice. Raises InputError on a blank
        message, WorkflowNotConfiguredError where nothing can answer it.
        """
        if not content.strip():
            raise InputError("The message is empty: write some text and send it again.")
        # PostgreSQL can hold neither NUL nor half a character in a text; nothing else of what was
        # typed is touched.
        content = content.replace("\x00", "").encode("utf-8", "replace").decode()
        workflow = self._workflows.runnable("chat", self._engine.name)
        sent = await self._store.chat_send(
            conversation_id,
            content,
            workflow.timeout_seconds,
            request or uuid4(),
            workflow.workflow_id,
        )
        if self._feed.watched is None:
            self._feed.watch_conversation(sent.conversation_id)
        # Shown at once, without waiting for the change stream; it is sent whatever comes of this.
        with suppress(StoreUnreachableError):
            await self._show(sent)
        return sent

    async def _show(self, sent: Sent) -> None:
        rows = await self._store.fetch(
            Wanted(
                tasks={sent.task_id: 0},
                messages=frozenset((sent.user_message_id, sent.message_id)),
                conversations=frozenset((sent.conversation_id,)),
            )
        )
        self._feed.note(
            *(ConversationChanged(row) for row in rows.conversations),
            *(MessageChanged(row) for row in sorted(rows.messages, key=lambda row: row.id)),
            *(TaskChanged(row, rows.events) for row in rows.tasks),
        )
        for task in rows.tasks:
            self._engine.trigger(task)

    async def conversations(self, *, text: str = "", archived: bool = False) -> list[Conversation]:
        """Conversations by latest use; `text` is looked for in titles and messages."""
        return await self._store.conversations(text=text, archived=archived)

    async def conversation(self, conversation_id: int) -> Conversation:
        """One conversation; raises NotFoundError."""
        rows = await self._store.fetch(Wanted(conversations=frozenset((conversation_id,))))
        if not rows.conversations:
            raise NotFoundError(
                f"There is no conversation {conversation_id}: `stepline conversations list` "
                "shows those there are."
            )
        return rows.conversations[0]

    async def messages(
        self,
        conversation_id: int,
        *,
        before_id: int | None = None,
        after_id: int | None = None,
        limit: int = 50,
    ) -> list[Message]:
        """A page of messages, oldest first; see `Store.messages`."""
        return await self._store.messages(
            conversation_id, before_id=before_id, after_id=after_id, limit=limit
        )

    async def message(self, message_id: int) -> Message:
        """One message; raises NotFoundError."""
        rows = await self._store.fetch(Wanted(messages=frozenset((message_id,))))
        if not rows.messages:
            raise NotFoundError(f"There is no message {message_id}.")
        return rows.messages[0]

    async def rename(self, conversation_id: int, title: str) -> Conversation:
        """Gives a conversation another title; raises InputError on a blank one."""
        title = clean_line(title)
        if not title:
            raise InputError("A conversation needs a title: type one.")
        conversation = await self._store.conversation_rename(conversation_id, title)
        self._feed.note(ConversationChanged(conversation))
        return conversation

    async def archive(self, conversation_id: int, archived: bool = True) -> Conversation:
        """Puts a conversation away, or takes it out again."""
        conversation = await self._store.conversation_archive(conversation_id, archived)
        self._feed.note(ConversationChanged(conversation))
        return conversation

    async def delete(self, conversation_id: int) -> None:
        """Deletes a conversation and its messages for good; its running tasks are cancelled."""
        await self._store.conversation_delete(conversation_id)
        self._feed.note(Deleted(Table.CONVERSATIONS, conversation_id))

    async def export(self, conversation_id: int, fmt: Literal["markdown", "json"]) -> str:
        """The whole conversation as one text."""
        conversation = await self.conversation(conversation_id)
        messages: list[Message] = []
        while page := await self.messages(
            conversation_id, after_id=messages[-1].id if messages else 0, limit=_PAGE
        ):
            messages += page
        if fmt == "json":
            document = {
                "conversation": conversation.model_dump(mode="json"),
                "messages": [message.model_dump(mode="json") for message in messages],
            }
            return json.dumps(document, ensure_ascii=False, indent=2) + "\n"
        return _markdown(conversation, messages)


def _markdown(conversation: Conversation, messages: list[Message]) -> str:
    parts = [f"# {conversation.title}"]
    for message in messages:
        when = message.created_at.strftime("%Y-%m-%d %H:%M UTC")
        note = " (incomplete)" if message.partial else ""
        parts.append(f"## {SPEAKERS[message.role]}, {when}{note}")
        if message.content:
            parts.append(message.content)
    return "\n\n".join(parts) + "\n"
