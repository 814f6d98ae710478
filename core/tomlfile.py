"""TOML files that people write: read, checked, and their mistakes named by line and key."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from core.errors import ConfigError
from core.locate import Key, line_numbers, line_of
from core.suggest import did_you_mean

_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")

# What is wrong, in plain words; the rest of pydantic's sentences are plain enough.
_REASONS = {
    "string_type": "should be text in quotes",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "model_type": "should be a table",
    "dict_type": "should be a table",
    "list_type": "should be a list",
    "tuple_type": "should be a list",
    "missing": "is missing",
    "string_pattern_mismatch": "should be small letters, digits and _, a letter first",
}


class Table(BaseModel):
    """A table of such a file: a key that is not declared is an error, with the nearest one."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, value: Any) -> Any:
        given = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        for key in given:
            if key not in cls.model_fields:
                hint = did_you_mean(key, cls.model_fields)
                reason = "is not a known key" + (hint or f" ({_one_of(cls.model_fields)})")
                raise PydanticCustomError("unknown_key", "{reason}", {"key": key, "reason": reason})
        return cast("Any", value)


T = TypeVar("T", bound=Table)


@dataclass(frozen=True)
class Document:
    """A file that was read, and is TOML."""

    path: Path
    text: str
    data: dict[str, Any]

    def parse(self, model: type[T]) -> T:
        """The file's content as `model`; raises `ConfigError` for the first mistake."""
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            key, reason = first_mistake(error)
        raise self.error(self._without_tags(key), reason)

    def error(self, key: Key, reason: str) -> ConfigError:
        """The error "`key` `reason`", with file and line."""
        return ConfigError(sentence(f"{self.place(key)}: {dotted(key)} {reason}"))

    def place(self, key: Key) -> str:
        """File and line of `key`, as shown to people."""
        line = line_of(self._lines, key)
        return f"{self.path}, line {line}" if line else str(self.path)

    def _without_tags(self, key: Key) -> Key:
        """`key` without what pydantic adds to it, such as which type of a union was tried."""
        inner: Any = self.data
        for at, part in enumerate(key):
            try:
                inner = inner[part]
            except (KeyError, IndexError, TypeError):
                # A missing key is not there either, but its table is.
                return key[: at + 1] if isinstance(inner, dict) else key[:at]
        return key

    @cached_property
    def _lines(self) -> dict[Key, int]:
        return line_numbers(self.text)


def read_toml(path: Path, *, missing_ok: bool = False) -> Document:
    """The file at `path`; raises `ConfigError` if it cannot be read or is not TOML.

    With `missing_ok`, a file that does not exist is an empty one.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        if missing_ok:
            return Document(path, "", {})
        raise ConfigError(f"{path} does not exist.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} cannot be read: it is not UTF-8 text.") from None
    try:
        return Document(path, text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
        found = _AT_LINE.search(reason)
        line = int(found[1]) if found else text.count("\n") + 1
        reason = _AT_LINE.sub("", reason).removesuffix(" (at end of document)")
        raise ConfigError(f"{path}, line {line} is not valid TOML: {reason}.") from None


def first_mistake(error: ValidationError) -> tuple[Key, str]:
    """The key that is wrong, and what is wrong with it; never the value, it may be a secret."""
    details = error.errors(include_url=False)[0]
    key: Key = tuple(part for part in details["loc"] if part != "[key]")
    if details["type"] == "unknown_key":
        key = (*key, details["ctx"]["key"]) if "ctx" in details else key
    return key, _reason(details)


def sentence(text: str) -> str:
    """`text` with its full stop, unless it ends in a question."""
    return text if text.endswith("?") else f"{text}."


def dotted(key: Key) -> str:
    """`types.chat.steps[2].label`"""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


def _reason(details: ErrorDetails) -> str:
    context = details.get("ctx", {})
    if details["type"] == "literal_error":
        expected = context["expected"].replace("'", '"')
        hint = did_you_mean(str(details["input"]), re.findall(r'"([^"]*)"', expected))
        return f"should be {expected}{hint}"
    if details["type"] in ("unknown_key", "bad_value"):
        return details["msg"]
    if details["type"] in ("string_too_short", "too_short") and context["min_length"] == 1:
        return "should not be empty"
    plain = details["msg"].replace("Input should", "should").replace("Value should", "should")
    return _REASONS.get(details["type"], plain)


def bad_value(reason: str) -> PydanticCustomError:
    """What a validator raises: `reason` goes on the sentence that the key begins."""
    return PydanticCustomError("bad_value", "{reason}", {"reason": reason})


def _one_of(names: Iterable[str]) -> str:
    return "known here: " + ", ".join(names)
