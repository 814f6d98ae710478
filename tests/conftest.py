"""Real PostgreSQL for every test that touches data: a template per run, a clone per test."""

import itertools
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from core.auth.account import Account
from core.session import Session
from core.settings import Settings, load_settings
from core.store.postgres import PostgresStore
from core.store.supabase import SupabaseStore
from schema.runner import migrate
from tests.support.database import Database
from tests.support.postgres_server import PostgresServer
from tests.support.supabase.target import Signed, Target, target_for

_numbers = itertools.count()

# What a test starts inherits what is ignored here, and a shell ignores both for what runs in its
# background or under nohup: then a test that sends one would wait for ever.
for _each, _usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_each) is signal.SIG_IGN:
        signal.signal(_each, _usual)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server for the whole run."""
    server = PostgresServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def mortal() -> Iterator[PostgresServer]:
    """A server of one's own with the schema, to be killed and started again; it is durable, so it
    forgets nothing that it has said is done."""
    server = PostgresServer()
    server.start()
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET synchronous_commit = on")
        connection.execute("SELECT pg_reload_conf()")
    migrate(server.conninfo())
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def template(postgres: PostgresServer) -> str:
    """The name of a database with the schema in it, to be cloned."""
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE template_stepline")
    migrate(postgres.conninfo("template_stepline"))
    return "template_stepline"


@pytest.fixture
def database(postgres: PostgresServer, template: str) -> Iterator[Database]:
    """A fresh database with the schema, for one test."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield Database(postgres.conninfo(name))
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    """Settings for a session on the test's database, untouched by this machine's own."""
    return load_settings(
        data_dir=tmp_path / "data",
        overrides={"store": "postgres", "database_url": database.conninfo, "user": "tester"},
        env={"XDG_CONFIG_HOME": str(tmp_path / "config")},
    )


@pytest.fixture
async def session(settings: Settings) -> AsyncIterator[Session]:
    """A live session on the test's database."""
    session = await Session.open(settings)
    await session.feed.live()
    yield session
    await session.close()


@pytest.fixture
async def open_store(
    database: Database,
) -> AsyncIterator[Callable[..., Awaitable[PostgresStore]]]:
    """Opens a store on the test's database, for a new user or the one given."""
    async with AsyncExitStack() as stack:

        async def open_it(user_id: UUID | None = None) -> PostgresStore:
            user_id = user_id or uuid4()
            store = PostgresStore(
                database.conninfo, user_id=user_id, email=f"{user_id}@example.org"
            )
            await store.open()
            stack.push_async_callback(store.close)
            return store

        yield open_it


@pytest.fixture
def target(database: Database) -> Iterator[Target]:
    """A Supabase project: a stand-in of the test's own, or the real one that is named."""
    with target_for(database) as target:
        yield target


@pytest.fixture
async def open_supabase(
    target: Target, tmp_path: Path
) -> AsyncIterator[Callable[..., Awaitable[SupabaseStore]]]:
    """Opens a store in the project, for a new user or the one given."""
    async with AsyncExitStack() as stack:

        async def open_it(user_id: UUID | None = None) -> SupabaseStore:
            return await opened(target.sign_in(user_id))

        async def opened(signed: Signed) -> SupabaseStore:
            settings = target.settings(tmp_path, signed)
            store = SupabaseStore(Account(settings))
            stack.push_async_callback(store.close)
            await store.open()
            return store

        yield open_it
