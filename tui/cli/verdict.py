"""How a task ended, as an exit code and as a sentence."""

from typing import TYPE_CHECKING

from core.errors import ExitCode
from core.models import Task, TaskStatus
from tui.cli.output import complain

if TYPE_CHECKING:
    from core.engine.base import EngineName

UNCLAIMED_AFTER = 5.0
"""Seconds after which it is said that no worker has taken a task."""

_CODES = {
    TaskStatus.COMPLETED: ExitCode.DONE,
    TaskStatus.FAILED: ExitCode.FAILED,
    TaskStatus.CANCELLED: ExitCode.CANCELLED,
    TaskStatus.TIMEOUT: ExitCode.TRY_AGAIN,
}


def verdict(task: Task) -> ExitCode:
    """The exit code for a final task."""
    return _CODES[task.status]


def explain(task: Task) -> None:
    """On stderr: why a final task is not completed, and what can be done."""
    if task.status is TaskStatus.COMPLETED:
        return
    happened = (task.status_message or "").strip() or f"The task ended as {task.status.value}."
    advice = f" `stepline tasks retry {task.id}` tries again." if task.can_retry else ""
    complain(f"task #{task.id}: {happened}{advice}")


def unclaimed(task_id: int, engine: "EngineName", task: Task | None) -> str:
    """What is said of a task that has waited for so long; `task` as far as it is known."""
    if engine == "n8n":
        known = (task.status_message if task is not None else None) or ""
        why = f": {known.strip().rstrip('.')}" if known.strip() else ""
        return f"n8n has not begun task #{task_id} yet{why}. `stepline doctor` finds out more."
    return (
        f"No worker has taken task #{task_id} yet; "
        "`stepline worker` starts one, `stepline doctor` finds out more."
    )


def goes_on(task_id: int) -> str:
    """What can be done about a task that we no longer wait for."""
    return (
        f"task #{task_id} goes on: `stepline tasks watch {task_id}` follows it, "
        f"`stepline tasks cancel {task_id}` stops it."
    )
