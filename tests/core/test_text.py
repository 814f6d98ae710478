"""Hostile text: what may never be left in it, and what must never be lost."""

import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from core.text import CleanJson, clean, clean_json, clean_line

FORBIDDEN = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))} - {"\n", "\t"}
OVERRIDES = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

# Text in which escape sequences, whole and broken, are likely.
pieces = st.sampled_from(
    [
        "\x1b",
        "\x1b[",
        "\x1b]",
        "\x1bP",
        "\x1b\\",
        "\x07",
        "\x9b",
        "\x9d",
        "\x9c",
        "\x90",
        "\r",
        "31",
        ";",
        "m",
        "0;",
        "\n",
        "\t",
        " ",
        "hello",
        "é",
        "\u202e",
        "\u2028",
        "\x85",
        "\x00",
    ]
)
hostile = st.lists(pieces | st.text(st.characters(), max_size=5)).map("".join)


@given(hostile)
def test_nothing_is_left_that_a_terminal_would_act_on(text: str) -> None:
    left = set(clean(text))
    assert not left & FORBIDDEN
    assert not left & OVERRIDES
    assert not any("\ud800" <= char <= "\udfff" for char in left)


@given(hostile)
def test_cleaning_again_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)
    assert clean_line(clean_line(text)) == clean_line(text)


@given(hostile)
def test_a_line_is_one_line(text: str) -> None:
    line = clean_line(text)
    assert len(line.splitlines()) <= 1
    assert "\t" not in line
    assert line == line.strip()


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"])))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "e\u0301 n\u0303",  # combining
        "שלום עולם, مرحبا",  # right to left
        "👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈 🇩🇪",  # joined, with skin tone, with variation selector, a pair
        "漢字かな 한글",
        "a\u200fb\u200ec",  # marks that order nothing but themselves
        "[red]not markup[/] {} %s \\x1b[31m",
        "col\tumn\nline\n\n  indented",
    ],
)
def test_it_keeps(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("dirty", "cleaned"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]52;c;aGVsbG8=\x1b\\text", "text"),
        ("\x1b]8;;https://evil.example\x07link\x1b]8;;\x07", "link"),
        ("\x1bPq#0;2;0;0;0\x1b\\text", "text"),
        ("\x1b(0lqqk\x1b(B", "lqqk"),
        ("\x9b31mred", "red"),
        ("\x9d0;title\x9ctext", "text"),
        ("10%\r20%\r\n30%", "10%\n20%\n30%"),
        ("bell\x07 back\x08 null\x00 del\x7f", "bell back null del"),
        ("abc\u202edcba", "abcdcba"),
        ("\ufeffbom", "bom"),
        ("half \ud83d pair", "half  pair"),
        ("cut off \x1b[", "cut off "),
        ("cut off \x1b", "cut off "),
    ],
)
def test_it_removes(dirty: str, cleaned: str) -> None:
    assert clean(dirty) == cleaned


@pytest.mark.parametrize("opening", ["\x1b]", "\x1bP", "\x1b_", "\x9d", "\x90", "\x9d0;"])
def test_an_opening_without_its_end_swallows_nothing(opening: str) -> None:
    rest = "all that follows\nand the next line\x07"
    assert clean(f"before {opening}{rest}").endswith("all that follows\nand the next line")


def test_text_of_the_wrong_encoding_is_not_lost() -> None:
    garbled = "He said “no”, then “yes”; śnieg".encode().decode("latin-1")
    letters = re.sub(r"[^A-Za-z]", "", unicodedata.normalize("NFD", clean(garbled)))
    assert all(word in letters for word in ("Hesaid", "no", "then", "yes", "nieg"))


@pytest.mark.parametrize(
    "unit",
    [
        "x",
        "é",
        "\x1b",
        "\x1b]",
        "\x1b]x",
        "\x1bP",
        "\x9d",
        "\x9d1",
        "\x9b1",
        "\x1b[",
        "\x1b[1",
        "\r",
        "\x1b ",
        "\x1b[31mx\x1b[0m",
        "\x1b[ ",
        "漢",
        "e\u0301",
    ],
)
def test_a_megabyte_on_one_line_is_quick(unit: str) -> None:
    def seconds(size: int) -> float:
        text = "é" + unit * (size // len(unit))
        started = time.perf_counter()
        clean(text)
        return time.perf_counter() - started

    # Quadratic work would take minutes here; the limit leaves room for a busy machine.
    assert seconds(1_000_000) < 2


def test_json_is_cleaned_all_through() -> None:
    dirty = {"a\x1b[31m": ["\x07b", {"c": "\x1b]0;x\x07d", "n": 1.5, "t": True, "z": None}]}
    assert clean_json(dirty) == {"a": ["b", {"c": "d", "n": 1.5, "t": True, "z": None}]}


def test_json_nested_too_deep_is_cut_not_refused() -> None:
    deep: object = "bottom"
    for _ in range(400):
        deep = [deep]
    cut = TypeAdapter[object](CleanJson).validate_python(deep)
    for _ in range(100):
        assert isinstance(cut, list)
        cut = cut[0]
    assert cut == "…"
