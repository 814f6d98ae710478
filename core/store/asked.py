"""What is asked of a database, in its own terms."""

from typing import Any

from core.models import TaskFilter


def asked(wanted: TaskFilter) -> dict[str, Any]:
    """A filter as the parameters of `task_ids`."""
    return {
        "statuses": [status.value for status in wanted.statuses] or None,
        "types": list(map(storable, wanted.types)) or None,
        "since": wanted.since,
        "conversation": wanted.conversation_id,
        "words": " ".join(storable(wanted.text).split()) or None,
    }


def storable(text: str) -> str:
    """Text as a database can hold it."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()
