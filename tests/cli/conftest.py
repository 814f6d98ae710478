"""The real command on a real embedded PostgreSQL and a model server on the loopback."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.store.embedded import EmbeddedServer
from tests.support.command import Stepline, isolated
from tests.support.model_process import ModelProcess, model_process


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Stepline]:
    """The command with an empty home; the database, if it needs one, is its own."""
    command = isolated(tmp_path / "home")
    yield command
    command.end_worker()


@pytest.fixture(scope="session")
def model() -> Iterator[ModelProcess]:
    """A model server that obeys words in the message."""
    with model_process() as model:
        yield model


@pytest.fixture(scope="session")
def stepline(model: ModelProcess) -> Iterator[Stepline]:
    """The command with a database that stays up for the whole run, and that model."""
    home = Path(tempfile.mkdtemp(prefix="slcli", dir="/tmp"))
    command = isolated(home, STEPLINE_LLM_BASE_URL=model.url, STEPLINE_LLM_MODEL="test/model-1")
    # Held here, or each command would start and stop the server.
    server = EmbeddedServer(Path(command.env["STEPLINE_DATA_DIR"]))
    server.start()
    yield command
    command.end_worker()
    server.release()
    shutil.rmtree(home)
