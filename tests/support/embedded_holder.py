"""A process that holds an embedded server and does as it is told; `Holder` is its remote control.

It can be an ordinary user even where the tests run as root: it then gives its rights up itself,
after its imports, since that user may not be able to read root's Python.
"""

import codecs
import json
import os
import pwd
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

ORDINARY = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
"""The user id of an ordinary user: us, or, where we are root, nobody."""


class Holder:
    """One such process. Leaving the `with` block kills whatever of it is left."""

    def __init__(self, data_dir: Path, *, uid: int | None = None, file_limit: int = 0) -> None:
        self._command = [
            sys.executable,
            "-m",
            "tests.support.embedded_holder",
            os.fsencode(data_dir),
            str(os.geteuid() if uid is None else uid),
            str(file_limit),
        ]

    def __enter__(self) -> "Holder":
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"SECRET_KEY": "sk-hush", "PGPORT": "1"},
            start_new_session=True,
        )
        assert self.answer() == "hello"
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def send(self, order: str) -> None:
        """Gives an order: start, ensure or release."""
        assert self.process.stdin is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """Waits for what came of it; an error is {"error": sentence}."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def do(self, order: str) -> Any:
        """Gives an order and waits for what came of it."""
        self.send(order)
        return self.answer()

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Ends the process and its group the hard way."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, how)
        self.process.wait()


def serving(data_dir: Path) -> list[psutil.Process]:
    """The living processes of the server in `data_dir`, postmaster first."""
    postmasters = [
        found
        for found in psutil.process_iter()
        if _reads(found)[1:3] == ["-D", str(data_dir.resolve() / "postgres")]
    ]
    return postmasters + [child for one in postmasters for child in one.children(recursive=True)]


def _reads(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def wait_gone(processes: list[psutil.Process]) -> None:
    """Waits until they have ended; fails after 20 s.

    Their zombies count as gone: whoever is process 1 may take its time with them.
    """
    deadline = time.monotonic() + 20
    while left := [one for one in processes if not _ended(one)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.005)


def _ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _main(data_dir: str, uid: int, file_limit: int) -> None:
    # Everything that is imported late, now: see above.
    for encoding in ("ascii", "idna", "utf-8"):
        codecs.lookup(encoding)
    import core.store.embedded.cluster
    import core.store.embedded.postmaster  # noqa: F401
    from core.errors import EmbeddedServerError
    from core.store.embedded import EmbeddedServer

    if uid != os.geteuid():
        user = pwd.getpwuid(uid)
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(uid)
    if file_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    server = EmbeddedServer(Path(data_dir))
    orders = {"start": server.start, "ensure": server.ensure_running, "release": server.release}
    print(json.dumps("hello"), flush=True)
    for order in sys.stdin:
        try:
            print(json.dumps(orders[order.strip()]()), flush=True)
        except EmbeddedServerError as error:
            print(json.dumps({"error": str(error)}), flush=True)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
