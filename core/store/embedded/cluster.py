"""Makes the database cluster, whole or not at all."""

import os
import shutil
from pathlib import Path

from core.errors import EmbeddedServerError
from core.lease import Lease
from core.store.embedded import binaries
from core.store.embedded.account import Account
from core.store.embedded.layout import DATABASE, SUPERUSER, Layout
from core.store.embedded.log import ServerLog
from core.store.embedded.sentences import failed


def ensure_cluster(layout: Layout, account: Account, lock: Lease) -> None:
    """Makes the cluster if there is none; raises `EmbeddedServerError` if it cannot be used.

    The caller holds `lock`. It goes on to the programs run here, so that nobody else begins
    while one of them, left alone by a killed stepline, still works.
    """
    cluster = layout.cluster
    version = _version(cluster)
    if version is None:
        if cluster.exists() and any(cluster.iterdir()):
            raise EmbeddedServerError(
                f"{cluster} is not a PostgreSQL database, so it was left alone; "
                "move it away, or choose another directory with --data-dir."
            )
        _make(layout, account, lock)
    elif version != str(binaries.MAJOR):
        raise EmbeddedServerError(
            f"The database in {cluster} was made by PostgreSQL {version} and this is "
            f"{binaries.MAJOR}; nothing was changed: use the stepline version that made it, "
            "or choose another directory with --data-dir."
        )
    elif cluster.stat().st_uid != account.uid:
        # The system account got another number: restored from a backup, another container.
        for path in (cluster, *cluster.rglob("*")):
            account.own(path)


def _version(cluster: Path) -> str | None:
    try:
        return (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _make(layout: Layout, account: Account, lock: Lease) -> None:
    unfinished = layout.unfinished
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    account.own(unfinished)
    programs = binaries.bin_dir()
    initdb = [
        programs / "initdb",
        f"--pgdata={unfinished}",
        f"--username={SUPERUSER}",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
    ]
    # Without a server: the cluster gets its name only when the database is in it.
    single = [programs / "postgres", "--single", "-j", "-D", unfinished, "template1"]
    try:
        _step(layout, account, lock, initdb)
        _step(layout, account, lock, single, text=f"CREATE DATABASE {DATABASE};\n\n")
    except EmbeddedServerError:
        shutil.rmtree(unfinished, ignore_errors=True)  # a full disk needs the room
        raise
    unfinished.rename(layout.cluster)
    _sync(layout.data_dir)


def _step(
    layout: Layout, account: Account, lock: Lease, command: list[str | Path], *, text: str = ""
) -> None:
    with ServerLog(layout.log) as log:
        done = binaries.run(command, account, log.fd, text=text, keep_fds=[lock.fileno()])
        # A single-user server goes on after a failed statement, so its word counts too.
        if done.returncode != 0 or "ERROR:" in log.said():
            raise EmbeddedServerError(failed(layout, log.said()))


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
