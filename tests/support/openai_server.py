"""A model server on the loopback that speaks the OpenAI streaming protocol as OpenRouter does.

In a test it is scripted, request by request:

    async with OpenAiServer() as server:
        server.say(Reply([Reasoning("hm"), "Hel", gate, "lo", *ending()]))

Without a script it obeys words in the last user message, so that tests of whole processes can
choose (several words work together; anything else is echoed):

    fail:429 fail:429:7     that HTTP status, with Retry-After
    fail-once:503           only the first request with this very message fails
    quota                   429 with the code that OpenAI gives an account without credit
    say:TEXT                answers with the rest of the message
    long:200                answers with that many kB
    think                   reasoning deltas before the answer
    tags                    reasoning as <think>...</think> in the content
    pace:0.05               seconds between chunks
    gate:NAME               waits in the middle of the answer for `POST /_gate/NAME`
    hold:NAME               waits before the first byte for `POST /_gate/NAME`
    break                   cuts the connection in the middle
    hang                    sends half, then nothing
    silent                  sends nothing at all, not even headers
    error                   an error object in the middle of the stream
    empty length filter html garbage hostile

`GET /_requests` tells what was asked: [{"messages": [...], "disconnected": bool, "sent": bool}].
A request with `"stream": false` gets the same answer as one JSON object.
As a process: `python -m tests.support.openai_server [--port N] [--script WORDS]` prints its base
URL on one line and serves until its stdin ends or it is killed.
"""

import argparse
import asyncio
import json
import re
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Self

REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 429: "Too Many Requests"}
HOSTILE = (
    "\x1b[31mred\x1b[0m \x1b]52;c;aGk=\x07 [bold]markup[/bold] NUL:\x00 'single' \"double\" "
    "$tag$ \\ %s {0} \u202egnp.exe\u202c 漢字 e\u0301 שלום \r\nnext\x9b2J\u2028end"
)


@dataclass(frozen=True)
class Reasoning:
    """A reasoning delta; `field` is the name it is sent under."""

    text: str
    field: str = "reasoning"


@dataclass(frozen=True)
class Pause:
    """Seconds without a byte."""

    seconds: float


class Break:
    """Cuts the connection, without the last chunk of the transfer encoding."""


class Hang:
    """Sends nothing more, until the client leaves."""


# str: a content delta. dict: a whole chunk. bytes: as they are. Event: waits for it.
Part = str | bytes | dict[str, Any] | Reasoning | Pause | asyncio.Event | Break | Hang


@dataclass
class Reply:
    """What one request gets."""

    parts: Sequence[Part] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    """Instead of a stream: a JSON value, or text as it is."""
    content_type: str | None = None
    before: asyncio.Event | None = None
    """Nothing is sent, not even headers, before this is set."""


@dataclass
class Request:
    """What one request was, and how it ended."""

    method: str
    path: str
    headers: dict[str, str]
    json: Any
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client left before the reply was complete."""
    sent: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the reply was complete."""

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation that was sent."""
        return self.json.get("messages", []) if isinstance(self.json, dict) else []


def ending(
    finish: str | None = "stop", tokens: int | None = 7, model: str = "test/model-1"
) -> list[Part]:
    """The end of a stream as OpenRouter sends it: finish_reason, usage, [DONE]."""
    parts: list[Part] = []
    if finish is not None:
        parts.append(_chunk({"content": ""}, finish, model))
    if tokens is not None:
        usage = {"prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": tokens + 3}
        parts.append({"id": "gen-1", "model": model, "choices": [], "usage": usage})
    return [*parts, b"data: [DONE]\n\n"]


def pieces(text: str, size: int = 8) -> list[str]:
    """`text` cut into deltas."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def answer(text: str, *, thinking: str = "", size: int = 8) -> Reply:
    """A whole answer, streamed."""
    return Reply(
        [
            b": OPENROUTER PROCESSING\n\n",
            *[Reasoning(part) for part in pieces(thinking, size)],
            *pieces(text, size),
            *ending(),
        ]
    )


def failure(
    status: int,
    message: str = "no",
    *,
    code: str | None = None,
    retry_after: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> Reply:
    """An error status with an error object as OpenRouter sends it."""
    error: dict[str, Any] = {"code": code or status, "message": message}
    if metadata is not None:
        error["metadata"] = metadata
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Reply(status=status, headers=headers, body={"error": error})


class OpenAiServer:
    """The server; an async context manager. `requests` holds what was asked, oldest first."""

    def __init__(self, *, port: int = 0, script: str = "") -> None:
        self.requests: list[Request] = []
        self.replies: deque[Reply] = deque()
        self._arrived: deque[Request] = deque()
        self._new = asyncio.Event()
        self._gates: dict[str, asyncio.Event] = {}
        self._failed_once: set[str] = set()
        self._port = port
        self._script = script
        self._server: asyncio.Server | None = None
        self._handlers: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The base URL to configure."""
        return f"http://127.0.0.1:{self._port}/v1"

    def say(self, *replies: Reply) -> None:
        """Scripts the next requests."""
        self.replies.extend(replies)

    def gate(self, name: str) -> asyncio.Event:
        """The gate that `gate:NAME` in a message waits for."""
        return self._gates.setdefault(name, asyncio.Event())

    async def next_request(self, timeout: float = 10.0) -> Request:
        """Waits for the next model request that was not returned yet."""
        async with asyncio.timeout(timeout):
            while not self._arrived:
                self._new.clear()
                await self._new.wait()
        return self._arrived.popleft()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        try:
            request = await _read_request(reader)
            if request.path.startswith("/_"):
                await _write(writer, self._control(request))
                return
            self.requests.append(request)
            self._arrived.append(request)
            self._new.set()
            reply = self.replies.popleft() if self.replies else self._obey(request)
            if reply.body is None and request.json and request.json.get("stream") is False:
                reply = _whole(reply)
            await _until_left(reader, request, _write(writer, reply))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._handlers.discard(handler)
            with suppress(ConnectionError):
                writer.close()

    def _control(self, request: Request) -> Reply:
        if request.path.startswith("/_gate/"):
            self.gate(request.path.removeprefix("/_gate/")).set()
            return Reply(body={})
        return Reply(
            body=[
                {
                    "messages": seen.messages,
                    "disconnected": seen.disconnected.is_set(),
                    "sent": seen.sent.is_set(),
                }
                for seen in self.requests
            ]
        )

    def _obey(self, request: Request) -> Reply:
        """The reply that the words of the last user message ask for."""
        asked = [m["content"] for m in request.messages if m.get("role") == "user"]
        message = asked[-1] if asked else ""
        before, _, said = message.partition("say:")
        orders = f"{self._script} {before if said else message}".split()
        words = {word.partition(":")[0]: word.partition(":")[2] for word in orders}
        if (once := words.get("fail-once")) and message not in self._failed_once:
            self._failed_once.add(message)
            return failure(int(once), "only this once")
        if code := words.get("fail"):
            status, _, wait = code.partition(":")
            return failure(int(status), "as you asked", retry_after=wait or None)
        if "quota" in words:
            return failure(429, "You exceeded your current quota", code="insufficient_quota")
        if "html" in words:
            return Reply(body="<html><h1>Welcome</h1></html>", content_type="text/html")
        text = said or f"You said: {message}"
        if "long" in words:
            text = ("All work and no play. " * 1000)[:1000] * int(words["long"])
        if "hostile" in words:
            text = HOSTILE
        return Reply(self._parts(words, text), before=self._before(words))

    def _before(self, words: dict[str, str]) -> asyncio.Event | None:
        if "silent" in words:
            return asyncio.Event()
        return self.gate(words["hold"]) if "hold" in words else None

    def _parts(self, words: dict[str, str], text: str) -> list[Part]:
        parts: list[Part] = list(pieces(text, 8 if len(text) < 2000 else 4096))
        middle: list[Part] = []
        if "gate" in words:
            middle.append(self.gate(words["gate"]))
        if "break" in words:
            middle.append(Break())
        if "hang" in words:
            middle.append(Hang())
        if "garbage" in words:
            middle.append(b"data: {oops\n\n")
        if "error" in words:
            error = {"code": 502, "message": "Provider disconnected"}
            middle.append({**_chunk({"content": ""}, "error"), "error": error})
        half = (len(parts) + 1) // 2
        parts[half:half] = middle
        if "think" in words:
            parts[:0] = [Reasoning("Let me think "), Reasoning("about this.")]
        if "tags" in words:
            parts[:0] = ["<thi", "nk>Let me think", " about this.</th", "ink>\n\n"]
        if "empty" in words:
            parts = []
        finish = (
            "length" if "length" in words else "content_filter" if "filter" in words else "stop"
        )
        parts = [b": OPENROUTER PROCESSING\n\n", *parts, *ending(finish)]
        if "pace" in words:
            pause = Pause(float(words["pace"]))
            parts = [item for part in parts for item in (pause, part)]
        return parts


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start, *lines = head.strip().split("\r\n")
    method, path, _ = start.split(" ", 2)
    headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, json.loads(body) if body else None)


async def _until_left(
    reader: asyncio.StreamReader, request: Request, reply: Awaitable[None]
) -> None:
    """Sends the reply, but stops, and notes it, when the client closes the connection."""
    sending = asyncio.ensure_future(reply)
    leaving = asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done() and not sending.exception():
            request.sent.set()
        else:
            request.disconnected.set()
    finally:
        for task in (sending, leaving):
            task.cancel()
        await asyncio.gather(sending, leaving, return_exceptions=True)


async def _write(writer: asyncio.StreamWriter, reply: Reply) -> None:
    if reply.before is not None:
        await reply.before.wait()
    streamed = reply.body is None
    kind = reply.content_type or ("text/event-stream" if streamed else "application/json")
    headers = {"Content-Type": kind, "Connection": "close", **reply.headers}
    body = b""
    if streamed:
        headers["Transfer-Encoding"] = "chunked"
    else:
        text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
        body = text.encode()
        headers["Content-Length"] = str(len(body))
    head = f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Whatever')}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(head.encode("latin-1") + b"\r\n" + body)
    await writer.drain()
    if not streamed:
        return
    for part in reply.parts:
        data = await _bytes_of(part, writer)
        if data is None:
            return
        if data:
            writer.write(b"%x\r\n%s\r\n" % (len(data), data))
            await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def _whole(reply: Reply) -> Reply:
    """The same answer as one JSON object; what it waits for comes before, its cut in the middle."""
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    choice: dict[str, Any] = {"index": 0, "message": message}
    value: dict[str, Any] = {"id": "gen-1", "object": "chat.completion", "choices": [choice]}
    waits: list[Part] = []
    cut: list[Part] = []
    for part in reply.parts:
        match part:
            case asyncio.Event() | Pause():
                waits.append(part)
            case Break() | Hang():
                cut = [part]
                break
            case str():
                message["content"] += part
            case Reasoning():
                message[part.field] = message.get(part.field, "") + part.text
            case dict():
                value |= {key: part[key] for key in ("model", "usage", "error") if key in part}
                for each in part["choices"]:
                    choice["finish_reason"] = each["finish_reason"]
            case bytes() if part.startswith(b"data: {"):
                cut = [part]
                break
            case bytes():
                pass
    body = json.dumps(value).encode()
    parts = [body[: len(body) // 2], *cut] if cut else [body]
    return replace(reply, parts=[*waits, *parts], content_type="application/json")


async def _bytes_of(part: Part, writer: asyncio.StreamWriter) -> bytes | None:
    """What a part is on the wire, after any waiting it asks for; None: the end."""
    match part:
        case asyncio.Event():
            await part.wait()
            return b""
        case Pause():
            await asyncio.sleep(part.seconds)
            return b""
        case Hang():
            await asyncio.Event().wait()
        case Break():
            writer.close()
            return None
        case bytes():
            return part
        case str():
            return _event(_chunk({"role": "assistant", "content": part}))
        case Reasoning():
            return _event(_chunk({"role": "assistant", "content": "", part.field: part.text}))
        case dict():
            return _event(part)
    return None


def _chunk(
    delta: dict[str, Any], finish: str | None = None, model: str = "test/model-1"
) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "native_finish_reason": finish}
    return {
        "id": "gen-1",
        "provider": "Test",
        "model": model,
        "object": "chat.completion.chunk",
        "choices": [choice],
    }


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


async def _main(port: int, script: str) -> None:
    async with OpenAiServer(port=port, script=script) as server:
        print(server.url, flush=True)
        until: Callable[[], bytes] = sys.stdin.buffer.read
        await asyncio.to_thread(until)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A loopback model server for tests.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", default="", help="words obeyed on every request")
    arguments = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(_main(arguments.port, re.sub(r"\s+", " ", arguments.script)))
