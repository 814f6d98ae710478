"""A project of the stand-in, and a store that reads by PostgreSQL and hears by Realtime."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from uuid import UUID

import pytest

from core.changes import Hint, LinkChanged
from core.store.postgres import PostgresStore
from core.store.realtime import RealtimeHints
from tests.support.database import Database
from tests.support.supabase import Supabase
from tests.support.supabase.realtime import Realtime, Times


class HearingStore(PostgresStore):
    """The PostgreSQL store, but for its ears."""

    def __init__(self, database: Database, supabase: Supabase, user_id: UUID) -> None:
        super().__init__(database.conninfo, user_id=user_id, email=f"{user_id}@x.org")
        self._supabase = supabase
        self.ears = RealtimeHints(supabase.url, supabase.anon_key, self.token, user_id)
        self.tokens = 0
        self.heard: list[Hint | LinkChanged] = []
        self.suspected = 0
        self._more = asyncio.Event()

    async def news(self) -> None:
        """Returns when it has heard more."""
        self._more.clear()
        await self._more.wait()

    async def token(self) -> str:
        self.tokens += 1
        return self._supabase.auth.sign_in(self.user_id)[0]

    @property
    def hears_deletions(self) -> bool:
        return False

    def watch_conversation(self, conversation_id: int | None) -> None:
        self.ears.watch_conversation(conversation_id)

    def suspect(self) -> None:
        self.suspected += 1
        self.ears.suspect()

    async def hints(self) -> AsyncGenerator[Hint | LinkChanged]:
        async for item in self.ears.hints():
            self.heard.append(item)
            self._more.set()
            yield item


@contextmanager
def quick(database: Database) -> Iterator[Supabase]:
    """A project on a database, quicker than a real one where a test only waits."""
    project = Supabase(database.conninfo)
    Realtime.of(project.project).times = Times(cold=0.05, refuse=0.05, second=0.3, back=0.2)
    project.start()
    try:
        yield project
    finally:
        project.stop()


@pytest.fixture
def supabase(database: Database) -> Iterator[Supabase]:
    """A project on the test's database."""
    with quick(database) as project:
        yield project


@pytest.fixture
def realtime(supabase: Supabase) -> Realtime:
    """Its Realtime."""
    return Realtime.of(supabase.project)


OpenHearing = Callable[..., AbstractAsyncContextManager[HearingStore]]


@pytest.fixture
def hearing(database: Database, supabase: Supabase) -> OpenHearing:
    """A store of a new user, open."""

    @asynccontextmanager
    async def open_it() -> AsyncIterator[HearingStore]:
        store = HearingStore(database, supabase, database.add_user())
        await store.open()
        try:
            yield store
        finally:
            await store.close()

    return open_it
