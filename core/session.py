"""Everything one process needs to work with tasks and conversations, behind one door."""

import asyncio
import os
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from getpass import getuser
from uuid import NAMESPACE_URL, UUID, uuid5

from core.chat import ChatService
from core.engine.base import Engine
from core.errors import ConfigError
from core.feed import Feed
from core.settings import Settings
from core.store.base import Store
from core.tasks import TaskService
from core.workflows import Registry, load_workflows

_LOCAL_USER = "local user"
"""The one user of an embedded database; the same whatever the system calls them."""


class Session:
    """Settings, workflows, store, engine, feed and services. Made by `Session.open`, ended by
    `close`."""

    def __init__(
        self,
        settings: Settings,
        workflows: Registry,
        store: Store,
        feed: Feed,
        engine: Engine,
        resources: AsyncExitStack,
    ) -> None:
        self.settings = settings
        self.workflows = workflows
        self.store = store
        self.feed = feed
        self.engine = engine
        self.tasks = TaskService(store, feed, workflows, engine)
        self.chat = ChatService(store, feed, workflows, engine)
        self._resources = resources

    @classmethod
    async def open(cls, settings: Settings, *, live: bool = True, worker: bool = True) -> "Session":
        """Starts or reaches the database, brings an embedded one's schema up to date, connects.

        `live` starts the feed. `worker` sees to it that, with the embedded database and the local
        engine, a worker process runs for as long as it is needed. Raises SteplineError; then
        nothing is left open that this call opened.
        """
        ids = settings.n8n.workflow_ids
        workflows = load_workflows(settings.workflows_file, {**ids, **os.environ})
        async with AsyncExitStack() as stack:
            store = await _open_store(settings, stack)
            feed = Feed(store)
            engine = _engine(settings, store, feed, workflows, worker=worker)
            stack.push_async_callback(engine.close)
            await engine.start(feed.note)
            session = cls(settings, workflows, store, feed, engine, stack.pop_all())
        if live:
            await session.feed.start()
        return session

    async def close(self) -> None:
        """Gives everything back; running tasks go on in their worker. Safe to call twice."""
        await self.feed.stop()
        await self._resources.aclose()

    def now(self) -> datetime:
        """The time by the database's clock."""
        return datetime.now(UTC) + timedelta(seconds=self.store.clock_offset)


def user_of(settings: Settings) -> tuple[UUID, str]:
    """Whom a session acts as, and the address it is entered under in `auth.users`."""
    if settings.user is None and settings.store == "embedded":
        name = _LOCAL_USER
    else:
        name = settings.user or getuser()
    try:
        return UUID(name), f"{name}@localhost"
    except ValueError:
        email = name if "@" in name else f"{name.replace(' ', '.')}@localhost"
        return uuid5(NAMESPACE_URL, f"stepline:user:{name}"), email


def _engine(
    settings: Settings, store: Store, feed: Feed, workflows: Registry, *, worker: bool
) -> Engine:
    from core.engine.local.engine import LocalEngine

    return LocalEngine(settings, worker=worker and settings.store == "embedded")


async def _open_store(settings: Settings, stack: AsyncExitStack) -> Store:
    # Their drivers take longer to import than the first paint may wait.
    if settings.store == "supabase":
        from core.auth.account import Account
        from core.store.supabase import SupabaseStore

        store: Store = SupabaseStore(Account(settings))
        stack.push_async_callback(store.close)
        await store.open()
        return store

    from core.store.postgres import PostgresStore

    user_id, email = user_of(settings)
    if settings.store == "embedded":
        from core.store.embedded import EmbeddedServer
        from core.store.upgrade import upgrade

        server = EmbeddedServer(settings.data_dir)
        conninfo = await asyncio.to_thread(server.start)
        stack.push_async_callback(asyncio.to_thread, server.release)
        await asyncio.to_thread(upgrade, conninfo)

        async def revive() -> None:
            await asyncio.to_thread(server.ensure_running)

        store = PostgresStore(conninfo, user_id=user_id, email=email, revive=revive)
    elif settings.database_url is None:
        raise ConfigError("There is no database URL: set STEPLINE_DB_URL or database_url.")
    else:
        url = settings.database_url.get_secret_value()
        store = PostgresStore(url, user_id=user_id, email=email)
    await store.open()
    stack.push_async_callback(store.close)
    return store
