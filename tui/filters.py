"""The last things that happen to a line before it is written."""

from functools import lru_cache

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter


class NoColour(LineFilter):
    """Takes every colour away, the default ones too, and leaves bold, dim, underline, reverse.

    What Textual does for NO_COLOR draws the terminal's own colours, which it does not know, as
    black on black.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """The same text without colours."""
        return [
            Segment(text, style and _without_colour(style), control)
            for text, style, control in segments
        ]


class AsciiTwins(LineFilter):
    """Draws frames, scroll bars and typographic marks in ASCII; letters stay what they are."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """The same cells with other characters in them."""
        return [
            Segment(text if text.isascii() else text.translate(_TWINS), style, control)
            for text, style, control in segments
        ]


@lru_cache(1024)
def _without_colour(style: Style) -> Style:
    return style.without_color


def _twins() -> dict[int, str]:
    """One cell for one cell."""
    twins = dict.fromkeys(range(0x2500, 0x2580), "+")  # frames
    twins |= dict.fromkeys(map(ord, "─━┄┅┈┉╌╍╴╶╸╺╼╾"), "-") | dict.fromkeys(map(ord, "═"), "=")
    twins |= dict.fromkeys(map(ord, "│┃┆┇┊┋╎╏║╵╷╹╻╽╿"), "|")
    twins |= dict.fromkeys(range(0x2580, 0x25A0), "#")  # blocks
    twins |= dict.fromkeys(map(ord, "▁▂▃▄▅▆▇"), " ")  # the ends of a scroll bar's handle
    twins |= dict.fromkeys(map(ord, "“”„«»"), '"') | dict.fromkeys(map(ord, "‘’‚"), "'")
    return twins | {ord("…"): "~", ord("–"): "-", ord("—"): "-", ord("•"): "*"}


_TWINS = _twins()
