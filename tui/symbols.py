"""Every symbol on the screen, and its ASCII twin. All are one cell wide, bars excepted."""

import locale
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.models import TaskStatus
from core.timeline import StepState


@dataclass(frozen=True, slots=True)
class Symbols:
    """One set of symbols; which one is decided once, at the start."""

    done: str
    current: str
    waiting: str
    failed: str
    cancelled: str
    timeout: str
    spinner: str
    """One frame per character."""
    live: str
    reconnecting: str
    polling: str
    offline: str
    prompt: str
    rule: str
    """A horizontal line's character."""
    divider: str
    """A vertical line's character."""
    ellipsis: str
    folded: str
    unfolded: str
    selected: str
    mark: str
    """In front of a row that is marked for a bulk action."""
    bar_full: str
    bar_half: str
    bar_empty: str
    bullet: str
    block: str
    """A filled cell of a timeline's bar."""
    shade: str
    """An empty cell of a timeline's bar."""
    up: str
    down: str

    def status(self, status: TaskStatus) -> str:
        """A task's symbol; a running task's is the spinner's first frame."""
        return {
            TaskStatus.PENDING: self.waiting,
            TaskStatus.PROCESSING: self.spinner[0],
            TaskStatus.COMPLETED: self.done,
            TaskStatus.FAILED: self.failed,
            TaskStatus.CANCELLED: self.cancelled,
            TaskStatus.TIMEOUT: self.timeout,
        }[status]

    def step(self, state: StepState) -> str:
        """A step's symbol."""
        return {
            StepState.WAITING: self.waiting,
            StepState.CURRENT: self.current,
            StepState.DONE: self.done,
            StepState.FAILED: self.failed,
        }[state]

    def bar(self, done: float, total: float, width: int) -> str:
        """A progress bar of exactly `width` cells."""
        halves = round(max(0.0, min(1.0, done / total if total > 0 else 0.0)) * width * 2)
        full, half = divmod(halves, 2)
        half = min(half, width - full)
        rest = width - full - half
        return self.bar_full * full + self.bar_half * half + self.bar_empty * rest


UNICODE = Symbols(
    done="✓",
    current="◐",
    waiting="·",
    failed="✗",
    cancelled="⊘",
    timeout="⧖",
    spinner="⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏",
    live="●",
    reconnecting="◌",
    polling="◑",
    offline="○",
    prompt=">",
    rule="─",
    divider="│",
    ellipsis="…",
    folded="▸",
    unfolded="▾",
    selected="▌",
    mark="◆",
    bar_full="━",
    bar_half="╸",
    bar_empty="─",
    bullet="•",
    block="█",
    shade="░",
    up="↑",
    down="↓",
)

ASCII = Symbols(
    done="v",
    current="o",
    waiting=".",
    failed="x",
    cancelled="/",
    timeout="!",
    spinner="|/-\\",
    live="*",
    reconnecting="~",
    polling="%",
    offline="!",
    prompt=">",
    rule="-",
    divider="|",
    ellipsis="~",
    folded="+",
    unfolded="-",
    selected=">",
    mark="*",
    bar_full="=",
    bar_half=">",
    bar_empty=".",
    bullet="*",
    block="#",
    shade=".",
    up="^",
    down="v",
)


def choose(ascii_only: bool | None, env: Mapping[str, str] | None = None) -> Symbols:
    """The set for this terminal: as told, or ASCII where locale or terminal can do no more."""
    env = _given() if env is None else env
    if ascii_only is None:
        ascii_only = env.get("TERM") == "dumb" or not _is_utf8(env)
    return ASCII if ascii_only else UNICODE


def _given() -> Mapping[str, str]:
    """The environment as we were started with it.

    Where there is no locale but C, Python sets LC_CTYPE for itself when it starts (PEP 538).
    """
    env = {**os.environ}
    with suppress(OSError):
        if b"\0LC_CTYPE=" not in b"\0" + Path("/proc/self/environ").read_bytes():
            env.pop("LC_CTYPE", None)
    return env


def _is_utf8(env: Mapping[str, str]) -> bool:
    # Python's own encoding is no witness: under LANG=C it is UTF-8 too (PEP 538 and 540).
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        if env.get(name):
            return "utf" in env[name].lower()
    return "utf" in (locale.getlocale(locale.LC_CTYPE)[1] or "").lower()
