"""The real app on a real database, and a worker that is led by hand."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot

from core.changes import LinkState
from core.models import JsonObject
from core.settings import Settings
from tests.support.database import Database
from tests.tui.screen_app import NOW
from tui.app import SteplineApp


class MainApp(SteplineApp):
    """The app, closed with its session, and with eyes for tests."""

    def screen_text(self) -> str:
        """The screen as it is read."""
        lines = self.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in lines)

    def toasts(self) -> list[str]:
        """What the app told the user."""
        return [notification.message for notification in self._notifications]

    @property
    def connected(self) -> bool:
        """Whether the session is open, live, and the conversation on the screen."""
        opened = self.context.opened
        return (
            opened is not None
            and opened.feed.state.state is LinkState.LIVE
            and "live" in self.screen_text()
        )

    async def on_unmount(self) -> None:
        if self.context.opened is not None:
            await self.context.opened.close()


class Picture(MainApp):
    """The app at `NOW`, where time stands still."""

    def __init__(self, settings: Settings, conversation: int | None = None) -> None:
        super().__init__(settings, conversation)
        self.context.clock.freeze(NOW)


class HandWorker:
    """Does what a worker does, when the test says so."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _call(self, query: str, *values: Any) -> None:
        with self._database.worker() as connection:
            connection.execute(query, values)  # pyright: ignore

    def claim(self, task: int) -> None:
        """Takes a pending task."""
        self._call("SELECT task_claim(%s, 'hand')", task)

    def step(self, task: int, step: str, message: str = "Working...") -> None:
        """Moves a task to a step."""
        self._call("SELECT task_step(%s, %s, %s)", task, step, message)

    def partial(self, task: int, content: str, thinking: str | None = None) -> None:
        """The text so far."""
        self._call("SELECT chat_partial(%s, %s, %s)", task, content, thinking)

    def reply(
        self, task: int, content: str, thinking: str | None = None, **output_too: str
    ) -> None:
        """The whole answer."""
        from psycopg.types.json import Jsonb

        output: JsonObject = {
            "ai_response": content,
            "thinking": thinking,
            "tokens_used": 843,
            "model_used": "openai/gpt-4o",
            "response_time_seconds": 12.0,
            **output_too,
        }
        self._call("SELECT chat_reply(%s, %s, %s, %s)", task, content, thinking, Jsonb(output))

    def fail(self, task: int, message: str) -> None:
        """A task that went wrong."""
        from psycopg.types.json import Jsonb

        self._call("SELECT task_fail(%s, %s)", task, Jsonb({"message": message}))


async def until(pilot: Pilot[Any], true: Callable[[], bool], seconds: float = 10) -> None:
    """Waits until `true()`; fails with the screen's text if it never becomes so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, pilot.app.screen_text()  # pyright: ignore
        await pilot.pause(0.01)


Running = Callable[..., AbstractAsyncContextManager[tuple[MainApp, Pilot[None]]]]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pictures show the time of day: the same everywhere."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def hand(database: Database) -> HandWorker:
    """A worker that does what the test says."""
    return HandWorker(database)


@pytest.fixture
def running(settings: Settings) -> Running:
    """Runs the app, connected, in a terminal of the given size."""

    @asynccontextmanager
    async def run(
        size: tuple[int, int] = (120, 40),
        app: MainApp | None = None,
        *,
        wait: bool = True,
    ) -> AsyncIterator[tuple[MainApp, Pilot[None]]]:
        app = app or MainApp(settings)
        async with app.run_test(size=size) as pilot:
            if wait:
                await until(pilot, lambda: app.connected)
            yield app, pilot

    return run
