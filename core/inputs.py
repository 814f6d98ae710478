"""A task's input: the part of JSON Schema that `workflows.toml` may use, and its check.

It is the part that a form can be made of. Declared as a model, so that a mistake in the file is
found when the file is read, with its line, and without importing `jsonschema`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    JsonValue,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from core.locate import Key
from core.models import JsonObject
from core.suggest import did_you_mean
from core.text import clean_line
from core.tomlfile import Table, bad_value, dotted

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

JsonType = Literal["object", "array", "string", "integer", "number", "boolean", "null"]

# How a type is called in a sentence.
_NAMES = {
    "object": "an object",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise bad_value(f"is not a regular expression: {error}") from None
    return pattern


_Count = Annotated[StrictInt, Field(ge=0)]
_Number = StrictInt | StrictFloat


class InputSchema(Table):
    """A JSON Schema of the supported part. Only checked; `Workflow.input_schema` keeps the text."""

    type: JsonType | Annotated[list[JsonType], Field(min_length=1)] | None = None
    title: StrictStr | None = None
    description: StrictStr | None = None
    default: JsonValue = None
    examples: tuple[JsonValue, ...] = ()
    enum: Annotated[list[JsonValue], Field(min_length=1)] | None = None
    const: JsonValue = None
    format: StrictStr | None = None
    pattern: Annotated[StrictStr, AfterValidator(_compiles)] | None = None
    minLength: _Count | None = None
    maxLength: _Count | None = None
    minimum: _Number | None = None
    maximum: _Number | None = None
    exclusiveMinimum: _Number | None = None
    exclusiveMaximum: _Number | None = None
    multipleOf: Annotated[_Number, Field(gt=0)] | None = None
    items: "InputSchema | None" = None
    minItems: _Count | None = None
    maxItems: _Count | None = None
    uniqueItems: StrictBool = False
    properties: "dict[str, InputSchema]" = Field(default_factory=dict)
    required: tuple[StrictStr, ...] = ()
    additionalProperties: StrictBool = True
    minProperties: _Count | None = None
    maxProperties: _Count | None = None

    @model_validator(mode="after")
    def _require_declared(self) -> "InputSchema":
        for name in self.required:
            if name not in self.properties:
                hint = did_you_mean(name, self.properties)
                raise bad_value(f'requires "{name}", which is not among its properties{hint}')
        if len(set(self.required)) < len(self.required):
            raise bad_value("requires the same property twice")
        return self


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input."""

    field: str
    """Where, like `recipients[0]`; empty for the input as a whole."""
    reason: str
    """What, in words that go on a sentence which the field begins: `is missing`."""

    def __str__(self) -> str:
        return f"{self.field or 'the input'} {self.reason}"


def find_problems(schema: JsonObject, value: JsonObject) -> list[Problem]:
    """Everything wrong with `value`, in the order of its fields; at most 20 things."""
    from jsonschema import Draft202012Validator

    errors = _any(Draft202012Validator(schema)).iter_errors(value)
    problems = [problem for error in islice(errors, 20) for problem in _problems(error)]
    order = {name: at for at, name in enumerate(_properties(schema))}
    return sorted(problems, key=lambda p: order.get(re.split(r"[.\[]", p.field)[0], len(order)))


def _problems(error: "ValidationError") -> list[Problem]:
    at: Key = tuple(error.absolute_path)
    rule, limit, value = str(error.validator), _any(error.validator_value), _any(error.instance)
    if rule == "required":
        missing = [name for name in limit if name not in value]
        # One error comes for each missing name; its message begins with that name.
        names = [name for name in missing if error.message.startswith(repr(name))]
        return [Problem(_field((*at, name)), "is missing") for name in names]
    if rule == "additionalProperties":
        known = _properties(_any(error.schema))
        extra = [name for name in value if name not in known]
        return [
            Problem(_field((*at, name)), f"is not a known field{did_you_mean(name, known)}")
            for name in extra
        ]
    return [Problem(_field(at), _reason(rule, limit, value, error.message))]


def _reason(rule: str, limit: Any, value: Any, message: str) -> str:
    match rule:
        case "type":
            kinds = [limit] if isinstance(limit, str) else limit
            return "should be " + " or ".join(_NAMES[kind] for kind in kinds)
        case "enum":
            hint = did_you_mean(value, map(str, limit)) if isinstance(value, str) else ""
            return f"should be one of {', '.join(map(str, limit))}{hint}"
        case "const":
            return f"should be {limit}"
        case "minLength" | "minItems" | "minProperties" if limit == 1:
            return "should not be empty"
        case "minLength":
            return f"should have at least {limit} characters"
        case "maxLength":
            return f"should have at most {limit} characters"
        case "minItems" | "minProperties":
            return f"should have at least {limit} entries"
        case "maxItems" | "maxProperties":
            return f"should have at most {limit} entries"
        case "uniqueItems":
            return "should not have the same entry twice"
        case "minimum":
            return f"should be {limit} or more"
        case "maximum":
            return f"should be {limit} or less"
        case "exclusiveMinimum":
            return f"should be more than {limit}"
        case "exclusiveMaximum":
            return f"should be less than {limit}"
        case "multipleOf":
            return f"should be a multiple of {limit}"
        case "pattern":
            return f"should look like {limit}"
        case _:
            return f"is refused: {clean_line(message)[:200]}"


def _field(key: Key) -> str:
    return clean_line(dotted(key))[:100]


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return _any(schema.get("properties", {}))


def _any(value: Any) -> Any:
    """`jsonschema` leaves the types of these open."""
    return value
