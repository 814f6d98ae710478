"""Writing a conversation to a file of the user's, which is never one that was there before."""

import re
from pathlib import Path
from typing import Literal

from core.errors import InputError

_MOST_COPIES = 1000


def file_name(title: str, conversation_id: int) -> str:
    """A name for the file made from the title: `Refund policy?` -> `refund-policy.md`."""
    words = re.findall(r"\w+", title.lower())
    slug = "-".join(words).encode()[:60].decode(errors="ignore").strip("-")
    return f"{slug or f'conversation-{conversation_id}'}.md"


def format_of(name: str) -> Literal["markdown", "json"]:
    """What to write into a file of that name."""
    return "json" if name.lower().endswith(".json") else "markdown"


def write_new(name: str, text: str) -> Path:
    """Writes `text` to `name` in the current directory, or to `name-2` and so on if that exists.

    Returns the whole path. Raises `InputError`, saying why, if it cannot be written.
    """
    wanted = Path(name).expanduser().absolute()
    try:
        for number in range(1, _MOST_COPIES):
            stem = wanted.stem if number == 1 else f"{wanted.stem}-{number}"
            path = wanted.with_name(stem + wanted.suffix)
            try:
                with path.open("x", encoding="utf-8", errors="replace", newline="\n") as file:
                    file.write(text)
            except FileExistsError:
                continue
            return path
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"Could not write {wanted}: {reason}.") from None
    raise InputError(f"Could not write {wanted}: too many files of that name.")
