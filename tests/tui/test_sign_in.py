"""Signing in, and in again when the session is over; what was typed is still there."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from textual.pilot import Pilot

from core.auth.account import Account
from core.settings import Settings
from tests.support.supabase import Supabase
from tests.support.supabase.target import Target
from tests.tui.conftest import MainApp, until
from tui.screens.sign_in import SignInScreen

EMAIL, PASSWORD = "ada@example.org", "correct horse"
Opened = Callable[..., AbstractAsyncContextManager[tuple[MainApp, Pilot[None]]]]


@pytest.fixture
def project(target: Target) -> Supabase:
    """For users that are made by hand."""
    if target.stand_in is None:
        pytest.skip("a real project's users are not ours to make")
    return target.stand_in


@pytest.fixture
def user_id(project: Supabase) -> UUID:
    return project.auth.add_user(EMAIL)


@pytest.fixture
def settings(target: Target, tmp_path: Path) -> Settings:
    return target.settings(tmp_path)


@pytest.fixture
def opened(settings: Settings) -> Opened:
    """The app, with the sign-in screen in front."""

    @asynccontextmanager
    async def run(size: tuple[int, int] = (100, 30)) -> AsyncIterator[tuple[MainApp, Pilot[None]]]:
        app = MainApp(settings)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: asking(app))
            yield app, pilot

    return run


def asking(app: MainApp) -> bool:
    return isinstance(app.screen, SignInScreen) and app.screen.is_mounted


async def sign_in(pilot: Pilot[Any], email: str = EMAIL, password: str = PASSWORD) -> None:
    """Types both, over whatever stands there."""
    screen = pilot.app.screen
    assert isinstance(screen, SignInScreen)
    screen.email.value = screen.secret.value = ""
    screen.email.focus()
    await pilot.press(*email, "enter", *password, "enter")


async def test_a_password_opens_the_session(opened: Opened, user_id: UUID) -> None:
    async with opened() as (app, pilot):
        assert "Nobody is signed in" in app.screen_text()
        await sign_in(pilot, password="wrong")
        await until(pilot, lambda: "address or the password is wrong" in app.screen_text())
        assert "wrong" not in str(app.screen.query_one("#secret").render())
        await sign_in(pilot)
        await until(pilot, lambda: app.connected)
        assert app.context.session.store.user_id == user_id


async def test_a_code_opens_it_too(opened: Opened, project: Supabase) -> None:
    async with opened() as (app, pilot):
        await pilot.press("enter", "enter")
        await until(pilot, lambda: "no e-mail address" in app.screen_text())
        app.screen.query_one("#email").focus()
        await pilot.press(*EMAIL, "ctrl+r")
        await until(pilot, lambda: "on its way" in app.screen_text())
        await pilot.press(*"123", "enter")
        await until(pilot, lambda: "wrong or too old" in app.screen_text())
        assert isinstance(app.screen, SignInScreen)
        app.screen.secret.value = ""
        await pilot.press(*project.auth.codes[EMAIL], "enter")
        await until(pilot, lambda: app.connected)


async def test_without_a_name(opened: Opened, project: Supabase) -> None:
    project.auth.anonymous = False
    async with opened() as (app, pilot):
        await pilot.press("ctrl+g")
        await until(pilot, lambda: "allows no anonymous users" in app.screen_text())
        project.auth.anonymous = True
        await pilot.press("ctrl+g")
        await until(pilot, lambda: app.connected)


async def test_leaving_it_leaves_a_way_back(opened: Opened, user_id: UUID) -> None:
    async with opened() as (app, pilot):
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main)
        assert "stepline login" in app.screen_text()
        await pilot.press(*"typed meanwhile", "f4")
        await until(pilot, lambda: asking(app))
        await sign_in(pilot)
        await until(pilot, lambda: app.connected)
        assert app.main.composer.text == "typed meanwhile"


async def test_a_session_that_ends_is_begun_again_and_nothing_is_lost(
    opened: Opened, project: Supabase, user_id: UUID, settings: Settings
) -> None:
    async with opened() as (app, pilot):
        await sign_in(pilot)
        await until(pilot, lambda: app.connected)
        await pilot.press(*"first", "enter")
        await until(pilot, lambda: "sending" not in app.screen_text())
        project.auth.revoke(user_id)
        project.project.expire_tokens()
        await pilot.press(*"second", "enter")
        await until(pilot, lambda: asking(app))
        assert "session is over" in app.screen_text()
        assert app.screen.email.value == EMAIL
        assert app.screen.secret.has_focus
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main)
        await until(pilot, lambda: "signed out" in app.screen_text())
        assert app.main.composer.text == "second"
        await pilot.press(*" and third", "f4")
        await until(pilot, lambda: asking(app))
        project.auth.add_user("eve@example.org")
        await sign_in(pilot, email="eve@example.org")
        await until(pilot, lambda: "somebody else" in app.screen_text())
        await sign_in(pilot)
        await until(pilot, lambda: app.connected)
        assert app.main.composer.text == "second and third"
        await pilot.press("enter")
        session = app.context.session
        await until(pilot, lambda: not app.main._outbox.letters)
        [conversation] = await session.chat.conversations()
        said = [row.content for row in await session.chat.messages(conversation.id)]
        assert said == ["first", "", "second and third", ""]


async def test_signing_in_elsewhere_heals_it(
    opened: Opened, project: Supabase, user_id: UUID, settings: Settings
) -> None:
    async with opened() as (app, pilot):
        await sign_in(pilot)
        await until(pilot, lambda: app.connected)
        project.auth.revoke(user_id)
        project.project.expire_tokens()
        await until(pilot, lambda: asking(app), seconds=40)
        await pilot.press("escape")
        elsewhere = Account(settings)
        from pydantic import SecretStr

        await elsewhere.adopt(await elsewhere.service.password(EMAIL, SecretStr(PASSWORD)))
        await elsewhere.close()
        await until(pilot, lambda: app.connected)


async def test_the_environments_session_is_not_asked_for(
    target: Target, project: Supabase, tmp_path: Path
) -> None:
    signed = target.sign_in()
    project.auth.revoke(signed.user_id)
    project.project.expire_tokens()
    app = MainApp(target.settings(tmp_path, signed))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "STEPLINE_REFRESH_TOKEN" in app.screen_text())
        assert app.screen is app.main


@pytest.mark.parametrize("size", [(80, 24), (60, 16)])
def test_picture(snap_compare, settings: Settings, target: Target, size: tuple[int, int]) -> None:
    from dataclasses import replace

    from tests.tui.conftest import Picture

    # The address in the picture is nobody's, and nothing is asked of it.
    supabase = replace(settings.supabase, url="https://abcdefghijkl.supabase.co")
    app = Picture(replace(settings, supabase=supabase))

    async def shown(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: asking(app))
        await pilot.press(*EMAIL)
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=shown)
