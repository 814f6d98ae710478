"""The whole system at once: a terminal in a Supabase project, the chat on a real n8n, a model.

The program is the one a user starts, signed in and pushed by its own commands; only the project is
the stand-in.
"""

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.support.command import Stepline, isolated
from tests.support.database import Database
from tests.support.model_process import ModelProcess
from tests.support.n8n_server import N8nServer, n8n_server, wait_until
from tests.support.postgres_server import PostgresServer
from tests.support.supabase import Supabase
from tests.support.supabase.realtime import Realtime
from tests.terminals.driving import assert_no_error, leave, start

EMAIL, PASSWORD = "ada@example.org", "correct horse"
LIVE = "● live"
STEPS = [
    ("initializing", "Starting up"),
    ("preparing_request", "Preparing request"),
    ("calling_ai", "AI is thinking"),
    ("processing_response", "Processing response"),
    ("saving_response", "Saving response"),
]


@pytest.fixture
def empty_n8n(postgres: PostgresServer) -> Iterator[N8nServer]:
    """An empty one: what is in it comes from `stepline n8n push`."""
    with n8n_server(postgres) as server:
        yield server
        print(server.log_end())


@pytest.fixture
def project(database: Database) -> Iterator[Supabase]:
    """With one user."""
    project = Supabase(database.conninfo)
    project.start()
    project.auth.add_user(EMAIL, PASSWORD)
    yield project
    project.stop()


@pytest.fixture
def engine_url(database: Database) -> Iterator[str]:
    """The database for a login as docs/supabase.md has it made."""
    role, password = f"n8n_{secrets.token_hex(4)}", "a long one"
    with psycopg.connect(database.conninfo, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}' IN ROLE stepline_worker")
    yield make_conninfo(database.conninfo, user=role, password=password)
    with psycopg.connect(database.conninfo, autocommit=True) as owner:
        owner.execute(f"DROP ROLE {role}")


@pytest.fixture
def stepline(
    project: Supabase, empty_n8n: N8nServer, engine_url: str, model: ModelProcess, tmp_path: Path
) -> Stepline:
    """Nobody signed in, nothing pushed."""
    return isolated(
        tmp_path / "home",
        SUPABASE_URL=project.url,
        SUPABASE_ANON_KEY=project.anon_key,
        N8N_BASE_URL=empty_n8n.base_url,
        N8N_API_KEY=empty_n8n.api_key,
        N8N_DATABASE_URL=engine_url,
        STEPLINE_LLM_BASE_URL=model.url,
        STEPLINE_LLM_MODEL="test/model-1",
        STEPLINE_LLM_API_KEY="sk-test",
    )


def test_from_the_key_press_to_the_answer_and_back_again(
    stepline: Stepline, project: Supabase, database: Database, model: ModelProcess
) -> None:
    done = stepline.run("n8n", "push", timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    done = stepline.run("login", EMAIL, text=f"{PASSWORD}\n")
    assert done.returncode == 0, done.stderr
    realtime = Realtime.of(project.project)

    with start(stepline, size=(120, 40)) as terminal:
        terminal.wait_for(LIVE, 60)
        # One from beginning to end, with nothing in its way.
        terminal.type("hold:first say:The first answer")
        terminal.press("enter")
        terminal.wait_for(r"✓ Preparing request[\s\S]*[^✓·] AI is thinking", 60)
        model.open("first")
        terminal.wait_for(answer("first"), 60)
        assert _steps(database, 1) == [*(step for step, _ in STEPS), "completed"]

        # One whose sockets are cut under it, and whose answer comes while there is no project.
        terminal.type("hold:second say:The second answer")
        terminal.press("enter")
        terminal.wait_for(r"[^✓·] AI is thinking", 60)
        realtime.drop_sockets()
        terminal.wait_for("reconnecting|polling")
        terminal.wait_for(LIVE)
        project.pause()
        terminal.wait_for("offline|reconnecting|polling", 60)
        model.open("second")
        wait_until(lambda: _status(database, 2) == "completed")
        assert not re.search(answer("second"), terminal.text())
        project.resume()
        terminal.wait_for(answer("second"), 60)
        terminal.wait_for(LIVE, 60)
        # Every step of it, with its time, though none of the last ones was heard of live.
        terminal.press("esc")
        terminal.wait_for("i type")
        terminal.press("G", "enter")
        for _, title in STEPS:
            terminal.wait_for(f"✓ {title}")
        terminal.press("esc")
        terminal.wait_for("i type")
        leave(terminal)
    assert _steps(database, 2) == _steps(database, 1)

    with start(stepline, size=(120, 40)) as terminal:
        terminal.wait_for(f"{answer('first')}[\\s\\S]*{answer('second')}", 60)
        leave(terminal)
    assert_no_error(stepline)


def answer(which: str) -> str:
    """The answer at the beginning of its row; in the question it stands elsewhere."""
    return rf"\n +The {which} answer\b"


def _steps(database: Database, task_id: int) -> list[str]:
    """The steps that the workflow has written, in their order."""
    with database.owner() as owner:
        rows = owner.execute(
            "SELECT event_data ->> 'step' AS step FROM task_events"
            " WHERE task_id = %s AND event_type = 'step_update' ORDER BY id",
            (task_id,),
        ).fetchall()
    return [row["step"] for row in rows]


def _status(database: Database, task_id: int) -> str:
    with database.owner() as owner:
        row = owner.execute("SELECT status FROM async_tasks WHERE id = %s", (task_id,)).fetchone()
    assert row is not None
    return str(row["status"])
