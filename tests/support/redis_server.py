"""A real Redis for tests: on the loopback, keeps nothing, gone with the test."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.n8n_server import free_port, wait_until
from tests.support.programs import needs


@contextmanager
def redis_server() -> Iterator[tuple[str, int]]:
    """Its host and port, while this lasts."""
    host, port = "127.0.0.1", free_port()
    nothing_kept = ["--save", "", "--appendonly", "no"]
    process = subprocess.Popen(
        [needs("redis-server"), "--bind", host, "--port", str(port), *nothing_kept],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def ready() -> bool:
        assert process.poll() is None, "redis-server ended"
        try:
            with socket.create_connection((host, port), timeout=5) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    try:
        wait_until(ready)
        yield host, port
    finally:
        process.terminate()
        process.wait(30)
