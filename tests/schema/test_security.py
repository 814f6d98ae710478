"""Who may do what: every table and every function against every role, and the list is the
catalogue's own, so that nothing new comes without an entry here."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from uuid import UUID

import psycopg
import pytest

from tests.schema.scenes import EXECUTION, Row, attempt, make_task, one, rows, send, task_row
from tests.support.database import Connection, Database

DENIED = "42501"
ROLES = ("owner", "stranger", "nobody", "anon", "worker", "service_role")
"""`nobody` is `authenticated` without a user in its claims."""


@dataclass
class Scene:
    """One user's running chat task, finished and pending tasks, and a stranger."""

    database: Database
    owner: UUID
    stranger: UUID
    conversation: int
    message: int
    task: int
    pending: int

    def acting(self, who: str) -> AbstractContextManager[Connection]:
        match who:
            case "owner":
                return self.database.user(self.owner)
            case "stranger":
                return self.database.user(self.stranger)
            case "nobody":
                return self.database.acting("authenticated")
            case "worker":
                return self.database.worker()
            case _:
                return self.database.acting(who)


@pytest.fixture
def scene(database: Database) -> Scene:
    owner, stranger = database.add_user(), database.add_user()
    with database.user(owner) as user, database.worker() as worker:
        sent = send(user, text="top secret")
        worker.execute("SELECT task_claim(%s, %s)", (sent["task_id"], EXECUTION))
        worker.execute("SELECT worker_heartbeat('local:w')")
    return Scene(
        database,
        owner,
        stranger,
        sent["conversation_id"],
        sent["message_id"],
        sent["task_id"],
        make_task(database, "pending", owner=owner),
    )


# Tables. What a role gets from each: rows it sees or changes, or the SQLSTATE.

INSERTS = {
    "public.async_tasks": "(task_type, input_data, created_by) VALUES ('email', '{}', %(owner)s)",
    "public.task_events": "(task_id, event_type, event_data) VALUES (%(task)s, 'x', '{}')",
    "public.chat_conversations": "(user_id, title) VALUES (%(owner)s, 'x')",
    "public.chat_messages": "(conversation_id, role) VALUES (%(conversation)s, 'user')",
    "stepline.workers": "(id) VALUES ('local:x')",
    "stepline.migrations": "(version, name, checksum) VALUES (9999, 'x', 'x')",
    "auth.users": "(id) VALUES (gen_random_uuid())",
}
UPDATES = {
    "public.async_tasks": "status_message = 'changed'",
    "public.task_events": "event_type = 'changed'",
    "public.chat_conversations": "title = 'changed'",
    "public.chat_messages": "content = 'changed'",
    "stepline.workers": "info = '{}'",
    "stepline.migrations": "name = 'changed'",
    "auth.users": "email = 'changed'",
}
NO = dict.fromkeys(("select", "insert", "update", "delete"), DENIED)
READ = {**NO, "select": True}
NOTHING = {**NO, "select": False}
OF_WORKERS = {**NO, "select": True, "update": True}
ALL = dict.fromkeys(NO, True)
TABLES: dict[str, dict[str, dict[str, object]]] = {
    "public.async_tasks": {
        "owner": {**READ, "insert": True},
        "stranger": NOTHING,
        "nobody": NOTHING,
        "anon": NO,
        "worker": OF_WORKERS,
        "service_role": OF_WORKERS,
    },
    "public.task_events": {
        "owner": READ,
        "stranger": NOTHING,
        "nobody": NOTHING,
        "anon": NO,
        "worker": READ,
        "service_role": READ,
    },
    "public.chat_conversations": {
        "owner": ALL,
        "stranger": {**NOTHING, "update": False, "delete": False},
        "nobody": {**NOTHING, "update": False, "delete": False},
        "anon": NO,
        "worker": READ,
        "service_role": READ,
    },
    "public.chat_messages": {
        "owner": READ,
        "stranger": NOTHING,
        "nobody": NOTHING,
        "anon": NO,
        "worker": OF_WORKERS,
        "service_role": OF_WORKERS,
    },
    "stepline.workers": {
        "owner": NO,
        "stranger": NO,
        "nobody": NO,
        "anon": NO,
        "worker": ALL,
        "service_role": ALL,
    },
    "stepline.migrations": dict.fromkeys(ROLES, NO),
    "auth.users": dict.fromkeys(ROLES, NO),
}


def test_every_table_has_its_entry(database: Database) -> None:
    with database.owner() as connection:
        found = rows(
            connection,
            "SELECT relnamespace::regnamespace || '.' || relname AS name, relrowsecurity"
            " FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f')"
            " AND relnamespace::regnamespace::text IN ('public', 'stepline', 'auth')",
        )
    assert {row["name"] for row in found} == TABLES.keys() == INSERTS.keys() == UPDATES.keys()
    # The two others are the owner's alone: nobody else holds any right to them.
    bare = {row["name"] for row in found if not row["relrowsecurity"]}
    assert bare == {"stepline.migrations", "auth.users"}


def _outcome(connection: Connection, statement: str, values: Row) -> object:
    """The SQLSTATE, or whether any row was seen or changed; nothing stays changed."""
    try:
        with connection.transaction(force_rollback=True):
            return connection.execute(statement.encode(), values).rowcount > 0
    except psycopg.Error as error:
        return error.sqlstate


@pytest.mark.parametrize("table", TABLES)
def test_table(scene: Scene, table: str) -> None:
    values: Row = {
        "owner": scene.owner,
        "task": scene.task,
        "conversation": scene.conversation,
    }
    statements = {
        "select": f"SELECT * FROM {table}",
        "insert": f"INSERT INTO {table} {INSERTS[table]}",
        "update": f"UPDATE {table} SET {UPDATES[table]}",
        "delete": f"DELETE FROM {table}",
    }
    for who in ROLES:
        with scene.acting(who) as connection:
            assert {
                kind: _outcome(connection, statement, values)
                for kind, statement in statements.items()
            } == TABLES[table][who], who
            assert _outcome(connection, f"TRUNCATE {table} CASCADE", {}) == DENIED


@pytest.mark.parametrize("who", ["owner", "stranger", "nobody", "anon"])
def test_a_user_moves_no_task_and_writes_no_message(scene: Scene, who: str) -> None:
    with scene.database.owner() as look:
        columns = rows(
            look,
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name <> 'chat_conversations'",
        )
    with scene.acting(who) as connection:
        for row in columns:
            table, column = row["table_name"], row["column_name"]
            assert attempt(connection, f"UPDATE {table} SET {column} = {column}") == DENIED


def test_a_user_sets_no_column_that_is_the_databases(scene: Scene) -> None:
    with scene.acting("owner") as user:
        for column, value in {
            "id": "1",
            "output_data": "'{}'",
            "metadata": "'{}'",
            "current_step": "'x'",
            "revision": "7",
            "n8n_execution_id": "'x'",
            "processing_started_at": "now()",
            "created_at": "now()",
        }.items():
            statement = (
                f"INSERT INTO async_tasks (task_type, input_data, created_by, {column})"
                f" VALUES ('email', '{{}}', %s, {value})"
            )
            assert attempt(user, statement, scene.owner) == DENIED, column


def test_a_worker_writes_no_question(scene: Scene) -> None:
    """Answers are its work; what the user said is not."""
    with scene.acting("worker") as worker, scene.acting("owner") as user:
        worker.execute("UPDATE chat_messages SET content = 'changed'")
        found = rows(user, "SELECT role, content FROM chat_messages ORDER BY id")
        assert found == [
            {"role": "user", "content": "top secret"},
            {"role": "assistant", "content": "changed"},
        ]
        for column in ("id", "conversation_id", "role", "async_task_id", "created_at", "revision"):
            assert attempt(worker, f"UPDATE chat_messages SET {column} = {column}") == DENIED


def test_what_the_owner_sees_and_the_stranger_does_not(scene: Scene) -> None:
    for table in ("async_tasks", "task_events", "chat_conversations", "chat_messages"):
        with scene.acting("owner") as user, scene.database.owner() as look:
            seen = rows(user, f"SELECT * FROM {table} ORDER BY id")
            assert seen == rows(look, f"SELECT * FROM {table} ORDER BY id")
            assert seen
    with scene.acting("stranger") as stranger:
        mine = send(stranger)
        assert [row["id"] for row in rows(stranger, "SELECT * FROM async_tasks")] == [
            mine["task_id"]
        ]
        assert {row["task_id"] for row in rows(stranger, "SELECT * FROM task_events")} == {
            mine["task_id"]
        }
        assert len(rows(stranger, "SELECT * FROM chat_messages")) == 2
    with scene.acting("owner") as user:
        assert mine["task_id"] not in {
            row["id"] for row in rows(user, "SELECT id FROM async_tasks")
        }
    # A list is made by a function that row security does not bind.
    theirs = {scene.task, scene.pending, make_task(scene.database, "failed", owner=scene.owner)}
    for given in ("", "words => 'a'", "most => 9", "words => 'a', most => 9", "sort => 'elapsed'"):
        for who, ids in (("owner", theirs), ("stranger", {mine["task_id"]})):
            with scene.acting(who) as user:
                assert {*one(user, f"SELECT task_ids({given}) AS ids")["ids"]} == ids, (who, given)


# Functions: what calling each gives to each role. None: it is done.

ARGUMENTS = {
    "public.task_create(text,jsonb,integer,text)": "'email', '{}'",
    "public.chat_send(bigint,text,integer,uuid,text)": "%(conversation)s, 'hi'",
    "public.task_retry(bigint)": "%(failed)s",
    "public.task_cancel(bigint)": "%(pending)s",
    "public.task_expire()": "",
    "public.worker_count()": "",
    "public.stepline_schema_version()": "",
    "public.task_ids(text[],text[],timestamp with time zone,bigint,text,text,boolean,integer)": "",
    "public.task_claim(bigint,text)": "%(pending)s, 'e'",
    "public.task_next(text,text[])": "'local:w', '{email}'",
    "public.task_step(bigint,text,text,jsonb)": "%(task)s, 'x', 'x'",
    "public.chat_history(bigint)": "%(task)s",
    "public.chat_partial(bigint,text,text)": "%(task)s, 'x'",
    "public.task_complete(bigint,jsonb,text)": "%(task)s, '{}'",
    "public.chat_reply(bigint,text,text,jsonb)": "%(task)s, 'x', 'x', '{}'",
    "public.task_fail(bigint,jsonb,text)": "%(task)s, '{}'",
    "public.worker_heartbeat(text,jsonb)": "'local:x'",
    "public.worker_bye(text)": "'local:w'",
    "public.task_triggered(bigint,text,text)": "%(pending)s, 'sent', 'x'",
    "public.task_due(text[],integer)": "'{email}'",
    "public.rows_fetch(bigint[],bigint[],bigint[],bigint[])": "",
    "public.tasks_running()": "",
    "public.task_list(text[],text[],timestamp with time zone,bigint,text,integer)": "",
    "public.conversation_list(boolean,text,integer)": "",
    "public.changes_since(timestamp with time zone,integer)": "",
    "public.server_clock()": "",
    "public.schema_health()": "",
}
FOR_USERS = {
    "owner": None,
    "stranger": "SL003",
    "nobody": "SL003",
    "anon": DENIED,
    "worker": DENIED,
    "service_role": DENIED,
}
FOR_ANY_USER = {**FOR_USERS, "stranger": None, "nobody": None}
FOR_ALL = {**dict.fromkeys(ROLES), "anon": DENIED}
FOR_WORKERS = {**dict.fromkeys(ROLES, DENIED), "worker": None, "service_role": None}
FUNCTIONS: dict[str, dict[str, str | None]] = {
    **dict.fromkeys(ARGUMENTS, FOR_WORKERS),
    "public.task_create(text,jsonb,integer,text)": {**FOR_USERS, "stranger": None},
    "public.chat_send(bigint,text,integer,uuid,text)": FOR_USERS,
    "public.task_retry(bigint)": FOR_USERS,
    "public.task_cancel(bigint)": FOR_USERS,
    "public.task_ids(text[],text[],timestamp with time zone,bigint,text,text,boolean,integer)": {
        **FOR_USERS,
        "stranger": None,
    },
    "public.task_expire()": FOR_ALL,
    "public.worker_count()": FOR_ALL,
    "public.stepline_schema_version()": FOR_ALL,
    "public.task_triggered(bigint,text,text)": FOR_USERS,
    "public.rows_fetch(bigint[],bigint[],bigint[],bigint[])": FOR_ANY_USER,
    "public.tasks_running()": FOR_ANY_USER,
    "public.task_list(text[],text[],timestamp with time zone,bigint,text,integer)": {
        **FOR_USERS,
        "stranger": None,
    },
    "public.conversation_list(boolean,text,integer)": FOR_ANY_USER,
    "public.changes_since(timestamp with time zone,integer)": FOR_ANY_USER,
    "public.server_clock()": FOR_ANY_USER,
    "public.schema_health()": FOR_ANY_USER,
}
INTERNAL_FOR_WORKERS = {
    "stepline.deadline(public.async_tasks)",
    "stepline.waits(public.async_tasks)",
    "stepline.running_task(bigint)",
    "stepline.is_final(text)",
    "stepline.task_grams(uuid,text)",
}
"""What worker functions call, or an index of what they write; those run with their own rights."""


def _functions(database: Database) -> list[Row]:
    with database.owner() as connection:
        connection.execute("SET search_path = ''")
        return rows(
            connection,
            "SELECT p.oid::regprocedure::text AS name, p.proconfig, p.prosecdef"
            " FROM pg_catalog.pg_proc p"
            " WHERE p.pronamespace::regnamespace::text IN ('public', 'stepline', 'auth')",
        )


def test_every_function_has_its_entry(database: Database) -> None:
    public = {
        row["name"] for row in _functions(database) if not row["name"].startswith("stepline.")
    }
    assert public == FUNCTIONS.keys() | {"auth.uid()"}
    assert FUNCTIONS.keys() == ARGUMENTS.keys()


def test_every_function_has_a_fixed_search_path(database: Database) -> None:
    for row in _functions(database):
        assert row["proconfig"][0] == "search_path=pg_catalog, pg_temp", row["name"]


def test_nobody_calls_the_internal_functions(database: Database) -> None:
    internal = [row["name"] for row in _functions(database) if row["name"].startswith("stepline.")]
    assert len(internal) > len(INTERNAL_FOR_WORKERS)
    assert set(internal) >= INTERNAL_FOR_WORKERS
    with database.owner() as connection:
        for role in ("anon", "authenticated", "stepline_worker", "service_role"):
            allowed = {
                name
                for name in internal
                if one(
                    connection,
                    "SELECT has_function_privilege(%s, %s, 'EXECUTE') AS may",
                    role,
                    name,
                )["may"]
            }
            workers = role in ("stepline_worker", "service_role")
            assert allowed == (INTERNAL_FOR_WORKERS if workers else set()), role
            usage = one(
                connection, "SELECT has_schema_privilege(%s, 'stepline', 'USAGE') AS may", role
            )
            assert usage["may"] is workers


@pytest.mark.parametrize("function", ARGUMENTS)
def test_function(scene: Scene, function: str) -> None:
    values = {
        "conversation": scene.conversation,
        "task": scene.task,
        "pending": scene.pending,
        "failed": make_task(scene.database, "failed", owner=scene.owner),
    }
    name, _, _ = function.partition("(")
    statement = f"SELECT * FROM {name}({ARGUMENTS[function]})"
    for who in ROLES:
        with scene.acting(who) as connection:
            outcome = _outcome(connection, statement, values)
            refused = outcome if isinstance(outcome, str) else None
            assert refused == FUNCTIONS[function][who], who


def test_a_task_belongs_to_whoever_creates_it(scene: Scene) -> None:
    with scene.acting("stranger") as stranger:
        task = one(stranger, "SELECT * FROM task_create('email', '{}')")
        assert task["created_by"] == scene.stranger


def test_somebody_elses_row_is_like_none_at_all(scene: Scene) -> None:
    with scene.acting("stranger") as stranger:
        for call in ("task_cancel({})", "task_retry({})", "chat_send({}, 'x')"):
            sentences: list[str] = []
            row = scene.conversation if "chat" in call else scene.task
            for number in (row, 4711):
                with pytest.raises(psycopg.Error) as refused:
                    stranger.execute(f"SELECT {call.format(number)}".encode())
                sentences.append(
                    (refused.value.diag.message_primary or "").replace(str(number), "N")
                )
            assert sentences[0] == sentences[1]


# Hints


def _hear(listener: Connection) -> list[tuple[str, dict]]:
    return [
        (notice.channel, json.loads(notice.payload))
        for notice in listener.notifies(timeout=5, stop_after=1)
    ] + [(notice.channel, json.loads(notice.payload)) for notice in listener.notifies(timeout=0.2)]


def test_hints_say_which_row_and_never_what_is_in_it(scene: Scene) -> None:
    with scene.database.owner() as listener, scene.acting("owner") as user:
        for channel in (f"stepline_{scene.owner}", f"stepline_{scene.stranger}", "stepline_work"):
            listener.execute(f'LISTEN "{channel}"'.encode())
        with scene.acting("worker") as worker:
            worker.execute("SELECT chat_partial(%s, 'top secret')", (scene.task,))
            worker.execute('SELECT task_fail(%s, \'{"message": "secret"}\')', (scene.task,))
        one(user, "SELECT * FROM task_create('email', '{\"to\": \"secret\"}')")
        user.execute("UPDATE chat_conversations SET title = 'secret'")
        user.execute("DELETE FROM chat_conversations")
        heard = _hear(listener)
    channels = {channel for channel, _ in heard}
    assert channels == {f"stepline_{scene.owner}", "stepline_work"}
    for channel, payload in heard:
        if channel == "stepline_work":
            assert payload.keys() == {"id", "status"}
        else:
            assert payload.keys() == {"table", "id", "revision"}
            assert isinstance(payload["id"], int)
            assert isinstance(payload["revision"], int)
    assert {payload["table"] for channel, payload in heard if "table" in payload} == {
        "async_tasks",
        "chat_conversations",
        "chat_messages",
    }
    assert ("stepline_work", {"id": scene.task, "status": "failed"}) in heard


def test_row_security_holds_for_the_owner_of_a_leaked_id(scene: Scene) -> None:
    """Ids are guessable; that must not matter."""
    looks: list[Callable[[Connection], list[Row]]] = [
        lambda c: rows(c, "SELECT * FROM async_tasks WHERE id = %s", scene.task),
        lambda c: rows(c, "SELECT * FROM task_events WHERE task_id = %s", scene.task),
        lambda c: rows(c, "SELECT * FROM chat_messages WHERE id = %s", scene.message),
        lambda c: rows(c, "SELECT * FROM chat_conversations WHERE id = %s", scene.conversation),
    ]
    with scene.acting("stranger") as stranger, scene.acting("owner") as owner:
        assert [look(stranger) for look in looks] == [[]] * 4
        assert all(look(owner) for look in looks)
        assert task_row(owner, scene.task)["created_by"] == scene.owner


def test_a_users_own_types_do_not_reach_a_definers_function(database: Database) -> None:
    # Names of types are looked up in pg_temp first unless the path names it last.
    with database.user() as user:
        user.execute(
            "CREATE FUNCTION pg_temp.evil(text) RETURNS boolean LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'ran as %', current_user; END $$"
        )
        user.execute("CREATE DOMAIN pg_temp.text AS pg_catalog.text CHECK (pg_temp.evil(value))")
        user.execute("SELECT public.chat_send(NULL, 'hello')")
        assert user.execute("SELECT count(*) AS n FROM chat_messages").fetchone()["n"] == 2


def test_an_input_too_deep_to_be_read_is_refused(database: Database) -> None:
    deep = '{"a":' * 3000 + "1" + "}" * 3000
    with database.user() as user, pytest.raises(psycopg.Error) as refused:
        user.execute("SELECT task_create('email', %s)", (deep,))
    assert refused.value.sqlstate == "SL004"
