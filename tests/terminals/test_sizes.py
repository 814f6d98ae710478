"""From 80x24 down to 60x16 everything is there and on its own rows; below, one line says so."""

import random
import re

import pytest

from tests.support.command import Stepline
from tests.support.pty_terminal import Terminal
from tests.terminals import scene
from tests.terminals.driving import LIVE, assert_no_error, leave, start, still
from tests.terminals.tour import Stop, tour
from tests.tui.conftest import HandWorker

LARGEST = (80, 24)
SMALLER = [(72, 20), (60, 16)]
TINY = (59, 15)
SENTENCE = "stepline needs 60 columns and 16 rows."


def overlaps(stop: Stop, text: str) -> str:
    """What stands where something else should; empty if every part has its own rows."""
    rows = text.split("\n")
    if stop.top and not re.search(stop.top, rows[0]):
        return f"first row {rows[0]!r}"
    if stop.bottom and not rows[-1].startswith(stop.bottom):
        return f"last row {rows[-1]!r}"
    if stop.bottom and any(stop.bottom in row for row in rows[:-1]):
        return "the keys are there twice"
    if stop.box:
        return _broken_box(rows)
    return _mixed_main(rows) if " stepline " in rows[0] else ""


def _broken_box(rows: list[str]) -> str:
    """The frame of a dialog is whole, so nothing is drawn through it."""
    tops = [number for number, row in enumerate(rows) if "┌" in row]
    bottoms = [number for number, row in enumerate(rows) if "└" in row]
    if (len(tops), len(bottoms)) != (1, 1):
        return f"frames at {tops}, {bottoms}"
    top, bottom = tops[0], bottoms[0]
    left, right = rows[top].find("┌"), rows[top].find("┐")
    # No right end at all: the picture for a wider terminal is still there, cut off.
    if right < 0 or (rows[bottom].find("└"), rows[bottom].find("┘")) != (left, right):
        return f"frame {rows[top]!r} {rows[bottom]!r}"
    broken = [row for row in rows[top + 1 : bottom] if (row[left], row[right]) != ("│", "│")]
    return f"frame {broken}" if broken else ""


def _mixed_main(rows: list[str]) -> str:
    """Header, rule, conversation, rule, panel, rule, composer, keys: each part in its place."""
    rules = [number for number, row in enumerate(rows) if set(row) == {"─"}]
    if len(rules) != 3 or rules[0] != 1 or rules[2] != len(rows) - 3:
        return f"rules at {rules}"
    panel = rows[rules[1] + 1 : rules[2]]
    if not all(re.match(r"[ ▌]. #12\d ", row) for row in panel):
        return f"panel {panel}"
    if any(" #12" in row for row in rows[: rules[1]]):
        return "tasks in the conversation"
    return "" if rows[-2].startswith(" > ") else f"composer {rows[-2]!r}"


def at_rest(terminal: Terminal, stop: Stop) -> str:
    """The screen once every part is where it belongs; fails with the screen if that never is."""
    terminal.wait_for(stop.shows)
    terminal.wait_until(lambda text: not overlaps(stop, text), f"{stop.name} without overlap", 10)
    return still(terminal.text())


def again(terminal: Terminal, before: str) -> None:
    """The screen becomes what it was."""
    terminal.wait_until(lambda text: still(text) == before, f"this again:\n{before}\nbut", 10)


def test_every_screen_at_every_size_and_back(busy: Stepline):
    with start(busy, size=LARGEST) as terminal:
        for stop in tour(terminal):
            before = at_rest(terminal, stop)
            for size in SMALLER:
                terminal.resize(*size)
                at_rest(terminal, stop)
            terminal.resize(*TINY)
            terminal.wait_until(lambda text: text.strip() == SENTENCE, "the sentence alone")
            terminal.resize(*LARGEST)
            again(terminal, before)
        terminal.resize(*SMALLER[-1])
        leave(terminal)
    assert_no_error(busy)


@pytest.mark.parametrize("reports_size", [False, True], ids=["signal", "in-band"])
def test_started_too_small_it_grows(busy: Stepline, reports_size: bool):
    with start(busy, size=TINY, reports_size=reports_size) as terminal:
        terminal.wait_until(lambda text: text.strip() == SENTENCE, "the sentence alone")
        # What is typed blindly is kept.
        terminal.type("blind")
        terminal.resize(60, 16)
        terminal.wait_for("(?s)live.*> blind")
        leave(terminal)
    assert_no_error(busy)


def test_no_text_is_lost_by_wrapping(stepline: Stepline, hand: HandWorker):
    """Every word of an answer is there, whatever the width it is read at."""
    words = [f"word{number}" for number in range(60)]
    with start(stepline, size=(60, 16)) as terminal:
        terminal.wait_for(LIVE)
        terminal.type("go")
        terminal.press("enter")
        terminal.wait_for("1 running")
        hand.claim(1)
        hand.reply(1, " ".join(words))
        for columns, rows in [(60, 24), (72, 24), (61, 24)]:
            terminal.resize(columns, rows)
            terminal.wait_until(
                lambda text: re.findall(r"word\d+", text) == words, "every word once, in order"
            )
        leave(terminal)


def test_a_storm_of_sizes_while_an_answer_streams(busy: Stepline, hand: HandWorker):
    sizes = random.Random(1)
    with start(busy) as terminal:
        terminal.wait_for(scene.LAST_WORDS)
        terminal.type("a draft")
        terminal.wait_for("> a draft")
        terminal.press("pgup")
        terminal.wait_until(lambda text: scene.LAST_WORDS not in text, "text further up")
        terminal.press("pgup")
        terminal.wait_for("Paragraph 20")
        before = still(terminal.text())
        # As fast as they go: the app sees only some of them.
        for number in range(120):
            terminal.resize(*_size(sizes, number))
            if number % 10 == 0:
                hand.partial(128, f"Annual plans too. {'more ' * number}{scene.LAST_WORDS}")
        # And those that it sees every one of.
        for width in (60, 200, 61, 33, 97, 250, 60, 120, 75, 10):
            terminal.resize(width, 24)
            terminal.wait_for("> a draft" if width >= 60 else r"stepline\s+needs")
        terminal.resize(*LARGEST)
        terminal.wait_until(lambda text: _read(still(text)) == _read(before), f"again:\n{before}")
        # It is as quick as ever, and the end is where it was.
        terminal.press("backspace")
        terminal.wait_for("> a draf$")
        terminal.press("pgdn", "pgdn", "pgdn", "pgdn", "pgdn", "pgdn")
        terminal.wait_for(scene.LAST_WORDS)
        leave(terminal)
    assert_no_error(busy)


def _read(text: str) -> list[str]:
    """The conversation and what is typed: what the reader has before them."""
    rows = text.split("\n")
    return [*rows[1:15], *rows[-2:]]


def _size(sizes: random.Random, number: int) -> tuple[int, int]:
    extremes = {30: (1, 1), 60: (500, 200), 90: (1, 200), 119: (500, 1)}
    return extremes.get(number) or (sizes.randint(1, 250), sizes.randint(1, 80))
