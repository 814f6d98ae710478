"""Every way a model call can fail, as one sentence the user can act on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from core.engine.local.chunks import ServerError
from core.engine.local.waits import in_words
from core.errors import ExitCode, SteplineError
from core.models import JsonObject
from core.text import clean_line

if TYPE_CHECKING:
    from core.settings import LlmSettings

SAID_LIMIT = 300
"""Characters of a server's own words that are kept."""
_LONGEST_WAIT = 30 * 86400.0
"""A server that asks for a longer wait (seconds), or for ever, is not quoted to the second."""


class ModelError(SteplineError):
    """The model gave no answer, or not all of it.

    `details` is what `error_details` holds: `error` (the sentence), `code` (a stable word for
    programs), and where known `status` (HTTP), `retry_after` (seconds) and `said` (the server's
    own words). It never holds the key.
    """

    exit_code = ExitCode.FAILED

    def __init__(
        self,
        sentence: str,
        code: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        said: str = "",
        transient: bool = False,
    ) -> None:
        super().__init__(sentence)
        self.code = code
        self.retry_after = retry_after
        self.transient = transient
        """Whether the same request may well succeed in a few seconds."""
        details: JsonObject = {
            "error": sentence,
            "code": code,
            "status": status,
            "retry_after": retry_after,
            "said": said or None,
        }
        self.details: JsonObject = {k: v for k, v in details.items() if v is not None}


@dataclass(frozen=True, slots=True)
class Failures:
    """Makes the errors of one endpoint: it knows its name, its model and its settings' names."""

    llm: "LlmSettings"

    @property
    def openrouter(self) -> bool:
        """Whether the endpoint is OpenRouter: other advice, other variables."""
        host = self.host
        return host == "openrouter.ai" or host.endswith(".openrouter.ai")

    @property
    def host(self) -> str:
        """The endpoint's host; empty where its address is no URL."""
        try:
            return urlsplit(self.llm.base_url).hostname or ""
        except ValueError:
            return ""

    @property
    def server(self) -> str:
        """The endpoint's name at the beginning of a sentence."""
        if self.openrouter:
            return "OpenRouter"
        return f"The model server at {clean_line(self.llm.base_url)}"

    @property
    def key_variable(self) -> str:
        """The environment variable that holds this endpoint's key."""
        return "OPENROUTER_API_KEY" if self.openrouter else "STEPLINE_LLM_API_KEY"

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return clean_line(self.llm.model)

    def said(self, text: str) -> str:
        """A server's own words: cleaned, on one line, without the key, not too long."""
        key = self.llm.api_key.get_secret_value() if self.llm.api_key else ""
        if key:
            text = text.replace(key, "[key]")
        line = clean_line(text[: 20 * SAID_LIMIT])
        return line if len(line) <= SAID_LIMIT else line[: SAID_LIMIT - 1].rstrip() + "…"

    def refused(self, error: ServerError, *, in_stream: bool = False) -> ModelError:
        """The server answered with an error, by status or in the middle of the stream."""
        said = self.said(error.message)
        status = error.status
        sentence, code, transient = self._meaning(status, said, in_stream)
        return ModelError(
            sentence,
            code,
            status=status,
            retry_after=None
            if error.retry_after is None
            else min(error.retry_after, _LONGEST_WAIT),
            said=said,
            transient=transient,
        )

    def _meaning(self, status: int | None, said: str, in_stream: bool) -> tuple[str, str, bool]:
        """Sentence, code, and whether it is worth trying again at once."""
        words = f": {said}" if said else ""
        match status:
            case 401:
                return self._unauthorized(), "unauthorized", False
            case 402:
                return self._no_credit(words), "no_credit", False
            case 403:
                return (
                    f"{self.server} refuses this request{words or '.'} {self._forbidden_advice()}",
                    "forbidden",
                    False,
                )
            case 404:
                return self._not_found(said), "not_found", False
            case 408 | 504 | 524:
                return (
                    f"{self.server} gave up waiting for {self.model}; try again, "
                    "or choose a faster model with STEPLINE_LLM_MODEL.",
                    "upstream_timeout",
                    True,
                )
            case 413:
                return (
                    f"The conversation is too long for {self.server}{words}; "
                    "start a new conversation.",
                    "too_long",
                    False,
                )
            case 429:
                return f"{self.server} is limiting requests{words}; try again later.", "limit", True
            case None:
                return (
                    f"{self.server} reported an error while answering{words or '.'} Try again.",
                    "server_error",
                    in_stream,
                )
            case _ if status >= 500:
                return (
                    f"{self.server} has a problem (HTTP {status}){words or '.'} "
                    "Try again in a minute.",
                    "server_error",
                    True,
                )
            case _ if 300 <= status < 400:
                return (
                    f"{self.server} moved{words}; set STEPLINE_LLM_BASE_URL to the new address.",
                    "moved",
                    False,
                )
            case _:
                return (
                    f"{self.server} rejected the request (HTTP {status}){words or '.'} "
                    f"Check the model ({self.model}, STEPLINE_LLM_MODEL) and its settings.",
                    "rejected",
                    False,
                )

    def _unauthorized(self) -> str:
        where = " (keys: https://openrouter.ai/keys)" if self.openrouter else ""
        if self.llm.api_key is None:
            return f"{self.server} asks for an API key; set {self.key_variable}{where}, restart."
        return (
            f"{self.server} does not accept the API key; set {self.key_variable} to a valid one"
            f"{where}, restart."
        )

    def _no_credit(self, words: str) -> str:
        if self.openrouter:
            return (
                "The OpenRouter account is out of credit; add some at "
                "https://openrouter.ai/credits, then retry."
            )
        return f"{self.server} wants payment{words}; add credit to the account, then retry."

    def _forbidden_advice(self) -> str:
        return (
            f"Rephrase the message, or check that the key in {self.key_variable} may use "
            f"{self.model}."
        )

    def _not_found(self, said: str) -> str:
        words = f": {said}" if said else ""
        if self.openrouter:
            return (
                f"OpenRouter has no model {self.model}{words}; set STEPLINE_LLM_MODEL to one "
                "from https://openrouter.ai/models."
            )
        if "model" in said.lower():
            pull = f" (Ollama: ollama pull {self.model})" if "pull" in said.lower() else ""
            return (
                f"{self.server} has no model {self.model}{words}; set STEPLINE_LLM_MODEL to one "
                f"it serves{pull}."
            )
        return (
            f"{self.server} knows no chat completions (HTTP 404); STEPLINE_LLM_BASE_URL usually "
            "ends in /v1."
        )

    def limited(self, error: ModelError) -> ModelError:
        """A 429 (or 503) that asks for a longer wait than we make the user sit through."""
        if error.retry_after is None:
            return error
        said = str(error.details.get("said", ""))
        words = f": {said}" if said else ""
        status = error.details.get("status")
        return ModelError(
            f"{self.server} is limiting requests{words}; "
            f"try again in {in_words(error.retry_after)}.",
            error.code,
            status=status if isinstance(status, int) else None,
            retry_after=error.retry_after,
            said=said,
        )

    def unreachable(self, reason: str) -> ModelError:
        """No connection: refused, no such host, no route."""
        words = self.said(reason).lower()
        if "certificate" in words or "ssl" in words or "tls" in words:
            return ModelError(
                f"No secure connection (TLS) to {clean_line(self.llm.base_url)}: "
                f"{self.said(reason)}; check STEPLINE_LLM_BASE_URL, the clock, and SSL_CERT_FILE "
                "behind a company proxy.",
                "tls",
            )
        if any(word in words for word in ("name or service", "nodename", "resolution", "getaddr")):
            return ModelError(
                f"The name {clean_line(self.host)} cannot be found; check the network, or "
                "STEPLINE_LLM_BASE_URL.",
                "dns",
            )
        if self.openrouter:
            return ModelError(
                "OpenRouter cannot be reached; check the network (and HTTPS_PROXY), then retry.",
                "unreachable",
            )
        return ModelError(
            f"No connection to {clean_line(self.llm.base_url)}; is Ollama (or your model server) "
            "running there? Start it, or set STEPLINE_LLM_BASE_URL.",
            "unreachable",
        )

    def silent(self, seconds: float, *, started: bool) -> ModelError:
        """Nothing came for `seconds`, before or after the answer began."""
        if started:
            return ModelError(
                f"{self.server} stopped sending for {in_words(seconds)}; the answer so far is "
                "kept. Try again.",
                "silent",
            )
        return ModelError(
            f"{self.server} sent nothing for {in_words(seconds)}; try again, or choose a "
            "faster model with STEPLINE_LLM_MODEL.",
            "silent",
        )

    def broken(self, *, started: bool) -> ModelError:
        """The connection was lost before the answer was complete."""
        kept = " in the middle of the answer; what came is kept" if started else " without a word"
        return ModelError(
            f"{self.server} ended the connection{kept}. Try again.",
            "broken_stream",
            transient=True,
        )

    def empty(self, reason: str) -> ModelError:
        """The stream ended as it should, but held no answer."""
        if reason == "length":
            return ModelError(
                f"{self.model} used up max_tokens ({self.llm.max_tokens}) before its answer "
                "began; allow it more, or choose another model with STEPLINE_LLM_MODEL.",
                "empty",
            )
        return ModelError(
            f"{self.model} sent an empty answer; try again, or rephrase the message.", "empty"
        )

    def filtered(self) -> ModelError:
        """The provider's content filter ended the answer."""
        return ModelError(
            f"The content filter of {self.model}'s provider stopped the answer; rephrase the "
            "message, or choose another model with STEPLINE_LLM_MODEL.",
            "content_filter",
        )

    def not_the_protocol(self, what: str) -> ModelError:
        """The server speaks something else; `what` is what came."""
        return ModelError(
            f"{self.server} answered with {what} instead of a chat completion; check "
            "STEPLINE_LLM_BASE_URL (it usually ends in /v1).",
            "protocol",
        )

    def bad_request(self, reason: str) -> ModelError:
        """The request could not even be built from the settings."""
        return ModelError(
            f"The model cannot be called: {reason}; check STEPLINE_LLM_BASE_URL and "
            f"{self.key_variable}.",
            "settings",
        )
