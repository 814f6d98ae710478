"""The pseudo-terminal driver itself: what it says of a command is what the command did."""

import signal
import sys
import textwrap

import pytest

from tests.support.pty_terminal import ScreenTimeout, Terminal


def python(code: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code)]


def test_size_colours_and_text():
    code = "import os; print(os.get_terminal_size()); print('\\x1b[31mr\\u00e9d\\x1b[0m 漢字')"
    with Terminal(python(code), size=(70, 12)) as terminal:
        terminal.wait_for(r"columns=70, lines=12")
        terminal.wait_for(r"réd 漢")
        assert terminal.wait_exit() == 0


def test_typing_and_keys():
    code = """
        import sys, termios, tty
        tty.setraw(0)
        print('ready', end='', flush=True)
        while (key := sys.stdin.buffer.raw.read(10)) != b'q':
            print(repr(key), flush=True)
    """
    with Terminal(python(code)) as terminal:
        terminal.wait_for("ready")
        for key, sent in [
            ("x", "b'x'"),
            ("enter", r"b'\\r'"),
            ("ctrl+o", r"b'\\x0f'"),
            ("alt+enter", r"b'\\x1b\\r'"),
            ("f1", r"b'\\x1bOP'"),
        ]:
            terminal.press(key)
            terminal.wait_for(sent)
        terminal.paste("é")
        terminal.wait_for(r"b'\\x1b\[200~")
        terminal.press("q")
        assert terminal.wait_exit() == 0


def test_ctrl_c_is_sigint_and_hanging_up_sighup():
    code = "import time; print('ready', flush=True); time.sleep(60)"
    with Terminal(python(code)) as terminal:
        terminal.wait_for("ready")
        terminal.press("ctrl+c")
        assert terminal.wait_exit() == -signal.SIGINT
    with Terminal(python(code)) as terminal:
        terminal.wait_for("ready")
        terminal.hang_up()
        assert terminal.wait_exit() == -signal.SIGHUP


def test_resize_reaches_the_command():
    code = """
        import os, signal
        signal.signal(signal.SIGWINCH, lambda *_: print(os.get_terminal_size(), flush=True))
        print('ready', flush=True)
        while True: signal.pause()
    """
    with Terminal(python(code), size=(80, 24)) as terminal:
        terminal.wait_for("ready")
        terminal.resize(100, 30)
        terminal.wait_for(r"columns=100, lines=30")


def test_questions_are_answered():
    code = """
        import sys, tty
        tty.setraw(0)
        print('\\x1b[c', end='', flush=True)
        attributes = sys.stdin.buffer.raw.read(50)
        print('\\x1b[?2026$p', end='', flush=True)
        mode = sys.stdin.buffer.raw.read(50)
        print('12345\\x1b[6n', end='', flush=True)
        print(attributes, mode, sys.stdin.buffer.raw.read(50), end='', flush=True)
    """
    with Terminal(python(code)) as terminal:
        terminal.wait_for(r"b'\\x1b\[\?62;c' b'\\x1b\[\?2026;2\$y' b'\\x1b\[1;6R'")


def test_a_sequence_cut_in_two_is_not_printed():
    code = """
        import os, time
        for part in ('a\\x1b[', '31', 'mb\\x1b[?20', '26hc\\x1b]0;ti', 'tle\\x07d\xc3', '\xa9'):
            os.write(1, part.encode('latin-1'))
            time.sleep(0.05)
    """
    with Terminal(python(code)) as terminal:
        terminal.wait_exit()
        assert terminal.line(0) == "abcdé"


def test_what_does_not_come_is_told_with_the_screen():
    with Terminal(python("print('something else')")) as terminal:
        with pytest.raises(ScreenTimeout, match="something else"):
            terminal.wait_for("never")
        assert b"something else" in terminal.raw


def test_a_chatty_command_is_never_held_up():
    code = "import sys; sys.stdout.write('x' * 2_000_000); print('\\nend')"
    with Terminal(python(code)) as terminal:
        assert terminal.wait_exit() == 0
        terminal.wait_for("end")
