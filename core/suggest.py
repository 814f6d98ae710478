"""The nearest known name to one that is not known."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name in `known` most like `name`, whatever its case; None if none is like it."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    found = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?` to end a sentence with, or nothing if no known name is near."""
    found = nearest(name, known)
    return f'; did you mean "{found}"?' if found else ""
