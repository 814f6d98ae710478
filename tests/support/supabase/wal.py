"""What PostgreSQL itself says has changed: its log, decoded by its own plugin, `pgoutput`.

Realtime reads the same log through another plugin, wal2json; what matters is the same in both: the
changes of committed transactions in the order of their commits, and no unchanged long values.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

Values = dict[str, str | None]
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Relation:
    """A table, with the names of its columns and of those of its key."""

    schema: str
    table: str
    columns: list[str]
    key: list[str]


@dataclass(frozen=True)
class Change:
    """One row that was changed. Values are text; one that is missing is unchanged and long."""

    kind: str
    relation: Relation
    new: Values
    old: Values
    at: datetime


class Decoder:
    """Makes changes of the plugin's messages (protocol version 1)."""

    def __init__(self) -> None:
        self._relations: dict[int, Relation] = {}
        self._at = _EPOCH

    def changes(self, message: bytes) -> Iterator[Change]:
        """None, or one."""
        read = _Reader(message)
        kind = read.letter()
        if kind == "B":
            read.take(8)
            self._at = _EPOCH + timedelta(microseconds=read.number("q"))
        elif kind == "R":
            oid = read.number("I")
            schema, table = read.text(), read.text()
            read.take(1)
            columns: list[str] = []
            key: list[str] = []
            for _ in range(read.number("h")):
                flags, name = read.number("b"), read.text()
                read.take(8)
                columns.append(name)
                key += [name] if flags & 1 else []
            self._relations[oid] = Relation(schema, table, columns, key)
        elif kind in "IUD":
            relation = self._relations[read.number("I")]
            new: Values = {}
            old: Values = {}
            while not read.done:
                which = read.letter()
                values = read.row(relation.columns)
                if which == "N":
                    new = values
                else:
                    old = {name: values[name] for name in relation.key}
            if kind == "U" and not old:
                old = {name: new[name] for name in relation.key}
            name = {"I": "INSERT", "U": "UPDATE", "D": "DELETE"}[kind]
            yield Change(name, relation, new, old, self._at)


class _Reader:
    def __init__(self, message: bytes) -> None:
        self._message = message
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at >= len(self._message)

    def take(self, count: int) -> bytes:
        self._at += count
        return self._message[self._at - count : self._at]

    def letter(self) -> str:
        return self.take(1).decode()

    def number(self, kind: str) -> int:
        return struct.unpack(f">{kind}", self.take(struct.calcsize(kind)))[0]

    def text(self) -> str:
        end = self._message.index(0, self._at)
        value = self.take(end - self._at).decode()
        self._at += 1
        return value

    def row(self, columns: list[str]) -> Values:
        values: Values = {}
        assert self.number("h") == len(columns)
        for name in columns:
            kind = self.letter()
            if kind == "t":
                values[name] = self.take(self.number("i")).decode()
            elif kind == "n":
                values[name] = None
        return values
