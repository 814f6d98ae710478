"""What a `postgres_changes` frame is taken for: which row may have changed, and nothing else."""

from collections.abc import Mapping
from typing import Any, cast

from core.changes import Hint, Table

_BIGINT = 2**63


def hint(payload: Mapping[str, Any]) -> Hint | None:
    """A hint from a frame's payload; None for what names no row of ours.

    Revision 0, which means to fetch the row whatever is known of it, where the frame does not say:
    a deletion (the old row has its key only), a cut payload (`errors`), a column left out.
    """
    data = _mapping(payload.get("data"))
    record = _mapping(data.get("record")) or _mapping(data.get("old_record"))
    try:
        table = Table(data.get("table", ""))
    except ValueError:
        return None
    row_id = _number(record.get("id"))
    if row_id is None:
        return None
    revision = 0 if data.get("errors") else _number(record.get("revision")) or 0
    return Hint(table, row_id, revision)


def _mapping(value: object) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}


def _number(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < _BIGINT else None
