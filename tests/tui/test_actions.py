"""The registry: everything in it can be reached, on keys that arrive."""

from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot

from core.errors import ConfigError
from core.settings import Settings
from tests.tui.conftest import Running, until
from tui.actions import ACTIONS, BY_ID, SCOPES, SCREENS, TOGETHER, bindings, in_scope
from tui.keys import UNSAFE, Keymap, normal, shown
from tui.palette import Palette
from tui.perform import doer, scopes_here
from tui.screens.conversations import ConversationsScreen
from tui.screens.help import HelpScreen
from tui.screens.inspector import InspectorScreen
from tui.screens.task_list import TaskListScreen
from tui.widgets.composer import Composer


def test_ids_are_unique_and_scopes_known():
    assert len(BY_ID) == len(ACTIONS)
    for action in ACTIONS:
        assert action.scopes
        assert set(action.scopes) <= set(SCOPES)
    assert {scope for scopes in SCREENS.values() for scope in scopes} == set(SCOPES)
    assert {scope for scopes in TOGETHER for scope in scopes} == set(SCOPES)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.id)
def test_no_action_is_only_on_a_key_that_does_not_arrive(action):
    keys = Keymap().keys(action)
    assert any(key not in UNSAFE for key in keys)
    if "composer" in action.scopes:
        free = {"ctrl+f", "ctrl+g", "ctrl+o", "ctrl+r", "ctrl+p", "ctrl+j", "ctrl+d", "ctrl+c"}
        assert all(key in free for key in keys if key.startswith("ctrl+"))


def test_default_keys_do_not_clash():
    Keymap({})


def test_keys_of_the_settings_are_taken():
    keymap = Keymap({"chat.copy": "w", "app.help": "f2, ?"})
    assert keymap.keys("chat.copy") == ("w",)
    assert keymap.keys("app.help") == ("f2", "question_mark")
    assert keymap.all("app.help") == "f2 ?"
    assert keymap.overrides == {"chat.copy": "w", "app.help": "f2,question_mark"}


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"chat.coppy": "w"}, "did you mean `chat.copy`?"),
        ({"chat.copy": "j"}, "gives `j` to `chat.copy`, but `list.down`"),
        ({"chat.copy": "n"}, "`chat.new`"),
        ({"task.retry": "ctrl+p"}, "`app.palette`"),
        ({"chat.copy": " "}, "has no key"),
    ],
)
def test_wrong_keys_are_one_sentence(keys, sentence):
    with pytest.raises(ConfigError) as raised:
        Keymap(keys)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_swapping_two_keys_is_no_clash():
    keymap = Keymap({"chat.copy": "e", "chat.edit": "y"})
    assert (keymap.first("chat.copy"), keymap.first("chat.edit")) == ("e", "y")


def test_names_of_keys():
    assert normal("esc") == "escape"
    assert normal("Ctrl+P") == "ctrl+p"
    assert normal("G") == "G"
    assert [shown(key) for key in ("escape", "question_mark", "pageup", "G")] == [
        "esc",
        "?",
        "pgup",
        "G",
    ]


def test_bindings_carry_the_actions_ids():
    assert {binding.id for binding in bindings("panel")} == {  # pyright: ignore
        action.id for action in in_scope("panel")
    }


async def _open(pilot: Pilot[Any], screen: Any) -> None:
    await pilot.app.push_screen(screen)
    await until(pilot, lambda: pilot.app.screen is screen)
    await pilot.pause()


async def test_every_action_of_a_screen_has_somebody_who_does_it(running: Running):
    """For each screen: its actions are found by the palette, from where the focus is."""
    async with running() as (app, pilot):
        session = app.context.session
        sent = await session.chat.send(None, "hello")
        screens = {
            "main": app.main,
            "tasks": TaskListScreen(session),
            "conversations": ConversationsScreen(session),
            "inspector": InspectorScreen(session, sent.task_id),
        }
        conditional = {action.id for action in ACTIONS if action.when} | {
            "start.retry",
            "list.next_match",
            "list.previous_match",
        }
        missing = set()
        for name, screen in screens.items():
            if screen is not app.main:
                await _open(pilot, screen)
            for scope in SCREENS[name]:
                if scope in ("list", "app"):
                    continue
                for action in in_scope(scope):
                    if action.id in conditional:
                        continue
                    if doer(action, screen, screen.focused) is None:
                        missing.add((name, action.id))
            if screen is not app.main:
                app.pop_screen()
                await pilot.pause()
        assert not missing


async def test_the_help_names_every_action_and_begins_where_the_focus_is(running: Running):
    async with running((100, 30)) as (app, pilot):
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        screen = app.screen
        assert isinstance(screen, HelpScreen)
        text = screen._text().plain
        assert text.strip().startswith(SCOPES["composer"])
        for action in ACTIONS:
            assert action.label in text
            assert app.context.keymap.first(action) in text
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main)
        await pilot.press("escape", "?")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        assert isinstance(app.screen, HelpScreen)
        first = app.screen._text().plain.strip()
        assert first.startswith((SCOPES["list"], SCOPES["conversation"]))


async def test_a_key_of_the_settings_works(running: Running, settings: Settings):
    from tests.tui.conftest import MainApp

    own = replace(settings, keys={"app.help": "f2", "compose.leave": "ctrl+g", "app.tasks": "f3"})
    async with running(app=MainApp(own)) as (app, pilot):
        await pilot.press("f1")
        await pilot.pause()
        assert app.screen is app.main
        await pilot.press("ctrl+g")
        await until(pilot, lambda: not isinstance(app.focused, Composer))
        await pilot.press("f2")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        assert "f2" in app.screen_text() or "f2" in app.screen._text().plain  # pyright: ignore


async def test_the_palette_does_what_is_chosen(running: Running):
    async with running() as (app, pilot):
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(app.screen, Palette))
        await pilot.press(*"every help", "enter")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))


async def test_scopes_of_the_focused_pane(running: Running):
    async with running() as (app, pilot):
        assert scopes_here(app.main, app.focused)[0] == "composer"
        await pilot.press("tab")
        assert scopes_here(app.main, app.focused)[:2] == ["list", "panel"]
        await pilot.press("tab")
        assert scopes_here(app.main, app.focused)[:2] == ["list", "conversation"]
