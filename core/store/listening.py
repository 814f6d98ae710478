"""Hearing what the database notifies, without waking up to look."""

import asyncio
from collections.abc import AsyncGenerator

from psycopg import sql

from core.store.pool import Connection

_SILENCE = 20.0
"""Seconds without a notification after which a round trip proves that the other side lives."""
_ANSWER = 10.0
"""Seconds that this round trip may take."""


async def listen(connection: Connection, channel: str) -> AsyncGenerator[str | None]:
    """None once it listens, from where on nothing is missed; then payloads as they come, for ever.

    psycopg's own generator wakes ten times a second to look for an interrupt, which an idle
    program would pay for all day; here the loop sleeps on the socket. Raises what psycopg raises,
    and TimeoutError for a server that has gone silent.
    """
    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
    yield None
    while True:
        async for notification in connection.notifies(timeout=0):
            yield notification.payload
        if not await _readable(connection):
            async with asyncio.timeout(_ANSWER):
                await connection.execute("SELECT 1")


async def _readable(connection: Connection) -> bool:
    """Whether there is something to read, before the silence is too long."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    socket = connection.fileno()
    loop.add_reader(socket, ready.set)
    try:
        async with asyncio.timeout(_SILENCE):
            await ready.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(socket)
    return True
