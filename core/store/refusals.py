"""What the schema itself refuses, in the words of core: the same through every store."""

from core.errors import (
    IllegalTransitionError,
    InputError,
    NotFoundError,
    SchemaError,
    SteplineError,
)
from core.text import clean_line
from schema.version import latest_version

_ERRORS: dict[str, type[SteplineError]] = {
    "SL001": IllegalTransitionError,
    "SL003": NotFoundError,
    "SL004": InputError,
}


def refusal(sqlstate: str | None, message: str) -> SteplineError | None:
    """The error for one of the schema's own states; None for any other."""
    if sqlstate not in _ERRORS:
        return None
    text = clean_line(message)
    return _ERRORS[sqlstate](f"{text[:1].upper()}{text[1:]}.")


def check_version(have: int) -> None:
    """Raises SchemaError unless this is the schema's version that this program needs."""
    need = latest_version()
    if have < need:
        raise SchemaError(
            f"The database's schema is at version {have}, and this program needs {need}: "
            "run `stepline migrate`."
        )
    if have > need:
        raise SchemaError(
            f"The database's schema is at version {have}, newer than this program knows "
            f"({need}): update stepline."
        )
