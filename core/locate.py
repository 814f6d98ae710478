"""Where in a TOML text a key stands: `tomllib` reads values but does not say.

The text is cut into statements by asking `tomllib` itself whether what was collected so far is
complete, so strings and arrays over several lines, quoted and dotted keys need no parser of ours.
It is only done when there is an error to report, or settings to show.
"""

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, cast

Key = tuple[str | int, ...]
"""The way to a value: names of tables and keys, and positions in arrays."""


def line_of(lines: Mapping[Key, int], key: Key) -> int | None:
    """The line of `key`, else of the nearest table around it that has one (a missing key)."""
    for end in range(len(key), 0, -1):
        if key[:end] in lines:
            return lines[key[:end]]
    return None


def line_numbers(text: str) -> dict[Key, int]:
    """The line (from 1) on which each table and key of `text`, valid TOML, first stands."""
    found: dict[Key, int] = {}
    lengths: dict[Key, int] = {}  # of the arrays of tables so far
    table: Key = ()
    for number, chunk in _statements(text):
        parsed = tomllib.loads("\n".join(chunk))
        if chunk[0].lstrip().startswith("["):
            table = _header(parsed, lengths, is_array=chunk[0].lstrip().startswith("[["))
            for end in range(1, len(table) + 1):
                found.setdefault(table[:end], number)
        else:
            for key, line in _keys(parsed, table, number, chunk):
                found.setdefault(key, line)
    return found


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    chunk: list[str] = []
    start = 1
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not chunk:
            start = number
        chunk.append(line)
        try:
            parsed = tomllib.loads("\n".join(chunk))
        except tomllib.TOMLDecodeError:
            continue  # a string or an array goes on
        if parsed:
            yield start, chunk
        chunk = []


def _header(parsed: dict[str, object], lengths: dict[Key, int], *, is_array: bool) -> Key:
    """The table that a `[header]` opens, with the positions of the arrays it leads through."""
    names: list[str] = []
    inner: Any = parsed
    while isinstance(inner, dict) and inner:
        name, inner = next(iter(cast("dict[str, Any]", inner).items()))
        names.append(name)
    table: Key = ()
    for at, name in enumerate(names, 1):
        table = (*table, name)
        if is_array and at == len(names):
            lengths[table] = lengths.get(table, 0) + 1
        if table in lengths:
            table = (*table, lengths[table] - 1)
    return table


def _keys(value: object, key: Key, line: int, chunk: list[str]) -> Iterator[tuple[Key, int]]:
    if isinstance(value, dict):
        for name, inner in cast("dict[str, object]", value).items():
            yield (*key, name), line
            yield from _keys(inner, (*key, name), line, chunk)
    elif isinstance(value, list):
        items = cast("list[object]", value)
        at = _item_lines(chunk, line) if len(chunk) > 1 else []
        for index, inner in enumerate(items):
            item_line = at[index] if len(at) == len(items) else line
            yield (*key, index), item_line
            yield from _keys(inner, (*key, index), item_line, [])


def _item_lines(chunk: list[str], line: int) -> list[int]:
    """The line on which each item of a long array ends: close it early and count."""
    lines: list[int] = []
    for end in range(1, len(chunk) + 1):
        try:
            inner: object = tomllib.loads("\n".join([*chunk[:end], *["]"][: len(chunk) - end]]))
        except tomllib.TOMLDecodeError:
            continue
        while isinstance(inner, dict):  # down a dotted key
            inner = next(iter(cast("dict[str, object]", inner).values()))
        if isinstance(inner, list):
            more = len(cast("list[object]", inner)) - len(lines)
            lines.extend([line + end - 1] * more)
    return lines
