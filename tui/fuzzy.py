"""Fuzzy search over titles: linear in their length, whatever somebody called a conversation."""

from dataclasses import dataclass

_LONGEST = 300
"""Characters of a title that are looked at."""
_SPREAD = 4
"""Letters that belong to a word may be spread over this many times its length."""


@dataclass(frozen=True, slots=True)
class Match:
    """How well a title fits, and which of its characters are the reason."""

    score: float
    positions: frozenset[int]


def fuzzy(query: str, title: str) -> Match | None:
    """Every word of `query` is in `title`, as it is or with other letters between; else None."""
    score, positions = 0.0, frozenset[int]()
    title = _folded(title[:_LONGEST])
    for word in _folded(query).split():
        found = _word(word, title)
        if found is None:
            return None
        score += found.score
        positions |= found.positions
    return Match(score, positions)


def _word(word: str, title: str) -> Match | None:
    at = title.find(word)
    if at >= 0:
        begins = at == 0 or not title[at - 1].isalnum()
        return Match(3 if begins else 2, frozenset(range(at, at + len(word))))
    end = -1
    for letter in word:
        end = title.find(letter, end + 1)
        if end < 0:
            return None
    # Backwards from there: the closest letters before that end.
    positions, at = [end], end
    for letter in word[-2::-1]:
        at = title.rfind(letter, 0, at)
        positions.append(at)
    spread = end - at + 1
    if spread > _SPREAD * len(word):
        return None
    return Match(len(word) / spread, frozenset(positions))


def _folded(text: str) -> str:
    lower = text.lower()
    # A few letters are two in lower case; positions have to stay those of the title.
    return lower if len(lower) == len(text) else text
