"""Sending, steps, streaming, endings, retry, cancel: on a real database, the worker led by hand."""

from typing import Any
from uuid import uuid4

from textual.pilot import Pilot

from core.models import Sent
from core.settings import Settings
from tests.tui.conftest import HandWorker, MainApp, Running, until
from tui.screens.inspector import InspectorScreen
from tui.widgets.composer import Composer


async def sent(pilot: Pilot[Any], app: MainApp, text: str) -> int:
    """Types and sends; the id of the task that answers."""
    await pilot.press(*text)
    before = len(app.main.panel.board.running)
    await pilot.press("enter")
    await until(pilot, lambda: len(app.main.panel.board.running) > before)
    return app.main.panel.board.running[0].task.id


def sees(app: MainApp, *texts: str) -> bool:
    return all(text in app.screen_text() for text in texts)


async def test_every_step_comes_alive_and_the_answer_streams(running: Running, hand: HandWorker):
    async with running() as (app, pilot):
        task = await sent(pilot, app, "hello")
        await until(pilot, lambda: sees(app, "hello", "assistant", "· Starting up"))
        hand.claim(task)
        hand.step(task, "initializing", "Starting to process...")
        await until(pilot, lambda: sees(app, "◐ Starting up", "Starting to process..."))
        hand.step(task, "calling_ai", "Asking the model...")
        await until(pilot, lambda: sees(app, "✓ Starting up", "◐ AI is thinking", "1 running"))
        hand.partial(task, "The **first** part", "Let me think of it")
        await until(pilot, lambda: sees(app, "The first part", "Thought, 5 words"))
        hand.step(task, "looking_things_up")
        await until(pilot, lambda: sees(app, "◐ looking_things_up"))
        hand.reply(task, "The **first** part and the rest.", "Let me think of it")
        await until(pilot, lambda: sees(app, "The first part and the rest.", "0 running"))
        await until(pilot, lambda: sees(app, "using openai/gpt-4o, 843 tokens"))
        assert not sees(app, "looking_things_up")
        await pilot.press("escape", "s")
        await until(pilot, lambda: sees(app, "✓ looking_things_up", "▾ Generated"))
        await pilot.press("t")
        await until(pilot, lambda: sees(app, "Let me think of it"))


async def test_an_answer_that_was_cut_says_so(running: Running, hand: HandWorker):
    async with running() as (app, pilot):
        task = await sent(pilot, app, "hello")
        hand.claim(task)
        hand.reply(task, "As far as", notice="The answer was cut at max_tokens (2000).")
        await until(pilot, lambda: sees(app, "As far as", "cut at max_tokens (2000)"))


async def test_a_failure_says_what_happened_and_r_retries(running: Running, hand: HandWorker):
    async with running() as (app, pilot):
        task = await sent(pilot, app, "hello")
        hand.claim(task)
        hand.step(task, "calling_ai")
        hand.partial(task, "Half an ans")
        hand.fail(task, "no such table")
        await until(pilot, lambda: sees(app, "no such table", "r retry", "enter inspector"))
        await until(pilot, lambda: sees(app, "Half an ans", "(incomplete)"))
        await pilot.press("escape", "r")
        await until(pilot, lambda: sees(app, "1 running"))
        again = app.main.panel.board.running[0].task.id
        assert again != task
        await until(pilot, lambda: not sees(app, "enter inspector"))
        hand.claim(again)
        hand.step(again, "calling_ai")
        hand.reply(again, "Whole answer")
        await until(pilot, lambda: sees(app, "Whole answer", "Generated in"))
        assert not sees(app, "(incomplete)")


async def test_ctrl_r_retries_while_typing(running: Running, hand: HandWorker):
    async with running() as (app, pilot):
        task = await sent(pilot, app, "hello")
        hand.claim(task)
        hand.fail(task, "broken")
        await until(pilot, lambda: sees(app, "broken"))
        await pilot.press("n", "e", "w", "ctrl+r")
        await until(pilot, lambda: sees(app, "1 running"))
        assert app.main.composer.text == "new"


async def test_cancel_asks_once(running: Running, hand: HandWorker):
    async with running() as (app, pilot):
        task = await sent(pilot, app, "hello")
        hand.claim(task)
        await pilot.press("escape", "c")
        await until(pilot, lambda: sees(app, f"Cancel task #{task}?"))
        await pilot.press("n")
        await until(pilot, lambda: app.screen is app.main)
        assert sees(app, "1 running")
        await pilot.press("c")
        await until(pilot, lambda: sees(app, f"Cancel task #{task}?"))
        await pilot.press("y")
        await until(pilot, lambda: sees(app, "0 running", "Cancelled"))


async def test_the_next_message_is_sent_while_the_last_one_runs(running: Running, hand: HandWorker):
    async with running() as (app, pilot):
        first = await sent(pilot, app, "one")
        second = await sent(pilot, app, "two")
        hand.claim(first)
        hand.step(first, "calling_ai")
        await until(pilot, lambda: sees(app, "2 running"))
        hand.reply(first, "answer one")
        await until(pilot, lambda: sees(app, "answer one", "1 running"))
        hand.claim(second)
        hand.step(second, "calling_ai")
        hand.reply(second, "answer two")
        await until(pilot, lambda: sees(app, "answer one", "answer two", "0 running"))


async def test_the_inspector_opens_from_the_conversation_and_the_panel(running: Running):
    async with running() as (app, pilot):
        await sent(pilot, app, "hello")
        for keys in (("escape", "G", "enter"), ("escape", "tab", "tab", "enter")):
            await pilot.press(*keys)
            await until(pilot, lambda: isinstance(app.screen, InspectorScreen))
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is app.main)


async def test_edit_copies_ones_own_text_into_the_composer(running: Running, hand: HandWorker):
    async with running() as (app, pilot):
        task = await sent(pilot, app, "question")
        hand.claim(task)
        hand.reply(task, "an answer")
        await until(pilot, lambda: sees(app, "an answer", "Generated"))
        await pilot.press("escape", "G", "e")
        await until(pilot, lambda: isinstance(app.focused, Composer))
        assert app.main.composer.text == "question"


async def test_a_message_of_another_process_appears(running: Running, hand: HandWorker):
    async with running() as (app, pilot):
        task = await sent(pilot, app, "hello")
        hand.claim(task)
        hand.reply(task, "first answer")
        await until(pilot, lambda: sees(app, "first answer"))
        other: Sent = await app.context.session.store.chat_send(
            app.main.conversation.conversation_id,
            "from elsewhere",
            180,
            uuid4(),
        )
        await until(pilot, lambda: sees(app, "from elsewhere", f"#{other.task_id}"))


async def test_what_is_typed_before_the_session_opens_is_sent_then(
    running: Running, settings: Settings
):
    app = MainApp(settings)
    async with running(app=app, wait=False) as (app, pilot):
        await pilot.press(*"early", "enter", *"next")
        assert app.main.composer.text == "next"
        await until(pilot, lambda: app.connected and sees(app, "1 running"))
        await until(pilot, lambda: sees(app, "early", "· Starting up"))
        assert app.main.composer.text == "next"
        assert not sees(app, "sending")


async def test_two_early_messages_land_in_one_conversation(running: Running, settings: Settings):
    app = MainApp(settings)
    async with running(app=app, wait=False) as (app, pilot):
        await pilot.press(*"one", "enter", *"two", "enter")
        await until(pilot, lambda: app.connected and sees(app, "2 running"))
        assert len(await app.context.session.chat.conversations()) == 1


async def test_a_failed_start_is_one_sentence_and_r_tries_again(
    running: Running, settings: Settings, monkeypatch
):
    from core.errors import StoreUnreachableError
    from core.session import Session

    right = Session.open

    async def refuse(*args: object, **kwargs: object) -> Session:
        raise StoreUnreachableError("The database does not answer; try again later.")

    monkeypatch.setattr(Session, "open", refuse)
    app = MainApp(settings)
    async with running(app=app, wait=False) as (app, pilot):
        await pilot.press(*"draft")
        await until(pilot, lambda: sees(app, "The database does not answer", "tries again"))
        assert sees(app, "offline")
        monkeypatch.setattr(Session, "open", right)
        await pilot.press("escape", "r")
        await until(pilot, lambda: app.connected)
        assert app.main.composer.text == "draft"
        assert not sees(app, "does not answer")
