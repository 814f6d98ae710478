"""256 colours, 16, none, ASCII: every screen is readable, and what is selected is seen."""

import re
from collections.abc import Iterator

import pytest
from pyte.screens import Char

from tests.support.command import Stepline
from tests.support.pty_terminal import Terminal
from tests.terminals.driving import assert_no_error, leave, start
from tests.terminals.tour import Stop, tour

SELECTED = {
    "palette": "Commands",
    "conversations": "Refund policy",
    "tasks": "#128",
    "inspector": "keys",
    "events": "keys|events",
    "types": "Chat",
}
"""What the row under the cursor shows, by the name of the stop."""

_SGR = re.compile(rb"\x1b\[([\d;:]*)m")
_RGB = {
    "black": (0, 0, 0),
    "red": (205, 0, 0),
    "green": (0, 205, 0),
    "brown": (205, 205, 0),
    "blue": (0, 0, 238),
    "magenta": (205, 0, 205),
    "cyan": (0, 205, 205),
    "white": (229, 229, 229),
}
"""xterm's own palette, by pyte's names."""


def codes(raw: bytes | bytearray) -> set[int]:
    """Every number in a sequence for colours and looks."""
    found = _SGR.findall(bytes(raw))
    return {int(code) for one in found for code in re.split(b"[;:]", one) if code}


def sides(cell: Char, *, dark: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The colours of the letter and of what is behind it."""
    ink, paper = ("ffffff", "000000") if dark else ("000000", "ffffff")
    front, back = _rgb(cell.fg, ink), _rgb(cell.bg, paper)
    return (back, front) if cell.reverse else (front, back)


def _rgb(name: str, default: str) -> tuple[int, ...]:
    if name == "default":
        name = default
    plain = name.removeprefix("bright")
    if plain in _RGB:
        # Bright ones are those with the next step of light.
        return tuple(min(255, part + 50 * (plain != name)) for part in _RGB[plain])
    return tuple(int(name[at : at + 2], 16) for at in (0, 2, 4))


def assert_readable(terminal: Terminal, *, dark: bool, names: str) -> None:
    """No letter has nearly the colour of what is behind it."""
    for row in terminal.cells():
        for cell in row:
            if not cell.data.isalnum():
                continue
            front, back = sides(cell, dark=dark)
            difference = sum(abs(one - other) for one, other in zip(front, back, strict=True))
            assert difference > 150, (names, cell, "".join(each.data for each in row))


def assert_selected(terminal: Terminal, stop: Stop) -> None:
    """Exactly the row under the cursor is drawn the other way round, from end to end."""
    if stop.name not in SELECTED:
        return
    rows = terminal.cells()
    reversed_rows = [
        "".join(cell.data for cell in row)
        for row in rows
        if sum(cell.reverse for cell in row) > len(row) // 2
    ]
    assert len(reversed_rows) == 1, (stop.name, terminal.text())
    assert re.search(SELECTED[stop.name], reversed_rows[0])


def assert_focus(terminal: Terminal, stop: Stop) -> None:
    """Where typing goes there is a cursor; the panes of the main screen have a mark."""
    if stop.name in ("main", "palette", "rename", "form", "json"):
        # Drawn a frame later than what the stop was waited for by.
        terminal.wait_until(
            lambda _: any(cell.reverse for row in terminal.cells() for cell in row),
            f"a cursor on {stop.name}",
        )
    elif stop.name in ("panel", "conversation"):
        assert re.search("^[▌>]", terminal.text(), re.MULTILINE), stop.name


KINDS = {
    "256": {"TERM": "xterm-256color"},
    "16": {"TERM": "xterm"},
    "linux": {"TERM": "linux"},
    "screen": {"TERM": "screen"},
    "vt100": {"TERM": "vt100"},
    "no-colour": {"NO_COLOR": "1", "COLORTERM": "truecolor"},
    "dumb": {"TERM": "dumb"},
}
BRIEFLY = {"linux", "screen", "vt100", "dumb"}
"""Those that are as `16` is: a few screens of them are enough."""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of terminal."""
    return request.param


@pytest.fixture
def terminal(busy: Stepline, kind: str) -> Iterator[Terminal]:
    """The app in that kind of terminal."""
    with start(busy, **KINDS[kind]) as started:
        yield started
    assert_no_error(busy)


def test_every_screen_is_readable(terminal: Terminal, kind: str):
    for stop in tour(terminal):
        for dark in (True, False):
            assert_readable(terminal, dark=dark, names=f"{kind} {stop.name} dark={dark}")
        assert_selected(terminal, stop)
        assert_focus(terminal, stop)
        if kind in BRIEFLY and stop.name == "tasks":
            break
    leave(terminal)
    used = codes(terminal.raw)
    colours = {38, 48, 39, 49, *range(30, 38), *range(40, 48), *range(90, 98), *range(100, 108)}
    if kind == "no-colour":
        assert not used & colours
    else:
        # The terminal's own 16 colours, whatever it could do: the user chose them.
        assert not used & {38, 48}
        assert used & colours


@pytest.mark.parametrize("theme", ["textual-light", "nord"])
def test_a_theme_of_many_colours_in_256(busy: Stepline, theme: str):
    """OpenSSH does not forward COLORTERM: this is the everyday case."""
    with start(busy, STEPLINE_THEME=theme) as terminal:
        for stop in tour(terminal):
            if not stop.box:  # what is behind a dialog is dimmed on purpose
                assert_readable(terminal, dark=True, names=f"{theme} {stop.name}")
            assert_selected(terminal, stop)
            if stop.name == "tasks":
                break
        assert re.search(rb"\x1b\[[\d;]*[34]8;5;", bytes(terminal.raw))
        assert not re.search(rb"\x1b\[[\d;]*[34]8;2;", bytes(terminal.raw))


def test_a_theme_of_many_colours_in_16(stepline: Stepline):
    """They would become one another: the terminal's own colours are taken instead."""
    with start(stepline, STEPLINE_THEME="textual-light", TERM="xterm") as terminal:
        terminal.wait_for("Type a message and press enter")
        for dark in (True, False):
            assert_readable(terminal, dark=dark, names="16")
        assert not codes(terminal.raw) & {38, 48}


@pytest.mark.parametrize("env", [{"LANG": "C"}, {"TERM": "dumb"}], ids=["locale", "dumb"])
def test_ascii_twins_on_every_screen(busy: Stepline, env: dict[str, str]):
    with start(busy, **env) as terminal:
        for stop in tour(terminal):
            assert terminal.text().isascii(), (stop.name, terminal.text())
            if stop.box:
                assert re.search(r"\+-{30,}\+", terminal.text())
        leave(terminal)
    assert_no_error(busy)
