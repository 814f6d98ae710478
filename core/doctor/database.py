"""Checks of the database: server, schema, change stream, worker, clock."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import psycopg
from psycopg.rows import TupleRow

from core.changes import Deleted, Table
from core.doctor.check import Check, fail, ok, warn
from core.errors import SchemaError, SteplineError
from core.logs import log_path
from core.session import Session
from core.settings import Settings
from core.store.postgres import PostgresStore
from core.text import clean_line
from schema.version import latest_version

Connection = psycopg.AsyncConnection[TupleRow]

_LIVE = 10.0
"""Seconds the change stream may take to come up, and a notification to come back."""
_WORKER = 15.0
"""Seconds a worker may take to start."""
_CLOCK = 5.0
"""Seconds this machine's clock may differ from the database's before we mention it."""


async def checks(settings: Settings) -> AsyncIterator[Check]:
    """Opens a session as the app does, and looks at each part of it."""
    try:
        async with AsyncExitStack() as stack:
            # Also brings the bundled server up and its schema up to date.
            session = await Session.open(settings, live=True, worker=True)
            stack.push_async_callback(session.close)
            connection = await Connection.connect(
                await _conninfo(settings, stack), autocommit=True, connect_timeout=10
            )
            await stack.enter_async_context(connection)
            yield await _server(settings, connection)
            yield ok("schema", f"Version {latest_version()}, as this program needs it.")
            yield await _round_trip(session, connection)
            if settings.engine == "local" and isinstance(session.store, PostgresStore):
                yield await _worker(session.store, settings)
            yield clock(session.store.clock_offset)
    except SchemaError as error:
        yield fail("schema", str(error), "Run `stepline migrate`, or update stepline.")
    except (SteplineError, psycopg.Error) as error:
        yield fail("database", clean_line(str(error)), _fix(settings))


async def _conninfo(settings: Settings, stack: AsyncExitStack) -> str:
    if settings.database_url is not None and settings.store == "postgres":
        return settings.database_url.get_secret_value()
    from core.store.embedded import EmbeddedServer

    server = EmbeddedServer(settings.data_dir)
    conninfo = await asyncio.to_thread(server.start)
    stack.push_async_callback(asyncio.to_thread, server.release)
    return conninfo


def _fix(settings: Settings) -> str:
    if settings.store == "embedded":
        return f"Look into {settings.data_dir / 'postgres.log'}."
    return f"Check the database URL (set by: {settings.source('database_url')}) and the network."


async def _server(settings: Settings, connection: Connection) -> Check:
    begun = time.perf_counter()
    await connection.execute("SELECT 1")
    took = (time.perf_counter() - begun) * 1000
    version = connection.info.parameter_status("server_version") or "of unknown version"
    where = f"bundled, in {settings.data_dir}" if settings.store == "embedded" else "by URL"
    return ok("database", f"PostgreSQL {version} ({where}) answers in {took:.1f} ms.")


async def _round_trip(session: Session, connection: Connection) -> Check:
    """Notifies our own feed of a task that does not exist; the feed says that it is gone."""
    changes = session.feed.subscribe()
    nobody = Deleted(Table.TASKS, 0)
    try:
        async with asyncio.timeout(_LIVE):
            await session.feed.live()
            begun = time.perf_counter()
            await connection.execute(
                "SELECT pg_notify(%s, %s)",
                (
                    f"stepline_{session.store.user_id}",
                    json.dumps({"table": nobody.table.value, "id": nobody.id, "revision": 0}),
                ),
            )
            while nobody not in await changes.batch():
                pass
    except TimeoutError:
        detail = session.feed.state.detail or session.feed.state.state.value
        return fail(
            "live changes",
            f"No notification came back within {_LIVE:.0f} s ({clean_line(detail)}); changes are "
            "seen seconds late.",
            "Connect to PostgreSQL itself: a pooler in transaction mode does not pass LISTEN on.",
        )
    finally:
        changes.close()
    took = (time.perf_counter() - begun) * 1000
    return ok("live changes", f"A notification comes back in {took:.0f} ms.")


async def _worker(store: PostgresStore, settings: Settings) -> Check:
    alive = await store.worker_count()
    if settings.store == "embedded":
        # Opening the session has started one, unless one was there.
        deadline = time.monotonic() + _WORKER
        while not alive and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            alive = await store.worker_count()
    if alive:
        return ok("worker", f"{alive} alive.")
    if settings.store == "embedded":
        return fail(
            "worker",
            f"No worker came up within {_WORKER:.0f} s: tasks stay pending.",
            f"Look into {log_path(settings.state_dir, 'worker')}, or run `stepline worker`.",
        )
    return warn("worker", "None is alive: tasks wait for one.", "Run `stepline worker` somewhere.")


def clock(offset: float) -> Check:
    """How far this machine's clock is off the database's."""
    if abs(offset) <= _CLOCK:
        return ok("clock", f"{abs(offset):.2f} s off the database's.")
    sentence = (
        f"This machine's clock is {abs(offset):.0f} s {'behind' if offset > 0 else 'ahead of'} "
        "the database's; times shown are the database's."
    )
    return warn("clock", sentence, "Synchronise the clock (NTP).")
