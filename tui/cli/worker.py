"""`stepline worker`: a process that works on tasks."""

from __future__ import annotations

import click

from tui.cli.base import Command, chosen


@click.command(cls=Command)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    metavar="N",
    help="How many tasks to work on at the same time.",
)
@click.option("--auto", is_flag=True, hidden=True, help="As the app starts it: ends when unused.")
def worker(concurrency: int, auto: bool) -> int:
    """Work on pending tasks until interrupted.

    Interrupted or terminated it finishes what it holds. Any number of workers can run side by
    side, on any machine that reaches the database.
    """
    settings = chosen().settings(log="worker")
    from core.engine.local.worker import run_worker

    return run_worker(settings, concurrency=concurrency, auto=auto)
