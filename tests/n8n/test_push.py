"""`stepline n8n` as a user runs it, against a real n8n that is its own."""

import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from schema.runner import migrate
from tests.support.command import Stepline, isolated
from tests.support.model_process import ModelProcess
from tests.support.n8n_server import OWNER, N8nServer, n8n_server, wait_until
from tests.support.postgres_server import PostgresServer

NAMES = ["stepline: failure", "stepline: chat", "stepline: sweep"]
CREDENTIALS = ["stepline database", "stepline webhook", "stepline model"]


@dataclass
class Place:
    """An n8n, a database in which the worker's role needs its password, and the command."""

    server: N8nServer
    conninfo: str
    stepline: Stepline
    home: Path

    def run(self, *arguments: str, code: int = 0) -> str:
        """What `stepline n8n ...` prints."""
        done = self.stepline.run("n8n", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def doctor(self) -> str:
        """What `stepline doctor` prints."""
        return " ".join(self.stepline.run("doctor").stdout.split())

    def refused(self, *arguments: str, code: int = 1, **env: str) -> str:
        """The sentence with which it fails."""
        done = self.stepline.having(**env).run("n8n", *(arguments or ("push",)))
        assert done.returncode == code, done.stdout + done.stderr
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        return done.stderr.strip().splitlines()[-1].removeprefix("stepline: ")

    def states(self) -> dict[str, str]:
        """`status` as name -> state."""
        done = self.stepline.run("n8n", "status", "--json")
        found = {each["name"]: each["state"] for each in json.loads(done.stdout)}
        same = set(found.values()) == {"unchanged"}
        assert done.returncode == (0 if same else 1)
        return found

    def workflow(self, name: str) -> dict[str, Any]:
        """A workflow as n8n has it."""
        found = self.server.api("GET", "/workflows?limit=100")["data"]
        return next(each for each in found if each["name"] == name)

    def change(self, workflow: dict[str, Any]) -> None:
        """Saves it, as somebody in the editor does."""
        body = {key: workflow[key] for key in ("name", "nodes", "connections", "settings")}
        self.server.api("PUT", f"/workflows/{workflow['id']}", body)

    def pushed_file(self) -> Path:
        return self.home / ".config/stepline/n8n-embedded.env"

    def empty(self) -> None:
        """Back to nothing."""
        for what in ("workflows", "credentials", "tags"):
            for each in self.server.api("GET", f"/{what}?limit=100")["data"]:
                if each.get("active"):
                    self.server.api("POST", f"/workflows/{each['id']}/deactivate")
                self.server.api("DELETE", f"/{what}/{each['id']}")
        self.pushed_file().unlink(missing_ok=True)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[N8nServer, str]]:
    """An n8n with nothing in it, and a database whose worker must give a password."""
    postgres = PostgresServer()
    postgres.start()
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE tasks")
    migrate(postgres.conninfo("tasks"))
    rules = postgres.dir / "data" / "pg_hba.conf"
    strict = "local all stepline_worker scram-sha-256\n"
    rules.write_text(strict + rules.read_text())
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute("SELECT pg_reload_conf()")
    try:
        with n8n_server(postgres) as n8n:
            yield n8n, postgres.conninfo("tasks")
    finally:
        postgres.stop()


@pytest.fixture
def place(server: tuple[N8nServer, str], model: ModelProcess, tmp_path: Path) -> Iterator[Place]:
    n8n, conninfo = server
    command = isolated(
        tmp_path,
        STEPLINE_DB_URL=conninfo,
        STEPLINE_USER="tester",
        STEPLINE_LLM_BASE_URL=model.url,
        STEPLINE_LLM_MODEL="test/model-1",
        STEPLINE_LLM_API_KEY="sk-test",
        N8N_BASE_URL=n8n.base_url,
        N8N_API_KEY=n8n.api_key,
    )
    place = Place(n8n, conninfo, command, tmp_path)
    yield place
    place.empty()


def plain(place: Place) -> Stepline:
    """The command without a word of n8n in its environment."""
    env = {key: each for key, each in place.stepline.env.items() if not key.startswith("N8N_")}
    return replace(place.stepline, env=env)


def key_for(server: N8nServer, *scopes: str) -> str:
    """An API key that may do only this."""
    headers = {"browser-id": "tests"}
    with httpx.Client(base_url=f"{server.base_url}/rest", headers=headers, trust_env=False) as rest:
        login = {"emailOrLdapLoginId": OWNER["email"], "password": OWNER["password"]}
        rest.post("/login", json=login)
        asked = {"label": "-".join(scopes), "expiresAt": None, "scopes": scopes}
        made: str = rest.post("/api-keys", json=asked).json()["data"]["rawApiKey"]
        return made


def test_push_and_then_a_chat_and_then_nothing_of_it(place: Place):
    assert set(place.states().values()) == {"missing"}
    lines = [line.split(maxsplit=2) for line in place.run("push").splitlines()]
    assert [line[0] for line in lines] == ["created"] * 6
    assert [line[2] for line in lines] == CREDENTIALS + NAMES
    assert stat.S_IMODE(place.pushed_file().stat().st_mode) == 0o600

    chat = place.workflow("stepline: chat")
    assert chat["active"]
    assert [tag["name"] for tag in chat["tags"]] == ["stepline"]
    assert chat["settings"]["executionTimeout"] == 180
    assert chat["settings"]["errorWorkflow"] == place.workflow("stepline: failure")["id"]
    sweep = next(
        node for node in place.workflow("stepline: sweep")["nodes"] if node["name"] == "Workflows"
    )
    [known] = sweep["parameters"]["assignments"]["assignments"]
    assert json.loads(known["value"]) == {"chat": chat["id"]}

    # Plain stepline uses it: it knows of n8n from the file alone.
    done = plain(place).run("send", "hello")
    assert done.returncode == 0, done.stderr
    with psycopg.connect(place.conninfo) as connection:
        row = connection.execute(
            "SELECT status, n8n_execution_id ~ '^[0-9]+$', workflow_id FROM async_tasks"
            " ORDER BY id DESC LIMIT 1"
        ).fetchone()
    assert row == ("completed", True, chat["id"])

    assert place.run("remove", "--yes").count("deleted") == 6
    for what in ("workflows", "credentials", "tags"):
        assert place.server.api("GET", f"/{what}")["data"] == []
    assert not place.pushed_file().exists()
    assert "engine = local" in plain(place).run("config", "show").stdout


def test_a_second_push_writes_nothing(place: Place):
    place.run("push")
    before = place.server.api("GET", "/workflows"), place.server.api("GET", "/credentials")
    assert {line.split()[0] for line in place.run("push").splitlines()} == {"unchanged"}
    assert before == (
        place.server.api("GET", "/workflows"),
        place.server.api("GET", "/credentials"),
    )
    assert set(place.states().values()) == {"unchanged"}


def test_what_was_changed_by_hand_is_shown_and_put_back(place: Place):
    place.run("push")
    chat = place.workflow("stepline: chat")
    settings = next(node for node in chat["nodes"] if node["name"] == "Settings")
    settings["position"] = [7, 7]
    place.change(chat)
    assert place.states()["stepline: chat"] == "unchanged"  # a box was moved, no more
    model = settings["parameters"]["assignments"]["assignments"][1]
    model["value"] = "somebody/else"
    place.change(chat)
    assert place.states()["stepline: chat"] == "changed"
    diff = place.run("status", "--diff", code=1)
    assert '-              "value": "somebody/else"' in diff
    assert '+              "value": "test/model-1"' in diff
    assert "\x1b" not in diff
    place.run("push")
    assert set(place.states().values()) == {"unchanged"}
    assert place.workflow("stepline: chat")["id"] == chat["id"]


def test_switched_off_archived_deleted_and_left_over(place: Place):
    place.run("push")
    chat = place.workflow("stepline: chat")
    place.server.api("POST", f"/workflows/{chat['id']}/deactivate")
    assert place.states()["stepline: chat"] == "inactive"
    assert "activated  workflow    stepline: chat" in place.run("push")
    place.server.api("POST", f"/workflows/{chat['id']}/archive")
    assert place.states()["stepline: chat"] == "changed"
    assert "updated    workflow    stepline: chat" in place.run("push")
    failure = place.workflow("stepline: failure")["id"]
    place.server.api("POST", f"/workflows/{failure}/deactivate")
    place.server.api("DELETE", f"/workflows/{failure}")
    assert place.states()["stepline: failure"] == "missing"
    place.run("push")

    body = {"name": "stepline: email", "nodes": [], "connections": {}, "settings": {}}
    left = place.server.api("POST", "/workflows", body)["id"]
    [tag] = place.server.api("GET", "/tags")["data"]
    place.server.api("PUT", f"/workflows/{left}/tags", [{"id": tag["id"]}])
    assert place.states()["stepline: email"] == "extra"
    assert "deleted    workflow    stepline: email" in place.run("push")
    assert set(place.states().values()) == {"unchanged"}


def test_what_is_not_ours_is_left_alone(place: Place):
    body = {"name": "stepline: chat", "nodes": [], "connections": {}, "settings": {}}
    foreign = place.server.api("POST", "/workflows", body)
    assert place.states()["stepline: chat"] == "foreign"
    said = place.refused("push", code=2)
    assert said.startswith('n8n has a workflow "stepline: chat" that stepline did not make: ')
    assert place.server.api("GET", "/credentials")["data"] == []
    renamed = {**body, "name": "mine"}
    place.server.api("PUT", f"/workflows/{foreign['id']}", renamed)
    place.run("push")
    # Even with our tag: then the tag stays too.
    [tag] = place.server.api("GET", "/tags")["data"]
    place.server.api("PUT", f"/workflows/{foreign['id']}/tags", [{"id": tag["id"]}])
    key = {"name": "X", "value": "y"}
    place.server.api(
        "POST", "/credentials", {"name": "mine", "type": "httpHeaderAuth", "data": key}
    )
    place.run("remove", "--yes")
    assert [each["name"] for each in place.server.api("GET", "/workflows")["data"]] == ["mine"]
    assert [each["name"] for each in place.server.api("GET", "/credentials")["data"]] == ["mine"]
    assert [each["name"] for each in place.server.api("GET", "/tags")["data"]] == ["stepline"]


def test_removing_wants_a_yes(place: Place):
    assert "--yes" in place.refused("remove", code=2)


def test_streaming_and_back(place: Place):
    place.run("push")
    shipped = (Path(__file__).parents[2] / "workflows.toml").read_text()
    own = place.home / ".config/stepline/workflows.toml"
    own.write_text(shipped.replace("[types.chat]\n", "[types.chat]\nstream = true\n"))
    assert "updated    workflow    stepline: chat (streaming)" in place.run("push")
    assert plain(place).run("send", "hello").returncode == 0
    own.unlink()
    place.pushed_file().unlink()
    # Nothing is noted: found by tag and name, and the other one is in the way of its webhook.
    assert "deleted    workflow    stepline: chat (streaming)" in place.run("push")
    assert set(place.states().values()) == {"unchanged"}


def test_a_workflow_of_the_users_own(place: Place):
    chat = json.loads((Path(__file__).parents[2] / "workflows" / "chat.json").read_text())
    own = place.home / ".config/stepline"
    (own / "workflows").mkdir(parents=True)
    (own / "workflows.toml").write_text((Path(__file__).parents[2] / "workflows.toml").read_text())
    chat["name"] = "an email campaign"
    (own / "workflows" / "email.json").write_text(json.dumps(chat))
    assert "created    workflow    an email campaign" in place.run("push")
    made = place.workflow("an email campaign")
    webhook = next(node for node in made["nodes"] if node["name"] == "Webhook")
    assert webhook["parameters"]["path"] == "email/send"
    assert made["settings"]["executionTimeout"] == 300
    # Once it is noted it is ours, whatever its name.
    (own / "workflows" / "email.json").unlink()
    assert place.states()["an email campaign"] == "extra"


def test_the_password_of_the_database(place: Place):
    def password() -> str:
        with psycopg.connect(place.conninfo) as connection:
            row = connection.execute(
                "SELECT rolpassword FROM pg_authid WHERE rolname = 'stepline_worker'"
            ).fetchone()
        return row[0] if row else ""

    place.run("push")
    first = password()
    # Pushing from another machine, where nothing is noted: the password works, so it stays.
    place.pushed_file().unlink()
    assert "updated    credential  stepline database" in place.run("push")
    assert password() == first
    place.run("push", "--new-password")
    second = password()
    assert second != first
    # Changed by somebody else: n8n cannot come in any more, and gets a new one.
    with psycopg.connect(place.conninfo, autocommit=True) as connection:
        connection.execute("ALTER ROLE stepline_worker PASSWORD 'another'")
        # The connections that n8n keeps are let in already.
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = 'stepline_worker'"
        )
    assert "updated    credential  stepline database" in place.run("push")
    assert password() not in (first, second)
    assert "unchanged  credential  stepline database" in place.run("push")


def test_the_doctor_looks_at_all_of_it(place: Place):
    place.run("push")
    told = place.doctor()
    assert "n8n answers at" in told
    assert "A workflow listens at webhook/chat/process and asks for the token." in told
    assert "Workflows and credentials are as `stepline n8n push` makes them." in told
    chat = place.workflow("stepline: chat")
    place.server.api("POST", f"/workflows/{chat['id']}/deactivate")
    wait_until(lambda: "No active workflow listens" in place.doctor())
    assert "stepline: chat (inactive)" in place.doctor()


def test_refusals(place: Place):
    other = "http://127.0.0.1:1"
    assert "does not accept the API key" in place.refused(N8N_API_KEY="wrong")
    narrow = key_for(place.server, "workflow:list", "credential:list")
    said = place.refused(N8N_API_KEY=narrow)
    assert said.startswith("The API key may not do everything it must; allow it credential:create,")
    assert "workflow:list" not in said
    assert "cannot be reached" in place.refused(N8N_BASE_URL=other, code=3)
    elsewhere = f"{place.server.base_url}/nowhere"
    assert "does not answer as n8n's API does" in place.refused(N8N_BASE_URL=elsewhere)
    assert "n8n's API needs a key" in place.refused(N8N_API_KEY="", code=2)
    assert "No n8n is set" in place.refused(N8N_BASE_URL="", code=2)


def test_a_database_that_n8n_cannot_reach(place: Place):
    secret = "hunter2-hunter2"
    url = f"postgresql://stepline_worker:{secret}@127.0.0.1:1/tasks"
    said = place.refused(N8N_DATABASE_URL=url)
    assert said.startswith("n8n cannot reach the database at 127.0.0.1:1: ")
    assert said.endswith("for a role with the rights of stepline_worker.")
    assert secret not in said
    assert not place.pushed_file().exists()
    place.run("push")
