"""What makes the start quick, for the whole process: less to collect, less to import."""

import gc
import os
import sys

_IMPORTING, _USUAL = 0.001, 0.005
"""Seconds that a thread may keep the interpreter from another one that wants it."""


def begin() -> None:
    """Before the heavy imports."""
    # Imports make hundreds of thousands of objects that stay: looking through them for garbage,
    # again and again, is a tenth of the start.
    gc.disable()
    # While one thread imports what opens the session, another one answers the keys.
    sys.setswitchinterval(_IMPORTING)
    # pydantic looks for plugins in the metadata of every installed package; we have none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def done() -> None:
    """What was imported so far is never looked through again: that would hold up a key press."""
    gc.freeze()
    gc.enable()
    sys.setswitchinterval(_USUAL)
