"""The log: a rotating file in the state directory, never the terminal, never a secret in it.

Logging must not be able to hurt: a full disk, a directory that cannot be written or a file that
another process rotates loses lines, and nothing else.
"""

import fcntl
import logging
import os
import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

MAX_BYTES = 1_000_000
BACKUPS = 3

_MASK = "[secret]"
# What looks like a secret even if nobody told us of it: passwords in URLs, bearer tokens, API keys
# of the usual form, JSON Web Tokens, key=value pairs whose key says what they are.
_PATTERNS = (
    (re.compile(r"(?<=://)([^\s:/@]*):[^\s/]+@"), r"\1:" + _MASK + "@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), r"\1 " + _MASK),
    (re.compile(r"\bsk-[\w-]{6,}"), _MASK),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), _MASK),
    (
        re.compile(
            r"(?i)\b(\w*(?:password|passwd|secret|api_?key|token))(['\"]?\s*[=:]\s*)[^\s,;)}]+"
        ),
        r"\1\2" + _MASK,
    ),
)


def log_path(state_dir: Path, name: str = "stepline") -> Path:
    """Where `setup` writes."""
    return state_dir / f"{name}.log"


def setup(
    state_dir: Path,
    *,
    name: str = "stepline",
    level: int = logging.INFO,
    secrets: Iterable[str] = (),
) -> Path:
    """Sends this process's whole log to `<state_dir>/<name>.log` (0600); returns that path.

    `secrets` are masked wherever they appear, tracebacks included, also by later calls. Calling
    again moves the log. Never raises: where the file cannot be written there is no log.
    """
    path = log_path(state_dir, name)
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, _SharedFile)]:
        root.removeHandler(old)
        old.close()
    handler = _SharedFile(path)
    # Masking a very short "secret" would only make the log unreadable.
    _secrets.update(secret for secret in secrets if len(secret) >= 4)
    handler.setFormatter(_Masking("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    root.setLevel(level)
    # At INFO these tell of every request, with its URL, and of every connection.
    for chatty in ("httpx", "httpcore", "asyncio", "psycopg.pool"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(capture=True)
    return path


def mask(text: str) -> str:
    """`text` without the secrets known to `setup`, and without anything that looks like one."""
    for secret in _secrets:
        text = text.replace(secret, _MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


_secrets: set[str] = set()


class _Masking(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


class _SharedFile(logging.Handler):
    """Appends each record with one write, so that processes may share the file, and rotates it.

    The standard library's rotating handler keeps a buffered stream: on a full disk it raises once
    more when it is closed, and another process's rotation leaves it writing into an old file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one record, or loses it if the file cannot be written."""
        with suppress(Exception):
            line = (self.format(record) + "\n").encode("utf-8", "backslashreplace")
            with self._opened() as fd:
                if os.fstat(fd).st_size + len(line) > MAX_BYTES:
                    self._rotate(fd)
            with self._opened() as fd:
                os.write(fd, line)

    @contextmanager
    def _opened(self) -> Generator[int]:
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield fd
        finally:
            os.close(fd)

    def _rotate(self, fd: int) -> None:
        """Moves the full file, open as `fd`, to `.1` and so on, unless another process just did."""
        fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            if not os.path.samestat(os.fstat(fd), self._path.stat()):
                return
        except FileNotFoundError:
            return
        for number in range(BACKUPS - 1, 0, -1):
            with suppress(FileNotFoundError):
                self._numbered(number).replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
