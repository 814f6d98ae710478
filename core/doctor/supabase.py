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
from schema.runner import latest_version

_LIVE = 15.0
"""Seconds that Realtime may take to join, and again to tell of a change."""
_MIGRATE = "Run `stepline migrate --db-url URL`, or paste what `stepline migrate --print` prints."
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
    except SignInNeededError as error:
        yield fail("session", str(error), "stepline login")
    except SchemaError as error:
        yield fail("schema", str(error), _MIGRATE)
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
    def names(key: str) -> str:
        return ", ".join(found[key])

    if found["unsecured"] or found["open_to_anon"]:
        wide = names("unsecured") or names("open_to_anon")
        sentence = f"Not only its owner can see or change a row of: {wide}."
        yield fail(
            "row security", sentence, f"ALTER TABLE ... ENABLE ROW LEVEL SECURITY. {_MIGRATE}"
        )
    else:
        yield ok("row security", "On for every table; without a user the key opens nothing.")
    if found["unpublished"]:
        missing = names("unpublished")
        yield fail(
            "publication",
            f"Realtime does not hear of: {missing}.",
            f"ALTER PUBLICATION supabase_realtime ADD TABLE {missing};",
        )
    else:
        yield ok("publication", "Realtime hears of every table.")
    if found["full_identity"]:
        yield warn(
            "replica identity",
            f"Not the default for: {names('full_identity')}. Large rows reach Realtime's limit.",
            "ALTER TABLE ... REPLICA IDENTITY DEFAULT;",
        )
    if found["closed_to_workers"] or found["open_to_users"]:
        wrong = names("closed_to_workers") or names("open_to_users")
        sentence = f"Not just for the engine, as they should be: {wrong}."
        yield fail("engine's rights", sentence, _MIGRATE)
    elif not found["worker_logins"]:
        yield warn(
            "engine's rights",
            "No role of the engine's can log in: n8n needs one that is in stepline_worker.",
            "CREATE ROLE n8n LOGIN PASSWORD '...' IN ROLE stepline_worker; (docs/supabase.md)",
        )
    else:
        yield ok("engine's rights", "Only the engine's role moves a task forward.")


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
