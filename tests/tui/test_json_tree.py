import json
import time

import pytest
from pydantic import JsonValue
from rich.cells import cell_len

from core.text import clean_json
from tests.tui.screen_app import HOSTILE, ScreenApp
from tui.json_rows import JsonRows, wrapped
from tui.widgets.json_tree import JsonTree

DOCUMENT: JsonValue = {
    "ai_response": "Our refund policy.\n\n" + "All of it, in words. " * 12,
    "tokens_used": 843,
    "streamed": True,
    "thinking": None,
    "items": [{"sku": "a-1"}, {"sku": "b-2", "tags": ["x", "y"]}],
    "nothing": {},
}


def labels(rows: JsonRows) -> list[str]:
    return ["/".join(map(str, row.path)) for row in rows.rows]


def test_small_documents_are_unfolded_at_first():
    rows = JsonRows({"a": {"b": [1, 2]}, "c": 3})
    assert labels(rows) == ["", "a", "a/b", "a/b/0", "a/b/1", "c"]


def test_large_arrays_wait_folded():
    rows = JsonRows({"items": [*range(10_000)]})
    assert labels(rows) == ["", "items"]
    rows.unfold(1)
    assert len(rows.rows) == 10_002
    rows.fold(1)
    assert labels(rows) == ["", "items"]


def test_folding_takes_everything_inside_with_it():
    rows = JsonRows({"a": {"b": {"c": 1}}, "d": 2})
    rows.fold(1)
    assert labels(rows) == ["", "a", "d"]
    rows.unfold(1)
    assert labels(rows) == ["", "a", "a/b", "d"]


def test_a_match_is_found_and_revealed_wherever_it_is():
    rows = JsonRows({"items": [{"n": i, "name": f"row {i}"} for i in range(10_000)]})
    found = rows.find("ROW 9876")
    assert found == [("items", 9876, "name")]
    at = rows.reveal(found[0])
    assert rows.rows[at].value == "row 9876"
    assert rows.find("name")[:2] == [("items", 0, "name"), ("items", 1, "name")]


def test_a_newer_state_keeps_what_is_unfolded_and_the_cursor():
    rows = JsonRows({"a": [*range(50)], "b": {"c": [*range(60)]}, "z": 0})
    at = rows.reveal(("b", "c", 7))
    at = rows.replace({"new": 1, "a": [], "b": {"c": [*range(70)]}, "z": 1}, at)
    assert rows.rows[at].path == ("b", "c", 7)
    assert ("b", "c", 69) in [row.path for row in rows.rows]


def test_the_cursor_goes_to_what_is_left_when_its_value_is_gone():
    rows = JsonRows({"a": {"b": {"c": 1}}})
    at = rows.replace({"a": {"x": 1}}, rows.reveal(("a", "b", "c")))
    assert rows.rows[at].path == ("a",)


@pytest.mark.parametrize(
    "text", ["", "\n", "plain words " * 30, "漢字" * 100, "e\u0301" * 200, "w" * 1000, "a\tb\n\nc"]
)
def test_wrapped_text_loses_nothing_and_fits(text: str):
    lines = [*wrapped(text, 20)]
    assert "".join(lines) == text.replace("\n", "").replace("\t", "    ")
    assert max(map(cell_len, lines)) <= 20


def test_a_long_string_unfolds_into_its_text_and_follows_the_width():
    rows = JsonRows({"s": "x" * 100}, width=50)
    rows.unfold(1)
    assert [row.line for row in rows.rows[2:]] == ["x" * 50, "x" * 50]
    rows.resize(25)
    assert [row.line for row in rows.rows[2:]] == ["x" * 25] * 4


def test_a_megabyte_and_deep_nesting_stay_quick():
    deep: JsonValue = "end"
    for _ in range(5_000):
        deep = [deep]
    document: JsonValue = {
        "line": "x" * 1_000_000,
        "wide": "漢" * 300_000,
        "items": [{"id": i} for i in range(10_000)],
        "deep": deep,
    }
    started = time.perf_counter()
    rows = JsonRows(document)
    for name in ("items", "wide", "line"):
        rows.unfold(rows.reveal((name,)))
    assert len(rows.find("end")) == 1
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
def test_pictures(snap_compare, size: tuple[int, int]):
    document = {**DOCUMENT, "hostile": HOSTILE, HOSTILE: 1}
    app = ScreenApp(JsonTree(clean_json(document)))
    assert snap_compare(app, terminal_size=size, press=["j", "enter"])


def test_picture_in_ascii(snap_compare):
    app = ScreenApp(JsonTree(DOCUMENT), ascii=True)
    assert snap_compare(app, terminal_size=(80, 24), press=["j", "enter"])


async def test_keys_fold_move_and_unfold():
    tree = JsonTree(DOCUMENT)
    app = ScreenApp(tree)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("h")
        assert tree.count == 1
        await pilot.press("l", "l")
        assert tree.cursor == 1
        await pilot.press("G")
        assert tree.cursor == tree.count - 1
        await pilot.press("k", "h")
        assert "sku" not in app.screen_text().splitlines()[tree.cursor]
        await pilot.press("g", "space")
        assert tree.count == 1


async def test_search_steps_through_the_matches_and_around():
    tree = JsonTree(DOCUMENT)
    app = ScreenApp(tree)
    async with app.run_test(size=(80, 24)) as pilot:
        tree.search("sku")
        first = tree.cursor
        await pilot.press("n")
        second = tree.cursor
        assert first < second
        await pilot.press("n")
        assert tree.cursor == first
        await pilot.press("N")
        assert tree.cursor == second
        tree.search("not in there")
        assert tree.cursor == second


async def test_copies_a_string_as_text_and_the_rest_as_json(monkeypatch: pytest.MonkeyPatch):
    copied: list[str] = []
    monkeypatch.setattr(
        "tui.widgets.json_tree.copy", lambda app, text, what: copied.append(text) or what
    )
    tree = JsonTree(DOCUMENT)
    app = ScreenApp(tree)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("j", "y", "Y")
        assert copied[0] == DOCUMENT["ai_response"]
        assert json.loads(copied[1]) == DOCUMENT
        assert [*app.toasts()] == ["“ai_response”", "the document"]


async def test_the_cursor_survives_a_resize_inside_a_text():
    tree = JsonTree({"s": "word " * 400})
    app = ScreenApp(tree)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("j", "enter", *["j"] * 5)
        await pilot.resize_terminal(50, 24)
        await pilot.pause()
        assert tree.cursor in tree.on_screen
        assert max(map(len, app.screen_text().splitlines())) <= 50


async def test_markup_in_keys_and_values_is_only_text():
    app = ScreenApp(JsonTree({"[b]k[/b]": "[@click=app.bell]x[/]"}))
    async with app.run_test(size=(80, 24)):
        assert '[b]k[/b]: "[@click=app.bell]x[/]"' in app.screen_text()
