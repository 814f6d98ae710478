"""The check of the model: is there somebody, is the key accepted, is the model served?"""

import json
from typing import Any

import httpx

from core.doctor.check import Check, fail, ok, warn
from core.engine.local.chunks import ServerError
from core.engine.local.failures import Failures
from core.settings import LlmSettings
from core.text import clean_line

_TIMEOUT = 5.0
_NAME = "model"


async def check(llm: LlmSettings) -> Check:
    """Asks for the list of models, which costs nothing; at OpenRouter for the key too, because
    its list is open to everybody."""
    if llm.demo:
        return warn(
            _NAME,
            "No key is set, so the built-in demo model answers.",
            "Set OPENROUTER_API_KEY, or STEPLINE_LLM_BASE_URL for a model of your own.",
        )
    failures = Failures(llm)
    try:
        # A model on this machine is never behind a proxy, whatever the environment says.
        direct = {f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")}
        async with httpx.AsyncClient(timeout=_TIMEOUT, mounts=direct) as client:
            if failures.openrouter and (refusal := _refusal(await _get(client, llm, "key"), llm)):
                return refusal
            answer = await _get(client, llm, "models")
    except (httpx.LocalProtocolError, UnicodeEncodeError):
        # Its message would quote the header, that is the key.
        fix = f"Set {failures.key_variable} again."
        return fail(_NAME, "The API key has illegal characters.", fix)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        reason = str(failures.unreachable(str(error) or "no answer"))
        return fail(_NAME, reason, "Check STEPLINE_LLM_BASE_URL, the network and the proxy.")
    if refusal := _refusal(answer, llm):
        return refusal
    served = _served(answer.content)
    if served is None:
        return warn(
            _NAME,
            f"{failures.server} answers, but lists no models.",
            "If chats fail: STEPLINE_LLM_BASE_URL usually ends in /v1.",
        )
    if llm.model not in served and f"{llm.model}:latest" not in served:
        return warn(
            _NAME,
            f"{failures.server} answers, but does not list {failures.model}.",
            f"Set STEPLINE_LLM_MODEL to one it serves, such as {clean_line(min(served))}.",
        )
    return ok(_NAME, f"{failures.server} answers and serves {failures.model}.")


async def _get(client: httpx.AsyncClient, llm: LlmSettings, path: str) -> httpx.Response:
    headers: dict[str, str] = {}
    if llm.api_key is not None:
        headers["Authorization"] = f"Bearer {llm.api_key.get_secret_value()}"
    return await client.get(f"{llm.base_url.rstrip('/')}/{path}", headers=headers)


def _refusal(answer: httpx.Response, llm: LlmSettings) -> Check | None:
    """What is wrong with this answer; None if nothing is. Not every server has such a list."""
    failures = Failures(llm)
    if answer.is_success or answer.status_code in (404, 405):
        return None
    sentence = str(failures.refused(ServerError("", answer.status_code)))
    if answer.status_code in (401, 403):
        return fail(_NAME, sentence, f"Set {failures.key_variable} to a key that is valid there.")
    return fail(_NAME, sentence, "Check STEPLINE_LLM_BASE_URL, and try again in a minute.")


def _served(body: bytes) -> set[str] | None:
    """The ids in a list of models; None if it is no such list, or empty."""
    try:
        answer: Any = json.loads(body)
        return {str(model["id"]) for model in answer["data"]} or None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
