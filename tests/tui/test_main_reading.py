"""Reading: scrolling through conversations of any length, new text while reading, searching."""

from typing import Any

from textual.pilot import Pilot

from core.settings import Settings
from tests.support.database import Database
from tests.tui.conftest import HandWorker, MainApp, Running, until
from tests.tui.test_main_pictures import scene
from tui.widgets.entry import Entry
from tui.widgets.window import CHUNK, MAX_LOADED

LONG = 2_000


def long_conversation(database: Database, settings: Settings, length: int = LONG) -> None:
    """Messages that say their number, four lines each."""
    user = scene(database, settings)
    with database.owner() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "INSERT INTO chat_messages (id, conversation_id, role, content, created_at)"
            " OVERRIDING SYSTEM VALUE SELECT n, 1, CASE WHEN mod(n, 2) = 1 THEN 'user' ELSE"
            " 'assistant' END, 'message **number** ' || n || E'\n\n- one\n- two',"
            " now() - make_interval(secs => %s - n) FROM generate_series(1, %s) n",
            (length, length),
        )
        connection.execute("SELECT setval('chat_messages_id_seq', %s)", (length,))
    assert user


def sees(app: MainApp, text: str) -> bool:
    # With the line's end: 20 is not 2000.
    return any(line.split("│")[0].rstrip().endswith(text) for line in app.screen_text().split("\n"))


def at(app: MainApp) -> int:
    """The number of the selected message."""
    selected = app.main.conversation.transcript.selected
    assert isinstance(selected, Entry)
    return selected.message.id


def reading(app: MainApp) -> list[str]:
    """The first lines of the conversation."""
    return [line.split("│")[0] for line in app.screen_text().split("\n")[2:10]]


async def opened(pilot: Pilot[Any], app: MainApp, length: int = LONG) -> None:
    await until(pilot, lambda: sees(app, f"number {length}"))
    await pilot.press("escape")


async def test_a_long_conversation_is_read_from_end_to_end(
    running: Running, database: Database, settings: Settings
):
    long_conversation(database, settings)
    async with running((100, 30)) as (app, pilot):
        await opened(pilot, app)
        window = app.main.conversation.transcript._window
        assert len(window.entries) < 60
        assert len(window.items) <= 4 * CHUNK
        await pilot.press("g")
        await until(pilot, lambda: sees(app, "**number** 1") or sees(app, "number 1"))
        await pilot.press("G")
        await until(pilot, lambda: sees(app, f"number {LONG}"))
        assert app.main.conversation.transcript.at_end


async def test_scrolling_loads_pages_both_ways_and_forgets_the_far_ones(
    running: Running, database: Database, settings: Settings
):
    long_conversation(database, settings)
    async with running((100, 30)) as (app, pilot):
        await opened(pilot, app)
        transcript = app.main.conversation.transcript
        seen: set[int] = set()

        def note() -> None:
            for line in app.screen_text().split("\n"):
                word, _, number = line.split("│")[0].rstrip().rpartition(" ")
                if word.endswith("number**") or word.endswith("number"):
                    seen.add(int(number))

        while LONG - 400 not in seen:
            note()
            before = app.screen_text()
            await pilot.press("pageup")
            await until(pilot, lambda b=before: app.screen_text() != b)
            assert len(transcript.entries) <= MAX_LOADED + 60
        assert seen >= set(range(LONG - 400, LONG + 1))
        top = transcript.entries[0].message.id
        while not sees(app, f"number {LONG}"):
            before = app.screen_text()
            await pilot.press("pagedown")
            await until(pilot, lambda b=before: app.screen_text() != b)
        assert transcript.entries[0].message.id >= top
        assert len(transcript.entries) <= MAX_LOADED + 60


async def test_new_text_scrolls_only_a_reader_at_the_end(
    running: Running, hand: HandWorker, database: Database, settings: Settings
):
    long_conversation(database, settings, 60)
    async with running((100, 30)) as (app, pilot):
        await opened(pilot, app, 60)
        await pilot.press("pageup", "pageup")
        place = reading(app)
        sent = await app.context.session.chat.send(1, "something new")
        await until(pilot, lambda: "2 new" in app.screen_text())
        hand.claim(sent.task_id)
        hand.reply(sent.task_id, "an answer\n\n" * 20)
        await until(pilot, lambda: "0 running" in app.screen_text())
        await pilot.pause(0.2)
        assert reading(app) == place
        await pilot.press("G")
        await until(pilot, lambda: sees(app, "an answer"))
        assert "2 new" not in app.screen_text()
        again = await app.context.session.chat.send(1, "newer still")
        await until(pilot, lambda: sees(app, "newer still"))
        assert again.task_id


async def test_resize_keeps_place_focus_and_draft(
    running: Running, database: Database, settings: Settings
):
    long_conversation(database, settings, 200)
    async with running((120, 40)) as (app, pilot):
        await opened(pilot, app, 200)
        await pilot.press("i", *"a draft", "escape", "pageup", "pageup", "pageup")
        await pilot.pause()
        transcript = app.main.conversation.transcript
        here = transcript._window.at(transcript._top)
        assert here is not None
        for size in ((80, 24), (60, 16), (40, 10), (200, 60), (120, 40)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        there = transcript._window.at(transcript._top)
        assert there is not None
        assert there[0] is here[0]
        assert app.focused is transcript
        assert app.main.composer.text == "a draft"


async def test_search_finds_old_messages_and_comes_back(
    running: Running, database: Database, settings: Settings
):
    long_conversation(database, settings)
    async with running((100, 30)) as (app, pilot):
        await opened(pilot, app)
        await pilot.press("slash", *"number** 77", "enter")
        await until(pilot, lambda: at(app) == 779)
        for number in [*range(778, 769, -1), 77]:
            await pilot.press("n")
            await until(pilot, lambda n=number: at(app) == n)
        await until(pilot, lambda: sees(app, "**number** 77"))
        await pilot.press("n")
        await until(pilot, lambda: any("No older message" in toast for toast in app.toasts()))
        await pilot.press("N")
        await until(pilot, lambda: at(app) == 770)
        await pilot.press("escape", "n")
        await until(pilot, lambda: "New conversation" in app.screen_text())


async def test_n_is_new_when_nothing_is_searched(running: Running, hand: HandWorker):
    async with running() as (app, pilot):
        await pilot.press(*"hello", "enter")
        await until(pilot, lambda: "1 running" in app.screen_text())
        await pilot.press("escape", "n")
        await until(pilot, lambda: "New conversation" in app.screen_text())
        assert app.focused is app.main.composer


async def test_one_megabyte_on_one_line(running: Running, hand: HandWorker):
    async with running((80, 24)) as (app, pilot):
        for text in ("x" * 1_000_000, "漢" * 200_000):
            sent = await app.context.session.chat.send(
                app.main.conversation.conversation_id, "go on"
            )
            hand.claim(sent.task_id)
            hand.step(sent.task_id, "calling_ai", text)
            hand.reply(sent.task_id, text, text)
            app.main.open_conversation(sent.conversation_id)
            await until(pilot, lambda: "0 running" in app.screen_text())
            await until(pilot, lambda t=text[:30]: t in app.screen_text())
        await pilot.press("escape", "k", "j", "g", "G", "t", "s")
        assert app.crash is None
