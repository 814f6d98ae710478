"""A long history: its lists are right in every order and for every word, and read by index only.

What a statement does is seen in its plan; what a function does, in what the server counted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from core.models import NEWEST_FIRST, TaskColumn, TaskFilter, TaskOrder, TaskStatus
from core.store.asked import asked
from core.store.postgres import _SQL
from tests.schema.scenes import Row, one
from tests.support.database import Connection, Database
from tests.support.history import History, fill
from tests.support.postgres_server import PostgresServer

TASKS = 10_000
RARE = History(1, TASKS).rare
PART = "BRA5000FI"
LONG = {"async_tasks", "task_events", "chat_messages"}


@dataclass(frozen=True)
class Scene:
    """Somebody's long history, and a few tasks of somebody else."""

    database: Database
    owner: UUID
    history: History


@contextmanager
def clone(postgres: PostgresServer, template: str) -> Iterator[Database]:
    name = f"history_{uuid4().hex}"
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
        yield Database(postgres.conninfo(name))
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture(scope="module")
def scene(postgres: PostgresServer, template: str) -> Iterator[Scene]:
    with clone(postgres, template) as database:
        owner = database.add_user()
        history = fill(database, owner, TASKS)
        for user in (owner, database.add_user()):
            with database.user(user) as connection:
                connection.execute("SELECT task_create('email', '{}') FROM generate_series(1, 3)")
        yield Scene(database, owner, history)


# Plans


def nodes(plan: Row) -> Iterator[Row]:
    """A plan's nodes, from the top."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def seen(node: Row) -> float:
    """Rows that a node of a plan looked at."""
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Join Filter", 0)
    return (node["Actual Rows"] + removed) * node["Actual Loops"]


def ids(*wanted: int) -> dict[str, Any]:
    return {"ids": list(wanted)}


NEWEST = {"limit": 50, **asked(TaskFilter())}
PLANS: dict[str, tuple[dict[str, Any], int]] = {
    "running_tasks": ({}, 6),
    "fetch_tasks": (ids(*range(5_000, 5_100)), 100),
    "fetch_events": ({**ids(*range(5_000, 5_020)), "known": [0] * 20}, 200),
    "fetch_messages": (ids(*range(5_000, 5_100)), 100),
    "messages_newest": ({"conversation": 9, "before": 1 << 62, "limit": 50}, 60),
    "messages_after": ({"conversation": 9, "after": 0, "limit": 50}, 60),
    "changed_since": ({"since": timedelta(minutes=5), "user": "owner"}, 20),
    "tasks": (NEWEST, 50),
    "task_ids": ({**NEWEST, "sort": "id", "reverse": False}, 1),
}
"""Statement -> values, and how many rows it may look at in a long table."""
OF_OTHER_TABLES = {"clock", "worker_count", "conversation_rename", "conversation_archive"} | {
    "conversation_delete",
    "fetch_conversations",
    "conversations",
    "conversations_matching",
}
OF_ONE_TASK = {"task_create", "chat_send", "task_retry", "task_cancel", "task_expire"} | {
    "task_triggered"
}


def test_every_statement_of_the_store_has_its_entry() -> None:
    assert PLANS.keys() | OF_OTHER_TABLES | OF_ONE_TASK == _SQL.keys()


@pytest.mark.parametrize("name", PLANS)
def test_a_statement_reads_a_long_table_by_index_only(scene: Scene, name: str) -> None:
    given, most = PLANS[name]
    with scene.database.user(scene.owner) as user:
        values = dict(given)
        if name == "changed_since":
            now = one(user, "SELECT clock_timestamp() AS now")["now"]
            values = {"since": now - given["since"], "user": scene.owner}
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {_SQL[name]}"
        [[answer]] = [row.values() for row in user.execute(explain.encode(), values).fetchall()]
        for node in nodes(answer[0]["Plan"]):
            if node.get("Relation Name") in LONG:
                assert node["Node Type"] != "Seq Scan", node
                assert seen(node) <= most, node


# Work: what the server counted while a function ran.


@dataclass
class Work:
    """What was read of the long tables."""

    scans: int
    """Sequential scans."""
    entries: int
    """Index entries."""
    rows: int
    """Rows fetched through an index."""


COUNTED = """
SELECT (SELECT sum(seq_scan) FROM pg_stat_user_tables WHERE relname = ANY (%(long)s)) AS scans,
  (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = ANY (%(long)s)) AS entries,
  (SELECT sum(idx_tup_fetch) FROM pg_stat_user_tables WHERE relname = ANY (%(long)s)) AS rows
"""


def counted(connection: Connection) -> Work:
    connection.execute("SELECT pg_stat_force_next_flush()")
    row = connection.execute(COUNTED.encode(), {"long": [*LONG]}).fetchone()
    assert row is not None
    return Work(**{name: int(value) for name, value in row.items()})


def worked(connection: Connection, statement: str, values: Row) -> tuple[Any, Work]:
    """The one value of a statement, and what it cost."""
    before = counted(connection)
    [value] = connection.execute(statement.encode(), values).fetchone().values()  # type: ignore[union-attr]
    after = counted(connection)
    return value, Work(
        after.scans - before.scans, after.entries - before.entries, after.rows - before.rows
    )


@pytest.mark.parametrize(
    "call",
    [
        "changes_since(clock_timestamp() - interval '5 minutes')",
        "tasks_running()",
        "rows_fetch(ARRAY[5000, 5001], ARRAY[0, 0], ARRAY[5000], '{}')",
    ],
)
def test_what_is_asked_over_http_reads_a_long_table_by_index_only(scene: Scene, call: str) -> None:
    with scene.database.user(scene.owner) as user:
        # An API's connections are kept, and so are the plans made in them.
        for _ in range(7):
            _, work = worked(user, f"SELECT {call}", {})
            assert work.scans == 0
            assert work.rows <= 200


def listed(
    scene: Scene, order: TaskOrder = NEWEST_FIRST, limit: int | None = None, **wanted: Any
) -> tuple[list[int], Work]:
    """What the store would be told, and what it cost."""
    values = asked(TaskFilter(**wanted)) | {
        "sort": order.column.value,
        "reverse": order.reverse,
        "limit": limit,
    }
    with scene.database.user(scene.owner) as user:
        return worked(user, _SQL["task_ids"], values)


def test_the_counters_count(scene: Scene) -> None:
    with scene.database.owner() as owner:
        owner.execute("SET enable_indexscan = off; SET enable_indexonlyscan = off")
        owner.execute("SET enable_bitmapscan = off; SET max_parallel_workers_per_gather = 0")
        count, work = worked(owner, "SELECT count(*) FROM async_tasks WHERE id > %(n)s", {"n": 0})
        assert (count, work.scans) == (TASKS + 6, 1)
        owner.execute("RESET ALL")
        _, work = worked(owner, "SELECT max(revision) FROM async_tasks WHERE id < %(n)s", {"n": 99})
        assert work.scans == 0
        assert 98 <= work.entries < 110


@pytest.mark.parametrize("column", TaskColumn)
@pytest.mark.parametrize("reverse", [False, True])
def test_the_whole_list_in_any_order(scene: Scene, column: TaskColumn, reverse: bool) -> None:
    found, work = listed(scene, TaskOrder(column, reverse))
    assert len(found) == len(set(found)) == TASKS + 3
    assert work.scans == 0
    assert work.entries <= TASKS + 100


ALL = tuple(TaskStatus)
BAD = (TaskStatus.FAILED, TaskStatus.TIMEOUT, TaskStatus.CANCELLED)
FIRST: list[tuple[dict[str, Any], int, int]] = [
    ({}, 200, 200),
    ({"statuses": (TaskStatus.COMPLETED,)}, 200, 200),
    ({"statuses": (TaskStatus.FAILED,)}, 200, 200),
    ({"statuses": BAD}, 200, 600),
    ({"statuses": ALL}, 200, 1_200),
    ({"types": ("email",)}, 200, 1_200),
    ({"types": ("email", "chat"), "statuses": BAD}, 200, 1_200),
    ({"types": ("no_such_type",)}, 0, 0),
    ({"conversation_id": 9}, 100, 100),
    ({"conversation_id": 123_456}, 0, 0),
    ({"text": History.common}, 200, 3_000),
    ({"text": "done rows"}, 200, 3_000),
    ({"text": "e"}, 200, 3_000),
    ({"text": RARE}, 1, 2_100),
    ({"text": f"{RARE} office", "types": ("chat",)}, 0, 7_100),
    ({"text": History.absent}, 0, 2_100),
    ({"text": "zq"}, 0, 2_100),
]
"""Filter, how many of the first 200 there are, and how many index entries that may cost."""


@pytest.mark.parametrize(("wanted", "number", "most"), FIRST)
def test_the_first_of_a_list_cost_what_is_shown(
    scene: Scene, wanted: dict[str, Any], number: int, most: int
) -> None:
    found, work = listed(scene, limit=200, **wanted)
    assert len(found) == number
    assert found == sorted(found, reverse=True)
    assert work.scans == 0
    # The three open tasks are read with every search.
    assert work.entries <= most + 10
    assert work.rows <= most + 10


@pytest.mark.parametrize("text", [RARE, PART, "zebra0 office", History.absent, "zq", "€"])
def test_all_that_say_a_rare_word_cost_little(scene: Scene, text: str) -> None:
    found, work = listed(scene, text=text)
    assert found == ([scene.history.rare_task] if text.upper() in (RARE.upper(), PART) else [])
    assert work.scans == 0
    assert work.entries <= 20


def test_all_that_say_a_common_word(scene: Scene) -> None:
    found, work = listed(scene, text=History.common)
    assert found == [*range(TASKS, 0, -1)]
    assert work.scans == 0


def test_an_age_costs_what_is_that_young(scene: Scene) -> None:
    with scene.database.owner() as owner:
        since = one(owner, "SELECT created_at FROM async_tasks WHERE id = %s", TASKS - 99)
    for limit in (None, 200):
        found, work = listed(scene, limit=limit, since=since["created_at"], statuses=BAD)
        assert found == [n for n in range(TASKS, TASKS - 100, -1) if (n - 1) % 50 in (7, 19, 31)]
        assert work.scans == 0
        assert work.entries <= 1_000


def test_what_workers_ask_reads_by_index_only(scene: Scene) -> None:
    calls = {
        "authenticated": ["SELECT task_expire()"],
        "stepline_worker": [
            "SELECT count(*) FROM task_next('local:w', '{chat}')",
            "SELECT count(*) FROM chat_history(4000)",
            "SELECT count(*) FROM task_fail(execution => 'local:gone')",
            "SELECT count(*) FROM async_tasks t WHERE status = 'pending'"
            " AND (stepline.waits(t) OR stepline.deadline(t) < now())",
        ],
    }
    for role, statements in calls.items():
        with scene.database.acting(role, scene.owner) as connection:
            for statement in statements:
                _, work = worked(connection, statement, {})
                assert work.scans == 0, statement
                assert work.entries <= 300, statement
