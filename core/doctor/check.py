"""What a check found."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad it is: `warn` still works, `fail` does not."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: a sentence, and what to do about it where something is to be done."""

    name: str
    verdict: Verdict
    sentence: str
    fix: str = ""


def ok(name: str, sentence: str) -> Check:
    """All is well."""
    return Check(name, Verdict.OK, sentence)


def warn(name: str, sentence: str, fix: str) -> Check:
    """It works, but not as well as it could."""
    return Check(name, Verdict.WARN, sentence, fix)


def fail(name: str, sentence: str, fix: str) -> Check:
    """It does not work."""
    return Check(name, Verdict.FAIL, sentence, fix)
