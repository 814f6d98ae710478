"""Who runs the server. PostgreSQL refuses root, so for root it is a system account."""

import contextlib
import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from core.errors import EmbeddedServerError

SYSTEM_USER = "stepline-postgres"
"""The system account that runs root's server."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine."""

    uid: int
    gid: int

    @property
    def is_me(self) -> bool:
        """Whether it is the user we run as."""
        return self.uid == os.geteuid()

    def own(self, path: Path) -> None:
        """Gives a file or directory we made to this account."""
        if not self.is_me:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def account_for(cluster: Path) -> Account:
    """The user who runs the server of this cluster, which may not exist yet.

    Somebody else's cluster, opened by root with sudo, stays theirs.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    owner = (cluster if cluster.exists() else cluster.parent).stat()
    if owner.st_uid != 0 and _exists(owner.st_uid):
        return Account(owner.st_uid, owner.st_gid)
    return _system_account()


def let_through(account: Account, path: Path) -> None:
    """Lets the account reach `path`: the right to pass, never to look, on each parent it lacks."""
    if account.is_me:
        return
    for parent in path.parents:
        found = parent.stat()
        if found.st_uid != account.uid and not found.st_mode & 0o001:
            parent.chmod(found.st_mode & 0o7777 | 0o001)


def let_read(account: Account, tree: Path) -> None:
    """Lets the account use an installed tree that a strict umask closed."""
    if account.is_me or (tree.stat().st_mode & 0o005) == 0o005:
        return
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode & 0o7777
            path.chmod(mode | 0o004 | (0o001 if mode & 0o100 else 0))


def _exists(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _system_account() -> Account:
    entry = _find(SYSTEM_USER)
    if entry is None:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/bin/false", SYSTEM_USER]
        # What counts is whether it is there now: another stepline may have been quicker.
        with contextlib.suppress(FileNotFoundError):
            subprocess.run(command, check=False, capture_output=True)
        entry = _find(SYSTEM_USER)
    if entry is None:
        raise EmbeddedServerError(
            f"PostgreSQL does not run as root and the account {SYSTEM_USER} could not be made; "
            f"make a system account of that name, or run stepline as an ordinary user."
        )
    return Account(entry.pw_uid, entry.pw_gid)


def _find(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None
