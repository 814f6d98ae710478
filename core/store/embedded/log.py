"""What the bundled programs said: appended to one file that stays small."""

import os
from pathlib import Path
from types import TracebackType

_LARGEST = 1 << 20
"""Bytes after which the log starts over."""


class ServerLog:
    """The server's log file, open; `said` is what was added to it since."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self.fd = os.open(path, flags, 0o600)
        owner = path.parent.stat()
        if os.geteuid() == 0:
            os.fchown(self.fd, owner.st_uid, owner.st_gid)
        if os.fstat(self.fd).st_size > _LARGEST:
            os.ftruncate(self.fd, 0)
        self._start = os.fstat(self.fd).st_size

    def said(self) -> str:
        """The text added since it was opened."""
        return os.pread(self.fd, _LARGEST, self._start).decode("utf-8", "replace")

    def __enter__(self) -> "ServerLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self.fd)
