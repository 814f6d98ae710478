"""Connections of one user to a PostgreSQL database: a pool, one for listening, and their errors.

They act as the role `authenticated` with the user's claims set, so row security holds here as it
does on Supabase.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from core.errors import (
    ConfigError,
    SteplineError,
    StoreUnreachableError,
)
from core.store.listening import listen
from core.store.pool import Connection, Pool
from core.store.refusals import check_version, refusal, unreachable
from core.text import clean_line

Revive = Callable[[], Awaitable[None]]
"""Brings an embedded server back; returns when there is a point in connecting again."""

LOST = (psycopg.OperationalError, psycopg.InterfaceError, OSError, TimeoutError)
"""What a database that went away raises."""
ANSWER = 10.0
"""Seconds a query may take before the database counts as unreachable."""
_SIZE = 4
"""Queries at the same time, at most."""

Result = TypeVar("Result")


class Connections:
    """The database as one user. Every method raises `SteplineError`s only."""

    def __init__(
        self, conninfo: str, *, user_id: UUID, email: str, revive: Revive | None = None
    ) -> None:
        self._conninfo = conninfo
        self._user_id = user_id
        self._email = email
        self._revive = revive
        self._pool: Pool | None = None

    async def open(self) -> float:
        """Connects; returns what to add, in seconds, to this machine's clock to get theirs."""
        with translated_errors():
            async with await self._connect() as connection:
                await check_schema(connection)
                with suppress(psycopg.errors.InsufficientPrivilege):
                    # Where sign-up is not ours, the user is there already.
                    await connection.execute(
                        "INSERT INTO auth.users (id, email) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                        (self._user_id, self._email),
                    )
                await self._act_as_user(connection)
                offset = await _clock_offset(connection)
            self._pool = Pool(self._connect_as_user, _SIZE)
        return offset

    async def close(self) -> None:
        """Closes the pool; safe to call twice."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def run(
        self, use: Callable[[Connection], Awaitable[Result]], *, repeat: bool = True
    ) -> Result:
        """What `use` returns for a connection of the pool; tried again when that one was dead.

        With `repeat` False it is tried again only if it cannot have reached the database.
        """
        with translated_errors(repeat=repeat):
            try:
                return await self._once(use, prove=not repeat)
            except LOST as error:
                await self.bring_back()
                if self._pool is not None:
                    await self._pool.drop_idle()
                if not repeat and not isinstance(error, _NotSentError):
                    raise
            return await self._once(use, prove=not repeat)

    async def listen(self, channel: str) -> AsyncGenerator[str | None]:
        """As `core.store.listening.listen`, on a connection of its own."""
        async with (
            await self._connect_as_user() as connection,
            aclosing(listen(connection, channel)) as heard,
        ):
            async for payload in heard:
                yield payload

    async def bring_back(self) -> None:
        """Revives the server, if that is ours to do."""
        if self._revive is not None:
            # What cannot be repaired shows as unreachable when connecting fails again.
            with suppress(SteplineError):
                await self._revive()

    async def _once(self, use: Callable[[Connection], Awaitable[Result]], *, prove: bool) -> Result:
        pool = self._pool
        if pool is None:
            raise StoreUnreachableError("The database connection is closed; start stepline again.")
        async with pool.connection() as connection, asyncio.timeout(ANSWER):
            if prove:
                try:
                    await connection.execute("SELECT 1")
                except LOST as error:
                    raise _NotSentError(reason(error)) from error
            return await use(connection)

    async def _connect(self) -> Connection:
        return await connect(self._conninfo)

    async def _connect_as_user(self) -> Connection:
        try:
            connection = await self._connect()
            try:
                await self._act_as_user(connection)
            except BaseException:
                await connection.close()
                raise
        except LOST as error:
            raise _NotSentError(reason(error)) from error
        return connection

    async def _act_as_user(self, connection: Connection) -> None:
        claims = json.dumps({"sub": str(self._user_id), "role": "authenticated"})
        await connection.execute(
            "SELECT set_config('role', 'authenticated', false),"
            " set_config('request.jwt.claims', %s, false)",
            (claims,),
        )


class _NotSentError(psycopg.OperationalError):
    """There was no connection to send the statement on."""


class translated_errors:
    """A context that turns the database's errors into sentences with the next step.

    `repeat`: whether what is in it may be done again when nobody knows what came of it.
    """

    def __init__(self, *, repeat: bool = True) -> None:
        self._repeat = repeat

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, psycopg.Error) and (
            refused := refusal(error.sqlstate, error.diag.message_primary or str(error))
        ):
            raise refused from error
        if isinstance(error, LOST):
            known = self._repeat or isinstance(error, _NotSentError)
            raise unreachable("The database", reason(error), known=known) from error
        if isinstance(error, psycopg.Error):
            raise SteplineError(
                f"The database refused: {reason(error)}. Run `stepline doctor`."
            ) from error


async def connect(conninfo: str, **options: Any) -> Connection:
    """A connection as whoever `conninfo` names. Raises ConfigError for one that is none, and what
    psycopg raises for a database that cannot be reached.
    """
    try:
        return await Connection.connect(
            conninfo, autocommit=True, row_factory=dict_row, connect_timeout=10, **options
        )
    except psycopg.ProgrammingError:
        raise not_understood() from None


def not_understood() -> ConfigError:
    """What to say of a URL that the driver refuses: nothing of its own words, which quote it."""
    return ConfigError(
        "The database URL is not understood: it should be like postgresql://user:password@host/db, "
        "with special characters of the password written as %XX."
    )


def reason(error: BaseException) -> str:
    """The first line of what the database said, never its connection string."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return clean_line(error.diag.message_primary)
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER:.0f} seconds"
    said = clean_line(str(error).strip().split("\n")[0])
    # After a password with an @ in it, what is taken for the host begins with the rest of it.
    return re.sub(r"[^\s'\"]*@", "…@", said) or type(error).__name__


async def check_schema(connection: Connection) -> None:
    """Raises SchemaError unless the database's schema is the one this program needs."""
    have = 0
    with suppress(psycopg.errors.UndefinedFunction, psycopg.errors.UndefinedTable):
        cursor = await connection.execute("SELECT public.stepline_schema_version() AS version")
        row = await cursor.fetchone()
        have = int(row["version"]) if row else 0
    check_version(have)


async def _clock_offset(connection: Connection) -> float:
    before = datetime.now(UTC)
    cursor = await connection.execute("SELECT clock_timestamp() AS now")
    row = await cursor.fetchone()
    after = datetime.now(UTC)
    if row is None:
        return 0.0
    return (row["now"] - (before + (after - before) / 2)).total_seconds()
