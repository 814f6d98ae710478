"""PostgREST's query language, as far as the stand-in speaks it, into SQL."""

import re
from typing import Any

from psycopg import sql

_OPERATORS = {
    "eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=",
    "like": "LIKE", "ilike": "ILIKE",
}  # fmt: skip
_IS = {"null": "NULL", "true": "TRUE", "false": "FALSE", "not_null": "NOT NULL"}
_PATH = re.compile(r"->>?")


class SyntaxProblem(Exception):
    """What is not understood, by PostgREST or by this."""


def parse(
    pairs: list[tuple[str, str]], table: str | None = None
) -> tuple[sql.Composable, list[Any]]:
    """A condition, and the values of its placeholders."""
    conditions: list[sql.Composable] = []
    values: list[Any] = []
    for key, value in pairs:
        if key in ("or", "and"):
            condition = _group(key, value, values, table)
        else:
            condition = _one(key, value, values, table)
        conditions.append(condition)
    return sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("true"), values


def selected(text: str) -> sql.Composable:
    """The columns of `select=`."""
    if text == "*":
        return sql.SQL("*")
    return sql.SQL(", ").join(_column(name.strip(), None, named=True) for name in text.split(","))


def order_clause(text: str | None) -> sql.Composable:
    """ORDER BY of `order=id.desc.nullslast,...`."""
    if not text:
        return sql.SQL("")
    parts: list[sql.Composable] = []
    for each in text.split(","):
        name, *how = each.split(".")
        direction = "DESC" if "desc" in how else "ASC"
        nulls = " NULLS FIRST" if "nullsfirst" in how else ""
        nulls = " NULLS LAST" if "nullslast" in how else nulls
        parts.append(sql.SQL("{} {}{}").format(
            _column(name, None), sql.SQL(direction), sql.SQL(nulls)))  # fmt: skip
    return sql.SQL("ORDER BY ") + sql.SQL(", ").join(parts)


def _group(kind: str, text: str, values: list[Any], table: str | None) -> sql.Composable:
    if not (text.startswith("(") and text.endswith(")")):
        raise SyntaxProblem(f"failed to parse logic tree ({text})")
    parts: list[sql.Composable] = []
    for each in _split(text[1:-1]):
        inner = re.match(r"(and|or)(\(.*\))$", each)
        if inner:
            parts.append(_group(inner[1], inner[2], values, table))
        else:
            name, _, rest = each.partition(".")
            parts.append(_one(name, rest, values, table))
    return sql.SQL("({})").format(sql.SQL(f" {kind.upper()} ").join(parts))


def _one(name: str, text: str, values: list[Any], table: str | None) -> sql.Composable:
    operator, dot, value = text.partition(".")
    if not dot:
        raise SyntaxProblem(f'"failed to parse filter ({text})"')
    if operator == "not":
        return sql.SQL("NOT ({})").format(_one(name, value, values, table))
    column = _column(name, table)
    if operator == "is":
        return sql.SQL("{} IS {}").format(column, sql.SQL(_IS[value]))
    if operator == "in":
        items = [_unquoted(item) for item in _split(value[1:-1])] if value != "()" else []
        quoted = (item.replace("\\", "\\\\").replace('"', '\\"') for item in items)
        values.append("{" + ",".join(f'"{item}"' for item in quoted) + "}")
        return sql.SQL("{} = ANY (%s)").format(column)
    if operator not in _OPERATORS:
        raise SyntaxProblem(f'"failed to parse filter ({text})"')
    value = _unquoted(value) if value.startswith('"') else value
    values.append(value.replace("*", "%") if operator in ("like", "ilike") else value)
    return sql.SQL("{} {} %s").format(column, sql.SQL(_OPERATORS[operator]))


def _column(name: str, table: str | None, *, named: bool = False) -> sql.Composable:
    first, *path = _PATH.split(name)
    column: sql.Composable = sql.Identifier(table, first) if table else sql.Identifier(first)
    for arrow, key in zip(_PATH.findall(name), path, strict=True):
        place = sql.SQL(key) if key.lstrip("-").isdecimal() else sql.Literal(key)
        column = sql.SQL("{}{}{}").format(column, sql.SQL(arrow), place)
    if named and path:
        column = sql.SQL("{} AS {}").format(column, sql.Identifier(path[-1]))
    return column


def _split(text: str) -> list[str]:
    """At the commas that are neither quoted nor in parentheses."""
    parts, depth, quoted, current, escaped = [""], 0, False, 0, False
    for char in text:
        if escaped:
            escaped = False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif not quoted and char in "()":
            depth += 1 if char == "(" else -1
        elif not quoted and depth == 0 and char == ",":
            parts.append("")
            current += 1
            continue
        parts[current] += char
    return parts


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text
