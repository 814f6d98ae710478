"""What is written to the terminal: only what differs, and still the same screen."""

import pyte
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from tui.shown import Shown

WIDTH, HEIGHT = 24, 4
CONSOLE = Console(force_terminal=True, color_system="truecolor", width=WIDTH, legacy_windows=False)

styles = st.sampled_from(
    [None, Style(), Style(bold=True), Style(color="red"), Style(bgcolor="blue", dim=True)]
)
characters = st.sampled_from([*"abc  ", "é", "─", "✓", "漢", "🎉", "e\u0301"])


texts = st.lists(characters, max_size=8).map("".join)


@st.composite
def strips(draw: st.DrawFn, width: int) -> Strip:
    """A strip of exactly `width` cells."""
    pieces = draw(st.lists(st.tuples(texts, styles), max_size=4))
    return Strip([Segment(text, style) for text, style in pieces]).adjust_cell_length(width)


@st.composite
def updates(draw: st.DrawFn) -> ChopsUpdate | LayoutUpdate:
    """The whole screen, or some lines of it that are two widgets wide."""
    if draw(st.booleans()):
        lines = [[draw(strips(WIDTH))] for _ in range(HEIGHT)]
        return LayoutUpdate(lines, Region(0, 0, WIDTH, HEIGHT))
    middle = draw(st.integers(1, WIDTH - 1))
    rows = sorted(draw(st.sets(st.integers(0, HEIGHT - 1), min_size=1)))
    chops: list[dict[int, Strip | None]] = [{} for _ in range(HEIGHT)]
    spans: list[tuple[int, int, int]] = []
    for y in rows:
        left, right = draw(strips(middle)), draw(strips(WIDTH - middle))
        chops[y] = {0: left, middle: right}
        x1, x2 = sorted(draw(st.tuples(st.integers(0, WIDTH), st.integers(0, WIDTH))))
        if x1 < x2:
            spans.append((y, x1, x2))
    ends = [[middle, WIDTH] for _ in range(HEIGHT)]
    return ChopsUpdate(chops, spans or [(rows[0], 0, WIDTH)], ends)


def emulated(data: str, screen: pyte.Screen) -> None:
    # As Textual has the terminal: lines do not wrap, and a line feed begins a line.
    pyte.Stream(screen).feed("\x1b[?7l" + data.replace("\n", "\r\n"))


def cells(screen: pyte.Screen) -> list[list[pyte.screens.Char]]:
    return [[screen.buffer[y][x] for x in range(WIDTH)] for y in range(HEIGHT)]


@given(st.lists(updates(), min_size=1, max_size=6))
def test_the_screen_is_the_same(
    sequence: list[ChopsUpdate | LayoutUpdate],
) -> None:
    plain, spared = pyte.Screen(WIDTH, HEIGHT), pyte.Screen(WIDTH, HEIGHT)
    shown = Shown()
    for update in sequence:
        whole = update.render_segments(CONSOLE)
        emulated(whole, plain)
        emulated(shown.difference(update).render_segments(CONSOLE), spared)
        assert cells(spared) == cells(plain)


def line(*texts: str) -> LayoutUpdate:
    return LayoutUpdate([[Strip([Segment(text)])] for text in texts], Region(0, 0, WIDTH, HEIGHT))


def test_what_is_shown_is_not_written_again():
    shown = Shown()
    assert "hello" in shown.difference(line("hello", "you")).render_segments(CONSOLE)
    assert shown.difference(line("hello", "you")).render_segments(CONSOLE) == ""
    assert shown.difference(line("hello", "yes")).render_segments(CONSOLE) == "\x1b[2;2Hes"


def test_what_is_forgotten_is_written_again():
    shown = Shown()
    shown.difference(line("hello")).render_segments(CONSOLE)
    shown.forget()
    assert "hello" in shown.difference(line("hello")).render_segments(CONSOLE)


def test_an_update_that_is_not_written_changes_nothing():
    shown = Shown()
    shown.difference(line("hello")).render_segments(CONSOLE)
    shown.difference(line("never"))
    assert shown.difference(line("hello")).render_segments(CONSOLE) == ""


def test_a_line_with_uncertain_widths_is_written_whole():
    shown = Shown()
    shown.difference(line("a 🎉 party today")).render_segments(CONSOLE)
    written = shown.difference(line("a 🎉 party later")).render_segments(CONSOLE)
    assert "a 🎉 party later" in written
