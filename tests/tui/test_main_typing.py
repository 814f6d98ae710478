"""Typing: the composer, drafts, the outbox; nothing typed is ever lost or sent twice."""

import json
from pathlib import Path

from textual import events

from core.errors import StoreUnreachableError
from core.settings import Settings
from tests.tui.conftest import MainApp, Running, until
from tui.drafts import Drafts, drafts_at_start
from tui.pastes import LONG, Pastes
from tui.widgets.composer import MAX_ROWS
from tui.widgets.quiet_input import QuietInput


def drafts_of(settings: Settings) -> Drafts:
    return drafts_at_start(settings)


async def test_enter_sends_and_both_new_line_keys_do_not(running: Running):
    async with running() as (app, pilot):
        composer = app.main.composer
        await pilot.press("a", "ctrl+j", "b", "alt+enter", "c")
        assert composer.text == "a\nb\nc"
        assert composer.size.height == 3
        await pilot.press("enter")
        await until(pilot, lambda: "1 running" in app.screen_text())
        assert composer.text == ""
        assert composer.size.height == 1


async def test_it_grows_to_six_rows_and_no_further(running: Running):
    async with running((80, 24)) as (app, pilot):
        await pilot.press(*["ctrl+j"] * 9)
        await pilot.pause()
        assert app.main.composer.size.height == MAX_ROWS
        assert not app.main.composer.cursor_blink


async def test_up_recalls_what_was_sent_only_while_empty(running: Running):
    async with running() as (app, pilot):
        for text in ("one", "two"):
            await pilot.press(*text, "enter")
            await until(pilot, lambda t=text: t in app.screen_text())
        await until(pilot, lambda: "2 running" in app.screen_text())
        composer = app.main.composer
        await pilot.press("up")
        assert composer.text == "two"
        await pilot.press("up")
        assert composer.text == "one"
        await pilot.press("down", "down")
        assert composer.text == ""
        await pilot.press("x", "up")
        assert composer.text == "x"


async def test_a_megabyte_is_pasted_at_once_and_sent_whole(running: Running):
    text = "y" * 1_000_000
    async with running((80, 24)) as (app, pilot):
        composer = app.main.composer
        composer.post_message(events.Paste(text))
        await until(pilot, lambda: "1,000,000 characters" in composer.text)
        await pilot.press("!", "enter")
        await until(pilot, lambda: "1 running" in app.screen_text())
        conversation = app.main.conversation.conversation_id
        assert conversation is not None
        messages = await app.context.session.chat.messages(conversation)
        assert messages[0].content == text + "!"


def test_short_pastes_are_as_they_are():
    pastes = Pastes()
    assert pastes.shorten("x" * (LONG - 1)) == "x" * (LONG - 1)
    one, two = pastes.shorten("x" * LONG), pastes.shorten("y" * LONG)
    assert one != two
    assert pastes.expand(f"{one} and {two}") == "x" * LONG + " and " + "y" * LONG
    assert pastes.shorten("x" * LONG) == one


async def test_a_draft_is_on_the_disk_within_a_second(running: Running, settings: Settings):
    async with running() as (_, pilot):
        await pilot.press(*"half a thought")
        await until(pilot, lambda: drafts_of(settings).load(None) == "half a thought", 1.5)
    async with running(app=MainApp(settings)) as (app, pilot):
        assert app.main.composer.text == "half a thought"


async def test_every_conversation_has_its_own_draft(running: Running):
    async with running() as (app, pilot):
        await pilot.press(*"first", "enter")
        await until(pilot, lambda: "1 running" in app.screen_text())
        first = app.main.conversation.conversation_id
        await pilot.press(*"to the first", "escape", "n", *"to the new one")
        app.main.open_conversation(first)
        await until(pilot, lambda: app.main.composer.text == "to the first")
        app.main.open_conversation(None)
        await until(pilot, lambda: app.main.composer.text == "to the new one")


async def test_one_comes_back_to_where_one_was(running: Running, settings: Settings):
    async with running() as (app, pilot):
        for text in ("older", "newer"):
            await pilot.press(*text, "enter")
            await until(pilot, lambda t=text: t in app.screen_text())
            await until(pilot, lambda: app.main.conversation.conversation_id is not None)
            older = app.main.conversation.conversation_id
            app.main.open_conversation(None)
        app.main.open_conversation(older)
    async with running(app=MainApp(settings)) as (app, pilot):
        await until(pilot, lambda: app.main.conversation.conversation_id == older)


async def test_what_could_not_be_sent_comes_back_and_is_not_sent_twice(
    running: Running, monkeypatch
):
    """The database took it, the answer got lost: sending the same text again is the same send."""
    async with running() as (app, pilot):
        store = app.context.session.store
        right = store.chat_send

        async def lose_the_answer(*args, **kwargs):
            await right(*args, **kwargs)
            raise StoreUnreachableError("The database does not answer; try again.")

        monkeypatch.setattr(store, "chat_send", lose_the_answer)
        await pilot.press(*"precious", "enter")
        await until(pilot, lambda: "Not sent: The database does not answer" in app.screen_text())
        await until(pilot, lambda: app.main.composer.text == "precious")
        monkeypatch.setattr(store, "chat_send", right)
        await pilot.press("enter")
        await until(pilot, lambda: app.main.conversation.conversation_id is not None)
        await until(pilot, lambda: "Not sent" not in app.screen_text())
        assert len(await app.context.session.chat.conversations()) == 1
        conversation = app.main.conversation.conversation_id
        assert conversation is not None
        assert len(await app.context.session.chat.messages(conversation)) == 2


async def test_what_was_typed_meanwhile_is_left_alone(running: Running, monkeypatch):
    async with running() as (app, pilot):
        store = app.context.session.store
        right = store.chat_send

        async def refuse(*args, **kwargs):
            app.main.composer.insert("something else")
            raise StoreUnreachableError("The database does not answer; try again.")

        monkeypatch.setattr(store, "chat_send", refuse)
        await pilot.press(*"precious", "enter")
        await until(pilot, lambda: "not sent" in app.screen_text())
        assert app.main.composer.text == "something else"
        assert "precious" in app.screen_text()
        monkeypatch.setattr(store, "chat_send", right)
        await pilot.press("enter")
        await until(pilot, lambda: "2 running" in app.screen_text())
        conversation = app.main.conversation.conversation_id
        assert conversation is not None
        messages = await app.context.session.chat.messages(conversation)
        assert [each.content for each in messages if each.content] == [
            "precious",
            "something else",
        ]


async def test_what_an_earlier_run_did_not_get_confirmed_is_sent_at_the_start(
    running: Running, settings: Settings
):
    drafts = drafts_of(settings)
    outbox = drafts.directory / "outbox"
    outbox.mkdir(parents=True)
    (outbox / "0b8f6d5e-3f0e-4a53-8d6f-3e5a1c2b4d6f.json").write_text(
        json.dumps({"conversation": None, "text": "left behind"})
    )
    assert [letter.text for letter in drafts.undelivered()] == ["left behind"]
    async with running() as (app, pilot):
        await until(pilot, lambda: "1 running" in app.screen_text())
        await until(pilot, lambda: "left behind" in app.screen_text())
        await until(pilot, lambda: not drafts.undelivered())


def test_broken_draft_files_are_no_drafts(tmp_path: Path):
    (tmp_path / "1.json").write_text("{")
    (tmp_path / "2.json").write_text("[1]")
    drafts = Drafts(tmp_path)
    assert [drafts.load(number) for number in (1, 2, 3)] == ["", "", ""]
    drafts.save(1, "text \udcff")
    assert drafts.load(1) == "text \udcff"
    assert (tmp_path / "1.json").stat().st_mode & 0o777 == 0o600


async def test_ctrl_d_quits_only_when_nothing_is_typed(running: Running):
    async with running() as (app, pilot):
        await pilot.press("a", "left", "ctrl+d")
        assert app.main.composer.text == ""
        assert app.is_running
        await pilot.press("ctrl+d")
        await pilot.pause()
        assert app._exit


async def test_ctrl_c_quits_the_second_time_only(running: Running):
    async with running() as (app, pilot):
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert not app._exit
        assert any("Press ctrl+c again" in toast for toast in app.toasts())
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert app._exit


async def test_escape_never_quits(running: Running):
    async with running() as (app, pilot):
        await pilot.press(*["escape"] * 5)
        await pilot.pause()
        assert not app._exit
        assert app.focused is app.main.conversation.transcript
        await pilot.press("i")
        assert app.focused is app.main.composer


async def test_keys_that_arrive_at_once_go_where_the_first_one_leads(running: Running):
    async with running() as (app, pilot):
        await pilot.press("escape")
        for key in "iner":
            app.post_message(events.Key(key, key))
        await until(pilot, lambda: app.main.composer.text == "ner")
        for key, letter in (("escape", None), ("slash", "/"), ("n", "n"), ("r", "r")):
            app.post_message(events.Key(key, letter))
        await until(pilot, lambda: app.query_one("#search", QuietInput).value == "nr")
