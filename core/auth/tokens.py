"""Access and refresh tokens, and what can be read in one without being able to check it."""

import base64
import json
import time
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from pydantic import SecretStr

from core.errors import ConfigError

_MARGIN = 60.0
"""Seconds before its end at which a token is renewed; less where tokens are short-lived."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a session consists of."""

    access: SecretStr
    refresh: SecretStr | None
    """None: when the access token has expired, that is the end."""
    user_id: UUID
    email: str
    """Empty for somebody anonymous."""
    expires_at: float
    """By this machine's clock, counted from when the token came: a wrong clock does no harm."""
    lifetime: float

    @property
    def due(self) -> bool:
        """Whether it is time to renew the access token."""
        return time.time() > self.expires_at - min(_MARGIN, self.lifetime / 5)

    @property
    def expired(self) -> bool:
        """Whether the access token has surely expired."""
        return time.time() > self.expires_at


def received(access: str, refresh: str | None, lifetime: float | None = None) -> Tokens:
    """The tokens as they come: `lifetime` is what the service said, if it said anything.

    Raises ConfigError for what is no user's token.
    """
    claims = claims_of(access)
    if claims.get("role") != "authenticated":
        raise ConfigError(
            "The access token is not a signed-in user's: stepline acts as a user only; "
            "run `stepline login`, or set STEPLINE_ACCESS_TOKEN to a user's token."
        )
    try:
        user_id = UUID(str(claims.get("sub")))
        ends = float(claims["exp"])
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            "The access token does not say whose it is or how long it lasts: "
            "run `stepline login`, or set STEPLINE_ACCESS_TOKEN to a token that Auth gave out."
        ) from None
    now = time.time()
    lasts = float(lifetime) if lifetime else max(0.0, ends - now)
    return Tokens(
        access=SecretStr(access),
        refresh=SecretStr(refresh) if refresh else None,
        user_id=user_id,
        email=str(claims.get("email") or ""),
        expires_at=now + lasts,
        lifetime=lasts,
    )


def claims_of(token: str) -> dict[str, Any]:
    """What a JWT says, unchecked; empty for what is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        text = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims: object = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", claims) if isinstance(claims, dict) else {}


def is_service_key(key: str) -> bool:
    """Whether this key would see and change everybody's rows."""
    return key.startswith("sb_secret_") or claims_of(key).get("role") == "service_role"
