"""A file that says "somebody is here": the kernel forgets it with the process, even on kill -9."""

import contextlib
import fcntl
import os
import time
from collections.abc import Generator
from pathlib import Path


class Lease:
    """An advisory lock on a file, shared by many or held by one.

    Two `Lease` objects never share a hold, even in one process. The hold ends with `release`, or
    with the process. Programs started meanwhile do not inherit it, unless given `fileno()` on
    purpose. All methods raise `OSError` where the file cannot be opened or made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the file now, shared or alone."""
        return self._fd is not None

    def fileno(self) -> int:
        """The descriptor that carries the hold; a child that inherits it prolongs the hold."""
        if self._fd is None:
            raise ValueError("the lease is not held")
        return self._fd

    def acquire_shared(self) -> None:
        """Joins the holders; waits while somebody holds it alone."""
        if self._fd is None:
            self._fd = self._locked(fcntl.LOCK_SH)

    def try_exclusive(self) -> bool:
        """Holds it alone, if nobody else holds it in any way; does not wait.

        A shared hold of this object is given up first, whatever the outcome.
        """
        self.release()
        with contextlib.suppress(BlockingIOError):
            self._fd = self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self.held

    def release(self) -> None:
        """Lets go; safe to call twice."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    def _locked(self, operation: int) -> int:
        while True:
            fd = self._open()
            try:
                fcntl.flock(fd, operation)
                if self._is_still_there(fd):
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self._path, flags, 0o600)
        if os.geteuid() == 0:
            # What root leaves in somebody's directory must not lock that somebody out.
            owner = self._path.parent.stat()
            os.fchown(fd, owner.st_uid, owner.st_gid)
        return fd

    def _is_still_there(self, fd: int) -> bool:
        # Whoever removed the file meanwhile, with its directory for instance, left us a lock
        # that nobody else can see.
        try:
            return os.path.samestat(os.fstat(fd), self._path.stat())
        except FileNotFoundError:
            return False


@contextlib.contextmanager
def exclusively(path: Path, *, timeout_seconds: float) -> Generator[Lease]:
    """Holds the file alone for the block; raises `TimeoutError` if it stays taken."""
    lease = Lease(path)
    deadline = time.monotonic() + timeout_seconds
    while not lease.try_exclusive():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} is locked")
        time.sleep(0.005)
    try:
        yield lease
    finally:
        lease.release()
