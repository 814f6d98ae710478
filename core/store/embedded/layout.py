"""Where everything of one embedded server lies."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from core.errors import EmbeddedServerError
from core.store.embedded.account import Account

DATABASE = "stepline"
SUPERUSER = "postgres"
PORT = 5432
"""Part of the socket's name only: nothing listens on the network."""

# The length of a socket's path, without its end mark, on the strictest system (macOS).
_LONGEST_SOCKET_PATH = 103


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of the server in `data_dir`, which must be absolute and without symlinks."""

    data_dir: Path

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own directory; what is in it is complete once it has this name."""
        return self.data_dir / "postgres"

    @property
    def unfinished(self) -> Path:
        """The cluster while it is being made."""
        return self.data_dir / "postgres.new"

    @property
    def log(self) -> Path:
        """What the server had to say."""
        return self.data_dir / "postgres.log"

    @property
    def lock(self) -> Path:
        """Held alone by whoever starts or stops the server."""
        return self.data_dir / "postgres.lock"

    @property
    def lease(self) -> Path:
        """Held by everybody who uses the server."""
        return self.data_dir / "postgres.lease"

    @property
    def pid_file(self) -> Path:
        """PostgreSQL's note about its running server."""
        return self.cluster / "postmaster.pid"

    def socket_dir(self, account: Account) -> Path:
        """Where the socket is: the cluster, or a short private directory if its path won't do."""
        if _fits(self.cluster / f".s.PGSQL.{PORT}"):
            return self.cluster
        # Not TMPDIR or XDG_RUNTIME_DIR: all processes must come to the same one.
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        return Path(f"/tmp/stepline-{account.uid}-{digest}")  # noqa: S108  (made private, checked)

    def socket(self, account: Account) -> Path:
        """The server's socket."""
        return self.socket_dir(account) / f".s.PGSQL.{PORT}"

    def conninfo(self, account: Account) -> str:
        """What libpq needs to connect."""
        host = str(self.socket_dir(account)).replace("\\", "\\\\").replace("'", "\\'")
        return f"host='{host}' port={PORT} user={SUPERUSER} dbname={DATABASE}"


def make_socket_dir(path: Path, account: Account) -> None:
    """Makes a short socket directory, or makes sure that the one there is private and ours."""
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (account.uid, os.geteuid()):
        raise EmbeddedServerError(
            f"{path}, where the database's socket belongs, is somebody else's; "
            "remove it, or choose a data directory with a shorter path (--data-dir)."
        )
    path.chmod(0o700)
    account.own(path)


def _fits(socket: Path) -> bool:
    # libpq reads a comma in `host` as a list of hosts, postmaster.pid is read by lines, and
    # what isn't Unicode cannot be said in a connection string at all.
    raw = os.fsencode(socket)
    if len(raw) > _LONGEST_SOCKET_PATH or b"," in raw or b"\n" in raw:
        return False
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
