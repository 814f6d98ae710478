"""Whose the texts are that are kept on this machine: a name per store and user.

What one user has typed for one store must be neither shown nor sent with another. The name is
needed before the first paint: nothing is imported here that takes long, and nobody is asked.
"""

import hashlib
import os
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import UUID

from core.errors import ConfigError

if TYPE_CHECKING:
    from core.settings import Settings

_PAIR = re.compile(r"(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))", re.DOTALL)
"""A keyword and its value in a conninfo string."""


def owner_name(settings: "Settings", user_id: UUID | None) -> str:
    """A directory's name for what belongs to this user of the store in use.

    `user_id` matters in a Supabase project only, where None is somebody who is not known yet: the
    other stores know their user by the settings.
    """
    if settings.store == "embedded":
        return settings.profile  # a database of one's own; it has always been called so
    if settings.store == "supabase":
        url = settings.supabase.url or ""
        host = re.sub(r"[^\w.-]", "_", urlsplit(url).netloc)
        return f"{host}-{_digest(url, str(user_id or ''))}"
    secret = settings.database_url
    where = database_of(secret.get_secret_value()) if secret is not None else ()
    return f"{settings.profile}-{_digest(*where, settings.user or '')}"


def known_user(settings: "Settings") -> UUID | None:
    """Who is signed in to the project, as far as is known without asking it; None: nobody."""
    if settings.store != "supabase":
        return None
    from core.auth.account import Account

    try:
        tokens = Account(settings).tokens
    except ConfigError:
        return None  # whoever opens the session says what is wrong
    return tokens.user_id if tokens is not None else None


def database_of(conninfo: str) -> tuple[str, ...]:
    """Which database a URL or conninfo string means to libpq: service, host, port and name."""
    given = _of_url(conninfo) if "://" in conninfo else _of_pairs(conninfo)

    def value(key: str, variable: str, otherwise: str = "") -> str:
        return given.get(key) or os.environ.get(variable) or otherwise

    return (
        value("service", "PGSERVICE"),
        value("host", "PGHOST", given.get("hostaddr", "")),
        value("port", "PGPORT", "5432"),
        value("dbname", "PGDATABASE", value("user", "PGUSER")),
    )


def _of_url(url: str) -> dict[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return {}  # whoever connects says what is wrong with it
    user, _, hosts = parts.netloc.rpartition("@")
    # There may be several, and an IPv6 address has colons of its own.
    pairs = [re.fullmatch(r"(\[.*\]|[^:]*):?(.*)", each) for each in hosts.split(",")]
    found = [pair.groups() for pair in pairs if pair is not None]
    given = {
        "user": user.partition(":")[0],
        "host": ",".join(host.strip("[]") for host, _ in found),
        "port": ",".join(port for _, port in found),
        "dbname": parts.path.removeprefix("/"),
    }
    return {key: unquote(value) for key, value in given.items()} | dict(parse_qsl(parts.query))


def _of_pairs(conninfo: str) -> dict[str, str]:
    return {
        key: re.sub(r"\\(.)", r"\1", quoted or plain)
        for key, quoted, plain in _PAIR.findall(conninfo)
    }


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:12]
