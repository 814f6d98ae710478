"""Tokens that no service gave out: for what reads them and asks nobody."""

import base64
import json
import time
from uuid import UUID

from core.auth.tokens import Tokens, received


def tokens_of(user_id: UUID) -> Tokens:
    """Somebody's session, good for an hour."""
    claims = {"role": "authenticated", "sub": str(user_id), "exp": time.time() + 3600}
    text = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return received(f"head.{text}.signature", "refresh")
