"""`stepline completion`: the script that makes a shell complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from core.errors import ExitCode
from tui.cli.base import Command
from tui.cli.output import put

_HOW = """\b
bash:  eval "$(stepline completion bash)"        in ~/.bashrc
zsh:   eval "$(stepline completion zsh)"         in ~/.zshrc
fish:  stepline completion fish > ~/.config/fish/completions/stepline.fish
"""


@click.command(cls=Command, epilog=_HOW)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the script that makes SHELL complete commands and options."""
    from tui.cli.entry import PROGRAM, root

    found = get_completion_class(shell)
    if found is None:  # pragma: no cover -- the choices above are the ones there are
        raise click.UsageError(f"No completion for {shell}.")
    put(found(root, {}, PROGRAM, "_STEPLINE_COMPLETE").source())
    return ExitCode.DONE
