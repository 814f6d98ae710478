"""Applies the numbered migrations of `schema/migrations` to a PostgreSQL database, 15 to 18.

Each migration is one transaction and is noted in the ledger `stepline.migrations` with the
checksum of its text. An advisory lock lets any number of programs start at once.
"""

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import LiteralString, cast

import psycopg

from schema.version import FILE_NAME, latest_version

_LOCK = 0x5354_4550_4C49_4E45  # "STEPLINE"; any constant that nobody else uses
_MIN_SERVER = 150000

_LEDGER: LiteralString = """
CREATE SCHEMA IF NOT EXISTS stepline;
CREATE TABLE IF NOT EXISTS stepline.migrations (
  version integer PRIMARY KEY,
  name text NOT NULL,
  checksum text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""
_NOTE: LiteralString = (
    "INSERT INTO stepline.migrations (version, name, checksum) VALUES (%s, %s, %s)"
)

# What goes into these is our own, free of quotes.
_CHECK = """
DO $check$
DECLARE
  bad integer;
BEGIN
  IF current_setting('server_version_num')::int < {oldest} THEN
    RAISE EXCEPTION 'This PostgreSQL is too old: use version 15 or newer.';
  END IF;
  PERFORM pg_advisory_xact_lock({lock});
  SELECT max(version) INTO bad FROM stepline.migrations WHERE version > {latest};
  IF bad IS NOT NULL THEN
    RAISE EXCEPTION 'The schema is at version %, newer than this text ({latest}): update stepline'
      ' and print it again.', bad;
  END IF;
  SELECT m.version INTO bad FROM stepline.migrations m
  LEFT JOIN (VALUES {known}) AS k (version, checksum) USING (version, checksum)
  WHERE k.version IS NULL ORDER BY 1 LIMIT 1;
  IF bad IS NOT NULL THEN
    RAISE EXCEPTION 'Migration % was changed after this database got it: print the text of the'
      ' stepline that it came from.', bad;
  END IF;
END
$check$;
"""
_ONE = """
-- {version:04} {name}
DO $one$
BEGIN
  IF NOT EXISTS (SELECT FROM stepline.migrations WHERE version = {version}) THEN
    EXECUTE {sql};
    INSERT INTO stepline.migrations (version, name, checksum)
    VALUES ({version}, '{name}', '{checksum}');
  END IF;
END
$one$;
"""


class MigrationError(Exception):
    """The schema cannot be brought up to date; the sentence says why and what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered SQL file."""

    version: int
    name: str
    sql: LiteralString

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """A migration and when this database got it; None if it has not."""

    version: int
    name: str
    applied_at: datetime | None


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations of this version, in order."""
    found: list[Migration] = []
    for file in files("schema").joinpath("migrations").iterdir():
        if match := FILE_NAME.fullmatch(file.name):
            sql = cast(LiteralString, file.read_text(encoding="utf-8"))
            found.append(Migration(int(match[1]), match[2], sql))
    return tuple(sorted(found, key=lambda migration: migration.version))


def migrate(conninfo: str) -> list[Migration]:
    """Applies what is missing; returns what was applied.

    Raises MigrationError when a migration applied earlier differs from ours, when the database
    knows migrations we don't, when the server is too old, when the role lacks rights, or when a
    statement fails (then that migration has left nothing behind).
    """
    with _connect(conninfo) as connection:
        if not _pending(_ledger(connection)):
            return []
        # Waiting happens here, before any transaction: it must see what the one before us did.
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        connection.execute(_LEDGER)
        todo = _pending(_ledger(connection))
        for migration in todo:
            try:
                with connection.transaction():
                    connection.execute(migration.sql)
                    connection.execute(
                        _NOTE, (migration.version, migration.name, migration.checksum)
                    )
            except psycopg.Error as error:
                reason = error.diag.message_primary or str(error)
                raise MigrationError(
                    f"Migration {migration.version:04} {migration.name} failed and was rolled "
                    f"back: {reason}. Give the connecting role the rights it lacks, or repair the "
                    "database, and run `stepline migrate` again."
                ) from error
        return todo


def status(conninfo: str) -> list[MigrationStatus]:
    """Every migration of this version, applied or not; raises MigrationError as `migrate`."""
    with _connect(conninfo) as connection:
        applied = _ledger(connection)
        _pending(applied)
        times = {version: at for version, (_, at) in applied.items()}
        return [MigrationStatus(m.version, m.name, times.get(m.version)) for m in migrations()]


def sql_text() -> str:
    """All of it as one SQL text, for a dashboard's editor: one transaction, which looks at the
    ledger as `migrate` does. So it applies what is missing, to a database of any version."""
    known = ", ".join(f"({m.version}, '{m.checksum}')" for m in migrations())
    parts = ["BEGIN;", "SET LOCAL client_min_messages = error;", _LEDGER.strip()]
    parts.append(
        _CHECK.format(lock=_LOCK, oldest=_MIN_SERVER, latest=latest_version(), known=known).strip()
    )
    for migration in migrations():
        body = f"$m{migration.version:04}$"
        parts.append(
            _ONE.format(
                version=migration.version,
                name=migration.name,
                checksum=migration.checksum,
                sql=f"{body}\n{migration.sql.strip()}\n{body}",
            ).strip()
        )
    return "\n\n".join([*parts, "COMMIT;\n"])


@contextmanager
def _connect(conninfo: str) -> Generator[psycopg.Connection]:
    with psycopg.connect(conninfo, autocommit=True, connect_timeout=10) as connection:
        if connection.info.server_version < _MIN_SERVER:
            raise MigrationError(
                f"PostgreSQL {connection.info.server_version // 10000} is too old: "
                "use version 15 or newer."
            )
        # Notices such as "wal_level is insufficient" are not the user's business here.
        connection.execute("SET client_min_messages = error")
        try:
            yield connection
        except psycopg.errors.InsufficientPrivilege as error:
            raise MigrationError(
                f"This role may not see to the schema ({error.diag.message_primary}): connect as "
                "the role that owns the database."
            ) from error


def _ledger(connection: psycopg.Connection) -> dict[int, tuple[str, datetime]]:
    """Version -> checksum and time of every migration applied."""
    row = connection.execute("SELECT to_regclass('stepline.migrations') IS NOT NULL").fetchone()
    if row is None or not row[0]:
        return {}
    rows = connection.execute("SELECT version, checksum, applied_at FROM stepline.migrations")
    return {version: (checksum, at) for version, checksum, at in rows}


def _pending(applied: dict[int, tuple[str, datetime]]) -> list[Migration]:
    known = {migration.version: migration for migration in migrations()}
    for version, (checksum, _) in sorted(applied.items()):
        if version not in known:
            raise MigrationError(
                f"The database's schema is at version {max(applied)}, newer than this program "
                f"knows ({latest_version()}): update stepline."
            )
        if known[version].checksum != checksum:
            raise MigrationError(
                f"Migration {version:04} {known[version].name} was changed after this database "
                "got it. Restore the file as it was and put the change into a new migration."
            )
    return [migration for version, migration in known.items() if version not in applied]
