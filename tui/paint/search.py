"""Marks what a search found."""

from itertools import pairwise

from rich.segment import Segment

from tui.paint.lines import Line
from tui.paint.styles import MATCH


def highlighted(parts: Line, query: str) -> Line:
    """The line with every occurrence of `query` marked, whatever its case."""
    text = "".join(segment.text for segment in parts)
    found = _spans(text, query)
    if not found:
        return parts
    marked: Line = []
    at = 0
    for segment in parts:
        cuts = {0, len(segment.text)}
        for span in found:
            cuts |= {cut - at for cut in span if 0 < cut - at < len(segment.text)}
        edges = sorted(cuts)
        for start, end in pairwise(edges):
            inside = any(low <= at + start < high for low, high in found)
            style = (segment.style or MATCH) + MATCH if inside else segment.style
            marked.append(Segment(segment.text[start:end], style))
        at += len(segment.text)
    return marked


def _spans(text: str, query: str) -> list[tuple[int, int]]:
    text, query = text.lower(), query.lower()
    spans: list[tuple[int, int]] = []
    at = text.find(query)
    while query and at >= 0:
        spans.append((at, at + len(query)))
        at = text.find(query, at + len(query))
    return spans
