"""What the terminal shows, so that only what differs is written to it.

Textual paints whole lines of a widget. Over a slow link that is most of the bytes: a letter typed
into a line of eighty, a list that moves down by one. Here each line is remembered as it was written
and compared cell by cell with what is to be painted.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import Strip

_GAP = 12
"""Cells that are the same and written all the same: moving the cursor costs about as much."""


class Cell(NamedTuple):
    """A character with its look."""

    text: str
    style: Style | None


class Shown:
    """The screen as it was written. `forget` when something else may have written to it."""

    def __init__(self) -> None:
        self._lines: dict[int, list[Cell | None]] = {}
        self._unsure: set[int] = set()
        """Lines with characters that terminals do not agree on the width of."""

    def forget(self) -> None:
        """From now on everything is written once again."""
        self._lines.clear()
        self._unsure.clear()

    def difference(self, update: CompositorUpdate) -> CompositorUpdate:
        """The same update, written with as few bytes as what is shown allows.

        What is shown changes when it is rendered, as that is when it is written.
        """
        if isinstance(update, ChopsUpdate):
            return _Difference(self, _pieces_of_chops(update))
        if isinstance(update, LayoutUpdate):
            return _Difference(self, _pieces_of_layout(update))
        return update

    def paint(self, y: int, x: int, strip: Strip) -> Iterator[tuple[int, list[Cell]]]:
        """Takes a piece of line `y`; says what of it must be written, and where."""
        cells, sure = _cells(strip)
        line = self._lines.setdefault(y, [])
        line += [None] * (x + len(cells) - len(line))
        before = line[x : x + len(cells)]
        line[x : x + len(cells)] = cells
        if not sure:
            self._unsure.add(y)
        if y in self._unsure:
            if before != cells:
                yield x, cells
            return
        for first, end in _runs(before, cells):
            yield x + first, cells[first:end]


class _Difference(CompositorUpdate):
    """Writes only what differs."""

    def __init__(self, shown: Shown, pieces: Iterator[tuple[int, int, Strip]]) -> None:
        self._shown = shown
        self._pieces = pieces

    def render_segments(self, console: Console) -> str:
        """The bytes for the terminal, as text."""
        written: list[str] = []
        for y, x, strip in self._pieces:
            for at, cells in self._shown.paint(y, x, strip):
                written.append(f"\x1b[{y + 1};{at + 1}H")
                written.append(Strip(_segments(cells)).render(console))
        return "".join(written)


def _pieces_of_chops(update: ChopsUpdate) -> Iterator[tuple[int, int, Strip]]:
    for y, x1, x2 in update.spans:
        for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if strip is not None and x < x2 and end > x1:
                yield y, x, strip.crop(0, min(end, x2) - x)


def _pieces_of_layout(update: LayoutUpdate) -> Iterator[tuple[int, int, Strip]]:
    for y, strips in enumerate(update.strips, update.region.y):
        yield y, update.region.x, Strip.join([*strips])


def _cells(strip: Strip) -> tuple[list[Cell], bool]:
    """The strip's cells; False where a terminal may take one of them for two, or two for one."""
    cells: list[Cell] = []
    sure = True
    for text, style, control in strip:
        if control:
            continue
        if text.isascii():
            cells += [Cell(character, style) for character in text]
            continue
        for character in text:
            width = cell_len(character)
            if width == 0 and cells:
                cells[-1] = Cell(cells[-1].text + character, cells[-1].style)
            else:
                cells.append(Cell(character, style))
                cells += [Cell("", style)] * (width - 1)
            sure = sure and width == 1
    return cells, sure


def _runs(before: list[Cell | None], after: list[Cell]) -> Iterator[tuple[int, int]]:
    """Where they differ, from and to; runs that are close are one."""
    first = end = -1
    for at, (old, new) in enumerate(zip(before, after, strict=True)):
        if old == new:
            continue
        if first >= 0 and at - end > _GAP:
            yield first, end
            first = at
        elif first < 0:
            first = at
        end = at + 1
    if first >= 0:
        yield first, end


def _segments(cells: Iterable[Cell]) -> Iterator[Segment]:
    """Neighbours that look the same, together."""
    text, style = "", None
    for cell in cells:
        if cell.style != style and text:
            yield Segment(text, style)
            text = ""
        style = cell.style
        text += cell.text
    if text:
        yield Segment(text, style)
