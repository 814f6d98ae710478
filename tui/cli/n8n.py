"""`stepline n8n`: puts into n8n what is needed there, and looks whether it is there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from core.errors import ExitCode
from tui.cli.base import Group, chosen
from tui.cli.output import complain, put, put_json, put_table, say
from tui.cli.running import run

if TYPE_CHECKING:
    from core.engine.n8n.comparison import Finding
    from core.settings import Settings

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.group(cls=Group)
def n8n() -> None:
    """Put stepline's workflows into n8n, compare them with what is there, or remove them.

    Needs N8N_BASE_URL and, for n8n's public API, N8N_API_KEY.
    """


@n8n.command()
@click.option("--new-password", is_flag=True, help="Give the database role a new password too.")
def push(new_password: bool) -> int:
    """Create or update workflows and credentials in n8n, and use it from then on.

    Can be repeated: what is as it should be is left alone. Workflows that stepline did not make
    are never touched.
    """
    settings = _settings()

    async def work() -> int:
        from core.engine.n8n.push import push as do_push

        done = await do_push(settings, say, new_password=new_password)
        for what, finding in done:
            put(f"{what:<11}{finding.kind:<12}{finding.name}")
        if settings.engine == "local" and settings.source("engine") != "default":
            say(f'engine is "local" ({settings.source("engine")}), so this n8n is not used yet.')
        return ExitCode.DONE

    return run(work())


@n8n.command()
@click.option("--diff", is_flag=True, help="Show what would change, as a unified diff.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def status(diff: bool, as_json: bool) -> int:
    """Compare what is in n8n with what should be there.

    The exit code is 1 if anything differs; `stepline n8n push` puts it right.
    """
    settings = _settings()

    async def work() -> int:
        from core.engine.n8n.comparison import State
        from core.engine.n8n.comparison import status as look

        found = await look(settings)
        if as_json:
            put_json([_json(each, diff) for each in found])
        else:
            rows = [(each.state.value, each.kind, each.name) for each in found]
            put_table(("STATE", "WHAT", "NAME"), rows)
            for each in found if diff else ():
                _put_diff(each)
        same = all(each.state is State.UNCHANGED for each in found)
        return ExitCode.DONE if same else ExitCode.FAILED

    return run(work())


@n8n.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def remove(yes: bool) -> int:
    """Remove stepline's workflows and credentials from n8n, and use the local worker again."""
    settings = _settings()
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Nobody can be asked here; say --yes to remove them.")
        where = settings.n8n.base_url or "n8n"
        click.confirm(
            f"Remove stepline's workflows and credentials from {where}?", abort=True, err=True
        )

    async def work() -> int:
        from core.engine.n8n.push import remove as do_remove

        for finding in await do_remove(settings, say):
            put(f"{'deleted':<11}{finding.kind:<12}{finding.name}")
        return ExitCode.DONE

    return run(work())


def _settings() -> Settings:
    settings = chosen().settings()
    for warning in settings.warnings:
        complain(warning)
    return settings


def _json(finding: Finding, diff: bool) -> dict[str, object]:
    entry: dict[str, object] = {
        "kind": finding.kind,
        "name": finding.name,
        "state": finding.state.value,
        "id": finding.id,
    }
    return entry | ({"diff": list(finding.diff())} if diff else {})


def _put_diff(finding: Finding) -> None:
    from core.text import clean

    for line in finding.diff():
        # JSON holds no control character but those that it escapes; C1 is left.
        text = clean(line)
        colour = _COLOURS.get(line[:1]) if sys.stdout.isatty() else None
        put(click.style(text, fg=colour) if colour else text)
