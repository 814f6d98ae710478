"""A session: one door to everything, and nothing left open behind it."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from core.changes import LinkState
from core.errors import ConfigError, SchemaError, StoreUnreachableError
from core.session import Session, user_of
from core.settings import Settings, load_settings
from tests.schema.scenes import one
from tests.support.database import Database


def connections(database: Database) -> int:
    with database.owner() as owner:
        return one(
            owner,
            "SELECT count(*) AS n FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )["n"]


async def gone(database: Database) -> None:
    """Returns when no connection is left: a backend ends a moment after its client."""
    async with asyncio.timeout(5):
        while connections(database):
            await asyncio.sleep(0.01)


async def test_a_session_is_live_and_leaves_nothing(settings: Settings, database: Database) -> None:
    tasks = len(asyncio.all_tasks())
    session = await Session.open(settings)
    async with asyncio.timeout(10):
        await session.feed.live()
    assert session.feed.state.state is LinkState.LIVE
    assert abs((session.now() - datetime.now(UTC)).total_seconds()) < 2
    assert connections(database) >= 1
    await session.chat.send(None, "hello")
    await session.close()
    await session.close()
    assert len(asyncio.all_tasks()) == tasks
    await gone(database)


async def test_without_live_nothing_listens(settings: Settings, database: Database) -> None:
    session = await Session.open(settings, live=False)
    sent = await session.chat.send(None, "hello")
    assert (await session.tasks.get(sent.task_id)).task.id == sent.task_id
    assert session.feed.state.state is LinkState.CONNECTING
    assert connections(database) == 1
    await session.close()
    await gone(database)


async def test_two_sessions_of_one_user_see_the_same(settings: Settings) -> None:
    first, second = await Session.open(settings), await Session.open(settings)
    async with asyncio.timeout(10):
        await second.feed.live()
        reader = second.feed.subscribe()
        sent = await first.chat.send(None, "hello")
        while second.feed.view(sent.task_id) is None:
            await reader.batch()
        await second.tasks.cancel(sent.task_id)
        view = first.feed.view(sent.task_id)
        watcher = first.feed.subscribe()
        while view is None or not view.task.status.final:
            await watcher.batch()
            view = first.feed.view(sent.task_id)
    await first.close()
    await second.close()


async def test_a_failed_open_leaves_nothing(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    with database.owner() as owner:
        owner.execute("INSERT INTO stepline.migrations VALUES (999, 'x', 'x')")
    with pytest.raises(SchemaError, match="update stepline"):
        await Session.open(settings)
    await gone(database)
    broken = tmp_path / "broken.toml"
    broken.write_text("[types")
    with pytest.raises(ConfigError, match=r"broken\.toml"):
        await Session.open(replace(settings, workflows_file=broken))


async def test_no_database_is_a_sentence(tmp_path: Path) -> None:
    overrides = {"store": "postgres", "database_url": "postgresql://127.0.0.1:1/x"}
    settings = load_settings(data_dir=tmp_path, overrides=overrides, env={})
    with pytest.raises(StoreUnreachableError, match=r"stepline doctor"):
        await Session.open(settings)


def test_who_a_session_acts_as(settings: Settings) -> None:
    def who(**changes: object) -> tuple[UUID, str]:
        return user_of(replace(settings, **changes))

    number = "6f3a3f57-3f0c-4b73-8a9d-0d0f0e3c9b11"
    assert who(user=number) == (UUID(number), f"{number}@localhost")
    assert who(user="ada@example.org")[1] == "ada@example.org"
    assert who(user="Ada Lovelace")[1] == "Ada.Lovelace@localhost"
    # The same name is the same user, on every machine and in every version.
    assert who(user="ada")[0] == who(user="ada", store="embedded")[0]
    assert who(user="ada")[0] != who(user="eve")[0]
    # An embedded database has one user, whatever the system calls them.
    local = who(user=None, store="embedded")
    assert local == (UUID("4f20c9ba-b6e5-5e84-8d3e-c118696fcd39"), "local.user@localhost")


async def test_the_embedded_database_needs_nothing(tmp_path: Path) -> None:
    settings = load_settings(
        data_dir=tmp_path / "data", env={"XDG_CONFIG_HOME": str(tmp_path / "config")}
    )
    assert settings.store == "embedded"
    sessions = await asyncio.gather(*(Session.open(settings, worker=False) for _ in range(3)))
    sent = await sessions[0].chat.send(None, "hello")
    assert await sessions[2].chat.conversation(sent.conversation_id)
    assert list((tmp_path / "data").rglob("postmaster.pid"))
    for session in sessions:
        await session.close()
    again = await Session.open(settings, worker=False, live=False)
    assert [row.id for row in await again.tasks.running()] == [sent.task_id]
    await again.close()
    assert not list((tmp_path / "data").rglob("postmaster.pid"))
