"""Signing in, and in again when the session is over; what was typed is still there."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr
from textual.pilot import Pilot

from core.auth.account import Account
from core.auth.files import SessionFile
from core.settings import Settings
from tests.support.supabase import Supabase
from tests.support.supabase.target import Target
from tests.tui.conftest import MainApp, until
from tui.drafts import Letter, drafts_of
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


async def test_what_was_sent_before_signing_in_goes_out_as_who_signs_in(
    opened: Opened, user_id: UUID
) -> None:
    async with opened() as (app, pilot):
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main)
        await pilot.press(*"sent", "enter", *"typed", "f4")
        await until(pilot, lambda: asking(app))
        await sign_in(pilot)
        await until(pilot, lambda: app.connected and not app.main._outbox.letters)
        assert await said_by(app) == ["sent", ""]
        assert app.main.composer.text == "typed"


async def test_the_letter_and_the_draft_of_one_are_not_anothers(
    project: Supabase, settings: Settings, user_id: UUID
) -> None:
    """Ada's session is over before her letter goes out, and Eve signs in in the same run."""
    eve_id = project.auth.add_user("eve@example.org")
    await keep_session(settings)
    project.auth.revoke(user_id)
    project.project.expire_tokens()
    hers = drafts_of(settings, user_id)
    hers.post(Letter(uuid4(), None, "ada's letter"))
    hers.save(None, "ada's draft")
    app = MainApp(settings)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: asking(app))
        assert app.main.composer.text == "ada's draft"
        await sign_in(pilot, email="eve@example.org")
        await until(pilot, lambda: app.connected)
        assert app.context.session.store.user_id == eve_id
        assert app.main.composer.text == ""
        await pilot.press(*"eve's own", "enter")
        await until(
            pilot, lambda: not app.main._outbox.letters and "eve's own" in app.screen_text()
        )
        assert "ada's" not in app.screen_text()
        assert await said_by(app) == ["eve's own", ""]
    assert [each.text for each in hers.undelivered()] == ["ada's letter"]
    assert hers.load(None) == "ada's draft"
    # When she comes back, it goes out.
    SessionFile.of(settings.state_dir, str(settings.supabase.url)).remove()
    app = MainApp(settings)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: asking(app))
        assert app.main.composer.text == ""
        await sign_in(pilot)
        await until(pilot, lambda: app.connected and not app.main._outbox.letters)
        assert app.main.composer.text == "ada's draft"
        assert await said_by(app) == ["ada's letter", ""]
    assert hers.undelivered() == []


async def keep_session(settings: Settings) -> None:
    """As `stepline login` does."""
    account = Account(settings)
    await account.adopt(await account.service.password(EMAIL, SecretStr(PASSWORD)))
    await account.close()


async def said_by(app: MainApp) -> list[str]:
    """The messages of the user's one conversation."""
    session = app.context.session
    [conversation] = await session.chat.conversations()
    return [row.content for row in await session.chat.messages(conversation.id)]


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
