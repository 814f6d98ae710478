import base64
import os
import re

from textual.app import App

from tui.clipboard import MAX_BYTES, copy, osc52

TEXT = "größe \x1b[31m ✓\n"


def payload(sequence: str) -> str:
    encoded = re.search(r"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07", sequence)
    assert encoded
    return base64.b64decode(encoded[1]).decode()


def test_a_plain_terminal_gets_one_sequence():
    assert payload(osc52(TEXT, {})) == TEXT


def test_tmux_gets_it_plain_and_wrapped():
    plain = osc52(TEXT, {})
    wrapped = osc52(TEXT, {"TMUX": "/tmp/tmux-0/default,1,0"})
    assert wrapped.startswith(plain)
    inner = re.fullmatch(r"\x1bPtmux;(.*)\x1b\\", wrapped.removeprefix(plain), re.DOTALL)
    assert inner
    assert inner[1].replace("\x1b\x1b", "\x1b") == plain


def test_screen_gets_pieces_it_can_take():
    long = "x" * 5000
    pieces = re.findall(r"\x1bP(.*?)\x1b\\", osc52(long, {"STY": "1.pts"}), re.DOTALL)
    assert max(map(len, pieces)) < 768
    assert payload("".join(pieces)) == long


def test_the_longest_text_stays_within_100_000_bytes():
    assert len(osc52("x" * MAX_BYTES, {})) <= 100_000


async def test_copy_writes_to_the_terminal_and_says_so():
    app: App[None] = App()
    async with app.run_test():
        written: list[str] = []
        app._driver.write = written.append  # pyright: ignore
        assert copy(app, "é", "the reply", {}) == "Copied the reply (2 bytes)."
        assert payload("".join(written)) == "é"


async def test_a_text_that_would_be_cut_is_not_copied():
    app: App[None] = App()
    async with app.run_test():
        written: list[str] = []
        app._driver.write = written.append  # pyright: ignore
        sentence = copy(app, "x" * (MAX_BYTES + 1), "the document", {})
    assert "Nothing was copied" in sentence
    assert written == []


async def test_without_a_tmux_that_answers_the_terminal_gets_the_sequence():
    app: App[None] = App()
    async with app.run_test():
        written: list[str] = []
        app._driver.write = written.append  # pyright: ignore
        copy(app, "x", "the reply", {"TMUX": "/nowhere,0,0", "PATH": os.environ["PATH"]})
    assert payload("".join(written)) == "x"
