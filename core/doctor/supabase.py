"""Checks of a Supabase project: session, schema, row security, Realtime, clock, rights."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress
from typing import Any

from core.auth.account import Account
from core.changes import Hint, LinkState, Table
from core.doctor.check import Check, fail, ok, warn
from core.doctor.database import clock
from core.errors import SchemaError, SignInNeededError, SteplineError
from core.settings import Settings
from core.store.supabase import SupabaseStore
from core.text import clean_line
from schema.version import latest_version

_LIVE = 15.0
"""Seconds that Realtime may take to join, and again to tell of a change."""
_SCHEMA = (
    "Run `stepline migrate --db-url URL`, or paste what `stepline migrate --print` prints into the "
    "project's SQL editor; where the schema is newer, update stepline."
)
_REALTIME = "Look at Realtime in the project's dashboard; docs/supabase.md tells what it needs."


async def checks(settings: Settings) -> AsyncIterator[Check]:
    """Signs in as the app does, and looks at each part of the project."""
    try:
        account = Account(settings)
    except SteplineError as error:
        yield fail("project", str(error), "Correct what the sentence names.")
        return
    store = SupabaseStore(account)
    try:
        yield await _session(account)
        begun = time.perf_counter()
        await store.open()
        took = (time.perf_counter() - begun) * 1000
        yield ok("project", f"{settings.supabase.url} answers ({took:.0f} ms for three requests).")
        yield ok("schema", f"Version {latest_version()}, as this program needs it.")
        for check in _health(await store.health()):
            yield check
        yield clock(store.clock_offset)
        yield await _round_trip(store)
        if settings.engine == "local":
            yield await _worker(store)
    except SignInNeededError as error:
        yield fail("session", str(error), "stepline login")
    except SchemaError as error:
        yield fail("schema", str(error), _SCHEMA)
    except SteplineError as error:
        yield fail("project", str(error), "Check the project's address, its state and the network.")
    finally:
        await store.close()


async def _session(account: Account) -> Check:
    await account.token()
    tokens = account.tokens
    who = (tokens.email if tokens else "") or "a user without a name"
    if tokens is not None and tokens.refresh is None:
        return warn(
            "session",
            f"Signed in as {clean_line(who)}, until the token of STEPLINE_ACCESS_TOKEN expires.",
            "Set STEPLINE_REFRESH_TOKEN too, where this is to run for longer.",
        )
    return ok("session", f"Signed in as {clean_line(who)}.")


def _health(found: dict[str, Any]) -> Iterator[Check]:
    """What `schema_health` found, with the statement that mends each of it."""

    def tables(key: str) -> str:
        return ", ".join(f"public.{name}" for name in found[key])

    if open_ := tables("unsecured"):
        yield fail(
            "row security",
            f"It is off, so that every user sees every row of: {open_}.",
            _each(found["unsecured"], "ENABLE ROW LEVEL SECURITY"),
        )
    elif open_ := tables("open_to_anon"):
        yield fail(
            "row security",
            f"Without a user the key alone has rights on: {open_}.",
            f"REVOKE ALL ON {open_} FROM anon;",
        )
    else:
        yield ok("row security", "On for every table; without a user the key opens nothing.")
    if missing := tables("unpublished"):
        yield fail(
            "publication",
            f"Realtime does not hear of: {missing}.",
            f"ALTER PUBLICATION supabase_realtime ADD TABLE {missing};",
        )
    else:
        yield ok("publication", "Realtime hears of every table.")
    if full := tables("full_identity"):
        yield warn(
            "replica identity",
            f"Not the default for: {full}. Large rows reach Realtime's limit.",
            _each(found["full_identity"], "REPLICA IDENTITY DEFAULT"),
        )
    else:
        yield ok("replica identity", "The default everywhere, which keeps changes small.")
    yield _rights(found)


def _each(names: list[str], change: str) -> str:
    return " ".join(f"ALTER TABLE public.{name} {change};" for name in names)


def _rights(found: dict[str, Any]) -> Check:
    name = "engine's rights"
    if closed := ", ".join(found["closed_to_workers"]):
        return fail(
            name,
            f"The engine's role stepline_worker may not call: {closed}.",
            f"GRANT EXECUTE ON FUNCTION {closed} TO stepline_worker;",
        )
    if open_ := ", ".join(found["open_to_users"]):
        return fail(
            name,
            f"Every user may call what is the engine's alone: {open_}.",
            f"REVOKE EXECUTE ON FUNCTION {open_} FROM PUBLIC, anon, authenticated;",
        )
    if not found["worker_logins"]:
        return warn(
            name,
            "No role that can log in is in stepline_worker: n8n needs one.",
            "CREATE ROLE n8n LOGIN PASSWORD '...' IN ROLE stepline_worker; (docs/supabase.md)",
        )
    return ok(name, "Only the engine's role moves a task forward.")


async def _worker(store: SupabaseStore) -> Check:
    if alive := await store.worker_count():
        return ok("worker", f"{alive} alive.")
    fix = "STEPLINE_DB_URL=URL stepline worker, as the engine's role (docs/supabase.md), or n8n."
    return warn("worker", "None is alive: tasks wait for one.", fix)


async def _round_trip(store: SupabaseStore) -> Check:
    """Writes an empty conversation, waits until Realtime tells of it, and deletes it."""
    said = "it did not join"
    probe: int | None = None
    begun = time.perf_counter()
    try:
        async with asyncio.timeout(_LIVE) as limit, aclosing(store.hints()) as hints:
            async for item in hints:
                if isinstance(item, Hint):
                    if (item.table, item.id) == (Table.CONVERSATIONS, probe):
                        took = (time.perf_counter() - begun) * 1000
                        return ok("realtime", f"A change comes back in {took:.0f} ms.")
                elif item.state is LinkState.LIVE and probe is None:
                    said = "it says it is live, but delivers nothing"
                    limit.reschedule(asyncio.get_running_loop().time() + _LIVE)
                    begun = time.perf_counter()
                    probe = await store.probe()
                elif item.state is not LinkState.LIVE:
                    said = item.detail
    except TimeoutError:
        pass
    finally:
        if probe is not None:
            with suppress(SteplineError):
                await store.conversation_delete(probe)
    sentence = f"No change came back within {_LIVE:.0f} s ({clean_line(said).rstrip('.')})"
    return fail("realtime", f"{sentence}; changes are seen seconds late.", _REALTIME)
