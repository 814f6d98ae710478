"""The loopback model server as a process of its own, for tests of whole commands."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx


@dataclass(frozen=True)
class ModelProcess:
    """A running server; it obeys words in the message, see `tests.support.openai_server`."""

    url: str
    """The base URL to configure."""

    def open(self, gate: str) -> None:
        """Lets every answer go on that waits, or will wait, at `gate:NAME`."""
        self._call("POST", f"/_gate/{gate}")

    def requests(self) -> list[dict[str, Any]]:
        """What was asked so far: `messages`, `disconnected`, `sent`."""
        asked: list[dict[str, Any]] = self._call("GET", "/_requests")
        return asked

    def _call(self, method: str, path: str) -> Any:
        url = self.url.removesuffix("/v1") + path
        return httpx.request(method, url, trust_env=False, timeout=30).raise_for_status().json()


@contextmanager
def model_process() -> Iterator[ModelProcess]:
    """Starts the server, and ends it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.openai_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    with process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield ModelProcess(process.stdout.readline().strip())
        process.stdin.close()
        process.wait(30)
