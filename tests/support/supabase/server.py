"""The stand-in's one port: the gateway that asks for an API key, and the services behind it."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from aiohttp import web

from tests.support.supabase import auth, realtime, rest
from tests.support.supabase.auth import Auth
from tests.support.supabase.platform import prepare
from tests.support.supabase.project import Faults, Project
from tests.support.supabase.realtime import Realtime

Result = TypeVar("Result")
Handler = Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]


class Supabase:
    """A project on the loopback, in a thread of its own; `database` needs nothing but to exist."""

    def __init__(self, conninfo: str) -> None:
        self.project = Project(conninfo)
        self.auth = Auth(self.project)
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def anon_key(self) -> str:
        """The key that clients have."""
        return self.project.anon_key

    @property
    def faults(self) -> Faults:
        """What is to go wrong."""
        return self.project.faults

    def start(self) -> None:
        """Gives the database what Supabase's have, and serves; returns when it answers."""
        prepare(self.project.conninfo)
        self._thread.start()
        self.resume()

    def stop(self) -> None:
        """Ends everything."""
        self.pause()
        self.run(self.project.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._slot_gone()

    def _slot_gone(self) -> None:
        """Waits: a database whose log is still being read cannot be dropped."""
        reading = "SELECT FROM pg_replication_slots WHERE database = current_database() AND active"
        # A test may have ended the whole server.
        with (
            suppress(psycopg.OperationalError),
            psycopg.connect(self.project.conninfo, autocommit=True) as owner,
        ):
            until = time.monotonic() + 10
            while owner.execute(reading).rowcount and time.monotonic() < until:
                time.sleep(0.02)

    def pause(self) -> None:
        """Nothing listens on the port any more; safe to call twice."""
        runner, self._runner = self._runner, None
        if runner is not None:
            self.run(runner.cleanup())
            self.run(Realtime.of(self.project).close())

    def resume(self) -> None:
        """It answers again, on the same port."""
        self.run(self._serve())

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Does something in the server's own loop and waits for it; not to be called from there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _serve(self) -> None:
        app = web.Application(middlewares=[self._gateway], client_max_size=64 * 2**20)
        app.add_routes(
            [*rest.routes(self.project), *auth.routes(self.auth), *realtime.routes(self.project)]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"

    @web.middleware
    async def _gateway(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        faults = self.faults
        faults.seen.append((request.method, request.path))
        fault = faults.next(request.path)
        transport = request.transport
        if fault == "refuse":
            headers = {"Retry-After": faults.retry_after} if faults.retry_after else None
            # What stands before the services answers for itself, and not in JSON.
            return web.Response(status=faults.status, text="upstream trouble", headers=headers)
        if fault == "hang":
            await asyncio.Event().wait()
        if fault == "drop":
            assert transport is not None
            transport.abort()
            return web.Response()
        key = request.headers.get("apikey") or request.query.get("apikey")
        if key is None:
            hint = "No `apikey` request header or url param was found."
            return web.json_response(
                {"message": "No API key found in request", "hint": hint}, status=401
            )
        if not self.project.key_ok(key):
            hint = "Double check your Supabase `anon` or `service_role` API key."
            return web.json_response({"message": "Invalid API key", "hint": hint}, status=401)
        response = await handler(request)
        if fault == "drop_late":
            assert transport is not None
            transport.abort()
        return response
