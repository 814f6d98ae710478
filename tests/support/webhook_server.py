"""An n8n as far as its webhooks go, on the loopback: for what a client does about its answers.

It answers as n8n was seen to: 200 {"message": "Workflow was started"}, 403 without the token, 404
where no workflow is active; it works on nothing. The workflows themselves are tested on a real
n8n, in tests/n8n.
"""

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Self

Chunks = list[bytes | asyncio.Event | None]


@dataclass
class Called:
    """One call of a webhook."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class WebhookServer:
    """Runs in the test's own event loop."""

    statuses: deque[int] = field(default_factory=deque)
    """The statuses of the next calls; then 200."""
    stream: Chunks = field(default_factory=list)
    """With 200: these pieces are its body; an event is waited for, at None it breaks off."""
    silent: bool = False
    """Takes calls, and never answers them."""
    calls: list[Called] = field(default_factory=list)
    called: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    async def up(self) -> None:
        """Begins to listen, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Nobody listens any more."""
        assert self._server is not None
        self._server.close()

    async def until_called(self, times: int) -> None:
        """Waits for so many calls in all."""
        while len(self.calls) < times:
            self.called.clear()
            await asyncio.wait_for(self.called.wait(), 30)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value
                for name, _, value in (line.partition(": ") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            path = head[0].split()[1]
            if path == "/healthz":
                await self._answer(writer, 200, [b'{"status":"ok"}'])
                return
            self.calls.append(Called(path, headers, json.loads(body)))
            self.called.set()
            if self.silent:
                await reader.read()
                return
            status = self.statuses.popleft() if self.statuses else 200
            started = b'{"message":"Workflow was started"}'
            await self._answer(writer, status, self.stream or [started])
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, status: int, chunks: Chunks) -> None:
        headers = "connection: close\r\ntransfer-encoding: chunked\r\n"
        writer.write(f"HTTP/1.1 {status} X\r\n{headers}\r\n".encode())
        for chunk in chunks:
            if chunk is None:
                writer.transport.abort()
                return
            if isinstance(chunk, asyncio.Event):
                await chunk.wait()
            else:
                writer.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()
