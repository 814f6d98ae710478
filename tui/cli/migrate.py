"""`stepline migrate`: bring a database's schema up to date."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from core.errors import ConfigError, ExitCode, SchemaError, StoreUnreachableError
from tui.cli.base import Command, chosen
from tui.cli.output import put, put_table, say

if TYPE_CHECKING:
    from schema.runner import MigrationStatus


@click.command(cls=Command)
@click.option(
    "--db-url",
    metavar="URL",
    help="The database, connected as its owner; by default that of the profile.",
)
@click.option("--status", is_flag=True, help="List the migrations and change nothing.")
@click.option("--print", "as_sql", is_flag=True, help="Print all of it as one SQL text.")
def migrate(db_url: str | None, status: bool, as_sql: bool) -> int:
    """Apply the schema's missing migrations to a PostgreSQL database.

    Any number of these may run at once.
    """
    from schema import runner

    if as_sql:
        put(runner.sql_text(), end="")
        return ExitCode.DONE
    if db_url is not None:
        return _migrate(db_url, status)
    from tui.cli.database import database_of

    with database_of(chosen().settings()) as database:
        return _migrate(database.conninfo, status)


def _migrate(conninfo: str, status: bool) -> int:
    from schema import runner

    with _sentences():
        if status:
            _put_status(runner.status(conninfo))
        else:
            applied = runner.migrate(conninfo)
            for migration in applied:
                put(f"{migration.version:04} {migration.name}")
            say(f"Applied {len(applied)}." if applied else "The schema was up to date.")
    return ExitCode.DONE


def _put_status(rows: list[MigrationStatus]) -> None:
    put_table(
        ("VERSION", "APPLIED", "NAME"),
        [
            (
                f"{row.version:04}",
                f"{row.applied_at.astimezone():%F %H:%M:%S}" if row.applied_at else "missing",
                row.name,
            )
            for row in rows
        ],
    )


@contextmanager
def _sentences() -> Generator[None]:
    import psycopg

    from schema.runner import MigrationError

    try:
        yield
    except MigrationError as error:
        raise SchemaError(str(error)) from error
    except psycopg.ProgrammingError as error:
        raise ConfigError(f"The database URL is not understood: {_reason(error)}.") from error
    except psycopg.OperationalError as error:
        raise StoreUnreachableError(
            f"The database cannot be reached: {_reason(error)}. Check the URL and the network, "
            "and try again."
        ) from error


def _reason(error: Exception) -> str:
    """The first line of what the driver says, without a password."""
    from core.logs import mask
    from core.text import clean_line

    lines = str(error).strip().splitlines()
    return mask(clean_line(lines[0])).rstrip(".") if lines else type(error).__name__
