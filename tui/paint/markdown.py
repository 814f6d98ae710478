"""Markdown as lines. Settled blocks of a growing text are rendered once, not at every chunk."""

from functools import cache
from io import StringIO
from typing import TYPE_CHECKING

from rich.segment import Segment

from core.text import clean
from tui.paint.lines import Line, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it import MarkdownIt
    from rich.console import Console, ConsoleOptions
    from rich.markdown import Markdown
    from rich.text import Text

MAX_MARKDOWN = 60_000
"""Longer texts are shown as they are: nobody reads them for their headings."""

_STYLES = {
    "markdown.code": "cyan",
    "markdown.code_block": "cyan",
    "markdown.h1": "bold underline",
    "markdown.h2": "bold",
    "markdown.h3": "bold",
    "markdown.h4": "bold dim",
    "markdown.h5": "underline",
    "markdown.h6": "italic",
    "markdown.h7": "italic dim",
    "markdown.link": "cyan underline",
    "markdown.link_url": "cyan underline",
    "markdown.block_quote": "dim",
    "markdown.list": "none",
    "markdown.item.bullet": "cyan",
    "markdown.item.number": "cyan",
    "markdown.hr": "dim",
    "markdown.table.border": "dim",
    "markdown.table.header": "bold",
}


_TWINS = str.maketrans("•▌─━│┃┏┓└┘┡┩┳╇┴┼├┤╴╶", "*|--||++++++++++++--")
"""ASCII for what the renderer draws: bullets, quotes, rules, tables."""


@cache
def _console() -> "Console":
    from rich.console import Console
    from rich.theme import Theme

    return Console(
        file=StringIO(),
        force_terminal=True,
        color_system="truecolor",
        theme=Theme(_STYLES),
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
    )


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    return MarkdownIt().enable("strikethrough").enable("table")


@cache
def _document_class() -> type["Markdown"]:
    from rich.markdown import Heading, Markdown

    class LeftHeading(Heading):
        """A heading where the text begins, not in the middle."""

        def __rich_console__(
            self, console: "Console", options: "ConsoleOptions"
        ) -> "Iterator[Text]":
            self.text.justify = "left"
            yield self.text

    class LeftMarkdown(Markdown):
        """Markdown with such headings."""

        elements = {**Markdown.elements, "heading_open": LeftHeading}  # noqa: RUF012

    return LeftMarkdown


def warm() -> None:
    """Imports what the first answer needs; for a thread, once the screen stands."""
    render("# a\n\n- b `c`\n\n```python\nd = 1\n```", 40)


def render(source: str, width: int, *, ascii_only: bool = False) -> list[Line]:
    """`source` as lines of at most `width` cells. Links show their address; nothing is hidden."""
    if len(source) > MAX_MARKDOWN:
        return wrap(source, width)
    console = _console()
    document = _document_class()(
        source, hyperlinks=False, code_theme="ansi_dark", inline_code_lexer=None
    )
    options = console.options.update(width=max(8, width), height=None, highlight=False)
    rendered = console.render_lines(document, options, pad=False, new_lines=False)
    lines = [_cleaned(each, ascii_only) for each in rendered]
    while lines and not any(segment.text.strip() for segment in lines[-1]):
        lines.pop()
    while lines and not any(segment.text.strip() for segment in lines[0]):
        lines.pop(0)
    return lines


def _cleaned(parts: list[Segment], ascii_only: bool) -> Line:
    # Entities (`&#x202e;`) are decoded by the parser, behind the cleaning at the edge of core.
    line = [
        Segment(_twin(clean(text).replace("\n", " ").replace("\t", " "), ascii_only), style)
        for text, style, control in parts
        if not control
    ]
    # The padding up to the width is bytes on the link, and in the way of copying.
    while line and not (line[-1].style and line[-1].style.bgcolor):
        text = line[-1].text.rstrip()
        if text:
            line[-1] = Segment(text, line[-1].style)
            break
        line.pop()
    return line


def _twin(text: str, ascii_only: bool) -> str:
    return text.translate(_TWINS) if ascii_only and not text.isascii() else text


class Growing:
    """A text that grows: everything before its last block is rendered once per width."""

    def __init__(self) -> None:
        self._source = ""
        self._width = 0
        self._settled = 0
        """How much of the source the settled lines stand for."""
        self._lines: list[Line] = []

    def render(self, source: str, width: int, *, ascii_only: bool = False) -> list[Line]:
        """The lines of `source` now."""
        if width != self._width or not source.startswith(self._source[: self._settled]):
            self._width, self._settled, self._lines = width, 0, []
        self._source = source
        if len(source) > MAX_MARKDOWN:
            return wrap(source, width)
        tail = source[self._settled :]
        settled = _last_block(tail)
        if settled:
            self._add(render(tail[:settled], width, ascii_only=ascii_only))
            self._settled += settled
            tail = tail[settled:]
        last = render(tail, width, ascii_only=ascii_only)
        if not last or not self._lines:
            return [*self._lines, *last]
        return [*self._lines, [], *last]

    def _add(self, lines: list[Line]) -> None:
        if lines and self._lines:
            self._lines.append([])
        self._lines += lines


def _last_block(source: str) -> int:
    """Where the last top-level block of `source` begins: what is before will not change."""
    starts = [
        token.map[0]
        for token in _parser().parse(source)
        if token.level == 0 and token.map and token.nesting >= 0
    ]
    if len(starts) < 2:
        return 0
    at = 0
    for _ in range(starts[-1]):
        at = source.index("\n", at) + 1
    return at
