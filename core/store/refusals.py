"""What a store says when it refuses or does not answer, in the words of core: the same in each."""

from core.errors import (
    IllegalTransitionError,
    InputError,
    NotFoundError,
    SchemaError,
    SteplineError,
    StoreUnreachableError,
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


def unreachable(who: str, said: str, *, known: bool = True) -> StoreUnreachableError:
    """`known`: whether what was asked has surely changed nothing, or may be asked again."""
    then = (
        "Nothing is lost; try again, or run `stepline doctor`."
        if known
        else "It may have been done all the same: see `stepline tasks list` before you try again."
    )
    return StoreUnreachableError(f"{who} does not answer ({said}). {then}")


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
