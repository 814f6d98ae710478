"""The HTTP client for one n8n, and for a proxy that may stand before it."""

import httpx

from core.errors import ConfigError
from core.settings import N8nSettings


def open_client(n8n: N8nSettings, timeout: float | httpx.Timeout) -> httpx.AsyncClient:
    """A client that knows the user and password of a proxy before n8n, if one asks for them.

    Raises `ConfigError` where the environment's proxy or certificate settings do not work.
    """
    # What runs on this machine is never behind a proxy, whatever the environment says.
    local = ("all://localhost", "all://127.0.0.1", "all://[::1]")
    auth = None
    if n8n.basic_auth_user is not None:
        password = n8n.basic_auth_password
        auth = httpx.BasicAuth(n8n.basic_auth_user, password.get_secret_value() if password else "")
    # n8n closes a connection that was idle for 5 seconds, at times while we write on it.
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=4, keepalive_expiry=2.0)
    try:
        return httpx.AsyncClient(
            timeout=timeout, limits=limits, mounts=dict.fromkeys(local), auth=auth
        )
    except (ImportError, ValueError, OSError) as error:
        # A proxy of an unknown kind, a certificate file that is not there.
        raise ConfigError(
            f"The proxy or certificate settings in the environment do not work ({error}); "
            "correct or unset them."
        ) from None
