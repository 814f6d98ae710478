"""The streaming client of any OpenAI-compatible endpoint."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
from httpx_sse import EventSource

from core.engine.local.chunks import Chunk, ServerError, parse_chunk, parse_error
from core.engine.local.events import ChatMessage, Delta, Finished, Model, ModelEvent, Waiting
from core.engine.local.failures import Failures, ModelError
from core.engine.local.think import ThinkSplitter
from core.engine.local.waits import retry_after
from core.models import JsonObject
from core.text import clean_line

if TYPE_CHECKING:
    from core.settings import LlmSettings

_MAX_CHARS = 4_000_000
"""No answer is longer; a server that never stops is cut off here."""
_MAX_ERROR_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a model, in seconds, and how often to ask again."""

    connect: float = 10.0
    silence: float = 100.0
    """Between two signs of life; a local model may load for a minute before its first word."""
    retry_budget: float = 20.0
    """All waiting before another try, taken together."""
    backoff: float = 0.5
    """Before the second try; doubled for each one after that."""
    tries: int = 3


def open_model(llm: "LlmSettings", patience: Patience | None = None) -> Model:
    """The model the settings ask for: an endpoint, or the built-in demo where there is no key."""
    if llm.demo:
        from core.engine.local.demo import DemoModel

        return DemoModel()
    return OpenAiModel(llm, patience or Patience())


class OpenAiModel:
    """A model behind `POST <base_url>/chat/completions`.

    Asks again by itself, with `Waiting` events in between, where that is likely to help and no
    text has come yet; every other failure is a `ModelError`.
    """

    def __init__(self, llm: "LlmSettings", patience: Patience | None = None) -> None:
        self._llm = llm
        self._patience = patience or Patience()
        self._failures = Failures(llm)
        self._client: httpx.AsyncClient | None = None
        self._payload: JsonObject = {
            "model": llm.model,
            "temperature": llm.temperature,
            "max_tokens": llm.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    @property
    def name(self) -> str:
        """See `Model.name`."""
        return self._llm.model

    async def close(self) -> None:
        """See `Model.close`."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def stream(self, messages: Sequence[ChatMessage]) -> AsyncGenerator[ModelEvent, None]:
        """See `Model.stream`."""
        waited = 0.0
        attempt = 0
        while True:
            attempt += 1
            started = False
            try:
                async with aclosing(self._attempt(messages)) as events:
                    async for event in events:
                        started = True
                        yield event
                return
            except ModelError as error:
                if started or not error.transient or attempt >= self._patience.tries:
                    raise self._failures.limited(error) from None
                wait = error.retry_after
                if wait is None:
                    wait = self._patience.backoff * 2 ** (attempt - 1) * random.uniform(0.8, 1.2)  # noqa: S311
                if waited + wait > self._patience.retry_budget:
                    raise self._failures.limited(error) from None
                waited += wait
                yield Waiting(wait, str(error))
            await asyncio.sleep(wait)

    async def _attempt(self, messages: Sequence[ChatMessage]) -> AsyncGenerator[ModelEvent, None]:
        """One request (or a few, while the server turns down options that it does not know)."""
        while True:
            adapted = False
            started = False
            try:
                async with self._open(messages) as response:
                    if response.is_success:
                        async with aclosing(self._read(response)) as events:
                            async for event in events:
                                started = True
                                yield event
                        return
                    error = await self._error_of(response)
                    adapted = self._adapt(error)
                    if not adapted:
                        raise self._failures.refused(error)
            except httpx.ReadTimeout:
                raise self._failures.silent(self._patience.silence, started=started) from None
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
                raise self._failures.unreachable(str(error) or "no answer") from None
            except (httpx.NetworkError, httpx.RemoteProtocolError, httpx.TimeoutException):
                raise self._failures.broken(started=started) from None
            except httpx.DecodingError:
                raise self._failures.not_the_protocol("bytes that cannot be decoded") from None
            except (httpx.UnsupportedProtocol, httpx.InvalidURL):
                raise self._failures.bad_request("its address is not an http URL") from None
            except (httpx.LocalProtocolError, UnicodeEncodeError):
                # The message would quote the header, that is the key.
                raise self._failures.bad_request("its API key has illegal characters") from None

    def _open(self, messages: Sequence[ChatMessage]) -> AbstractAsyncContextManager[httpx.Response]:
        if self._client is None:
            self._client = self._new_client()
        headers = {
            "Accept": "text/event-stream",
            "Cache-Control": "no-store",
            "Content-Type": "application/json",
            "X-Title": "stepline",
        }
        if self._llm.api_key is not None:
            headers["Authorization"] = f"Bearer {self._llm.api_key.get_secret_value()}"
        said = [{"role": message.role, "content": message.content} for message in messages]
        return self._client.stream(
            "POST",
            self._llm.base_url.rstrip("/") + "/chat/completions",
            headers=headers,
            # ensure_ascii: whatever is in the history, the request is valid UTF-8.
            content=json.dumps({**self._payload, "messages": said}).encode(),
        )

    def _new_client(self) -> httpx.AsyncClient:
        timeout = httpx.Timeout(self._patience.silence, connect=self._patience.connect)
        # A model on this machine is never behind a proxy, whatever the environment says.
        local = ("all://localhost", "all://127.0.0.1", "all://[::1]")
        try:
            return httpx.AsyncClient(timeout=timeout, mounts=dict.fromkeys(local))
        except (ImportError, ValueError, OSError) as error:
            # A proxy of an unknown kind, a certificate file that is not there.
            raise self._failures.bad_request(
                f"the proxy or certificate settings in the environment do not work ({error})"
            ) from None

    async def _error_of(self, response: httpx.Response) -> ServerError:
        """What an answer with an error status says."""
        body = bytearray()
        async for data in response.aiter_bytes():
            body += data
            if len(body) > _MAX_ERROR_BYTES:
                break
        error = None
        try:
            value = json.loads(body)
            if isinstance(value, dict):
                error = parse_error(value, response.status_code)  # pyright: ignore[reportUnknownArgumentType]
        except (ValueError, RecursionError):
            text = body.decode("utf-8", "replace").strip()
            error = None if text.startswith("<") else ServerError(text, response.status_code)
        if error is None or not error.message:
            error = ServerError(response.headers.get("location", ""), response.status_code)
        wait = retry_after(response.headers)
        if wait is None:
            wait = error.retry_after
        return ServerError(error.message, response.status_code, error.code, wait)

    def _adapt(self, error: ServerError) -> bool:
        """Leaves out what this server does not know; remembered for the next request.

        OpenAI's reasoning models want `max_completion_tokens` and no temperature; small servers
        do not know `stream_options`, and not all of them say that this is what they reject.
        """
        if error.status not in (400, 422):
            return False
        if "max_completion_tokens" in error.message and "max_tokens" in self._payload:
            self._payload["max_completion_tokens"] = self._payload.pop("max_tokens")
        elif "temperature" in error.message and "temperature" in self._payload:
            del self._payload["temperature"]
        elif "stream_options" in self._payload and not self._failures.openrouter:
            del self._payload["stream_options"]
        else:
            return False
        return True

    async def _read(self, response: httpx.Response) -> AsyncGenerator[ModelEvent, None]:
        """The events of a successful answer."""
        answer = _Answer(self._failures, self._llm)
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":  # a server that does not stream, or an error with 200
            for event in answer.take((await response.aread()).decode("utf-8", "replace")):
                yield event
        elif kind != "text/event-stream":
            what = "a web page" if kind == "text/html" else clean_line(kind)[:50] or "something"
            raise self._failures.not_the_protocol(what)
        else:
            async with aclosing(EventSource(response).aiter_sse()) as lines:
                async for line in lines:
                    if line.data.strip() == "[DONE]":
                        answer.done = True
                        break
                    if line.data:
                        for event in answer.take(line.data):
                            yield event
                    if answer.full:
                        break
        for event in answer.end():
            yield event


class _Answer:
    """An answer as it grows, and the verdict on it when the stream has ended."""

    def __init__(self, failures: Failures, llm: "LlmSettings") -> None:
        self._failures = failures
        self._llm = llm
        self._splitter = ThinkSplitter()
        self._model = llm.model
        self._tokens: int | None = None
        self._reason = ""
        self._chars = 0
        self._answered = False
        self.done = False

    @property
    def full(self) -> bool:
        """Whether no more text is taken."""
        return self._chars >= _MAX_CHARS

    def take(self, data: str) -> list[ModelEvent]:
        """The events of one payload; raises `ModelError` where it is an error or no chunk."""
        try:
            chunk = parse_chunk(data)
        except (ValueError, RecursionError):
            if self._chars:
                raise self._failures.broken(started=True) from None
            raise self._failures.not_the_protocol("something unreadable") from None
        if chunk.error is not None:
            raise self._failures.refused(chunk.error, in_stream=True)
        self._note(chunk)
        delta = self._splitter.feed(chunk.content) if chunk.content else Delta()
        return self._delta(Delta(delta.content, chunk.reasoning + delta.reasoning))

    def end(self) -> list[ModelEvent]:
        """The last events; raises `ModelError` where the answer is not complete."""
        events = self._delta(self._splitter.end())
        if self._reason == "error":
            raise self._failures.refused(ServerError(""), in_stream=True)
        if self._reason == "content_filter":
            raise self._failures.filtered()
        if not (self._reason or self.done or self.full):
            raise self._failures.broken(started=self._chars > 0)
        if not self._answered:
            raise self._failures.empty(self._reason)
        cut = ""
        if self._reason == "length":
            cut = f"The answer was cut at max_tokens ({self._llm.max_tokens})."
        elif self.full:
            cut = f"The answer was cut at {_MAX_CHARS:,} characters."
        return [*events, Finished(clean_line(self._model)[:200], self._tokens, cut)]

    def _note(self, chunk: Chunk) -> None:
        self._model = chunk.model or self._model
        self._reason = chunk.finish_reason or self._reason
        if chunk.tokens is not None:
            self._tokens = chunk.tokens

    def _delta(self, delta: Delta) -> list[ModelEvent]:
        self._chars += len(delta.content) + len(delta.reasoning)
        self._answered = self._answered or bool(delta.content.strip())
        return [delta] if delta.content or delta.reasoning else []
