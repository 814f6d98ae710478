"""A JSON document as a tree: folds, searches, copies. A megabyte is as quick as a line."""

import json
import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

from pydantic import JsonValue
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.message import Message

from tui.actions import bindings
from tui.clipboard import copy
from tui.context import context
from tui.format import count, fit, plural
from tui.json_rows import JsonRows, Node, Path
from tui.paint.lines import Line, line
from tui.paint.styles import BOLD, DIM, MATCH, PLAIN
from tui.widgets.line_list import LineList

_STRING = Style(color="green")
_SCALAR = Style(color="cyan")

_INDENT = 2
_DEEPEST = 16
"""Levels that are indented; deeper ones stand below each other with their depth in front."""
_MOST_LEFT = 10
"""How many documents are remembered as they were left."""


class JsonTree(LineList, inherit_bindings=False):
    """One document. `show` gives it another, or a newer state of the same one."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("tree")]

    @dataclass
    class SearchWanted(Message):
        """The user pressed `/`: somebody is to ask for the text and to call `search`."""

        tree: "JsonTree"

    @dataclass
    class Matched(Message):
        """The cursor is on match `number` (from 1) of `total`; 0 of 0: nothing was found."""

        number: int
        total: int

    def __init__(self, document: JsonValue = None, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows = JsonRows(document)
        self._empty = ""
        self._key: Hashable = None
        self._left: dict[Hashable, tuple[JsonRows, int]] = {}
        self._needle = ""
        self._matches: list[Path] = []
        self._match = 0

    @property
    def count(self) -> int:
        """How many rows are unfolded."""
        return len(self._rows.rows)

    @property
    def document(self) -> JsonValue:
        """What is shown."""
        return self._rows.root.value

    def show(self, document: JsonValue, key: Hashable = None, empty: str = "") -> None:
        """Shows `document`; `empty` is what is said if there is nothing in it.

        With the same `key` as before it is a newer state of the same thing: what was unfolded stays
        so, and so does the cursor. With another one it is shown as it was left under that key.
        """
        self._empty = empty
        if key != self._key:
            while len(self._left) >= _MOST_LEFT:
                del self._left[next(iter(self._left))]
            self._left[self._key] = (self._rows, self.cursor)
            rows, cursor = self._left.pop(key, (JsonRows(document, self._rows.width), 0))
            rows.resize(self._rows.width)
            self._key, self._rows = key, rows
            self._matches = []
            self._to(min(cursor, self.count - 1))
        if document != self.document:
            self._to(self._rows.replace(document, self.cursor))

    def search(self, needle: str) -> None:
        """Finds `needle` in keys and values, and goes to the first match."""
        self._needle = needle
        self._matches = self._rows.find(needle) if needle else []
        self._match = 0
        self._to_match()

    def draw(self, index: int, width: int) -> Line:
        """One row: where it is, its key, its value or how much is in it."""
        node = self._rows.rows[index]
        if node.parent is None and not self.document and self._empty:
            return line((f" {self._empty}", DIM))
        indent = self._indent(node)
        drawn = [Segment(indent), *self._label(node, width - cell_len(indent))]
        return _highlighted(drawn, self._needle) if self._needle else drawn

    def _indent(self, node: Node) -> str:
        symbols = context(self).symbols
        space = " " * (_INDENT * min(node.depth, _DEEPEST))
        if node.line is not None:
            return f"{space}{symbols.divider} "
        if node.depth > _DEEPEST:
            space += f"{node.depth} "
        fold = (symbols.unfolded if node.open else symbols.folded) if node.foldable else " "
        return f"{space}{fold} "

    def _label(self, node: Node, width: int) -> Line:
        ellipsis = context(self).symbols.ellipsis
        if node.line is not None:
            return line((node.line, PLAIN))
        key = ""
        if isinstance(node.key, str):
            key = f"{fit(_quoted(node.key[:width])[1:-1], max(12, width - 20), ellipsis)}: "
        elif node.key is not None:
            key = f"{node.key}: "
        text, style, size = _value(node.value, width - cell_len(key), ellipsis)
        return line((key, BOLD if isinstance(node.key, str) else DIM), (text, style), (size, DIM))

    def on_resize(self) -> None:
        """Long strings are wrapped to the new width."""
        row = self._rows.rows[min(self.cursor, self.count - 1)]
        width = self.scrollable_content_region.width - 2 - _INDENT * 3
        self._rows.resize(width)
        if row not in self._rows.rows:
            self._to(self._rows.reveal(row.path))
        else:
            self._to(self._rows.rows.index(row))

    def _to(self, index: int) -> None:
        self.rows_changed()
        self.cursor = index

    def _to_match(self) -> None:
        if self._matches:
            self._to(self._rows.reveal(self._matches[self._match]))
        else:
            self.refresh()
        number = self._match + 1 if self._matches else 0
        self.post_message(self.Matched(number, len(self._matches)))

    def _copy(self, value: JsonValue, what: str) -> None:
        text = value
        if not isinstance(text, str):
            text = json.dumps(value, ensure_ascii=False, indent=2)
        self.notify(copy(self.app, text, what), markup=False)

    def action_tree_toggle(self) -> None:
        """Folds or unfolds the row under the cursor."""
        if self._rows.rows[self.cursor].open:
            self._rows.fold(self.cursor)
        else:
            self._rows.unfold(self.cursor)
        self.rows_changed()

    def action_list_open(self) -> None:
        """What a click on the selected row does."""
        self.action_tree_toggle()

    def action_tree_fold(self) -> None:
        """Folds the row; one that is not unfolded: to what it is in."""
        if self._rows.rows[self.cursor].open:
            self.action_tree_toggle()
        else:
            self.cursor = self._rows.parent(self.cursor)

    def action_tree_unfold(self) -> None:
        """Unfolds the row; one that is unfolded: to the first in it."""
        node = self._rows.rows[self.cursor]
        if node.open:
            self.cursor += 1
        elif node.foldable:
            self.action_tree_toggle()

    def action_tree_search(self) -> None:
        """Asks for a text to look for."""
        self.post_message(self.SearchWanted(self))

    def action_tree_next_match(self) -> None:
        """To the next match, after the last to the first."""
        self._match = (self._match + 1) % max(1, len(self._matches))
        self._to_match()

    def action_tree_previous_match(self) -> None:
        """To the match before, before the first to the last."""
        self._match = (self._match - 1) % max(1, len(self._matches))
        self._to_match()

    def action_tree_copy(self) -> None:
        """Copies the value under the cursor; a string as its own text."""
        node = self._rows.rows[self.cursor]
        if node.line is not None and node.parent is not None:
            node = node.parent
        name = node.path[-1] if node.path else "the document"
        self._copy(node.value, f"“{name}”" if node.path else f"{name}")

    def action_tree_copy_all(self) -> None:
        """Copies the whole document."""
        self._copy(self.document, "the document")

    action_tree_down = LineList.action_list_down
    action_tree_up = LineList.action_list_up
    action_tree_first = LineList.action_list_first
    action_tree_last = LineList.action_list_last
    action_tree_half_down = LineList.action_list_half_down
    action_tree_half_up = LineList.action_list_half_up


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _value(value: JsonValue, width: int, ellipsis: str) -> tuple[str, Style, str]:
    """How a value is written, in which style, and its size where not all of it is shown."""
    if isinstance(value, dict):
        return f"{{}} {plural(len(value), 'key')}", DIM, ""
    if isinstance(value, list):
        return f"[] {plural(len(value), 'item')}", DIM, ""
    if not isinstance(value, str):
        return json.dumps(value), _SCALAR, ""
    # What is far behind the edge can be a megabyte.
    text = _quoted(value[: max(0, width) + 1])
    if len(value) <= width and cell_len(text) <= width:
        return text, _STRING, ""
    size = f" {count(len(value))} characters"
    return fit(text, max(8, width - len(size)), ellipsis), _STRING, size


def _highlighted(drawn: Line, needle: str) -> Line:
    pattern = re.compile(f"({re.escape(needle)})", re.IGNORECASE)
    return [
        Segment(part, segment.style if number % 2 == 0 else MATCH)
        for segment in drawn
        for number, part in enumerate(pattern.split(segment.text))
        if part
    ]
