"""A real n8n for tests: on the loopback, its data in a database of the test's PostgreSQL.

Queue mode: `n8n_server(..., redis=("127.0.0.1", 6379))`, and `with server.worker(): ...` for each
worker.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psycopg

from tests.support.n8n_install import n8n_script, node
from tests.support.postgres_server import PostgresServer

_QUIET = {
    "N8N_DIAGNOSTICS_ENABLED": "false",
    "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
    "N8N_TEMPLATES_ENABLED": "false",
    "N8N_PERSONALIZATION_ENABLED": "false",
    "N8N_LISTEN_ADDRESS": "127.0.0.1",
    "N8N_SECURE_COOKIE": "false",
    "N8N_ENCRYPTION_KEY": "a-key-for-tests",
    "N8N_LOG_LEVEL": "info",
    "NO_COLOR": "1",
}
OWNER = {"email": "owner@example.org", "password": "Owner-of-tests-1"}
_Seen = TypeVar("_Seen")


class N8nServer:
    """One n8n. `start()` makes it from nothing, `run()` starts it (again) on what it has."""

    def __init__(
        self, postgres: PostgresServer, *, redis: tuple[str, int] | None = None, **env: str
    ) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="sln8n", dir="/tmp"))
        self.log = self.dir / "log"
        self.port = free_port()
        self.api_key = ""
        self._postgres = postgres
        self._database = f"n8n_{self.port}"
        self._redis = redis
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        """Where it is: N8N_BASE_URL."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Makes its database and starts it; an owner and a key for its API are there then."""
        with psycopg.connect(self._postgres.conninfo(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{self._database}"')
        self.run()
        self.api_key = self._set_up()

    def run(self) -> None:
        """Starts it on the same data and port; returns when it answers."""
        self._process = self._spawn("start", N8N_PORT=str(self.port))
        self.wait_ready()

    def wait_ready(self, seconds: float = 180) -> None:
        """Waits until it is up, database and all."""
        process = self._process
        assert process is not None

        def ready() -> bool:
            assert process.poll() is None, f"n8n ended:\n{self.log_end()}"
            try:
                url = f"{self.base_url}/healthz/readiness"
                return httpx.get(url, trust_env=False, timeout=5).status_code == 200
            except httpx.TransportError:
                return False

        wait_until(ready, self.log_end, seconds)

    def stop(self) -> None:
        """Ends it in good order."""
        if self._process is not None:
            _end(self._process, signal.SIGTERM)
            self._process = None

    def kill(self) -> None:
        """SIGKILL for it and its children, as the kernel does when memory is short."""
        assert self._process is not None
        _end(self._process, signal.SIGKILL)
        self._process = None

    def remove(self) -> None:
        """Ends it and deletes its data."""
        self.stop()
        with psycopg.connect(self._postgres.conninfo(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{self._database}" WITH (FORCE)')
        shutil.rmtree(self.dir)

    @contextmanager
    def worker(self, concurrency: int = 10, **env: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker of queue mode, while this lasts; it takes executions as soon as it is up."""
        health = free_port()
        process = self._spawn(
            "worker",
            f"--concurrency={concurrency}",
            QUEUE_HEALTH_CHECK_ACTIVE="true",
            QUEUE_HEALTH_CHECK_PORT=str(health),
            **env,
        )

        def ready() -> bool:
            assert process.poll() is None, f"the worker ended:\n{self.log_end()}"
            try:
                url = f"http://127.0.0.1:{health}/healthz/readiness"
                return httpx.get(url, trust_env=False, timeout=5).status_code == 200
            except httpx.TransportError:
                return False

        try:
            wait_until(ready, self.log_end, 120)
            yield process
        finally:
            _end(process, signal.SIGTERM)

    def api(self, method: str, path: str, json: object = None) -> Any:
        """One call of its public API; the answer's JSON."""
        reply = self.call(method, path, json)
        until = time.monotonic() + 30
        while reply.status_code == 409 and "again" in reply.text and time.monotonic() < until:
            time.sleep(0.2)  # "still being unpublished"
            reply = self.call(method, path, json)
        assert reply.is_success, f"{method} {path}: {reply.status_code} {reply.text}"
        return reply.json() if reply.content else None

    def call(self, method: str, path: str, json: object = None) -> httpx.Response:
        """The same, for callers that want to see a refusal."""
        return httpx.request(
            method,
            f"{self.base_url}/api/v1{path}",
            headers={"X-N8N-API-KEY": self.api_key},
            json=json,
            trust_env=False,
            timeout=60,
        )

    def log_end(self) -> str:
        """The end of its log, for the report of a failure."""
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""

    def _spawn(self, *arguments: str, **env: str) -> subprocess.Popen[bytes]:
        kept = {key: os.environ[key] for key in ("PATH", "LANG", "TZ") if key in os.environ}
        queue = {}
        if self._redis is not None:
            host, port = self._redis
            queue = {
                "EXECUTIONS_MODE": "queue",
                "QUEUE_BULL_REDIS_HOST": host,
                "QUEUE_BULL_REDIS_PORT": str(port),
            }
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [node(), n8n_script(), *arguments],
                cwd=self.dir,
                env={
                    **kept,
                    **_QUIET,
                    **queue,
                    "PATH": f"{node().parent}{os.pathsep}{kept['PATH']}",
                    "HOME": str(self.dir),
                    "N8N_USER_FOLDER": str(self.dir),
                    "N8N_RUNNERS_BROKER_PORT": str(free_port()),
                    "DB_TYPE": "postgresdb",
                    "DB_POSTGRESDB_HOST": str(self._postgres.dir),
                    "DB_POSTGRESDB_DATABASE": self._database,
                    "DB_POSTGRESDB_USER": "postgres",
                    **self._env,
                    **env,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _set_up(self) -> str:
        """The owner, and a key with every scope there is."""
        headers = {"browser-id": "tests"}
        with httpx.Client(
            base_url=f"{self.base_url}/rest", headers=headers, trust_env=False, timeout=60
        ) as rest:
            names = {"firstName": "Test", "lastName": "Owner"}
            _data(rest.post("/owner/setup", json={**OWNER, **names}))
            login = {"emailOrLdapLoginId": OWNER["email"], "password": OWNER["password"]}
            _data(rest.post("/login", json=login))
            scopes = _data(rest.get("/api-keys/scopes"))
            asked = {"label": "tests", "expiresAt": None, "scopes": scopes}
            key: str = _data(rest.post("/api-keys", json=asked))["rawApiKey"]
            return key


@contextmanager
def n8n_server(
    postgres: PostgresServer, *, redis: tuple[str, int] | None = None, **env: str
) -> Iterator[N8nServer]:
    """An n8n with an owner and a key and nothing else in it, while this lasts."""
    server = N8nServer(postgres, redis=redis, **env)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def wait_until(
    seen: Callable[[], _Seen], explain: Callable[[], object] = str, seconds: float = 30
) -> _Seen:
    """What `seen()` returns once that is true; where nothing else tells of it, it is asked."""
    end = time.monotonic() + seconds
    while not (result := seen()):
        assert time.monotonic() < end, explain()
        time.sleep(0.05)
    return result


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _data(reply: httpx.Response) -> Any:
    assert reply.is_success, f"{reply.request.url}: {reply.status_code} {reply.text}"
    return reply.json()["data"]


def _end(process: subprocess.Popen[bytes], sign: signal.Signals) -> None:
    """A signal for the process group; what is left of it after that is killed."""
    group = process.pid
    try:
        os.killpg(group, sign)
        process.wait(30)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        pass
    finally:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        process.wait(10)
