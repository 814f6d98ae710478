"""What a subscriber of the stand-in's Realtime asks for, and what Realtime has to say to it."""

import json
import re
import zlib
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.support.supabase.project import Connection
from tests.support.supabase.wal import Change, Values

_OPERATORS = ("eq", "neq", "lt", "lte", "gt", "gte", "in", "like", "ilike", "is", "match")
_LIMIT = 2**20
_SHORT = 64


class RefusedError(Exception):
    """A binding that Realtime does not follow; its text is the `system` frame's message."""


@dataclass(frozen=True)
class Binding:
    """One entry of a join's `postgres_changes`."""

    id: int
    event: str
    schema: str
    table: str
    column: str | None
    negated: bool
    value: str | None

    def matches(self, change: Change) -> bool:
        """Whether the filter passes it: a deletion has nothing but the key to be filtered by."""
        relation = change.relation
        if (relation.schema, relation.table) != (self.schema, self.table):
            return False
        if self.event not in ("*", change.kind):
            return False
        if self.column is None:
            return True
        row = change.old if change.kind == "DELETE" else change.new
        if self.column not in row:
            return False
        return (row[self.column] == self.value) is not self.negated


def binding_id(asked: dict[str, Any]) -> int:
    """The number that the reply gives it: the same for the same parameters."""
    return zlib.crc32(json.dumps(asked, sort_keys=True).encode()) >> 4


async def understand(connection: Connection, asked: dict[str, Any], role: str) -> Binding:
    """The binding; raises RefusedError in Realtime's words. `connection` is the owner's."""
    event, schema, table = asked.get("event"), asked.get("schema"), asked.get("table")
    given = asked.get("filter")
    if "filter" in asked and given is None:
        raise RefusedError(
            "No subscription params provided. Please provide at least a `schema` or `table` to "
            "subscribe to: %{...}"
        )
    column = operator = value = None
    if given:
        found = re.fullmatch(r"([^=]+)=([a-z]+)\.(.*)", given, re.DOTALL)
        parts = list(found.groups()[1:]) if found else [given]
        if found is None or found[2] not in _OPERATORS:
            raise RefusedError(f"Error parsing `filter` params: {json.dumps(parts)}")
        column, operator, value = found.groups()
        if operator not in ("eq", "neq"):
            raise NotImplementedError(f"the stand-in does not filter by {operator!r}")
    filters = f'{{"{column}", "{operator}", "{value}", false}}' if given else ""
    where = f"[event: {event}, schema: {schema}, table: {table}, filters: [{filters}], select: nil]"
    unable = "Unable to subscribe to changes with given parameters. "
    check = unable + "An exception happened so please check your connect parameters: " + where
    row = await (
        await connection.execute(
            "SELECT FROM pg_publication_tables WHERE pubname = 'supabase_realtime'"
            " AND schemaname = %s AND tablename = %s",
            (schema, table),
        )
    ).fetchone()
    if row is None:
        raise RefusedError(
            f"{unable}Please check Realtime is enabled for the given connect parameters: {where}"
        )
    found_role = await (
        await connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,))
    ).fetchone()
    if found_role is None:
        raise RefusedError(
            f'{check}. Exception: ERROR 42704 (undefined_object) role "{role}" does not exist'
        )
    if column is not None:
        types = await columns(connection, str(schema), str(table), None)
        if column not in types:
            raise RefusedError(
                f"{check}. Exception: ERROR P0001 (raise_exception) invalid column for filter "
                f"{column}"
            )
        try:
            cast = f"SELECT (%s::text)::{types[column]}::text AS value"
            one = await (await connection.execute(cast.encode(), (value,))).fetchone()
        except psycopg.DataError as error:
            raise RefusedError(
                f"{check}. Exception: ERROR {error.sqlstate} (invalid_text_representation) "
                f"{error.diag.message_primary}"
            ) from None
        value = one["value"] if one else None
    return Binding(
        binding_id(asked), str(event), str(schema), str(table), column, operator == "neq", value
    )


async def columns(
    connection: Connection, schema: str, table: str, role: str | None
) -> dict[str, str]:
    """The names and types of a table's columns, of those that `role` may read."""
    rows = await connection.execute(
        "SELECT a.attname AS name, t.typname AS type FROM pg_attribute a"
        " JOIN pg_type t ON t.oid = a.atttypid"
        " WHERE a.attrelid = format('%%I.%%I', %s::text, %s::text)::regclass AND a.attnum > 0"
        " AND NOT a.attisdropped AND (%s::text IS NULL"
        "   OR has_column_privilege(%s::text, a.attrelid, a.attnum, 'SELECT')) ORDER BY a.attnum",
        (schema, table, role, role),
    )
    return {row["name"]: row["type"] for row in await rows.fetchall()}


def data(
    change: Change, types: dict[str, str], *, cut: bool = False, without: frozenset[str]
) -> dict[str, Any]:
    """A frame's `payload.data` for a subscriber who may read the columns in `types`."""
    size = sum(len(value or "") for row in (change.new, change.old) for value in row.values())
    errors = ["Error 413: Payload Too Large"] if cut or size > _LIMIT else None
    said: dict[str, Any] = {"table": change.relation.table, "type": change.kind}
    if change.kind != "DELETE":
        said["record"] = _record(change.new, types, short=errors is not None, without=without)
    said |= {
        "columns": [{"name": name, "type": kind} for name, kind in types.items()],
        "errors": errors,
        "schema": change.relation.schema,
        "commit_timestamp": change.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    if change.kind != "INSERT":
        said["old_record"] = _record(change.old, types, short=errors is not None)
    return said


def _record(
    row: Values, types: dict[str, str], *, short: bool, without: frozenset[str] = frozenset()
) -> dict[str, Any]:
    return {
        name: _value(value, types[name])
        for name, value in row.items()
        if name in types and name not in without
        if not (short and value is not None and len(value.encode()) > _SHORT)
    }


def _value(text: str | None, kind: str) -> Any:
    if text is None:
        return None
    if kind in ("int2", "int4", "int8", "float4", "float8", "numeric", "json", "jsonb"):
        return json.loads(text)
    if kind == "bool":
        return text == "t"
    if kind == "timestamptz":
        return text.replace(" ", "T") + ":00"
    return text
