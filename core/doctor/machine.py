"""Checks of this machine: Python, the terminal, files and directories."""

import locale
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from core.doctor.check import Check, fail, ok, warn
from core.errors import ConfigError
from core.settings import Settings
from core.workflows import load_workflows

_MIB = 2**20
_NEEDED, _COMFORTABLE = 150 * _MIB, 1024 * _MIB
"""Free disk space: less than this and a new database does not fit; less than that is tight."""
_SLOW_ESCAPE = 100
"""Milliseconds tmux may hold back the escape key."""


def python() -> Check:
    """The interpreter."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return ok("python", f"Python {found}, {sys.executable}.")


def terminal(env: Mapping[str, str]) -> Iterator[Check]:
    """What the screen can show, as far as the environment tells."""
    term = env.get("TERM", "")
    if term in ("", "dumb"):
        sentence = f"TERM is {term or 'not set'}: the full-screen program cannot draw."
        yield warn("terminal", sentence, "export TERM=xterm-256color")
    else:
        size = shutil.get_terminal_size()
        sentence = f"{term}, {size.columns} x {size.lines}."
        if sys.stdout.isatty() and (size.columns < 80 or size.lines < 24):
            yield warn("terminal", sentence, "Make the window at least 80 x 24.")
        else:
            yield ok("terminal", sentence)
    yield _encoding(env)
    yield _colours(env, term)
    if env.get("TMUX"):
        yield _tmux(term)


def _encoding(env: Mapping[str, str]) -> Check:
    # Python's own encoding is no witness: under LANG=C it is UTF-8 too.
    named = next((env[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if env.get(name)), "")
    if "utf" in (named or locale.getlocale(locale.LC_CTYPE)[1] or "").lower():
        return ok("encoding", f"UTF-8 ({named or 'the default'}).")
    return warn(
        "encoding",
        f"The locale ({named or 'none'}) is not UTF-8: symbols are drawn in ASCII.",
        "export LANG=C.UTF-8",
    )


def _colours(env: Mapping[str, str], term: str) -> Check:
    if env.get("NO_COLOR"):
        return ok("colours", "None, as NO_COLOR asks.")
    if env.get("COLORTERM") in ("truecolor", "24bit"):
        return ok("colours", "24 bit.")
    if "256color" in term:
        return ok("colours", "256. For 24 bit, set COLORTERM=truecolor where the terminal has it.")
    return warn(
        "colours",
        f"At most 16, as far as TERM={term} tells.",
        "export TERM=xterm-256color, or tmux-256color inside tmux",
    )


def _tmux(term: str) -> Check:
    if not term.startswith(("tmux", "screen")):
        return warn(
            "tmux",
            f"Inside tmux, but TERM is {term}: keys and colours may be wrong.",
            'Put `set -g default-terminal "tmux-256color"` into ~/.tmux.conf; leave TERM alone.',
        )
    wait = _tmux_option("escape-time")
    if wait.isdecimal() and int(wait) > _SLOW_ESCAPE:
        return warn(
            "tmux",
            f"tmux holds the escape key back for {wait} ms.",
            "Put `set -sg escape-time 10` into ~/.tmux.conf.",
        )
    if _tmux_option("set-clipboard") == "off":
        return warn(
            "tmux",
            "tmux keeps copied text from your clipboard.",
            "Put `set -s set-clipboard on` into ~/.tmux.conf.",
        )
    return ok("tmux", f"Inside tmux, TERM is {term}.")


def _tmux_option(name: str) -> str:
    try:
        command = ["tmux", "show-options", "-sv", name]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=2, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()


def files(settings: Settings) -> Iterator[Check]:
    """Settings file, workflows and directories."""
    there = "" if settings.config_file.exists() else " (there is none: the defaults hold)"
    yield ok("settings", f"Profile {settings.profile}, from {settings.config_file}{there}.")
    for warning in settings.warnings:
        # A sentence of ours: what is wrong; what to do about it.
        sentence, _, fix = warning.partition("; ")
        yield warn("settings", sentence.rstrip(".") + ".", fix or "Change the setting it names.")
    yield _workflows(settings)
    if settings.store == "embedded":
        yield _directory("data directory", settings.data_dir, "--data-dir or STEPLINE_DATA_DIR")
        yield _space(settings.data_dir)
    yield _directory("log directory", settings.state_dir, "XDG_STATE_HOME or --data-dir")


def _workflows(settings: Settings) -> Check:
    try:
        registry = load_workflows(settings.workflows_file, os.environ)
    except ConfigError as error:
        return fail("workflows", str(error), "Correct what the sentence names.")
    types = ", ".join(workflow.task_type for workflow in registry.all() if workflow.local)
    return ok("workflows", f"{settings.workflows_file}; run here: {types or 'none'}.")


def _directory(name: str, path: Path, setting: str) -> Check:
    try:
        with tempfile.TemporaryFile(dir=_existing(path)):
            pass
    except OSError as error:
        return fail(
            name,
            f"{path} cannot be written: {error.strerror}.",
            f"Change its permissions, free some space, or choose another one with {setting}.",
        )
    return ok(name, f"{path}.")


def _space(path: Path) -> Check:
    free = shutil.disk_usage(_existing(path)).free
    sentence = f"{free / _MIB:,.0f} MiB free."
    if free < _NEEDED:
        fix = "Free some space, or choose another disk with --data-dir."
        return fail("disk", f"{sentence[:-1]}: the database needs {_NEEDED // _MIB}.", fix)
    if free < _COMFORTABLE:
        return warn("disk", sentence, "Free some space soon.")
    return ok("disk", sentence)


def _existing(path: Path) -> Path:
    """`path`, or the nearest directory above it that exists: there it would be made."""
    return next((each for each in (path, *path.parents) if each.exists()), Path("/"))
