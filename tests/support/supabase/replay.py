"""Plays what a real Realtime was seen to say (`frames/`) to whoever connects.

Each file is one scenario, one JSON object a line: `t` seconds, `dir` (connect, send, recv, note,
close, http) and `raw`, the frame. Tokens were replaced when it was recorded, and long values cut:
those are filled up to their size again. Frames come in their order, without the pauses; topics,
`ref`s and binding ids are made those that this client has asked for.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

FRAMES = Path(__file__).with_name("frames")
SCENARIOS = sorted(path.stem for path in FRAMES.glob("*.jsonl"))
_ENDED_BY_SERVER = ("06b_no_heartbeat_idle",)
"""Of all that end with code 1000: the others were ended by the recorder."""

Line = dict[str, Any]


class Replay:
    """One scenario; each connection is played the next part of it, the last one for ever."""

    def __init__(self, scenario: str) -> None:
        self.connections = 0
        self.tokens: list[str] = []
        """Those that were sent: with joins, and pushed."""
        self._parts: list[list[Line]] = []
        for text in (FRAMES / f"{scenario}.jsonl").read_text().splitlines():
            line = json.loads(text)
            if line["dir"] == "connect":
                self._parts.append([])
            elif line["dir"] != "close" or line["code"] != 1000 or scenario in _ENDED_BY_SERVER:
                self._parts[-1].append(line)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The project's URL."""
        app = web.Application()
        app.add_routes([web.get("/realtime/v1/websocket", self._connect)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        part = self._parts[self.connections] if self.connections < len(self._parts) else []
        self.connections += 1
        for line in part:
            if line["dir"] == "http":
                return web.Response(status=line["status"], text=line["body"])
        response = web.WebSocketResponse()
        await response.prepare(request)
        tasks: Line = {}
        async for message in response:
            if message.type is not WSMsgType.TEXT:
                break
            heard = json.loads(message.data)
            if "access_token" in heard["payload"]:
                self.tokens.append(heard["payload"]["access_token"])
            if heard["event"] == "phx_join" and part:
                # The scenario is that of the tasks; it begins when everything else is followed.
                if heard["topic"].startswith("realtime:async_tasks"):
                    tasks = heard
                else:
                    await _follow(heard, response)
                    await _play(part, tasks, response, request)
        return response


async def _play(
    part: list[Line], join: Line, response: web.WebSocketResponse, request: web.Request
) -> None:
    sent = [json.loads(line["raw"]) for line in part if line["dir"] == "send" and _json(line)]
    recorded = next(frame for frame in sent if frame["event"] == "phx_join")
    for line in part:
        if line["dir"] == "recv":
            await response.send_str(_translated(line, recorded, join))
        elif line["dir"] == "close" and line["code"] == 1006:
            assert request.transport is not None
            await asyncio.sleep(0.05)  # An abort would take back what was written just now.
            request.transport.abort()
        elif line["dir"] == "close":
            await response.close(code=line["code"])


def _json(line: Line) -> bool:
    return line["raw"].startswith('{"')


def _translated(line: Line, recorded: Line, join: Line) -> str:
    frame = json.loads(line["raw"])
    if frame["topic"] == recorded["topic"]:
        frame["topic"] = join["topic"]
    if frame["ref"] is not None:
        ours = frame["ref"] == recorded["ref"]
        frame["ref"] = join["ref"] if ours else f"not-{join['ref']}-{frame['ref']}"
    payload = frame["payload"]
    if (given := payload.get("response", {}).get("postgres_changes")) and frame["ref"]:
        asked = join["payload"]["config"]["postgres_changes"]
        payload["response"]["postgres_changes"] = [{"id": 1, **each} for each in asked]
        assert given
    if frame["event"] == "postgres_changes":
        payload["ids"] = [1]
        if "cut_to" in line:
            whole = {"columns": [], "errors": None, "schema": "public", "commit_timestamp": "x"}
            payload["data"] = whole | payload["data"]
            payload["data"]["record"]["output_data"] = "x" * (line["bytes"] - 3000)
    return json.dumps(frame)


async def _follow(join: Line, response: web.WebSocketResponse) -> None:
    asked = join["payload"]["config"]["postgres_changes"]
    given = [{"id": 2, **each} for each in asked]
    reply = {"status": "ok", "response": {"postgres_changes": given}}
    system = {
        "message": "Subscribed to PostgreSQL",
        "status": "ok",
        "extension": "postgres_changes",
        "channel": join["topic"].removeprefix("realtime:"),
    }
    for ref, event, payload in ((join["ref"], "phx_reply", reply), (None, "system", system)):
        frame = {"ref": ref, "event": event, "topic": join["topic"], "payload": payload}
        await response.send_str(json.dumps(frame))
