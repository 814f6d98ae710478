"""A real OpenSSH server on the loopback, run as ourselves, with keys that nobody else has."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.programs import needs
from tests.support.pty_terminal import Terminal

_CONFIG = """
ListenAddress 127.0.0.1:{port}
HostKey {directory}/host
AuthorizedKeysFile {directory}/user.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
PrintLastLog no
AcceptEnv {accepted}
"""
_CLIENT = (
    "IdentitiesOnly=yes",
    "StrictHostKeyChecking=no",
    "UserKnownHostsFile=/dev/null",
    "LogLevel=ERROR",
    "SendEnv=LANG LC_* COLORTERM",
)
"""As Debian's ssh_config has it; COLORTERM too, which no server takes."""


@dataclass(frozen=True)
class SshServer:
    """A server that takes one key and gives its user a shell."""

    directory: Path
    port: int
    process: psutil.Process

    def connect(
        self, command: str, env: Mapping[str, str], size: tuple[int, int] = (80, 24)
    ) -> Terminal:
        """A client in a terminal of its own, in which `command` runs at the other end."""
        options = [part for option in _CLIENT for part in ("-o", option)]
        ssh = [needs("ssh"), "-F", "none", "-tt", "-i", self.directory / "user", *options]
        return Terminal([*ssh, "-p", str(self.port), "127.0.0.1", command], size=size, env=env)

    def sessions(self) -> list[psutil.Process]:
        """The server's processes for the connections it has, and all that runs in them."""
        return self.process.children(recursive=True)


@contextmanager
def ssh_server(*, accepts: str = "LANG LC_*") -> Iterator[SshServer]:
    """Starts a server, and ends it and what it started."""
    program = needs("sshd")
    directory = Path(tempfile.mkdtemp(prefix="slssh", dir="/tmp"))
    for name in ("host", "user"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)]
        subprocess.run(key, check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd wants to lock itself up
    port = _free_port()
    config = directory / "config"
    config.write_text(_CONFIG.format(port=port, directory=directory, accepted=accepts))
    server = subprocess.Popen([program, "-D", "-e", "-f", config], stderr=subprocess.PIPE)
    try:
        assert server.stderr is not None
        first = server.stderr.readline()
        assert b"listening" in first, first
        yield SshServer(directory, port, psutil.Process(server.pid))
    finally:
        for process in psutil.Process(server.pid).children(recursive=True):
            process.terminate()
        server.terminate()
        server.communicate()
        shutil.rmtree(directory)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
