"""What `stepline n8n push` wrote, so that plain `stepline` uses that n8n from then on.

A file for its owner only, in the form of an environment file. It is good for the store it was
made for and no other: n8n works on that database, and the token belongs to that n8n.
"""

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import quote

from pydantic import SecretStr

from core.errors import ConfigError

if TYPE_CHECKING:
    from core.settings import Settings

_HEAD = "# Written by `stepline n8n push`; `stepline n8n remove` deletes it. It holds a secret.\n"
_OWN = ("STEPLINE_STORE", "N8N_BASE_URL", "N8N_WEBHOOK_TOKEN")
_CREDENTIAL = "STEPLINE_CREDENTIAL_"


class Note(NamedTuple):
    """How a credential was left: n8n never shows what is in one."""

    id: str
    updated_at: str
    """n8n's time of the last change."""
    fingerprint: str
    """Of what was written into it."""


@dataclass(frozen=True)
class Pushed:
    """The content of such a file."""

    store: str
    """See `store_name`."""
    base_url: str
    token: SecretStr
    workflow_ids: Mapping[str, str] = field(default_factory=dict[str, str])
    """Environment variable -> workflow id."""
    credentials: Mapping[str, Note] = field(default_factory=dict[str, Note])
    """By their part: DATABASE, WEBHOOK, MODEL."""

    @classmethod
    def read(cls, path: Path, store: str) -> Self | None:
        """The file at `path`; None if there is none that can be used, or it is another store's."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None
        lines = [line.partition("=") for line in text.splitlines() if not line.startswith("#")]
        given = {name.strip(): value.strip() for name, _, value in lines if value.strip()}
        base_url, token = given.get("N8N_BASE_URL", ""), given.get("N8N_WEBHOOK_TOKEN")
        if given.get("STEPLINE_STORE") != store or not base_url.startswith("http") or not token:
            return None
        notes = {
            name.removeprefix(_CREDENTIAL): Note(*value.split())
            for name, value in given.items()
            if name.startswith(_CREDENTIAL) and len(value.split()) == len(Note._fields)
        }
        ids = {
            name: value
            for name, value in given.items()
            if name not in _OWN and not name.startswith(_CREDENTIAL)
        }
        return cls(store, base_url, SecretStr(token), ids, notes)

    def write(self, path: Path) -> None:
        """Puts it there, whole or not at all. Raises `ConfigError`."""
        lines = {
            "STEPLINE_STORE": self.store,
            "N8N_BASE_URL": self.base_url,
            "N8N_WEBHOOK_TOKEN": self.token.get_secret_value(),
            **self.workflow_ids,
            **{_CREDENTIAL + part: " ".join(note) for part, note in self.credentials.items()},
        }
        unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            how = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            try:
                with os.fdopen(os.open(unfinished, how, 0o600), "w", encoding="utf-8") as file:
                    file.write(_HEAD + "".join(f"{key}={each}\n" for key, each in lines.items()))
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(path)
            except BaseException:
                with suppress(OSError):
                    unfinished.unlink()
                raise
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be written: {error.strerror}; make room or rights there, and "
                "push again."
            ) from None


def pushed_file(store: str, *, data_dir: Path, config_file: Path, profile: str) -> Path:
    """Where that is: beside the data it is for, or else beside the settings."""
    if store == "embedded":
        return data_dir / "n8n.env"
    return config_file.with_name(f"n8n-{quote(profile, safe='')}.env")


def store_name(store: str, database_url: SecretStr | None, project: str | None) -> str:
    """Which store it is, on one line and without a password."""
    if store == "supabase":
        return f"supabase {project}"
    if store == "embedded" or database_url is None:
        return "embedded"
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        where = conninfo_to_dict(database_url.get_secret_value())
    except psycopg.Error:
        return "postgres"  # whoever connects says what is wrong with it
    return f"postgres {where.get('host', '')}:{where.get('port', 5432)}/{where.get('dbname', '')}"


def file_of(settings: "Settings") -> Path:
    """Where the file for these settings is, whether it exists or not."""
    return pushed_file(
        settings.store,
        data_dir=settings.data_dir,
        config_file=settings.config_file,
        profile=settings.profile,
    )


def read_pushed(settings: "Settings") -> Pushed | None:
    """What was pushed for these settings' store to these settings' n8n; None if nothing was."""
    name = store_name(settings.store, settings.database_url, settings.supabase.url)
    found = Pushed.read(file_of(settings), name)
    if found is None or settings.n8n.base_url not in (None, found.base_url):
        return None
    return found
