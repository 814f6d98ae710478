"""A few connections, kept open between uses.

Not psycopg's own pool: when the database is gone, that one keeps every caller waiting for the whole
of its timeout, and waits ever longer itself before it tries again. Here a caller connects, or
fails, at once.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg

Connection = psycopg.AsyncConnection[dict[str, Any]]


class Pool:
    """Connections made by `connect`, at most `size` in use at the same time."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], size: int) -> None:
        self._connect = connect
        self._slots = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._closed = False

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """One of them, or a new one. Raises what `connect` raises."""
        async with self._slots:
            connection = self._idle.pop() if self._idle else await self._connect()
            healthy = False
            try:
                yield connection
                healthy = True
            except psycopg.Error as error:
                # A refusal came from a server that lives; anything else leaves it unknown what
                # the connection is in the middle of.
                healthy = error.sqlstate is not None
                raise
            finally:
                if healthy and not connection.closed and not self._closed:
                    self._idle.append(connection)
                else:
                    await connection.close()

    async def drop_idle(self) -> None:
        """Closes what is not in use: whatever ended one connection has likely ended them all."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()

    async def close(self) -> None:
        """Closes all; those in use when they come back. Safe to call twice."""
        self._closed = True
        await self.drop_idle()
