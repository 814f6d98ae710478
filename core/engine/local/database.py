"""The worker's way to the database: as its role, fenced, and patient when the database is gone."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

import psycopg

from core.errors import SteplineError
from core.store.connections import (
    LOST,
    Connection,
    Revive,
    check_schema,
    connect,
    reason,
    translated_errors,
)
from core.store.listening import listen
from core.store.pool import Pool

_log = logging.getLogger(__name__)

_ANSWER = 15.0
"""Seconds a transaction may take before the database counts as gone."""
_MAX_BACKOFF = 5.0
_SIZE = 16
"""Transactions at the same time, at most."""
_LOST_TASK = "SL002"

Result = TypeVar("Result")


class TaskLostError(Exception):
    """The task was cancelled, timed out or taken over by another worker: stop working on it."""


class Database:
    """Connections as `stepline_worker`. `revive` brings an embedded server back."""

    def __init__(self, conninfo: str, revive: Revive | None = None) -> None:
        self._conninfo = conninfo
        self._revive = revive
        self._reviving = asyncio.Lock()
        self._pool = Pool(self._connect, _SIZE)

    async def open(self) -> None:
        """Makes sure that a worker can work here: StoreUnreachableError, SchemaError."""
        with translated_errors():
            # Before any role is taken: a database without our schema does not have it either.
            async with await self._connect_as_owner() as connection:
                await check_schema(connection)

    async def close(self) -> None:
        """Closes all."""
        await self._pool.close()

    @asynccontextmanager
    async def transaction(self, execution: str | None = None) -> AsyncGenerator[Connection]:
        """One transaction, fenced where `execution` is given. Raises what psycopg raises."""
        try:
            async with (
                self._pool.connection() as connection,
                asyncio.timeout(_ANSWER),
                connection.transaction(),
            ):
                if execution is not None:
                    # A worker whose task was adopted by another one meanwhile gets SL002.
                    await connection.execute(
                        "SELECT set_config('stepline.execution', %s, true)", (execution,)
                    )
                yield connection
        except LOST:
            # Whatever ended this connection has most likely ended the others too.
            await self._pool.drop_idle()
            raise

    async def write(self, execution: str, use: Callable[[Connection], Awaitable[Result]]) -> Result:
        """What `use` returns, from a fenced transaction; waits, for ever, for a database that is
        gone. Raises TaskLostError, and psycopg's errors for what the database refuses.
        """
        failures = 0
        while True:
            try:
                async with self.transaction(execution) as connection:
                    return await use(connection)
            except LOST as error:
                failures += 1
                await self.wait(failures, error)
            except psycopg.Error as error:
                if error.sqlstate == _LOST_TASK:
                    raise TaskLostError(reason(error)) from None
                raise

    async def wait(self, failures: int, error: BaseException) -> None:
        """Waits before the next try, and brings the server back if that is ours to do."""
        if failures == 1:
            _log.warning("The database is gone (%s); waiting for it.", reason(error))
        pause = min(_MAX_BACKOFF, 0.1 * 2 ** min(failures - 1, 10))
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
        if self._revive is not None:
            async with self._reviving:
                try:
                    await self._revive()
                except (SteplineError, OSError) as revived:
                    _log.warning("Could not start the database again: %s", revived)

    async def listen(self, channel: str) -> AsyncGenerator[str | None]:
        """As `core.store.listening.listen`, on a connection of its own."""
        async with (
            await self._connect() as connection,
            aclosing(listen(connection, channel)) as heard,
        ):
            async for payload in heard:
                yield payload

    async def _connect_as_owner(self) -> Connection:
        return await connect(
            self._conninfo,
            application_name="stepline worker",
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
        )

    async def _connect(self) -> Connection:
        connection = await self._connect_as_owner()
        try:
            await connection.execute("SELECT set_config('role', 'stepline_worker', false)")
        except BaseException:
            await connection.close()
            raise
        return connection
