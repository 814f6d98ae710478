"""The stand-in's Realtime: the Phoenix protocol (version 1.0.0) as a real server was seen to speak.

What is real: the sockets, the official client on the other side, and what is delivered: changes
come from PostgreSQL's own log, decoded by its own plugin through a temporary slot (`wal.py`), and
for each change and each user PostgreSQL is asked whether that user's claims can see the row.

What is imitated, from the recorded frames in `frames/`: the frames' shapes, order and silences, and
the times they take. What is not covered: broadcast, presence, `select`, filters other than `eq` and
`neq`, wildcards for a table, versions of the protocol other than 1.0.0, the budget of events (see
`Faults.drop_next`), the rows of a former user that are delivered for three seconds after a push of
another one's token, replica identity FULL under row security. It polls as the real one does, every
100 ms, but never slower when idle. How fast a real one is, this cannot tell.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
from aiohttp import WSMsgType, web

from tests.support.supabase import bindings
from tests.support.supabase.bindings import Binding, RefusedError
from tests.support.supabase.project import Connection, Project, TokenError
from tests.support.supabase.wal import Change, Decoder

Result = TypeVar("Result")
Frame = dict[str, Any]

SUBSCRIBED = "Subscribed to PostgreSQL"


@dataclass
class Times:
    """Seconds, as seen; a test may make them shorter."""

    poll: float = 0.1
    cold: float = 2.2
    """From a reply to "Subscribed", while the replication begins."""
    warm: float = 0.01
    refuse: float = 5.0
    """To the reply to a join with a bad token."""
    second: float = 2.0
    """From the push of a token to the second "Subscribed"."""
    silence: float = 66.0
    """Without a heartbeat, until the socket is closed."""
    back: float = 1.0
    """Until the replication is tried again when PostgreSQL has gone away."""
    linger: float = 10.0
    """Without a socket, until the replication ends, and the next join is a cold one."""


@dataclass
class Faults:
    """What goes wrong, as long as it is set."""

    refuse_joins: str | None = None
    """The reason in the error reply."""
    fail_after_ok: str | None = None
    """The message of a `system` error that follows an ok."""
    never_confirm: bool = False
    """A join is answered ok, and that was all."""
    silent: bool = False
    """Joined, and nothing is delivered."""
    drop_next: int = 0
    """So many changes are not delivered, as when a project is over its budget."""
    deaf: bool = False
    """Heartbeats are not answered."""
    delay: float = 0.0
    double: bool = False
    reorder: bool = False
    """The changes of one poll come in any order."""
    cut: bool = False
    """Every payload is cut as if it were too large."""
    leave_out: frozenset[str] = frozenset()
    """Columns that are not in the record."""


@dataclass(eq=False)
class _Channel:
    socket: "_Socket"
    topic: str
    ref: str
    token: str
    claims: dict[str, Any]
    bindings: list[Binding] = field(default_factory=list[Binding])
    since: float | None = None
    """When it was said to be subscribed: what was committed before that is not delivered."""

    @property
    def name(self) -> str:
        return self.topic.removeprefix("realtime:")

    def system(self, status: str, message: str, extension: str = "postgres_changes") -> None:
        said = {
            "message": message,
            "status": status,
            "extension": extension,
            "channel": self.name,
        }
        self.socket.send(None, "system", self.topic, said)

    def close(self) -> None:
        if self.socket.channels.get(self.topic) is self:
            del self.socket.channels[self.topic]
        self.socket.send(self.ref, "phx_close", self.topic, {})


@dataclass(eq=False)
class _Socket:
    response: web.WebSocketResponse
    request: web.Request
    channels: dict[str, _Channel] = field(default_factory=dict[str, _Channel])
    outbox: asyncio.Queue[str] = field(default_factory=asyncio.Queue[str])

    def send(self, ref: str | None, event: str, topic: str, payload: Frame) -> None:
        frame = {"ref": ref, "event": event, "topic": topic, "payload": payload}
        self.outbox.put_nowait(json.dumps(frame))

    def abort(self) -> None:
        if self.request.transport is not None:
            self.request.transport.abort()


class Realtime:
    """One project's. What tests call is safe to call from their own thread."""

    def __init__(self, project: Project) -> None:
        self.times = Times()
        self.faults = Faults()
        self.counts: Counter[str] = Counter()
        """Of sockets, joins, heartbeats and changes (delivered frames) so far."""
        self.project = project
        self._sockets: set[_Socket] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[None] | None = None
        self._used = 0.0
        self._ready = asyncio.Event()
        self._types: dict[tuple[str, str, str], dict[str, str]] = {}

    @classmethod
    def of(cls, project: Project) -> "Realtime":
        """The one that belongs to a project."""
        return project.__dict__.setdefault("realtime", cls(project))

    # What goes wrong at once

    def drop_sockets(self) -> None:
        """Every socket is gone, without a close frame: 1006."""
        self._do(lambda: [socket.abort() for socket in self._sockets])

    def close_sockets(self, code: int = 1012) -> None:
        """Every socket is closed; 1012 is what a server says that is stopped."""
        for socket in list(self._sockets):
            self._do(lambda socket=socket: self._spawn(_close(socket, code)))

    def say(self, text: str) -> None:
        """Sends every client something, as it is."""
        self._do(lambda: [socket.outbox.put_nowait(text) for socket in self._sockets])

    def close_channels(self) -> None:
        """Every channel is closed; the sockets stay."""
        self._do(lambda: [channel.close() for channel in self.channels()])

    def fail_channels(self, message: str) -> None:
        """A `system` error in every channel, and nothing more is delivered there."""

        def fail() -> None:
            for channel in self.channels():
                channel.since = None
                channel.system("error", message)

        self._do(fail)

    def crash_channels(self) -> None:
        """A `phx_error` in every channel."""

        def crash() -> None:
            for channel in self.channels():
                channel.since = None
                channel.socket.send(channel.ref, "phx_error", channel.topic, {})

        self._do(crash)

    @property
    def sockets(self) -> int:
        """How many are open."""
        return len(self._sockets)

    @property
    def subscribed(self) -> int:
        """How many channels are being delivered to."""
        return sum(channel.since is not None for channel in self.channels())

    async def close(self) -> None:
        """Ends the replication, as a server does that is stopped: the next join is a cold one."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait([reading])

    # The sockets

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """GET /realtime/v1/websocket"""
        self._loop = asyncio.get_running_loop()
        response = web.WebSocketResponse(max_msg_size=0)
        await response.prepare(request)
        self.counts["sockets"] += 1
        socket = _Socket(response, request)
        self._sockets.add(socket)
        sending = asyncio.create_task(_send(socket))
        try:
            while True:
                message = await response.receive(timeout=self.times.silence)
                if message.type is not WSMsgType.TEXT:
                    break
                # What is no frame was seen to be passed over.
                with suppress(ValueError, KeyError):
                    self._heard(socket, json.loads(message.data))
        except TimeoutError:
            await response.close(code=1000)
        finally:
            self._sockets.discard(socket)
            socket.channels.clear()
            sending.cancel()
        return response

    def _heard(self, socket: _Socket, frame: Frame) -> None:
        topic, event, ref, payload = (frame[key] for key in ("topic", "event", "ref", "payload"))
        channel = socket.channels.get(topic)
        if topic == "phoenix":
            self.counts["heartbeats"] += 1
            if not self.faults.deaf:
                socket.send(ref, "phx_reply", topic, {"status": "ok", "response": {}})
        elif event == "phx_join" and topic.startswith("realtime:"):
            self.counts["joins"] += 1
            self._spawn(self._join(socket, topic, ref, payload))
        elif event == "phx_leave":
            socket.send(ref, "phx_reply", topic, {"status": "ok", "response": {}})
            if channel is not None:
                channel.close()
        elif event == "access_token" and channel is not None:
            self._spawn(self._pushed(channel, payload["access_token"]))
        else:
            _refuse(socket, topic, ref, "unmatched topic")

    async def _join(self, socket: _Socket, topic: str, ref: str, payload: Frame) -> None:
        token = payload.get("access_token") or self.project.anon_key
        claims, problem = self._claims(token)
        if self.faults.refuse_joins or problem:
            await asyncio.sleep(self.times.refuse)
            _refuse(socket, topic, ref, self.faults.refuse_joins or problem)
            return
        asked = payload["config"].get("postgres_changes") or []
        channel = _Channel(socket, topic, ref, token, claims)
        old, socket.channels[topic] = socket.channels.get(topic), channel
        given = [{"id": bindings.binding_id(each), **each} for each in asked]
        reply = {"status": "ok", "response": {"postgres_changes": given}}
        socket.send(ref, "phx_reply", topic, reply)
        if old is not None:
            # Seen to come after the new one's reply.
            old.close()
        if self.faults.fail_after_ok:
            channel.system("error", self.faults.fail_after_ok)
        elif asked and not self.faults.never_confirm:
            await self._subscribe(channel, asked)

    async def _subscribe(self, channel: _Channel, asked: list[Frame]) -> None:
        while True:
            if self._reading is None or self._reading.done():
                self._ready.clear()
                self._used = time.monotonic()
                self._reading = asyncio.create_task(self._read_for_ever())
            try:
                await self._ready.wait()
                async with self.project.owner() as owner:
                    role = str(channel.claims.get("role"))
                    channel.bindings = [
                        await bindings.understand(owner, each, role) for each in asked
                    ]
                break
            except RefusedError as error:
                channel.system("error", str(error))
                return
            except psycopg.OperationalError:
                await asyncio.sleep(self.times.back)
        await asyncio.sleep(self.times.warm)
        if channel.socket.channels.get(channel.topic) is channel:
            channel.since = time.time()
            channel.system("ok", SUBSCRIBED)

    async def _pushed(self, channel: _Channel, token: str) -> None:
        claims, problem = self._claims(token)
        if problem:
            channel.system("error", problem.split(": ", 1)[-1], "system")
            channel.close()
            return
        channel.token, channel.claims = token, claims
        await asyncio.sleep(self.times.second)
        if channel.since is not None:
            channel.system("ok", SUBSCRIBED)

    def _claims(self, token: str) -> tuple[dict[str, Any], str]:
        """A token's claims, or why it is not accepted, in Realtime's words."""
        try:
            claims = self.project.claims(token)
        except TokenError as error:
            if error.expired:
                return {}, "InvalidJWTToken: Token has expired 0 seconds ago"
            if "ignature" in str(error):
                return {}, "JwtSignatureError: Failed to validate JWT signature"
            return {}, "MalformedJWT: The token provided is not a valid JWT"
        if "exp" not in claims:
            return {}, "InvalidJWTToken: Fields `role` and `exp` are required in JWT"
        return claims, ""

    # The changes

    async def _read_for_ever(self) -> None:
        await asyncio.sleep(self.times.cold)
        while not self._idle():
            # PostgreSQL going away is no sign to the clients, and what it committed before the new
            # slot is there is lost to them.
            with suppress(psycopg.Error, OSError):
                await self._read()
            await asyncio.sleep(self.times.back)

    async def _read(self) -> None:
        decoder = Decoder()
        async with await Connection.connect(
            self.project.conninfo, autocommit=True, options="-c timezone=UTC"
        ) as connection:
            slot = f"realtime_{random.getrandbits(48):x}"
            await connection.execute(
                "SELECT pg_create_logical_replication_slot(%s, 'pgoutput', true)", (slot,)
            )
            self._ready.set()
            while not self._idle():
                self._end_expired()
                cursor = await connection.execute(
                    "SELECT data FROM pg_logical_slot_get_binary_changes(%s, NULL, NULL,"
                    " 'proto_version', '1', 'publication_names', 'supabase_realtime')",
                    (slot,),
                    binary=True,
                )
                messages = [bytes(row[0]) for row in await cursor.fetchall()]
                changes = [each for message in messages for each in decoder.changes(message)]
                if self.faults.reorder:
                    random.shuffle(changes)
                for change in changes:
                    await self._deliver(change)
                await asyncio.sleep(self.times.poll)

    async def _deliver(self, change: Change) -> None:
        wanted: list[tuple[_Channel, list[int]]] = []
        for channel in self.channels():
            ids = [binding.id for binding in channel.bindings if binding.matches(change)]
            if ids and channel.since is not None and change.at.timestamp() >= channel.since:
                wanted.append((channel, ids))
        seen: dict[str, bool] = {}
        for channel, ids in wanted:
            key = json.dumps(channel.claims, sort_keys=True)
            if key not in seen:
                seen[key] = await self._visible(change, channel.claims)
            if seen[key]:
                await self._send_change(channel, change, ids)

    async def _visible(self, change: Change, claims: dict[str, Any]) -> bool:
        """Row security, by PostgreSQL itself; it is not applied to deletions."""
        if change.kind == "DELETE":
            return True
        relation = change.relation
        where = " AND ".join(f'"{name}"::text = %({name})s' for name in relation.key)
        statement = f'SELECT FROM "{relation.schema}"."{relation.table}" WHERE {where}'
        # As a column's own type, so that the key's index is used.
        statement = statement.replace('"id"::text = %(id)s', '"id" = %(id)s::bigint')
        try:
            async with self.project.acting(claims) as connection:
                found = await connection.execute(statement.encode(), change.new)
                return await found.fetchone() is not None
        except psycopg.errors.InsufficientPrivilege:
            return False

    async def _send_change(self, channel: _Channel, change: Change, ids: list[int]) -> None:
        faults = self.faults
        if faults.silent:
            return
        if faults.drop_next > 0:
            faults.drop_next -= 1
            return
        key = (change.relation.schema, change.relation.table, channel.claims["role"])
        if key not in self._types:
            async with self.project.owner() as owner:
                self._types[key] = await bindings.columns(owner, *key)
        types = self._types[key]
        said = bindings.data(change, types, cut=faults.cut, without=faults.leave_out)
        for _ in range(2 if faults.double else 1):
            self.counts["changes"] += 1
            send = (None, "postgres_changes", channel.topic, {"data": said, "ids": ids})
            asyncio.get_running_loop().call_later(faults.delay, channel.socket.send, *send)

    def _idle(self) -> bool:
        if self._sockets:
            self._used = time.monotonic()
        return time.monotonic() - self._used > self.times.linger

    def _end_expired(self) -> None:
        for channel in self.channels():
            if channel.since is not None and self._claims(channel.token)[1]:
                channel.system("error", "Token has expired 0 seconds ago", "system")
                channel.close()

    def channels(self) -> list[_Channel]:
        """Those that are joined."""
        return [channel for socket in self._sockets for channel in socket.channels.values()]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _do(self, action: Callable[[], Any]) -> None:
        async def do() -> None:
            action()

        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(do(), self._loop).result(10)


def routes(project: Project) -> list[web.RouteDef]:
    """For the server."""
    return [web.get("/realtime/v1/websocket", Realtime.of(project).connect)]


async def _send(socket: _Socket) -> None:
    with suppress(ConnectionError):
        while True:
            await socket.response.send_str(await socket.outbox.get())


async def _close(socket: _Socket, code: int) -> None:
    await socket.response.close(code=code)


def _refuse(socket: _Socket, topic: str, ref: str, reason: str) -> None:
    reply = {"status": "error", "response": {"reason": reason}}
    socket.send(ref, "phx_reply", topic, reply)
