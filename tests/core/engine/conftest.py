"""A scene with a model server."""

from collections.abc import AsyncIterator

import pytest

from core.settings import Settings
from tests.core.engine.scene import Scene
from tests.support.database import Database
from tests.support.openai_server import OpenAiServer


@pytest.fixture
async def server() -> AsyncIterator[OpenAiServer]:
    """A model server without a script."""
    async with OpenAiServer() as server:
        yield server


@pytest.fixture
def scene(database: Database, settings: Settings, server: OpenAiServer) -> Scene:
    """A user whose messages the model server answers, once there is a worker."""
    return Scene(database, settings).asking(server.url)
