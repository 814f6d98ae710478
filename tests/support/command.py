"""Runs the real `stepline` in an environment of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

COMMAND = Path(sys.executable).with_name("stepline")


@dataclass(frozen=True)
class Stepline:
    """The command, and the whole environment it runs in."""

    env: Mapping[str, str]
    cwd: Path

    def run(
        self, *arguments: object, text: str | bytes | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Runs it to its end; `text` is its stdin, empty by default. Output is decoded as UTF-8."""
        data = text.encode() if isinstance(text, str) else text
        done = subprocess.run(
            [COMMAND, *map(str, arguments)],
            input=data or b"",
            capture_output=True,
            env=dict(self.env),
            cwd=self.cwd,
            timeout=timeout,
            check=False,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Starts it with pipes; the caller ends it."""
        return subprocess.Popen(
            [COMMAND, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(self.env),
            cwd=self.cwd,
        )

    def end_worker(self) -> None:
        """Ends the worker that a command started: it outlives the command, but not the test."""
        data_dir = self.env["STEPLINE_DATA_DIR"]
        workers = [
            process
            for process in psutil.process_iter(["cmdline"])
            if {"worker", "--auto", data_dir} <= set(process.info["cmdline"] or ())
        ]
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.terminate()
        psutil.wait_procs(workers, 30)

    def having(self, **variables: str) -> "Stepline":
        """The same with more environment variables."""
        return replace(self, env={**self.env, **variables})


def isolated(home: Path, **variables: str) -> Stepline:
    """A `stepline` that knows nothing of this machine's user: home, settings, data, keys."""
    home.mkdir(parents=True, exist_ok=True)
    env: dict[str, Any] = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "TZ": "UTC",
        "STEPLINE_DATA_DIR": str(home / "data"),
    }
    return Stepline({**env, **variables}, home)
