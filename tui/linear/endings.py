"""How a task ended, in the words of the linear mode."""

from core.models import Task, TaskStatus
from tui.format import duration
from tui.paint.facts import ended, generated

_WORDS = {TaskStatus.FAILED: "Failed", TaskStatus.TIMEOUT: "Timed out"}


def ending(task: Task) -> str:
    """A final task in one sentence; where it can be retried, with the command that does it."""
    if task.status is TaskStatus.COMPLETED:
        if task.task_type == "chat":
            return generated(task)
        return f"Completed in {duration(task.elapsed(task.updated_at))}"
    why = ended(task)
    word = _WORDS.get(task.status, "")
    sentence = why if word.lower() in why.lower() else f"{word}: {why}"
    sentence += "" if why.endswith((".", "!", "?")) else "."
    return f"{sentence} /retry {task.id} tries again." if task.can_retry else sentence
