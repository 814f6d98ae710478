"""Lines of text: a line is a list of segments that fits its width."""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len, chop_cells
from rich.segment import Segment
from rich.style import Style

from tui.format import fit
from tui.paint.styles import PLAIN

Line = list[Segment]

_LONG_WORD = 500
"""Logical lines longer than this many widths are cut, not wrapped at words: it has to be fast."""


def line(*parts: tuple[str, Style]) -> Line:
    """A line of (text, style) pairs; empty ones are left out."""
    return [Segment(text, style) for text, style in parts if text]


def width_of(parts: Line) -> int:
    """Cells that a line takes."""
    return sum(cell_len(segment.text) for segment in parts)


def justified(left: Line, right: str, width: int, style: Style) -> Line:
    """`left`, then `right` at the right edge; `left` is expected to leave room for it."""
    gap = max(1, width - width_of(left) - cell_len(right))
    return [*left, Segment(" " * gap, PLAIN), Segment(right, style)]


def indented(lines: Iterable[Line], indent: int) -> list[Line]:
    """All lines moved to the right."""
    blank = Segment(" " * indent, PLAIN)
    return [[blank, *each] for each in lines]


def text_before(lines: Sequence[Line], index: int) -> int:
    """How much text is above line `index`, by a measure that is the same at every width."""
    return sum(map(_amount, lines[:index]))


def line_after(lines: Sequence[Line], amount: int) -> int:
    """The line which that much text is above of, or part of which is above with it."""
    above = 0
    for index, each in enumerate(lines):
        above += _amount(each)
        if above > amount:
            return index
    return max(0, len(lines) - 1)


def _amount(parts: Line) -> int:
    # Wrapping drops and adds spaces; empty lines stay.
    return sum(len(each.text) - each.text.count(" ") for each in parts) or 1


def wrap(text: str, width: int, style: Style = PLAIN) -> list[Line]:
    """`text` wrapped at words to `width` cells; a megabyte on one line takes milliseconds."""
    width = max(1, width)
    lines: list[Line] = []
    for logical in text.expandtabs(4).split("\n"):
        lines += [[Segment(part, style)] if part else [] for part in _wrap_line(logical, width)]
    return lines


def cut(text: str, width: int, style: Style = PLAIN, ellipsis: str = "…") -> Line:
    """`text` as one line, cut where it does not fit."""
    return line((fit(text, width, ellipsis), style))


def _wrap_line(text: str, width: int) -> list[str]:
    if len(text) <= width and (text.isascii() or cell_len(text) <= width):
        return [text]
    if len(text) > width * _LONG_WORD:
        return _chop(text, width)
    return _wrap_words(text, width)


def _chop(text: str, width: int) -> list[str]:
    if text.isascii():
        return [text[at : at + width] for at in range(0, len(text), width)]
    return chop_cells(text, width)


def _wrap_words(text: str, width: int) -> list[str]:
    found: list[str] = []
    current, used = "", 0
    for word in _words(text):
        size = len(word) if word.isascii() else cell_len(word)
        bare = len(word.rstrip()) if word.isascii() else cell_len(word.rstrip())
        if used + bare > width and current:
            found.append(current.rstrip())
            current, used = "", 0
        if bare > width:
            *whole, rest = _chop(word, width)
            found += whole
            current, used = rest, cell_len(rest)
            continue
        current += word
        used += size
    found.append(current.rstrip() if len(current) > width else current)
    return found


def _words(text: str) -> Iterable[str]:
    """Words, each with the spaces behind it."""
    at = 0
    while at < len(text):
        end = text.find(" ", at)
        if end < 0:
            yield text[at:]
            return
        while end < len(text) and text[end] == " ":
            end += 1
        yield text[at:end]
        at = end
