"""The server process of one cluster: finding it, starting it, stopping it.

The caller holds the lock of `core.store.embedded.server`, so nobody else starts or stops it.
"""

import contextlib
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from core.errors import EmbeddedServerError
from core.store.embedded import binaries
from core.store.embedded.account import Account
from core.store.embedded.layout import PORT, Layout, make_socket_dir
from core.store.embedded.log import ServerLog
from core.store.embedded.probe import Answer, probe
from core.store.embedded.sentences import failed

_START_SECONDS = 60.0
"""Recovery after a crash replays at most `max_wal_size`; a slow disk gets time for it."""
_UNREACHABLE_SECONDS = 2.0
_PASSING_SECONDS = 15.0
"""How long processes of a killed server may take to notice."""
_STOP_SECONDS = 30.0
_TICK_SECONDS = 0.005

# Processes of a killed server that have not noticed yet, or a server that a start, killed half
# way, left coming up.
_PASSING = re.compile(r'pre-existing shared memory block|lock file "[^\n]*" already exists')

_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "huge_pages": "off",
    "io_method": "sync",  # no processes that only wait for large reads
    "jit": "off",
    "logging_collector": "off",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",  # people's messages have no place in a log
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
}


def bring_up(layout: Layout, account: Account) -> None:
    """Returns once the server answers; starts it, again if need be.

    Raises `EmbeddedServerError` with PostgreSQL's own reason if it does not come up.
    """
    socket = layout.socket(account)
    begun = time.monotonic()
    while (answer := probe(socket)) is not Answer.READY:
        waited = time.monotonic() - begun
        if waited > _START_SECONDS:
            raise EmbeddedServerError(
                f"The bundled PostgreSQL in {layout.cluster} does not answer; "
                f"see {layout.log} and try again."
            )
        running = find(layout)
        if running is None:
            _start(layout, account, begun)
        elif answer is Answer.NOBODY and waited > _UNREACHABLE_SECONDS:
            # It lives, but its socket is gone: somebody cleaned up. Nobody can reach it.
            _end(running)
        else:
            time.sleep(_TICK_SECONDS)


def shut_down(layout: Layout, account: Account) -> None:
    """Stops the server if it runs; committed data is safe whichever way it ends."""
    running = find(layout)
    if running is not None:
        _end(running)
    if (socket_dir := layout.socket_dir(account)) != layout.cluster:
        with contextlib.suppress(OSError):
            socket_dir.rmdir()


def find(layout: Layout) -> psutil.Process | None:
    """The running server of this cluster.

    postmaster.pid is a hint: after a crash its number may be a stranger's by now, or half of one.
    """
    try:
        first = layout.pid_file.read_bytes().partition(b"\n")[0].strip()
    except FileNotFoundError:
        return None
    with contextlib.suppress(ValueError, OverflowError, psutil.NoSuchProcess):
        named = psutil.Process(int(first))
        if _serves(named, layout.cluster):
            return named
    return next((found for found in psutil.process_iter() if _serves(found, layout.cluster)), None)


def _serves(process: psutil.Process, cluster: Path) -> bool:
    try:
        # Not its working directory: root may not look that up inside a container.
        match process.cmdline():
            case [program, "-D", directory, *_] if Path(program).name == "postgres":
                return cluster.samefile(directory)
            case _:
                return False
    except (psutil.Error, OSError):
        return False


def _start(layout: Layout, account: Account, begun: float) -> None:
    socket_dir = layout.socket_dir(account)
    if socket_dir != layout.cluster:
        make_socket_dir(socket_dir, account)
    # Left by a crash. PostgreSQL looks at their pids too, but a stranger's life would stop it.
    socket = layout.socket(account)
    for stale in (layout.pid_file, socket, socket.with_name(f"{socket.name}.lock")):
        stale.unlink(missing_ok=True)
    quoted = str(socket_dir).replace('"', '""')
    settings = _SETTINGS | {"unix_socket_directories": f'"{quoted}"'}
    with ServerLog(layout.log) as log:
        pid = _spawn(layout, account, settings, log)
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            while time.monotonic() < begun + _START_SECONDS and not _gone(process):
                if _says_ready(layout):
                    return
                time.sleep(_TICK_SECONDS)
            if not _gone(process):
                return
        said = log.said()
    if not _PASSING.search(said) or time.monotonic() > begun + _PASSING_SECONDS:
        raise EmbeddedServerError(failed(layout, said))
    time.sleep(0.05)


def _spawn(layout: Layout, account: Account, settings: dict[str, str], log: ServerLog) -> int:
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    server = [binaries.bin_dir() / "postgres", "-D", layout.cluster, *options]
    # Not pg_ctl: it cannot take a path with quotes, and looks only every 0.1 s. The shell in
    # between ends at once, so that the server is nobody's child, and a dead one no zombie.
    script = '"$@" </dev/null >&2 & echo $!'
    command = ["/bin/sh", "-c", script, "sh", *server]
    return int(binaries.run(command, account, log.fd, capture=True).stdout)


def _says_ready(layout: Layout) -> bool:
    try:
        note = layout.pid_file.read_bytes()
    except FileNotFoundError:
        return False
    return note.rstrip().endswith(b"ready")


def _end(process: psutil.Process) -> None:
    for how, patience in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGQUIT, _STOP_SECONDS)):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(how)
        for _ in _until(time.monotonic() + patience):
            if _gone(process):
                return
    raise EmbeddedServerError(
        f"The bundled PostgreSQL (process {process.pid}) does not stop; "
        f"end it with `kill -9 {process.pid}`: nothing that was saved is lost."
    )


def _until(deadline: float) -> Iterator[None]:
    while time.monotonic() < deadline:
        yield
        time.sleep(_TICK_SECONDS)


def _gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
