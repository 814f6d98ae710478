"""The database of the profile in use, for commands that need no session."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import ConfigError

if TYPE_CHECKING:
    from core.settings import Settings


@dataclass(frozen=True)
class Database:
    """How to connect (libpq), and what brings a bundled server back if it dies."""

    conninfo: str
    revive: Callable[[], Awaitable[None]] | None = None


@contextmanager
def database_of(settings: Settings) -> Generator[Database]:
    """The bundled server, held meanwhile, or the one that the settings name."""
    if settings.store != "embedded" and settings.database_url is not None:
        yield Database(settings.database_url.get_secret_value())
        return
    if settings.store == "supabase":
        raise ConfigError(
            "This needs the project's database itself, which signing in does not give: set "
            "STEPLINE_DB_URL, or use --db-url where there is one (docs/supabase.md)."
        )
    from core.store.embedded import EmbeddedServer

    server = EmbeddedServer(settings.data_dir)

    async def revive() -> None:
        await asyncio.to_thread(server.ensure_running)

    try:
        yield Database(server.start(), revive)
    finally:
        server.release()
