"""What a task comes down to: its facts, and, once it has ended, one sentence."""

from datetime import datetime

from core.models import Task, TaskStatus
from tui.format import count, duration

_NO_REASON = {
    TaskStatus.FAILED: "The task failed.",
    TaskStatus.TIMEOUT: "The task took longer than its limit and was stopped.",
    TaskStatus.CANCELLED: "Cancelled.",
}


def described(task: Task, now: datetime) -> list[tuple[str, str]]:
    """What is known of a task besides its payloads, each fact with its name."""
    facts = {
        "task": f"#{task.id} {task.task_type}",
        "status": task.status.value,
        "message": task.status_message,
        "attempt": str(task.attempt),
        "retry of": task.retry_of and f"#{task.retry_of}",
        "retried by": task.retried_by and f"#{task.retried_by}",
        "execution": task.n8n_execution_id,
        "created": f"{task.created_at.astimezone():%Y-%m-%d %H:%M:%S}",
        "time": f"{duration(task.elapsed(now))} of {duration(task.timeout_seconds, tenths=False)}",
    }
    return [(name, str(value)) for name, value in facts.items() if value]


def generated(task: Task) -> str:
    """`Generated in 12.0s using openai/gpt-4o, 843 tokens`, as far as it is known."""
    output = task.output
    seconds = output.get("response_time_seconds")
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        seconds = task.elapsed(task.updated_at)
    text = f"Generated in {duration(float(seconds))}"
    model = output.get("model_used")
    if isinstance(model, str) and model:
        text += f" using {model}"
    tokens = output.get("tokens_used")
    if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens > 0:
        text += f", {count(tokens)} {'token' if tokens == 1 else 'tokens'}"
    return text


def notice(task: Task) -> str:
    """What the worker has to say of a whole answer, such as that it was cut at max_tokens."""
    said = task.output.get("notice")
    return said if isinstance(said, str) else ""


def ended(task: Task) -> str:
    """Why a task that did not complete ended, in one sentence."""
    message = " ".join((task.status_message or "").split())
    if task.status is TaskStatus.CANCELLED and not message.lower().startswith("cancel"):
        # The message is the last step's, from before the cancel.
        return _NO_REASON[TaskStatus.CANCELLED]
    return message or _NO_REASON.get(task.status, task.status.value)
