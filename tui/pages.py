"""Reads a conversation page by page, with the tasks of its answers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.changes import TaskChanged
from core.models import Message

if TYPE_CHECKING:
    from core.session import Session

PAGE = 50
_SCAN = 500


@dataclass(frozen=True, slots=True)
class Page:
    """Messages, oldest first, and whether there are more on the side that was read towards."""

    messages: list[Message]
    more: bool


async def newest(session: "Session", conversation_id: int) -> Page:
    """The end of a conversation."""
    return _page(await session.chat.messages(conversation_id, limit=PAGE + 1), older=True)


async def oldest(session: "Session", conversation_id: int) -> Page:
    """Its beginning."""
    found = await session.chat.messages(conversation_id, after_id=0, limit=PAGE + 1)
    return _page(found, older=False)


async def before(session: "Session", conversation_id: int, message_id: int) -> Page:
    """What is before a message."""
    found = await session.chat.messages(conversation_id, before_id=message_id, limit=PAGE + 1)
    return _page(found, older=True)


async def after(session: "Session", conversation_id: int, message_id: int) -> Page:
    """What is after a message."""
    found = await session.chat.messages(conversation_id, after_id=message_id, limit=PAGE + 1)
    return _page(found, older=False)


async def find(
    session: "Session", conversation_id: int, query: str, *, start: int | None, older: bool
) -> int | None:
    """The id of the nearest message before (or after) `start` whose text has `query` in it."""
    query = query.lower()
    at = start
    while True:
        if older:
            found = await session.chat.messages(conversation_id, before_id=at, limit=_SCAN)
            ordered = found[::-1]
        else:
            found = await session.chat.messages(conversation_id, after_id=at or 0, limit=_SCAN)
            ordered = found
        for message in ordered:
            if query in message.content.lower():
                return message.id
        if len(found) < _SCAN:
            return None
        at = ordered[-1].id


async def tasks(session: "Session", messages: list[Message]) -> dict[int, TaskChanged]:
    """The tasks of these messages, with their events."""
    return await session.feed.load(
        {each.async_task_id for each in messages if each.async_task_id is not None}
    )


def _page(found: list[Message], *, older: bool) -> Page:
    if len(found) <= PAGE:
        return Page(found, more=False)
    return Page(found[1:] if older else found[:-1], more=True)
