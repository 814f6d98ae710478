import json
from datetime import timedelta
from pathlib import Path

import pytest

from core.errors import InputError
from core.session import Session, user_of
from core.settings import Settings
from tests.support.database import Database
from tests.tui.rows import insert
from tests.tui.screen_app import HOSTILE, NOW, ScreenApp, SessionApp, until
from tui.export import file_name, format_of, write_new
from tui.fuzzy import fuzzy
from tui.screens.conversations import Choice, ConversationsScreen

SIZES = [(80, 24), (120, 40), (200, 60), (60, 16)]
TITLES = (
    "Refund policy for annual plans",
    "Names for a small owl",
    "Regular expressions, again",
    "x" * 250,
    HOSTILE.replace("\x1b", "").replace("\x07", ""),
)


@pytest.mark.parametrize("size", SIZES)
def test_pictures(snap_compare, settings: Settings, database: Database, size: tuple[int, int]):
    user = user_of(settings)[0]
    rows = [
        {
            "id": number,
            "user_id": user,
            "title": title,
            "created_at": NOW - timedelta(days=40),
            "updated_at": NOW - timedelta(hours=number * number * 9 + 1),
            "revision": 1,
        }
        for number, title in enumerate(TITLES)
    ]
    insert(database, "chat_conversations", rows)
    app = SessionApp(settings, lambda session: ConversationsScreen(session, 1))

    async def loaded(pilot):
        await until(pilot, lambda: "Refund" in app.screen_text())

    assert snap_compare(app, terminal_size=size, run_before=loaded)


class Opened(ScreenApp):
    """Remembers what the screen was left with."""

    def __init__(self, session: Session):
        super().__init__(ConversationsScreen(session), session=session)
        self.choices: list[Choice] = []

    async def show(self) -> None:
        await self.push_screen(self.shown, self.choices.append)  # pyright: ignore


async def begin(session: Session, *titles: str) -> list[int]:
    """Conversations, the oldest first."""
    ids: list[int] = []
    for title in titles:
        sent = await session.chat.send(None, f"About {title}")
        await session.chat.rename(sent.conversation_id, title)
        ids.append(sent.conversation_id)
    return ids


async def test_newest_first_and_enter_opens(session: Session):
    ids = await begin(session, "one", "two", "three")
    app = Opened(session)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "three" in app.screen_text())
        lines = app.screen_text().splitlines()
        assert [line[2:7].strip() for line in lines[1:4]] == ["three", "two", "one"]
        await pilot.press("j", "enter")
        await until(pilot, lambda: app.choices == [ids[1]])


@pytest.mark.parametrize(("key", "choice"), [("n", "new"), ("escape", None), ("q", None)])
async def test_new_and_back(session: Session, key: str, choice: Choice):
    app = Opened(session)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "No conversations yet." in app.screen_text())
        await pilot.press(key)
        await until(pilot, lambda: app.choices == [choice])


async def test_search_is_fuzzy_in_titles_and_looks_into_the_text(session: Session):
    await begin(session, "Refund policy", "Owls")
    [third] = await begin(session, "Something else")
    await session.chat.send(third, "What do owls eat?")
    app = Opened(session)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "Refund" in app.screen_text())
        await pilot.press("/", *"rfnd")
        await until(pilot, lambda: "Owls" not in app.screen_text())
        assert "Refund policy" in app.screen_text()
        await pilot.press(*["backspace"] * 4, *"owls")
        await until(pilot, lambda: "in its text" in app.screen_text())
        lines = app.screen_text().splitlines()
        assert lines[2].split()[0] == "Owls"
        assert lines[3].split()[:2] == ["Something", "else"]
        await pilot.press("down", "j", "enter")
        await until(pilot, lambda: app.choices == [third])


async def test_leaving_the_search_shows_all_again(session: Session):
    await begin(session, "one", "two")
    app = Opened(session)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "two" in app.screen_text())
        await pilot.press("/", *"zzz")
        await until(pilot, lambda: "Nothing found." in app.screen_text())
        await pilot.press("escape")
        await until(pilot, lambda: "one" in app.screen_text() and "two" in app.screen_text())
        assert app.choices == []


async def test_rename_archive_and_show_archived(session: Session):
    await begin(session, "one", "two")
    app = Opened(session)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "two" in app.screen_text())
        await pilot.press("r")
        await until(pilot, lambda: "The conversation's title" in app.screen_text())
        await pilot.press("end", *" [b]x", "enter")
        await until(pilot, lambda: "two [b]x" in app.screen_text())
        await pilot.press("a")
        await until(pilot, lambda: "two [b]x" not in app.screen_text().split("Archived:")[0])
        await pilot.press("A")
        await until(pilot, lambda: "Archived conversations  1" in app.screen_text())
        await pilot.press("a")
        await until(pilot, lambda: "Archived conversations  0" in app.screen_text())
        await pilot.press("A")
        await until(pilot, lambda: "Conversations  2" in app.screen_text())


async def test_a_blank_title_is_refused_with_a_sentence(session: Session):
    await begin(session, "one")
    app = Opened(session)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "one" in app.screen_text())
        await pilot.press("r")
        await until(pilot, lambda: "The conversation's title" in app.screen_text())
        await pilot.press("ctrl+u", "enter")
        await until(pilot, lambda: "A conversation needs a title: type one." in app.toasts())


async def test_delete_asks(session: Session):
    [one] = await begin(session, "one")
    app = Opened(session)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "one" in app.screen_text())
        await pilot.press("d")
        await until(pilot, lambda: "Delete “one”" in app.screen_text())
        await pilot.press("enter", "escape")
        assert (await session.chat.conversation(one)).title == "one"
        await pilot.press("d")
        await until(pilot, lambda: "Delete “one”" in app.screen_text())
        await pilot.press("y")
        await until(pilot, lambda: "No conversations yet." in app.screen_text())
        assert await session.chat.conversations() == []


async def test_export_never_overwrites(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    await begin(session, "My Plan?")
    app = Opened(session)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "My Plan?" in app.screen_text())
        for number, name in enumerate(["my-plan.md", "my-plan-2.md"], 1):
            await pilot.press("x")
            await until(pilot, lambda: "Export to which file?" in app.screen_text())
            await pilot.press("enter")
            await until(pilot, lambda n=number: len([*app.toasts()]) == n)
            assert str(tmp_path / name) in [*app.toasts()][-1]
        await pilot.press("x")
        await until(pilot, lambda: "Export to which file?" in app.screen_text())
        await pilot.press("ctrl+u", *"a.json", "enter")
        await until(pilot, (tmp_path / "a.json").exists)
    assert (tmp_path / "my-plan.md").read_text().startswith("# My Plan?")
    assert json.loads((tmp_path / "a.json").read_text())["conversation"]["title"] == "My Plan?"


async def test_what_happens_elsewhere_shows_here(session: Session):
    ids = await begin(session, "one", "two")
    app = Opened(session)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "two" in app.screen_text())
        await pilot.press("j")
        await session.chat.rename(ids[1], "zwei")
        await begin(session, "three")
        await until(pilot, lambda: "zwei" in app.screen_text() and "three" in app.screen_text())
        await pilot.press("enter")
        await until(pilot, lambda: app.choices == [ids[0]])


@pytest.mark.parametrize(
    ("query", "title", "found"),
    [
        ("", "anything", True),
        ("plan", "Refund policy for annual plans", True),
        ("rfnd plcy", "Refund policy", True),
        ("policy refund", "Refund policy", True),
        ("rpa", "Refund policy for annual plans", False),
        ("owl", "Refund", False),
        ("aabb", "ab" * 150, True),
        ("ß", "Maße", True),
        ("i", "İstanbul", False),
    ],
)
def test_fuzzy(query: str, title: str, found: bool):
    assert (fuzzy(query, title) is not None) is found


def test_fuzzy_prefers_whole_words_at_their_beginning():
    scores = [fuzzy("plan", title).score for title in ("plans", "airplane", "pxlxaxn")]  # pyright: ignore
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 3


def test_file_names():
    assert file_name("Refund policy: für Pläne?", 3) == "refund-policy-für-pläne.md"
    assert file_name("../../etc/passwd", 3) == "etc-passwd.md"
    assert file_name("?!", 3) == "conversation-3.md"
    assert len(file_name("漢" * 200, 3).encode()) < 70
    assert format_of("A.JSON") == "json"
    assert format_of("notes") == "markdown"


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path: Path):
    with pytest.raises(InputError, match="No such file or directory"):
        write_new(str(tmp_path / "missing" / "a.md"), "text")
    with pytest.raises(InputError, match="Could not write"):
        write_new("a\0b", "text")
