"""`task_ids` against the plain definition of what it gives, whatever tasks and words say."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from core.models import Task, TaskColumn
from tests.schema.scenes import STATES, attempt, one, rows
from tests.support.database import Connection, Database
from tests.support.postgres_server import PostgresServer

NOW = datetime.now(UTC)
ALPHABET = "abcABC  \n\t.-_%\\'\"&|!():*{}[],12ÄäßẞéÉЖжΣσςÅ漢字🎉İı"
TYPES = ("chat", "email", "data_import")
RANKS = ["processing", "pending", "failed", "timeout", "cancelled", "completed"]
PLAIN = """
SELECT * FROM async_tasks WHERE created_by = %(owner)s
  AND (%(statuses)s::text[] IS NULL OR status = ANY (%(statuses)s))
  AND (%(types)s::text[] IS NULL OR task_type = ANY (%(types)s))
  AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
  AND (%(conversation)s::bigint IS NULL OR task_type = 'chat'
    AND input_data ->> 'conversation_id' = %(conversation)s::text)
  AND NOT EXISTS (SELECT FROM unnest(%(patterns)s::text[]) p WHERE NOT coalesce(
    status_message ILIKE p OR task_type ILIKE p OR current_step ILIKE p
    OR input_data::text ILIKE p, false))
"""


@contextmanager
def filled(postgres: PostgresServer, template: str) -> Iterator[tuple[Connection, UUID]]:
    """Six hundred tasks of two users, in every state, that say anything at all."""
    name = f"search_{uuid4().hex}"
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
    database = Database(postgres.conninfo(name))
    owner, other = database.add_user(), database.add_user()
    dice = random.Random(7)

    def text(longest: int) -> str:
        return "".join(dice.choices(ALPHABET, k=dice.randrange(longest)))

    with database.owner() as connection:
        connection.execute("SET session_replication_role = replica")
        for number in range(1, 601):
            at = NOW - timedelta(minutes=dice.randrange(600))
            started = None if dice.random() < 0.2 else at + timedelta(seconds=1)
            status = dice.choice(STATES)
            ended = started and at + timedelta(seconds=dice.randrange(90))
            given_: dict[str, Any] = {text(5): text(40)}
            if dice.random() < 0.3:
                given_["conversation_id"] = dice.randrange(5)
            if number % 40 == 0:
                given_["body"] = text(9) + "x" * 12_000 + f"tail{number}"
            connection.execute(
                "INSERT INTO async_tasks (id, task_type, input_data, status, current_step,"
                " status_message, created_by, created_at, processing_started_at,"
                " processing_completed_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    number,
                    dice.choice(TYPES),
                    Jsonb(given_),
                    status,
                    dice.choice((None, text(20))),
                    dice.choice((None, text(60))),
                    dice.choice((owner, owner, other)),
                    at,
                    started,
                    ended if status in STATES[2:] else None,
                ),
            )
        connection.execute("ANALYZE")
    with database.user(owner) as connection:
        yield connection, owner
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture(scope="module")
def scene(postgres: PostgresServer, template: str) -> Iterator[tuple[Connection, UUID]]:
    with filled(postgres, template) as made:
        yield made


def plain(connection: Connection, owner: UUID, asked: dict[str, Any]) -> list[int]:
    """What the list should be, by definition."""
    patterns = [
        "%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        for word in asked["words"].split(" ")
        if word
    ]
    values = {**asked, "owner": owner, "patterns": patterns}
    tasks = [
        Task.model_validate(row) for row in connection.execute(PLAIN.encode(), values).fetchall()
    ]
    now = one(connection, "SELECT clock_timestamp() AS now")["now"]
    sign = -1 if asked["reverse"] else 1
    keys = {
        TaskColumn.ID: lambda task: (-sign * task.id,),
        TaskColumn.TYPE: lambda task: (
            sign * sorted(TYPES).index(task.task_type),
            -task.id,
        ),
        TaskColumn.STATUS: lambda task: (sign * RANKS.index(task.status.value), -task.id),
        TaskColumn.ELAPSED: lambda task: (-sign * task.elapsed(now), -task.id),
    }
    tasks.sort(key=keys[TaskColumn(asked["sort"])])
    return [task.id for task in tasks][: asked["most"]]


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


ASKED = st.fixed_dictionaries(
    {
        "statuses": optional(st.lists(st.sampled_from(STATES), max_size=3)),
        "types": optional(st.lists(st.sampled_from((*TYPES, "none")), max_size=3)),
        "since": optional(st.integers(0, 700).map(lambda ago: NOW - timedelta(minutes=ago))),
        "conversation": optional(st.integers(0, 6)),
        "words": st.just(""),
        "sort": st.sampled_from([column.value for column in TaskColumn]),
        "reverse": st.booleans(),
        "most": optional(st.sampled_from([1, 7, 50, 1000])),
    }
)
SAID = "".join(dict.fromkeys(ALPHABET.replace("\n", "").replace("\t", "")))
WORDS = st.text(SAID, min_size=1, max_size=4) | st.sampled_from(
    ["x" * 50, "TAIL4", "tail80", '"body"', '": "', "conversation_id", "chat", "IMPORT", "\\\\"]
)
CALL = (
    "SELECT task_ids(statuses => %(statuses)s, types => %(types)s, since => %(since)s,"
    " conversation => %(conversation)s, words => %(words)s, sort => %(sort)s,"
    " reverse => %(reverse)s, most => %(most)s) AS ids"
)
many = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@many
@given(asked=ASKED)
def test_every_filter_in_every_order(scene: tuple[Connection, UUID], asked: dict[str, Any]) -> None:
    connection, owner = scene
    found = connection.execute(CALL.encode(), asked).fetchone()
    assert found == {"ids": plain(connection, owner, asked)}


@many
@given(asked=ASKED, words=st.lists(WORDS, min_size=1, max_size=3))
@example(asked={"statuses": None, "types": None, "since": None, "conversation": None, "words": "",
                "sort": "id", "reverse": False, "most": None}, words=["x" * 900])  # fmt: skip
def test_every_word_in_every_text(
    scene: tuple[Connection, UUID], asked: dict[str, Any], words: list[str]
) -> None:
    connection, owner = scene
    asked = {**asked, "words": " ".join(words)}
    found = connection.execute(CALL.encode(), asked).fetchone()
    assert found == {"ids": plain(connection, owner, asked)}


def test_the_words_of_every_text_are_found_in_it(scene: tuple[Connection, UUID]) -> None:
    connection, owner = scene
    hits = 0
    dice = random.Random(8)
    blank = {"statuses": None, "types": None, "since": None, "conversation": None, "sort": "id"}
    for row in rows(connection, "SELECT * FROM async_tasks ORDER BY id"):
        text = dice.choice((row["status_message"] or "", row["current_step"] or ""))
        if not (words := text.split()):
            continue
        word = dice.choice(words)
        start = dice.randrange(len(word))
        part = word[start : start + dice.randrange(1, 9)]
        part = part if len(part.upper()) != len(part) else dice.choice((part, part.swapcase()))
        asked = {**blank, "words": part, "reverse": False, "most": None}
        ids = connection.execute(CALL.encode(), asked).fetchone()
        assert ids == {"ids": plain(connection, owner, asked)}, part
        hits += row["id"] in ids["ids"]
    assert hits > 150


# Bad questions


@pytest.mark.parametrize(
    "asked",
    [
        "sort => 'id; DROP TABLE async_tasks'",
        "sort => 'created_at'",
        "most => 0",
        "words => repeat('x', 1001)",
        "statuses => array_fill('failed'::text, ARRAY[101])",
        "types => array_fill('chat'::text, ARRAY[101])",
    ],
)
def test_a_bad_question_is_refused(database: Database, asked: str) -> None:
    with database.user() as user:
        assert attempt(user, f"SELECT task_ids({asked})") == "SL004"


def test_hostile_words_are_only_words(database: Database) -> None:
    words = [
        "'",
        "''",
        "\\",
        "a'b\\",
        "%",
        "_",
        "' | '",
        "& !x",
        ":*",
        "$1",
        "[}",
        '"',
        "(",
        " long",
    ]
    with database.user() as user, database.worker() as worker:
        task = one(user, "SELECT id FROM task_create('email', %s)", json.dumps({"to": words}))["id"]
        other = one(user, "SELECT id FROM task_create('x', '{}')")["id"]
        for ended in (False, True):
            if ended:
                for each in (task, other):
                    worker.execute("SELECT task_claim(%s, 'e')", (each,))
                    worker.execute("SELECT task_complete(%s, '{}', 'm')", (each,))
            for word in words:
                text = json.dumps(word)[1:-1]
                for most in (None, 1, 9):
                    found = one(user, "SELECT task_ids(words => %s, most => %s) ids", text, most)
                    assert task in found["ids"], (word, ended, most)
        assert other not in one(user, "SELECT task_ids(words => %s) AS ids", "' | '")["ids"]
        assert rows(user, "SELECT unnest(task_ids(words => E' \\t\\n')) AS id ORDER BY 1") == [
            {"id": task},
            {"id": other},
        ]
