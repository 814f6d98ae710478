"""A workflow's input schema as the fields of a form, and values as what is typed into them."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import JsonValue

from core.models import JsonObject
from core.text import clean_line


class Kind(StrEnum):
    """How a field is filled in."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    CHOICE = "choice"
    LINES = "lines"
    """A list of texts, one a line."""
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Field:
    """One property of the input."""

    name: str
    title: str
    description: str
    required: bool
    kind: Kind
    choices: tuple[JsonValue, ...] = ()
    default: JsonValue = None
    example: str = ""


@dataclass(frozen=True, slots=True)
class Entered:
    """What was typed into a field, as a value; `given` is false for a field left empty."""

    value: JsonValue = None
    given: bool = True
    problem: str = ""


def fields_of(schema: JsonObject) -> list[Field]:
    """The fields for an input of this schema, in its order."""
    required = schema.get("required")
    names = required if isinstance(required, list) else []
    properties = _mapping(schema.get("properties"))
    return [_field(name, _mapping(each), name in names) for name, each in properties.items()]


def shown(field: Field, value: JsonValue) -> str | None:
    """`value` as text for the field; None if the field cannot show it."""
    match field.kind:
        case Kind.TEXT:
            return value if isinstance(value, str) and "\n" not in value else None
        case Kind.INTEGER | Kind.NUMBER:
            # Also what is no number yet: nothing that was typed is thrown away.
            is_text = isinstance(value, str)
            return value if is_text else json.dumps(value) if _is_number(value) else None
        case Kind.CHOICE:
            return json.dumps(value, ensure_ascii=False) if value in field.choices else None
        case Kind.LINES:
            if not isinstance(value, list):
                return None
            lines = [each for each in value if isinstance(each, str) and "\n" not in each]
            return "\n".join(lines) if len(lines) == len(value) else None
        case Kind.JSON:
            return json.dumps(value, ensure_ascii=False, indent=2)


def entered(field: Field, text: str) -> Entered:
    """What `text` in the field means. A number that is none stays a text: the check says so."""
    if not text.strip():
        return Entered(given=False)
    match field.kind:
        case Kind.TEXT:
            return Entered(text)
        case Kind.INTEGER | Kind.NUMBER:
            return Entered(_number(text.strip(), whole=field.kind is Kind.INTEGER))
        case Kind.LINES:
            return Entered([line.strip() for line in text.split("\n") if line.strip()])
        case Kind.CHOICE | Kind.JSON:
            try:
                return Entered(parsed(text))
            except ValueError as error:
                return Entered(text, problem=str(error))


def parsed(text: str) -> JsonValue:
    """`text` as JSON; raises `ValueError` with a sentence for the user."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"is not JSON: {error.msg} ({where})") from None
    except ValueError as error:
        raise ValueError(f"is not JSON: {str(error).partition(':')[0]}") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _refuse(name: str) -> JsonValue:
    raise ValueError(f"{name} is no number there")


def _field(name: str, schema: Mapping[str, Any], required: bool) -> Field:
    examples = schema.get("examples") or ()
    choices: list[JsonValue] = list(schema.get("enum") or ())
    kind = _kind(schema)
    if schema.get("type") == "boolean":
        choices = [True, False]
    return Field(
        name=name,
        title=clean_line(str(schema.get("title") or name)),
        description=clean_line(str(schema.get("description") or "")),
        required=required,
        kind=kind,
        choices=tuple(choices),
        default=schema.get("default"),
        example=clean_line(str(examples[0])) if examples else "",
    )


def _kind(schema: Mapping[str, Any]) -> Kind:
    kind, items = schema.get("type"), _mapping(schema.get("items"))
    if schema.get("enum") or kind == "boolean":
        return Kind.CHOICE
    if kind == "array" and items.get("type") == "string":
        return Kind.LINES
    return {"string": Kind.TEXT, "integer": Kind.INTEGER, "number": Kind.NUMBER}.get(
        kind if isinstance(kind, str) else "", Kind.JSON
    )


def _number(text: str, *, whole: bool) -> JsonValue:
    try:
        if whole:
            return int(text)
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
