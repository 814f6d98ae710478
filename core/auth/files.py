"""Where a session is kept between two starts: one file per project, for its owner's eyes only."""

import asyncio
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import SecretStr

from core.auth.tokens import Tokens
from core.errors import SteplineError, StoreUnreachableError
from core.lease import Lease

_PATIENCE = 30.0
"""Seconds to wait for another process that is renewing the session."""
_LOOK = 0.02
"""Seconds between two looks at whether it is done."""


class SessionFile:
    """A session on disk. A file that cannot be read counts as none."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, state_dir: Path, url: str, seed: str = "") -> "SessionFile":
        """The file of this project; `seed` tells sessions apart that were begun elsewhere."""
        host = re.sub(r"[^\w.-]", "_", urlsplit(url).netloc)
        digest = hashlib.sha256(f"{url}\n{seed}".encode()).hexdigest()[:12]
        return cls(state_dir / "sessions" / f"{host}-{digest}.json")

    def read(self) -> Tokens | None:
        """The session as it is now, or None."""
        try:
            value: dict[str, Any] = json.loads(self.path.read_bytes())
            refresh = value["refresh_token"]
            return Tokens(
                access=SecretStr(str(value["access_token"])),
                refresh=SecretStr(str(refresh)) if refresh else None,
                user_id=UUID(str(value["user_id"])),
                email=str(value["email"]),
                expires_at=float(value["expires_at"]),
                lifetime=float(value["lifetime"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, tokens: Tokens) -> None:
        """Replaces the session; whoever reads meanwhile gets the old one or the new one."""
        value = {
            "access_token": tokens.access.get_secret_value(),
            "refresh_token": tokens.refresh.get_secret_value() if tokens.refresh else None,
            "user_id": str(tokens.user_id),
            "email": tokens.email,
            "expires_at": tokens.expires_at,
            "lifetime": tokens.lifetime,
        }
        self._replace(value)

    def end(self, email: str) -> None:
        """The session is over; who it was is kept, to be asked for the password only."""
        self._replace({"email": email})

    @property
    def email(self) -> str:
        """Whose session this is, or was before it ended; empty where nobody knows."""
        try:
            return str(json.loads(self.path.read_bytes())["email"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def _replace(self, value: dict[str, Any]) -> None:
        try:
            self._make_directory()
            # It is made with mode 0600, and nobody else can have opened it before.
            descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=".session-")
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    json.dump(value, file)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self.path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise self._not_kept(error) from None

    def remove(self) -> None:
        """Forgets the session; safe where there is none."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None]:
        """No other process is in such a block for the same file. Raises SteplineError."""
        lease = Lease(self.path.with_suffix(".lock"))
        deadline = time.monotonic() + _PATIENCE
        while not self._try(lease):
            if time.monotonic() > deadline:
                raise StoreUnreachableError(
                    "Another stepline has been renewing the session for too long: end it, "
                    "and try again."
                )
            await asyncio.sleep(_LOOK)
        try:
            yield
        finally:
            lease.release()

    def _try(self, lease: Lease) -> bool:
        try:
            self._make_directory()
            return lease.try_exclusive()
        except OSError as error:
            raise self._not_kept(error) from None

    def _not_kept(self, error: OSError) -> SteplineError:
        return SteplineError(
            f"The session cannot be kept in {self.path.parent} ({error.strerror}): "
            "make it writable, or choose another place with --data-dir."
        )

    def _make_directory(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
