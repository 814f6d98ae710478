"""`stepline worker`: a process that works on tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.errors import ExitCode
from tui import startup
from tui.cli.base import Command, chosen
from tui.cli.output import say

if TYPE_CHECKING:
    from core.settings import Settings
    from tui.cli.database import Database


@click.command(cls=Command)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    metavar="N",
    help="How many tasks to work on at the same time.",
)
@click.option("--auto", is_flag=True, help="Leave when there is one, or nobody needs one.")
def worker(concurrency: int, auto: bool) -> int:
    """Work on pending tasks until interrupted.

    Interrupted or terminated, it finishes what it holds; interrupted again, it ends at once and
    what it holds is free for others. Any number of workers can run side by side.
    """
    settings = chosen().settings(log="worker")
    import asyncio  # not for who only asks for `--help`

    from tui.cli.database import database_of

    startup.done()
    run = _run_auto if auto else _run
    with database_of(settings) as database:
        try:
            # Not `running.run`: the worker has its own way with signals.
            asyncio.run(run(database, settings, concurrency))
        except asyncio.CancelledError:
            return ExitCode.INTERRUPTED
    return ExitCode.DONE


async def _run(database: Database, settings: Settings, concurrency: int) -> None:
    from core.engine.local.worker import run_worker

    await run_worker(
        database.conninfo,
        settings,
        concurrency=concurrency,
        revive=database.revive,
        on_ready=_ready,
        on_stopping=_stopping,
    )


async def _run_auto(database: Database, settings: Settings, concurrency: int) -> None:
    from core.engine.local.auto import run_auto_worker

    await run_auto_worker(
        database.conninfo, settings, concurrency=concurrency, revive=database.revive
    )


def _ready(name: str) -> None:
    say(f"Worker {name} takes tasks; ctrl+c ends it.")


def _stopping(held: int) -> None:
    if held:
        say(f"Finishing what it holds ({held}); ctrl+c again ends it at once.")
