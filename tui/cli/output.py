"""stdout is data, stderr is narration."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from typing import Any

from core.errors import SteplineError

MAX_COLUMN = 40
"""No column but the last is wider than this many cells on a terminal."""


class OutputError(SteplineError):
    """stdout cannot be written; that its reader left is a `BrokenPipeError` instead."""


def put(text: str, *, end: str = "\n") -> None:
    """Data: to stdout, at once."""
    try:
        sys.stdout.write(text + end)
        sys.stdout.flush()
    except OSError as error:
        raise unwritable(error) from None


def unwritable(error: OSError) -> Exception:
    """What is raised when stdout cannot be written."""
    if isinstance(error, BrokenPipeError):
        return error
    return OutputError(f"The output cannot be written: {error.strerror}.")


def put_json(value: Any, *, indent: int | None = 2) -> None:
    """Data as JSON; on one line with `indent=None`."""
    utf8 = "utf" in (sys.stdout.encoding or "").lower()
    put(json.dumps(value, ensure_ascii=not utf8, indent=indent))


def say(text: str) -> None:
    """Narration: to stderr. Nobody listening there is no reason to stop."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def complain(text: str) -> None:
    """What went wrong, on stderr, under the program's name."""
    say(f"stepline: {text}")


UNLIMITED = 1_000_000


def put_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A plain table; on a terminal its last column is cut where the line ends."""
    from rich.cells import cell_len

    from tui.format import fit, pad

    widths = [
        max(cell_len(row[column]) for row in [heads, *rows]) for column in range(len(heads) - 1)
    ]
    rest = UNLIMITED
    if sys.stdout.isatty():
        widths = [min(MAX_COLUMN, width) for width in widths]
        rest = shutil.get_terminal_size().columns - sum(width + 2 for width in widths) - 1
    for row in [heads, *rows]:
        cells = [pad(cell, width) for cell, width in zip(row, widths, strict=False)]
        put("  ".join([*cells, fit(row[-1], max(rest, 10))]).rstrip())
