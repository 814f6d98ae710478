"""`stepline config`: what the settings are, where they are, and a file to begin with."""

from __future__ import annotations

import os
from pathlib import Path

import click

from core.errors import ConfigError, ExitCode
from tui.cli.base import Group, chosen
from tui.cli.output import put, put_json, say


@click.group(cls=Group)
def config() -> None:
    """Show the settings, or write a settings file to begin with."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(as_json: bool) -> int:
    """Show every setting, its value, and where that was set. Secrets are masked."""
    from core.settings import describe

    lines = describe(chosen().settings())
    if as_json:
        put_json({line.key: {"value": line.value, "source": line.source} for line in lines})
    else:
        for line in lines:
            put(f"{line.key} = {line.value}  ({line.source})")
    return ExitCode.DONE


@config.command()
def path() -> int:
    """Print where the settings file is, whether it exists or not."""
    put(str(_file()))
    return ExitCode.DONE


@config.command()
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def init(force: bool) -> int:
    """Write a settings file that explains itself; nothing in it is in effect yet."""
    from core.settings import template

    target = _file()
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        how = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
        # Only for its owner from the first moment: a key may be written into it.
        with os.fdopen(os.open(target, how, 0o600), "w", encoding="utf-8") as file:
            target.chmod(0o600)
            file.write(template())
    except FileExistsError as error:
        raise ConfigError(
            f"{target} exists already; edit it, or replace it with `stepline config init --force`."
        ) from error
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}.") from error
    put(str(target))
    say("Edit it; `stepline config show` shows what is in effect.")
    return ExitCode.DONE


def _file() -> Path:
    """The settings file's place, whether it exists or not and whatever is wrong in it."""
    from core.settings import default_config_file

    named = os.environ.get("STEPLINE_CONFIG")
    return Path(named).expanduser().absolute() if named else default_config_file()
