"""Which project the tests of Supabase run against: the stand-in, or a real one.

A real one is named by STEPLINE_TEST_SUPABASE_URL, STEPLINE_TEST_SUPABASE_ANON_KEY and
STEPLINE_TEST_SUPABASE_DB_URL; it allows anonymous users and has the schema (docs/supabase.md).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx

from core.settings import Settings, load_settings
from schema.runner import migrate
from tests.support.database import Database
from tests.support.supabase import Supabase
from tests.support.supabase.realtime import Realtime, Times

_NAMES = ("URL", "ANON_KEY", "DB_URL")


@dataclass(frozen=True)
class Signed:
    """Somebody who is signed in."""

    user_id: UUID
    access: str
    refresh: str


@dataclass(frozen=True)
class Target:
    """A project, real or not."""

    url: str
    anon_key: str
    database: Database
    stand_in: Supabase | None
    """None: the project is real, and does not misbehave on command."""

    def sign_in(self, user_id: UUID | None = None) -> Signed:
        """A new session of a new user, or, at the stand-in, of the one given."""
        if self.stand_in is not None:
            user_id = user_id or self.database.add_user()
            access, refresh = self.stand_in.auth.sign_in(user_id)
            return Signed(user_id, access, refresh)
        assert user_id is None, "a real project makes its own users"
        answer = httpx.post(
            f"{self.url}/auth/v1/signup", json={}, headers={"apikey": self.anon_key}, timeout=30
        )
        answer.raise_for_status()
        body = answer.json()
        return Signed(UUID(body["user"]["id"]), body["access_token"], body["refresh_token"])

    def settings(self, directory: Path, signed: Signed | None = None) -> Settings:
        """Settings for this project; with tokens as a server is given them, or without."""
        tokens = (
            {"supabase.access_token": signed.access, "supabase.refresh_token": signed.refresh}
            if signed
            else {}
        )
        return load_settings(
            data_dir=directory / "data",
            overrides={
                "store": "supabase",
                "supabase.url": self.url,
                "supabase.anon_key": self.anon_key,
                **tokens,
            },
            env={"XDG_CONFIG_HOME": str(directory / "config")},
        )


def is_real() -> bool:
    """Whether a real project is named."""
    return all(os.environ.get(f"STEPLINE_TEST_SUPABASE_{name}") for name in _NAMES)


@contextmanager
def target_for(database: Database) -> Iterator[Target]:
    """The real project, if one is named; else a stand-in on this database."""
    if is_real():
        url, key, db_url = (os.environ[f"STEPLINE_TEST_SUPABASE_{name}"] for name in _NAMES)
        migrate(db_url)
        yield Target(url.rstrip("/"), key, Database(db_url), None)
        return
    stand_in = Supabase(database.conninfo)
    # Quicker than a real one where a test would only wait.
    Realtime.of(stand_in.project).times = Times(cold=0.05, refuse=0.05, second=0.3, back=0.2)
    stand_in.start()
    try:
        yield Target(stand_in.url, stand_in.anon_key, database, stand_in)
    finally:
        stand_in.stop()
