"""A JSON document as rows that fold: only what is unfolded has rows. No screen in here."""

import json
from collections.abc import Iterator

from pydantic import JsonValue
from rich.cells import cell_len, get_character_cell_size

Path = tuple[str | int, ...]

_OPEN_AT_FIRST = 40
"""How many rows a document may have unfolded when it is first shown."""
_LONG = 40
"""Strings longer than this (or with more than one line) unfold into their text."""
_MAX_MATCHES = 10_000


class Node:
    """A value in the document, or (`line` is set) one line of the text of a long string."""

    __slots__ = ("children", "depth", "key", "line", "open", "parent", "value")

    def __init__(
        self,
        parent: "Node | None",
        key: str | int | None,
        value: JsonValue,
        line: str | None = None,
    ) -> None:
        self.parent = parent
        self.key = key
        self.value = value
        self.line = line
        self.depth: int = parent.depth + 1 if parent else 0
        self.open = False
        self.children: list[Node] | None = None

    @property
    def foldable(self) -> bool:
        """Whether there is something inside."""
        if self.line is not None:
            return False
        if isinstance(self.value, str):
            return len(self.value) > _LONG or "\n" in self.value
        return isinstance(self.value, dict | list) and bool(self.value)

    @property
    def path(self) -> Path:
        """Keys and indices from the root to here; a line of text has its string's path."""
        keys: list[str | int] = []
        node = self
        while node.parent is not None:
            if node.key is not None:
                keys.append(node.key)
            node = node.parent
        return tuple(reversed(keys))


class JsonRows:
    """The visible rows of one document."""

    def __init__(self, document: JsonValue, width: int = 80) -> None:
        """`width` is the number of cells for the text of long strings."""
        self.width = width
        self._set(document)
        self._open_first()

    def _set(self, document: JsonValue) -> None:
        self.root = Node(None, None, document)
        self.rows: list[Node] = [self.root]

    def replace(self, document: JsonValue, at: int) -> int:
        """Shows a newer document; what was unfolded stays so. Returns the new place of row `at`."""
        if document == self.root.value:
            return at
        opened = [node.path for node in self.rows if node.open]
        path = self.rows[at].path if at < len(self.rows) else ()
        fresh = not self.root.foldable
        self._set(document)
        if fresh:
            self._open_first()
        for each in opened:
            if (node := self._find(each)) is not None:
                self._open(node)
        return self.reveal(path)

    def resize(self, width: int) -> None:
        """Wraps the text of long strings anew."""
        if width == self.width:
            return
        self.width = width
        texts = [row for row in self.rows if row.open and isinstance(row.value, str)]
        for node in texts:
            self.fold(self.rows.index(node))
            node.children = None
            self._open(node)

    def unfold(self, index: int) -> None:
        """Shows what is inside row `index`."""
        self._open(self.rows[index])

    def fold(self, index: int) -> None:
        """Hides what is inside row `index`; what was unfolded in there is folded too."""
        node = self.rows[index]
        if not node.open:
            return
        end = index + 1
        while end < len(self.rows) and self.rows[end].depth > node.depth:
            self.rows[end].open = False
            end += 1
        del self.rows[index + 1 : end]
        node.open = False

    def parent(self, index: int) -> int:
        """The row that row `index` is in; the root is in itself."""
        parent = self.rows[index].parent
        while index > 0 and self.rows[index] is not parent:
            index -= 1
        return index

    def reveal(self, path: Path) -> int:
        """Unfolds all that hides `path`; the number of its row, or of the nearest one above."""
        node = self.root
        for key in path:
            self._open(node)
            below = next((child for child in node.children or () if child.key == key), None)
            if below is None:
                break
            node = below
        return self.rows.index(node)

    def find(self, needle: str) -> list[Path]:
        """Where keys or plain values contain `needle`, in the document's order."""
        needle = needle.casefold()
        found: list[Path] = []
        for path, value in _walk(self.root.value):
            key = path[-1] if path else ""
            if (isinstance(key, str) and needle in key.casefold()) or (
                not isinstance(value, dict | list) and needle in _plain(value).casefold()
            ):
                found.append(path)
                if len(found) == _MAX_MATCHES:
                    break
        return found

    def _open(self, node: Node) -> None:
        if node.open or not node.foldable:
            return
        if node.children is None:
            node.children = [*self._children(node)]
        index = self.rows.index(node)
        self.rows[index + 1 : index + 1] = node.children
        node.open = True

    def _children(self, node: Node) -> Iterator[Node]:
        value = node.value
        if isinstance(value, dict):
            return (Node(node, key, child) for key, child in value.items())
        if isinstance(value, list):
            return (Node(node, key, child) for key, child in enumerate(value))
        if isinstance(value, str):
            return (Node(node, None, None, line) for line in wrapped(value, self.width))
        return iter(())

    def _open_first(self) -> None:
        budget = _OPEN_AT_FIRST - 1
        waiting = [self.root]
        while waiting:
            node = waiting.pop(0)
            size = _size(node.value)
            if node is not self.root and size > budget:
                continue
            self._open(node)
            budget -= size
            waiting += [child for child in node.children or () if _size(child.value)]

    def _find(self, path: Path) -> Node | None:
        node = self.root
        for key in path:
            below = next((child for child in node.children or () if child.key == key), None)
            if below is None:
                return None
            node = below
        return node


def wrapped(text: str, width: int) -> Iterator[str]:
    """The lines of `text`, none wider than `width` cells, broken after spaces where possible."""
    width = max(width, 8)
    for whole in text.replace("\t", "    ").split("\n"):
        start = 0
        while True:
            end = _fitting(whole, start, width)
            if end < len(whole) and (space := whole.rfind(" ", start + width // 2, end)) > 0:
                end = space + 1
            yield whole[start:end]
            start = end
            if start >= len(whole):
                break


def _fitting(text: str, start: int, width: int) -> int:
    """The end of the longest piece from `start` that fits into `width` cells."""
    piece = text[start : start + width]
    if piece.isascii() or cell_len(piece) <= width:
        return start + len(piece)
    cells = 0
    for offset, character in enumerate(piece):
        cells += get_character_cell_size(character)
        if cells > width:
            return start + max(1, offset)
    return start + len(piece)


def _size(value: JsonValue) -> int:
    return len(value) if isinstance(value, dict | list) else 0


def _plain(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _walk(document: JsonValue) -> Iterator[tuple[Path, JsonValue]]:
    """Every value with its path, in order; without recursion, whatever the depth."""
    stack: list[tuple[Path, JsonValue]] = [((), document)]
    while stack:
        path, value = stack.pop()
        yield path, value
        if isinstance(value, dict):
            stack += [((*path, key), child) for key, child in reversed(value.items())]
        elif isinstance(value, list):
            stack += [
                ((*path, key), child)
                for key, child in zip(range(len(value) - 1, -1, -1), reversed(value), strict=True)
            ]
