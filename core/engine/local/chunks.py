"""One JSON object of the OpenAI streaming protocol -> the little of it that matters here."""

import json
from dataclasses import dataclass
from typing import cast

from pydantic import JsonValue

from core.models import JsonObject


@dataclass(frozen=True, slots=True)
class ServerError:
    """An error as the server describes it; its text is untrusted and not yet cleaned."""

    message: str
    status: int | None = None
    """The HTTP status, or the same number sent as `code` in the middle of a stream."""
    code: str = ""
    retry_after: float | None = None
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one chunk (or one whole answer, from a server that does not stream) says."""

    content: str = ""
    reasoning: str = ""
    finish_reason: str = ""
    model: str = ""
    tokens: int | None = None
    error: ServerError | None = None


def parse_chunk(text: str) -> Chunk:
    """Reads one `data:` payload; raises ValueError where it is not a JSON object."""
    value: JsonValue = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - one kind of error for bad payloads
    choices = value.get("choices")
    choice = _object(choices[0]) if isinstance(choices, list) and choices else {}
    delta = _object(choice.get("delta")) or _object(choice.get("message"))
    return Chunk(
        content=_text(delta.get("content")) or _text(delta.get("refusal")),
        # OpenRouter and newer vLLM; DeepSeek, llama.cpp and older vLLM. Never both added up:
        # some servers send the same words under both names.
        reasoning=_text(delta.get("reasoning")) or _text(delta.get("reasoning_content")),
        finish_reason=_text(choice.get("finish_reason")),
        model=_text(value.get("model")),
        tokens=_tokens(_object(value.get("usage"))),
        error=parse_error(value),
    )


def parse_error(value: JsonObject, status: int | None = None) -> ServerError | None:
    """The error in a body or a chunk, in any of the shapes servers use; None if there is none."""
    error = value.get("error")
    if isinstance(error, str):  # Ollama's own API, small proxies
        return ServerError(error, status)
    if not isinstance(error, dict):
        if value.get("object") == "error" or (status and status >= 400):  # vLLM, FastAPI
            error = value
        else:
            return None
    metadata = _object(error.get("metadata"))
    code = error.get("code")
    number = code if isinstance(code, int) and not isinstance(code, bool) else None
    if number is None and isinstance(code, str) and code.isascii() and code.isdigit():
        number = int(code)
    message = _text(error.get("message")) or _text(error.get("detail"))
    # OpenRouter says only "Provider returned error" and puts the provider's own words beside it.
    raw = _text(metadata.get("raw"))
    if raw and not raw.lstrip().startswith(("{", "[", "<")):
        message = f"{message}: {raw}" if message else raw
    return ServerError(
        message,
        status or number,
        code if isinstance(code, str) else _text(error.get("type")),
        _seconds(metadata.get("retry_after_seconds")),
    )


def _tokens(usage: JsonObject) -> int | None:
    for name in ("completion_tokens", "total_tokens"):
        count = usage.get(name)
        if isinstance(count, int) and count >= 0:
            return count
    return None


def _object(value: JsonValue) -> JsonObject:
    return cast(JsonObject, value) if isinstance(value, dict) else {}


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""


def _seconds(value: JsonValue) -> float | None:
    return float(value) if isinstance(value, int | float) and value >= 0 else None
