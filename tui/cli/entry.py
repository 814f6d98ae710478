"""The root of the command line, and what becomes of errors."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

import click

from core.errors import ExitCode, SteplineError
from tui.cli.base import Chosen, LazyGroup, chosen
from tui.cli.output import complain

PROGRAM = "stepline"
BROKEN_PIPE = 141
"""What a shell reports for a program whose reader went away."""

_COMMANDS = {
    "send": "tui.cli.send:send",
    "tasks": "tui.cli.tasks:tasks",
    "conversations": "tui.cli.conversations:conversations",
    "worker": "tui.cli.worker:worker",
    "login": "tui.cli.login:login",
    "logout": "tui.cli.login:logout",
    "whoami": "tui.cli.login:whoami",
    "migrate": "tui.cli.migrate:migrate",
    "doctor": "tui.cli.doctor:doctor",
    "config": "tui.cli.config:config",
    "completion": "tui.cli.completion:completion",
}


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"{PROGRAM} {version('stepline')}")
    ctx.exit()


@click.group(
    PROGRAM,
    cls=LazyGroup,
    lazy=_COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 timed out or unreachable (try again), "
    "4 cancelled, 130 interrupted.",
)
@click.option("-c", "--conversation", type=int, metavar="ID", help="Open this conversation.")
@click.option("--no-mouse", is_flag=True, help="Leave the mouse to the terminal.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Use no symbols beyond ASCII.")
@click.option(
    "--linear/--no-linear",
    default=None,
    help="Plain lines instead of the full screen: for screen readers and dumb terminals (setting: "
    "linear).",
)
@click.option(
    "--animation",
    type=click.Choice(["full", "reduced", "none"]),
    help="How much moves on the screen.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_version,
    help="Show the version and exit.",
)
@click.pass_context
def root(
    ctx: click.Context,
    *,
    conversation: int | None,
    no_mouse: bool,
    ascii_only: bool,
    linear: bool | None,
    animation: str | None,
) -> int | None:
    """A chat in the terminal with a live view of the tasks behind it.

    Without a command the full-screen program starts, or, with --linear, the same conversation as
    plain lines: steps as they happen, no cursor movement, also through a pipe.
    """
    if ctx.invoked_subcommand is not None:
        for given, option in (
            (conversation is not None, "-c/--conversation"),
            (no_mouse, "--no-mouse"),
            (ascii_only, "--ascii"),
            (linear is not None, "--linear/--no-linear"),
            (animation is not None, "--animation"),
        ):
            if given:
                raise click.UsageError(f"{option} here is for the chat itself, not for a command.")
        return None
    overrides = chosen().overrides
    if no_mouse:
        overrides["mouse"] = False
    if ascii_only:
        overrides["ascii"] = True
    if linear is not None:
        overrides["linear"] = linear
    if animation:
        overrides["animation"] = animation
    settings = chosen().settings()
    if settings.linear:
        from tui.linear.run import run as run_linear

        return run_linear(settings, conversation=conversation)
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        complain(
            "the full-screen program needs a terminal; in scripts use `stepline send`, "
            "`stepline tasks` or `stepline --linear` (see `stepline --help`)."
        )
        return ExitCode.USAGE
    from tui.app import run

    return run(settings, conversation=conversation)


def main(args: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code and raises nothing."""
    for stream in (sys.stdout, sys.stderr):
        # What the terminal's encoding cannot show must not end a command.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")
    code = _guarded([*(sys.argv[1:] if args is None else args)])
    try:
        sys.stdout.flush()
    except OSError:
        # The interpreter flushes stdout once more when it ends: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _guarded(args: list[str]) -> int:
    """Runs a command; whatever goes wrong becomes a sentence and an exit code."""
    state = Chosen()
    try:
        return _invoke(args, state)
    except BrokenPipeError:
        return BROKEN_PIPE
    except (KeyboardInterrupt, click.Abort):
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SteplineError as error:
        complain(str(error))
        return error.exit_code
    except Exception as error:
        return _unexpected(error, state)


def _invoke(args: list[str], state: Chosen) -> int:
    if "_STEPLINE_COMPLETE" in os.environ:
        root.main(args, prog_name=PROGRAM)  # answers the shell and exits
    try:
        with root.make_context(PROGRAM, args, obj=state) as ctx:
            return root.invoke(ctx) or ExitCode.DONE
    except click.exceptions.Exit as end:
        return end.exit_code


def _unexpected(error: Exception, state: Chosen) -> int:
    """A mistake of ours: one sentence here, the traceback in the log only."""
    from core import logs
    from core.text import clean_line

    if state.log_file is None:
        import platformdirs

        state.log_file = logs.setup(platformdirs.user_state_path(PROGRAM))
    logging.getLogger(PROGRAM).error("unexpected error", exc_info=error)
    what = clean_line(logs.mask(f"{type(error).__name__}: {error}"))[:300]
    complain(f"unexpected error ({what}); the details are in {state.log_file}.")
    return ExitCode.FAILED
