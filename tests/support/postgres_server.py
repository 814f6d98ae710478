"""A throw-away PostgreSQL for tests: real, on a Unix socket, durability off, gone with the test.

`STEPLINE_TEST_PG_BIN` names the `bin` directory of another PostgreSQL (15 to 18) to test against;
by default it is the bundled one.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psutil

from core.store.embedded import binaries
from core.store.embedded.account import account_for, let_read, let_through

_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "128MB",
    "autovacuum": "off",
    "wal_level": "logical",
}
_MEMORY = Path("/dev/shm")
_ROOM = 4 << 30  # bytes


class PostgresServer:
    """One cluster in a short temporary directory (a socket's path may have 107 bytes)."""

    def __init__(self) -> None:
        chosen = os.environ.get("STEPLINE_TEST_PG_BIN")
        self.bin = Path(chosen) if chosen else binaries.bin_dir()
        self.dir = Path(tempfile.mkdtemp(prefix="slpg", dir=_place()))
        self.account = account_for(self.dir / "data")

    def start(self) -> None:
        """Makes the cluster and starts it; returns when it answers."""
        self.account.own(self.dir)
        let_through(self.account, self.bin / "postgres")
        let_read(self.account, self.bin.parent)
        data = self.dir / "data"
        self._run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "-D", data)
        with (data / "postgresql.conf").open("a") as file:
            for key, value in {**_SETTINGS, "unix_socket_directories": str(self.dir)}.items():
                file.write(f"{key} = '{value}'\n")
        self.run()

    def run(self) -> None:
        """Starts the server on the existing cluster (again)."""
        log = self.dir / "log"
        self._run("pg_ctl", "-w", "-s", "-D", self.dir / "data", "-l", log, "start")

    def stop(self) -> None:
        """Ends the server, its sessions with it, and removes the cluster."""
        self._run("pg_ctl", "-w", "-s", "-m", "immediate", "-D", self.dir / "data", "stop")
        shutil.rmtree(self.dir)

    def kill(self) -> None:
        """SIGKILL for the postmaster; its sessions notice, and are gone when this returns."""
        pid = int((self.dir / "data" / "postmaster.pid").read_text().splitlines()[0])
        postmaster = psutil.Process(pid)
        processes = [postmaster, *postmaster.children(recursive=True)]
        postmaster.kill()
        _, alive = psutil.wait_procs(processes, timeout=20)
        assert not alive

    def conninfo(self, database: str = "postgres", user: str = "postgres") -> str:
        """How to connect to one of its databases."""
        return f"host={self.dir} user={user} dbname={database}"

    def _run(self, program: str, *arguments: str | Path) -> None:
        # Output goes to a file: a pipe would be held open by the server for its whole life.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [str(self.bin / program), *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                user=None if self.account.is_me else self.account.uid,
                group=None if self.account.is_me else self.account.gid,
                extra_groups=None if self.account.is_me else [],
                check=False,
            )
            output.seek(0)
            assert done.returncode == 0, f"{program}: {output.read().decode(errors='replace')}"


def _place() -> Path:
    # Making a database writes three hundred files: on a disk that takes ten times as long.
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ROOM
    return _MEMORY if roomy else Path("/tmp")
