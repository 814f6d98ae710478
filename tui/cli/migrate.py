"""`stepline migrate`: bring a database's schema up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.errors import ExitCode
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
    from core.store.upgrade import schema_status, upgrade

    if status:
        _put_status(schema_status(conninfo))
    else:
        applied = upgrade(conninfo)
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
