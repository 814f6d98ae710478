"""Copying to the user's own clipboard through the terminal (OSC 52), over SSH, tmux and screen."""

import base64
import os
import subprocess
from collections.abc import Mapping

from textual.app import App

MAX_BYTES = 74_994
"""The longest text, in UTF-8 bytes, that terminals take: 100,000 bytes once encoded and framed."""

_TMUX_SECONDS = 1.0
# GNU screen cuts a device control string at 768 bytes.
_SCREEN_CHUNK = 700


def osc52(text: str, env: Mapping[str, str]) -> str:
    """The bytes for the terminal, as text, that put `text` into the clipboard.

    tmux and screen keep such sequences to themselves unless they are wrapped. tmux gets both
    forms: `set-clipboard on` reads the plain one, `allow-passthrough on` hands on the wrapped one.
    """
    encoded = base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
    plain = f"\x1b]52;c;{encoded}\x07"
    if env.get("TMUX"):
        return plain + "\x1bPtmux;" + plain.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if env.get("STY"):
        chunks = (plain[i : i + _SCREEN_CHUNK] for i in range(0, len(plain), _SCREEN_CHUNK))
        return "".join(f"\x1bP{chunk}\x1b\\" for chunk in chunks)
    return plain


def copy(app: App[object], text: str, what: str, env: Mapping[str, str] = os.environ) -> str:
    """Copies `text`; returns the sentence to show, which names it as `what` ("the reply").

    A text that terminals would cut is not copied at all: half a JSON document helps nobody.
    """
    size = len(text.encode("utf-8", "replace"))
    if size > MAX_BYTES:
        return (
            f"Too long for the terminal's clipboard: {what} has {size:,} bytes,"
            f" at most {MAX_BYTES:,} fit. Nothing was copied."
        )
    if not (env.get("TMUX") and _through_tmux(text, env)):
        _write(app, osc52(text, env))
    return f"Copied {what} ({size:,} {'byte' if size == 1 else 'bytes'})."


def _through_tmux(text: str, env: Mapping[str, str]) -> bool:
    """Hands `text` to tmux, which hands it to its terminal (`-w`); whether that worked.

    With tmux's own defaults both forms of the sequence are dropped without a word.
    """
    try:
        done = subprocess.run(
            ["tmux", "load-buffer", "-w", "-"],
            input=text.encode("utf-8", "replace"),
            env=dict(env),
            capture_output=True,
            timeout=_TMUX_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _write(app: App[object], sequence: str) -> None:
    # The one private attribute: App.copy_to_clipboard has no way to wrap its sequence.
    driver = app._driver
    if driver is not None:
        driver.write(sequence)
        driver.flush()
