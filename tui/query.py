"""The filter line of the task list: `status:failed type:email since:2h word` -> `TaskFilter`."""

import json
import re
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from difflib import get_close_matches

from core.errors import InputError
from core.models import Task, TaskFilter, TaskStatus

_TERM = re.compile(
    r'(?P<key>[A-Za-z_]+):(?!//)(?P<value>"[^"]*"?|\S*)|"(?P<quoted>[^"]*)"?|(?P<word>\S+)'
)
_AGE = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_STATUS_WORDS: dict[str, tuple[TaskStatus, ...]] = {
    **{status.value: (status,) for status in TaskStatus},
    "running": (TaskStatus.PENDING, TaskStatus.PROCESSING),
    "done": (TaskStatus.COMPLETED,),
    "bad": (TaskStatus.FAILED, TaskStatus.TIMEOUT, TaskStatus.CANCELLED),
}
_KEYS = ("status", "type", "since", "conversation")
_LONGEST = timedelta(days=365 * 100)

EXAMPLE = "status:failed type:email since:2h word"


def parse(line: str, *, now: datetime, types: Collection[str] = ()) -> TaskFilter:
    """The filter that `line` asks for; an empty line asks for everything.

    `types` are the known task types: a misspelt one is refused, an unknown one that resembles none
    of them is let through, for rows outlive the workflow that made them. Raises `InputError`.
    """
    found: dict[str, list[str]] = {key: [] for key in _KEYS}
    words: list[str] = []
    for term in _TERM.finditer(line):
        key, value = term["key"], term["value"]
        if key is None:
            words.append(term["word"] if term["quoted"] is None else term["quoted"])
            continue
        found[_key(key)] += [part for part in value.strip('"').split(",") if part] or [""]
    return TaskFilter(
        statuses=tuple(
            dict.fromkeys(status for value in found["status"] for status in _statuses(value))
        ),
        types=tuple(dict.fromkeys(_type(value, types) for value in found["type"])),
        since=max((_since(value, now) for value in found["since"]), default=None),
        conversation_id=_last(_conversation(value) for value in found["conversation"]),
        text=" ".join(word for word in words if word),
    )


def matches(wanted: TaskFilter, task: Task) -> bool:
    """Whether `task`, as just heard from the feed, belongs into a list filtered by `wanted`."""
    if wanted.statuses and task.status not in wanted.statuses:
        return False
    if wanted.types and task.task_type not in wanted.types:
        return False
    if wanted.since is not None and task.created_at < wanted.since:
        return False
    conversation = task.input.get("conversation_id")
    if wanted.conversation_id is not None and conversation != wanted.conversation_id:
        return False
    given = json.dumps(task.input_data, ensure_ascii=False)
    text = f"{task.status_message or ''} {task.task_type} {task.current_step or ''} {given}"
    return all(word in text.lower() for word in wanted.text.lower().split())


def _key(key: str) -> str:
    if key.lower() in _KEYS:
        return key.lower()
    near = get_close_matches(key.lower(), _KEYS, 1, 0.6)
    hint = f"did you mean “{near[0]}:”?" if near else f"there are {_listed(_KEYS)}."
    raise InputError(f"No filter “{key}:”; {hint} Put it in quotes to look for the text itself.")


def _statuses(value: str) -> tuple[TaskStatus, ...]:
    if value.lower() in _STATUS_WORDS:
        return _STATUS_WORDS[value.lower()]
    near = get_close_matches(value.lower(), _STATUS_WORDS, 1, 0.6)
    hint = f"did you mean “{near[0]}”?" if near else f"there are {_listed(_STATUS_WORDS)}."
    raise InputError(f"No status “{value}”; {hint}")


def _type(value: str, types: Collection[str]) -> str:
    if not value:
        raise InputError(f"type: needs a task type, such as {_listed(types) or 'chat'}.")
    near = get_close_matches(value, types, 1, 0.6)
    if near and value not in types:
        raise InputError(f"No task type “{value}”; did you mean “{near[0]}”?")
    return value


def _since(value: str, now: datetime) -> datetime:
    if age := _AGE.fullmatch(value.lower()):
        back = timedelta(**{_UNITS[age[2]]: int(age[1])})
        return now - min(back, _LONGEST)
    if value.lower() == "today":
        return now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        day = datetime.fromisoformat(value)
        return day.astimezone() if day.tzinfo is None else day
    except (ValueError, OverflowError):
        raise InputError(
            "since: takes an age or a day, such as 30m, 2h, 7d, today or 2025-06-01,"
            f" not “{value}”."
        ) from None


def _conversation(value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise InputError(f"conversation: takes a number, such as conversation:12, not “{value}”.")
    return int(value)


def _last(values: Iterable[int]) -> int | None:
    return next(iter([*values][-1:]), None)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
