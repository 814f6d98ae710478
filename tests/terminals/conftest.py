"""The real command on the test's database, with a home of its own."""

from pathlib import Path

import pytest

from core.settings import Settings
from tests.support.command import Stepline, isolated
from tests.support.database import Database
from tests.terminals import scene
from tests.tui.conftest import HandWorker


@pytest.fixture
def stepline(database: Database, tmp_path: Path) -> Stepline:
    """The command as `tester`, whose tasks nobody works on."""
    return isolated(
        tmp_path / "home",
        STEPLINE_DB_URL=database.conninfo,
        STEPLINE_USER="tester",
        SHELL="/bin/sh",
    )


@pytest.fixture
def busy(database: Database, settings: Settings, stepline: Stepline) -> Stepline:
    """The same with a conversation, running and finished tasks."""
    scene.fill(database, settings)
    return stepline


@pytest.fixture
def hand(database: Database) -> HandWorker:
    """A worker that does what the test says."""
    return HandWorker(database)
