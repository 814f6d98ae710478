"""The linear mode on a real embedded PostgreSQL, with a model server on the loopback."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import load_settings
from tests.support.command import Stepline, isolated
from tests.support.model_process import ModelProcess, model_process
from tui.drafts import Drafts, drafts_of


@pytest.fixture(scope="module")
def model() -> Iterator[ModelProcess]:
    """A model server that obeys words in the message."""
    with model_process() as model:
        yield model


@pytest.fixture
def stepline(model: ModelProcess) -> Iterator[Stepline]:
    """The command with an empty home of its own."""
    home = Path(tempfile.mkdtemp(prefix="sllin", dir="/tmp"))
    command = isolated(home, STEPLINE_LLM_BASE_URL=model.url, STEPLINE_LLM_MODEL="test/model-1")
    yield command
    command.end_worker()
    shutil.rmtree(home)


@pytest.fixture
def drafts(stepline: Stepline) -> Drafts:
    """What both the full screen and the linear mode keep there."""
    settings = load_settings(env={**stepline.env, "XDG_CONFIG_HOME": "/nonexistent"})
    return drafts_of(settings, None)
