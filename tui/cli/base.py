"""What all commands share: the options that work everywhere, and loading a command when named."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.settings import Settings


@dataclass
class Chosen:
    """What the options that work everywhere say; the one `obj` of a command's contexts."""

    data_dir: Path | None = None
    profile: str | None = None
    overrides: dict[str, object] = field(default_factory=dict)
    log_file: Path | None = None
    """Where the log is, once the settings are known."""

    def settings(self, log: str = "stepline") -> Settings:
        """The settings; from here on this process logs to `<state_dir>/<log>.log`.

        Raises `ConfigError`.
        """
        from core import logs
        from core.settings import load_settings

        settings = load_settings(
            profile=self.profile, data_dir=self.data_dir, overrides=self.overrides
        )
        secrets = (
            settings.database_url,
            settings.llm.api_key,
            settings.supabase.anon_key,
            settings.supabase.access_token,
            settings.supabase.refresh_token,
        )
        self.log_file = logs.setup(
            settings.state_dir,
            name=log,
            secrets=[secret.get_secret_value() for secret in secrets if secret],
        )
        return settings


def chosen() -> Chosen:
    """The options given to the command that runs."""
    return click.get_current_context().ensure_object(Chosen)


def _remember(name: str) -> Any:
    def callback(ctx: click.Context, _param: click.Parameter, value: Any) -> None:
        # Not given after the subcommand must not undo what was given before it.
        if value is not None:
            setattr(ctx.ensure_object(Chosen), name, value)

    return callback


def _everywhere() -> list[click.Parameter]:
    return [
        click.Option(
            ["--data-dir"],
            type=click.Path(file_okay=False, path_type=Path),
            metavar="DIR",
            expose_value=False,
            callback=_remember("data_dir"),
            help="Where the embedded database lives (STEPLINE_DATA_DIR).",
        ),
        click.Option(
            ["--profile"],
            metavar="NAME",
            expose_value=False,
            callback=_remember("profile"),
            help="Which profile of the settings to use (STEPLINE_PROFILE).",
        ),
    ]


class Command(click.Command):
    """A command that takes the options that work everywhere."""

    def __init__(self, *args: Any, **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self.params.extend(_everywhere())


class Group(click.Group):
    """A group that takes the options that work everywhere."""

    command_class = Command

    def __init__(self, *args: Any, **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self.params.extend(_everywhere())


class LazyGroup(Group):
    """A group whose commands are imported when they are named, or listed by `--help`."""

    def __init__(self, *args: Any, lazy: Mapping[str, str], **attrs: Any) -> None:
        """`lazy` maps a command's name to `module:attribute`."""
        super().__init__(*args, **attrs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's
        """In the order in which they are declared: the most used first."""
        return [*self._lazy]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Imports the command; for an unknown name all of them, to suggest the nearest."""
        for name in [cmd_name] if cmd_name in self._lazy else self._lazy:
            if name not in self.commands:
                module, _, attribute = self._lazy[name].partition(":")
                self.commands[name] = getattr(import_module(module), attribute)
        return self.commands.get(cmd_name)
