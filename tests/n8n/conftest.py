"""One real n8n for the run, with the exports in it, on a database that its tests share."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from core.settings import load_settings
from tests.n8n.publish import Publisher, node_of, set_field
from tests.n8n.scene import N8nScene
from tests.support.database import Database
from tests.support.model_process import ModelProcess, model_process
from tests.support.n8n_server import N8nServer, n8n_server
from tests.support.postgres_server import PostgresServer
from tests.support.programs import needs_n8n


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder want an n8n."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.n8n)


@pytest.fixture(scope="session", autouse=True)
def _n8n_is_there() -> None:
    needs_n8n()


@pytest.fixture(scope="session")
def n8n(postgres: PostgresServer) -> Iterator[N8nServer]:
    """An n8n with an owner and a key, nothing else in it."""
    with n8n_server(postgres) as server:
        yield server


@pytest.fixture(scope="session")
def n8n_database(postgres: PostgresServer, template: str) -> Iterator[Database]:
    """The tasks that n8n works on; it comes in as the worker's role."""
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE n8n_tasks TEMPLATE "{template}"')
        connection.execute("ALTER ROLE stepline_worker LOGIN PASSWORD 'worker-password'")
    yield Database(postgres.conninfo("n8n_tasks"))
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute("ALTER ROLE stepline_worker NOLOGIN")
        connection.execute("DROP DATABASE n8n_tasks WITH (FORCE)")


@pytest.fixture(scope="session")
def model() -> Iterator[ModelProcess]:
    """The model server that the workflows call."""
    with model_process() as process:
        yield process


@pytest.fixture(scope="session")
def published(n8n: N8nServer, n8n_database: Database, model: ModelProcess) -> Publisher:
    """The exports of the chat, in an n8n; the streaming one under a path of its own."""
    publisher = Publisher(n8n)
    publisher.database(n8n_database.conninfo, "worker-password")
    publisher.webhook()
    publisher.model(model.url)
    failure = publisher.workflow("failure")

    def settle(export: dict[str, object]) -> None:
        set_field(export, "Settings", "base_url", model.url)

    def settle_streaming(export: dict[str, object]) -> None:
        settle(export)
        node_of(export, "Webhook")["parameters"]["path"] = "chat/streaming"

    publisher.workflow("chat", settle, errorWorkflow=failure, executionTimeout=60)
    publisher.workflow(
        "chat-streaming", settle_streaming, errorWorkflow=failure, executionTimeout=60
    )
    publisher.wait_for_webhooks()
    return publisher


@pytest.fixture
def scene(
    published: Publisher, n8n_database: Database, model: ModelProcess, tmp_path: Path
) -> N8nScene:
    """A new user whose messages n8n answers."""
    settings = load_settings(
        data_dir=tmp_path / "data",
        overrides={"store": "postgres", "database_url": n8n_database.conninfo, "user": "tester"},
        env={"XDG_CONFIG_HOME": str(tmp_path / "config")},
    )
    return N8nScene(n8n_database, settings, published, model)


@pytest.fixture(autouse=True)
def log_of_n8n(request: pytest.FixtureRequest) -> Iterator[None]:
    """What n8n said stands in the report of a test that failed."""
    yield
    if "n8n" in request.fixturenames:
        server: N8nServer = request.getfixturevalue("n8n")
        print(server.log_end())
