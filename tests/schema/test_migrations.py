"""The runner and its ledger; fresh, repeated, interrupted, at once, on other people's databases."""

import itertools
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import uuid4

import psycopg
import pytest

from core.store.embedded import binaries
from core.store.postgres import PostgresStore
from schema import runner
from schema.runner import Migration, MigrationError, migrate, migrations, sql_text, status
from tests.schema.catalogue import catalogue
from tests.support.postgres_server import PostgresServer
from tests.support.supabase.platform import prepare_empty

_numbers = itertools.count()
Make = Callable[[], str]


def run(conninfo: str, *statements: str) -> list[tuple]:
    """The rows of the last statement."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def empty(postgres: PostgresServer) -> Iterator[Make]:
    """Makes databases with nothing in them."""
    names: list[str] = []

    def make() -> str:
        names.append(f"empty_{next(_numbers)}")
        run(postgres.conninfo(), f"CREATE DATABASE {names[-1]}")
        return postgres.conninfo(names[-1])

    yield make
    for name in names:
        run(postgres.conninfo(), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def cluster() -> Iterator[PostgresServer]:
    """A server that has never heard of us: not even the roles are there."""
    server = PostgresServer()
    server.start()
    yield server
    server.stop()


def test_the_second_run_finds_nothing_to_do(empty: Make) -> None:
    conninfo = empty()
    assert [entry.applied_at for entry in status(conninfo)] == [None] * len(migrations())
    assert migrate(conninfo) == list(migrations())
    before = catalogue(conninfo)
    assert all(before.values())
    assert migrate(conninfo) == []
    assert catalogue(conninfo) == before
    assert all(entry.applied_at for entry in status(conninfo))


def test_ten_at_once_on_a_new_server(cluster: PostgresServer) -> None:
    run(cluster.conninfo(), "CREATE DATABASE fresh")
    with ThreadPoolExecutor(10) as pool:
        applied = list(pool.map(migrate, [cluster.conninfo("fresh")] * 10))
    assert sorted(map(len, applied)) == [0] * 9 + [len(migrations())]
    assert len(run(cluster.conninfo("fresh"), "TABLE stepline.migrations")) == len(migrations())


def test_six_databases_of_a_new_server_at_once(cluster: PostgresServer) -> None:
    """The roles are the whole server's: everybody makes them at the same moment."""
    names = [f"fresh_{number}" for number in range(6)]
    for name in names:
        run(cluster.conninfo(), f"CREATE DATABASE {name}")
    with ThreadPoolExecutor(6) as pool:
        applied = list(pool.map(lambda name: migrate(cluster.conninfo(name)), names))
    assert applied == [list(migrations())] * 6


def paste(conninfo: str, text: str) -> subprocess.CompletedProcess[str]:
    """What becomes of a text in psql, which sends it statement by statement."""
    return subprocess.run(
        # The bundled one, whatever the server: not every PostgreSQL brings it.
        [binaries.bin_dir() / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", conninfo],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_sql_text_makes_the_same_database(empty: Make, postgres: PostgresServer) -> None:
    """Pasted once, pasted again, and sent as one query, as a dashboard does."""
    by_psql, at_once, by_runner = empty(), empty(), empty()
    migrate(by_runner)
    for _ in range(2):
        done = paste(by_psql, sql_text())
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        run(at_once, sql_text())
        assert catalogue(by_psql) == catalogue(at_once) == catalogue(by_runner)
    assert migrate(by_psql) == []


def test_sql_text_applies_what_is_missing(
    empty: Make, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    conninfo, by_runner = empty(), empty()
    migrate(by_runner)
    everything = migrations()
    monkeypatch.setattr(runner, "migrations", lambda: everything[:5])
    migrate(conninfo)
    monkeypatch.undo()
    done = paste(conninfo, sql_text())
    assert (done.returncode, done.stderr) == (0, "")
    assert catalogue(conninfo) == catalogue(by_runner)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("INSERT INTO stepline.migrations VALUES (9999, 'of tomorrow', 'x')", "at version 9999"),
        ("UPDATE stepline.migrations SET checksum = 'x' WHERE version = 2", "Migration 2 was"),
        ("DELETE FROM stepline.migrations WHERE version > 3", "already exists"),
    ],
)
def test_sql_text_leaves_alone_what_it_does_not_know(
    empty: Make, postgres: PostgresServer, change: str, said: str
) -> None:
    conninfo = empty()
    migrate(conninfo)
    run(conninfo, change)
    before = catalogue(conninfo)
    done = paste(conninfo, sql_text())
    assert done.returncode != 0
    assert said in done.stderr
    assert catalogue(conninfo) == before


def test_one_by_one_makes_the_same_database(empty: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    stepwise, at_once = empty(), empty()
    migrate(at_once)
    everything = migrations()
    for count in range(1, len(everything) + 1):
        monkeypatch.setattr(runner, "migrations", lambda count=count: everything[:count])
        assert migrate(stepwise) == [everything[count - 1]]
    assert catalogue(stepwise) == catalogue(at_once)


def test_an_edited_migration_is_refused(empty: Make) -> None:
    conninfo = empty()
    migrate(conninfo)
    run(conninfo, "UPDATE stepline.migrations SET checksum = 'other' WHERE version = 2")
    before = catalogue(conninfo)
    for use in (migrate, status):
        with pytest.raises(
            MigrationError,
            match=r"^Migration 0002 tables was changed after this database got it\. Restore the "
            r"file as it was and put the change into a new migration\.$",
        ):
            use(conninfo)
    assert catalogue(conninfo) == before


def test_a_newer_database_is_left_alone(empty: Make) -> None:
    conninfo = empty()
    migrate(conninfo)
    run(conninfo, "INSERT INTO stepline.migrations VALUES (9999, 'of tomorrow', 'x')")
    for use in (migrate, status):
        with pytest.raises(MigrationError, match=r"at version 9999, newer .*: update stepline\.$"):
            use(conninfo)


def test_a_migration_that_fails_leaves_nothing(
    empty: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    conninfo = empty()
    everything = migrations()
    bad = Migration(9000, "broken", "CREATE TABLE public.half (id int); SELECT 1 / 0;")
    never = Migration(9001, "never", "CREATE TABLE public.never (id int);")
    monkeypatch.setattr(runner, "migrations", lambda: (*everything, bad, never))
    for _ in range(2):
        with pytest.raises(
            MigrationError,
            match=r"^Migration 9000 broken failed and was rolled back: division by zero\.",
        ):
            migrate(conninfo)
    left = run(conninfo, "SELECT to_regclass('public.half'), to_regclass('public.never')")
    assert left == [(None, None)]
    assert [entry.version for entry in status(conninfo) if not entry.applied_at] == [9000, 9001]
    mended = Migration(9000, "broken", "CREATE TABLE public.half (id int);")
    monkeypatch.setattr(runner, "migrations", lambda: (*everything, mended, never))
    assert migrate(conninfo) == [mended, never]


def test_a_runner_killed_in_the_middle_leaves_nothing(
    empty: Make, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    conninfo = empty()
    suicide = Migration(
        9000,
        "killed",
        "CREATE TABLE public.half (id int); SELECT pg_terminate_backend(pg_backend_pid());",
    )
    everything = migrations()
    monkeypatch.setattr(runner, "migrations", lambda: (*everything, suicide))
    with pytest.raises(MigrationError, match="terminating connection"):
        migrate(conninfo)
    assert run(conninfo, "SELECT to_regclass('public.half')") == [(None,)]
    monkeypatch.setattr(runner, "migrations", lambda: everything)
    assert migrate(conninfo) == []


def _make_owner(server: PostgresServer, attributes: str) -> str:
    run(
        server.conninfo(),
        f"CREATE ROLE app LOGIN NOSUPERUSER {attributes}",
        "CREATE DATABASE app OWNER app",
    )
    return server.conninfo("app", "app")


async def test_an_owner_without_superpowers_can_migrate_and_use_it(
    cluster: PostgresServer,
) -> None:
    conninfo = _make_owner(cluster, "CREATEROLE")
    assert migrate(conninfo) == list(migrations())
    for role in ("anon", "authenticated", "service_role", "stepline_worker"):
        assert run(conninfo, f"SET ROLE {role}", "SELECT current_user") == [(role,)]
    store = PostgresStore(conninfo, user_id=uuid4(), email="app@example.org")
    await store.open()
    task = await store.task_create("email", {}, 180, None)
    await store.close()
    claimed = run(
        conninfo,
        "SET ROLE stepline_worker",
        f"SELECT status FROM task_claim({task.id}, 'e')",
    )
    assert claimed == [("processing",)]
    # A second database of the same owner finds the roles there.
    run(cluster.conninfo(), "CREATE DATABASE second OWNER app")
    assert migrate(cluster.conninfo("second", "app")) == list(migrations())


def test_who_may_not_make_roles_is_told(cluster: PostgresServer) -> None:
    conninfo = _make_owner(cluster, "NOCREATEROLE")
    with pytest.raises(MigrationError, match=r"0001 platform failed .*permission denied.*rights"):
        migrate(conninfo)
    assert run(conninfo, "SELECT to_regclass('public.async_tasks')") == [(None,)]


SUPABASE = """
CREATE ROLE anon NOLOGIN NOINHERIT;
CREATE ROLE authenticated NOLOGIN NOINHERIT;
CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;
CREATE ROLE supabase_auth_admin NOINHERIT CREATEROLE LOGIN;
CREATE ROLE app LOGIN NOSUPERUSER CREATEROLE BYPASSRLS;
GRANT anon, authenticated, service_role TO app;
CREATE DATABASE app OWNER app;
"""


def _supabase(server: PostgresServer) -> str:
    """A database with the parts that Supabase brings, and its owner, who is no superuser."""
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        for statement in SUPABASE.split(";\n"):
            if statement.strip():
                connection.execute(statement.encode())
    run(
        server.conninfo("app"),
        "GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role",
        "CREATE SCHEMA auth AUTHORIZATION supabase_auth_admin",
        "CREATE TABLE auth.users (instance_id uuid, id uuid PRIMARY KEY, email varchar(255))",
        "ALTER TABLE auth.users OWNER TO supabase_auth_admin",
        "ALTER TABLE auth.users ENABLE ROW LEVEL SECURITY",
        "CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT (nullif("
        "current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $$",
        "ALTER FUNCTION auth.uid() OWNER TO supabase_auth_admin",
        "GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role, app",
        "GRANT SELECT, INSERT, UPDATE, DELETE, REFERENCES, TRIGGER ON auth.users TO app",
        "ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA public"
        " GRANT ALL ON TABLES TO anon, authenticated, service_role",
        "ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA public"
        " GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role",
        "ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA public"
        " GRANT ALL ON SEQUENCES TO anon, authenticated, service_role",
        "CREATE PUBLICATION supabase_realtime",
        "ALTER PUBLICATION supabase_realtime OWNER TO app",
    )
    return server.conninfo("app", "app")


def test_what_supabase_brings_stays_as_it_is(cluster: PostgresServer) -> None:
    conninfo = _supabase(cluster)
    look = (
        "SELECT pg_get_functiondef('auth.uid()'::regprocedure),"
        " (SELECT array_agg(attname::text) FROM pg_attribute"
        "  WHERE attrelid = 'auth.users'::regclass AND attnum > 0),"
        " (SELECT nspacl::text FROM pg_namespace WHERE nspname = 'auth'),"
        " (SELECT array_agg(rolname || rolbypassrls || rolinherit ORDER BY rolname) FROM pg_roles"
        "  WHERE rolname IN ('anon', 'authenticated', 'service_role'))"
    )
    before = run(conninfo, look)
    assert migrate(conninfo) == list(migrations())
    assert run(conninfo, look) == before
    published = run(
        conninfo, "SELECT tablename FROM pg_publication_tables WHERE pubname = 'supabase_realtime'"
    )
    assert {name for (name,) in published} == {
        "async_tasks",
        "task_events",
        "chat_messages",
        "chat_conversations",
    }
    run(cluster.conninfo(), "CREATE DATABASE plain OWNER app")
    migrate(cluster.conninfo("plain", "app"))
    there, plain = catalogue(conninfo), catalogue(cluster.conninfo("plain", "app"))
    # Its default privileges open every new table and function to everybody: not ours.
    for part in ("relations", "columns", "functions", "policies", "triggers"):
        ours = [{row for row in parts[part] if "auth." not in row} for parts in (there, plain)]
        assert ours[0] == ours[1], part
    run(conninfo, "SET ROLE stepline_worker", "SELECT 1 FROM public.async_tasks")


@pytest.mark.parametrize("how", ["runner", "psql", "one query"])
def test_a_new_project_is_set_up_by_its_owner(cluster: PostgresServer, how: str) -> None:
    """`prepare_empty`: the stand-in's idea of a project, whose `postgres` is no superuser."""
    run(cluster.conninfo(), "CREATE DATABASE project")
    prepare_empty(cluster.conninfo("project"))
    conninfo = cluster.conninfo("project", "project_owner")
    for _ in range(2):
        if how == "runner":
            migrate(conninfo)
        elif how == "psql":
            done = paste(conninfo, sql_text())
            assert (done.returncode, done.stderr) == (0, "")
        else:
            run(conninfo, sql_text())
    assert migrate(conninfo) == []
    # The role of an n8n, made as docs/supabase.md says.
    run(conninfo, "CREATE ROLE n8n LOGIN PASSWORD 'secret' IN ROLE stepline_worker")
    run(cluster.conninfo("project"), "INSERT INTO auth.users (id) VALUES (gen_random_uuid())")
    user = run(conninfo, "SELECT id FROM auth.users")[0][0]
    [(health,)] = run(
        cluster.conninfo("project", "authenticator"),
        f"SELECT set_config('role', 'authenticated', false),"
        f" set_config('request.jwt.claims', '{{\"sub\": \"{user}\"}}', false)",
        "SELECT task_create('email', '{}')",
        "SELECT schema_health()",
    )
    assert {key: found for key, found in health.items() if found} == {"worker_logins": 1}
    claimed = run(cluster.conninfo("project", "n8n"), "SELECT status FROM task_claim(1, 'e')")
    assert claimed == [("processing",)]


def test_migrating_as_a_stranger_is_a_sentence(empty: Make, postgres: PostgresServer) -> None:
    conninfo = empty()
    migrate(conninfo)
    run(conninfo, "DROP ROLE IF EXISTS stranger", "CREATE ROLE stranger LOGIN")
    stranger = conninfo.replace("user=postgres", "user=stranger")
    for use in (migrate, status):
        with pytest.raises(MigrationError, match=r"permission denied"):
            use(stranger)


def test_a_database_in_use_is_not_held_up(empty: Make) -> None:
    """An up-to-date database is only looked at: no lock, so none to wait for."""
    conninfo = empty()
    migrate(conninfo)
    with psycopg.connect(conninfo) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("SELECT pg_advisory_xact_lock(%s)", (runner._LOCK,))
        assert pool.submit(partial(migrate, conninfo)).result(10) == []
