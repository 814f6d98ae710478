"""The app inside tmux and GNU screen as they come: their own prefixes, detach, attach."""

from collections.abc import Iterator

import pytest

from tests.support.command import COMMAND, Stepline
from tests.support.multiplexers import Multiplexer, Screen, Tmux, running
from tests.support.pty_terminal import Terminal
from tests.terminals import scene
from tests.terminals.driving import assert_no_error, still
from tui.actions import ACTIONS
from tui.keys import UNSAFE, Keymap

READY = f"(?s){scene.LAST_WORDS}.*#126 email.* enter send"
# tmux and screen draw from the top, row by row: the words alone may be left from before.
MAIN = rf"\A stepline [^┌│]*{scene.LAST_WORDS}"
MOUSE = (1000, 1002, 1003, 1006, 1015)


@pytest.fixture(params=[Tmux, Screen], ids=["tmux", "screen"])
def multiplexer(request: pytest.FixtureRequest, busy: Stepline) -> Iterator[Multiplexer]:
    """Either of them, with the environment of the app."""
    with running(request.param, busy.env) as started:
        yield started


def detach(multiplexer: Multiplexer, terminal: Terminal) -> None:
    """With the default keys, as one does."""
    terminal.press(multiplexer.prefix, "d")
    terminal.wait_exit()


def leave(terminal: Terminal) -> None:
    """Quits the app, and with it the session."""
    terminal.press("ctrl+c")
    terminal.wait_for("again to quit")
    terminal.press("ctrl+c")
    terminal.wait_exit()


def test_all_screens_are_reached(multiplexer: Multiplexer, busy: Stepline):
    with multiplexer.start([COMMAND]) as terminal:
        terminal.wait_for(READY, 30)
        for key, shows in [
            ("f1", "While typing"),
            ("esc", MAIN),
            ("ctrl+p", "What do you want"),
            ("esc", MAIN),
            ("ctrl+o", "Conversations  1"),
            ("esc", MAIN),
            ("ctrl+g", "#122    email"),
            ("enter", "attempt 1"),
            ("esc", "#122    email"),
            ("n", "Email campaign"),
            ("esc", "#122    email"),
            ("esc", MAIN),
            ("tab", "enter inspector"),
        ]:
            terminal.press(key)
            terminal.wait_for(shows)
        leave(terminal)
    assert_no_error(busy)


def test_detach_and_attach_at_another_size(multiplexer: Multiplexer, busy: Stepline):
    with multiplexer.start([COMMAND]) as terminal:
        terminal.wait_for(READY, 30)
        terminal.type("my draft")
        terminal.wait_for("> my draft")
        terminal.press("pgup")
        # Painted to the last row of what the page up brought: screen passes it on in pieces.
        terminal.wait_for(r"(?s)Paragraph 26.*Paragraph 30.*terms apply.*^ *you .*#126 email")
        terminal.wait_until(lambda text: scene.LAST_WORDS not in text, "text further up")
        before = rows(terminal.text())
        detach(multiplexer, terminal)
    # Another kind of terminal, a larger one, whose mouse speaks another protocol.
    with multiplexer.attach((120, 40), TERM="xterm") as terminal:
        terminal.wait_for(r"(?s)^ stepline .* Tasks +3 running$.*> my draft +│")
        terminal.type("\x1b[<35;3;3M\x1b[<35;300;300M\x1b[M#!!")
        terminal.type("!")
        terminal.wait_for("> my draft!")
        terminal.press("backspace")
        terminal.wait_for("> my draft +│")
        detach(multiplexer, terminal)
    with multiplexer.attach() as terminal:
        # All of it is there again, where it was.
        terminal.wait_until(lambda text: rows(text) == before, f"this again: {before}\nbut")
        leave(terminal)
    assert_no_error(busy)


def rows(text: str) -> list[str]:
    """The app's rows, without what moves and without tmux's own line."""
    return still(text).split("\n")[:24]


def test_home_and_end_arrive(multiplexer: Multiplexer, busy: Stepline):
    with multiplexer.start([COMMAND]) as terminal:
        terminal.wait_for(READY, 30)
        terminal.type("middle")
        terminal.wait_for("> middle")
        terminal.press("home")
        terminal.type("a-")
        terminal.wait_for("> a-middle")
        terminal.press("end")
        terminal.type("-z")
        terminal.wait_for("> a-middle-z")
        leave(terminal)


def test_the_mouse_protocol_may_change_under_it(stepline: Stepline):
    """What a reattached tmux or screen sends may be another protocol, or cut in the middle."""
    with Terminal([COMMAND], size=(80, 24), env=stepline.env) as terminal:
        terminal.wait_for("● live")
        for report in (
            "\x1b[M   ",
            "\x1b[M !!",
            "\x1b[<0;-1;-1M",
            "\x1b[<0;10;10M\x1b[<0;10;10m",
            "\x1b[<999;1;M",
            "\x1b[32;10;10M",
            "\x1b[<64;5;5M\x1b[M`%%",
        ):
            terminal.type(report)
        terminal.press("f1")
        terminal.wait_for("pgdn page down")
    assert_no_error(stepline)


def test_no_action_needs_a_prefix():
    keymap = Keymap()
    for action in ACTIONS:
        assert set(keymap.keys(action)) - UNSAFE, action.id
    assert {"ctrl+a", "ctrl+b"} <= UNSAFE


def test_without_the_mouse_it_is_tmux_that_selects(busy: Stepline):
    """Copy mode takes the text off the pane, and a click is none of the app's business."""
    with running(Tmux, busy.env) as tmux, tmux.start([COMMAND, "--no-mouse"]) as terminal:
        assert isinstance(tmux, Tmux)
        terminal.wait_for(READY, 30)
        assert tmux.run("display-message", "-p", "#{mouse_any_flag}").strip() == "0"
        tmux.run("copy-mode")
        tmux.run("send-keys", "-X", "search-backward", scene.LAST_WORDS)
        tmux.run("send-keys", "-X", "begin-selection")
        tmux.run("send-keys", "-X", "-N", str(len(scene.LAST_WORDS)), "cursor-right")
        tmux.run("send-keys", "-X", "copy-selection-and-cancel")
        assert tmux.run("show-buffer") == scene.LAST_WORDS
        leave(terminal)


@pytest.mark.parametrize("given", ["--no-mouse", "setting"])
def test_no_mouse_asks_for_no_mouse(stepline: Stepline, given: str):
    if given == "setting":
        stepline = stepline.having(STEPLINE_MOUSE="false")
    options = ["--no-mouse"] if given == "--no-mouse" else []
    with Terminal([COMMAND, *options], size=(80, 24), env=stepline.env) as terminal:
        terminal.wait_for("● live")
        terminal.press("ctrl+d")
        terminal.wait_exit()
        for mode in MOUSE:
            assert b"\x1b[?%dh" % mode not in terminal.raw


def test_gnu_screen_keeps_the_mouse(stepline: Stepline):
    """It would hold esc back until the next key."""
    with Terminal(["env", "STY=1.x", COMMAND], size=(80, 24), env=stepline.env) as terminal:
        terminal.wait_for("● live")
        assert not any(terminal.mode(mode) for mode in MOUSE)


def test_with_the_mouse_it_does(stepline: Stepline):
    with Terminal([COMMAND], size=(80, 24), env=stepline.env) as terminal:
        terminal.wait_for("● live")
        assert terminal.mode(1000)
        assert terminal.mode(1006)
