"""Untrusted text is cleaned once, here, at the edge of core.

Model answers, status messages, error details and titles come from outside and may hold terminal
escape sequences. What is left after `clean` can be written to a terminal without moving its cursor,
changing its colours or its clipboard; the screen in turn never parses it as markup.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, JsonValue

# Whole escape sequences first, so that their visible tails ("[31m") go with them: OSC, DCS, SOS, PM
# and APC strings with their terminator, CSI, then two-character escapes. A string ends on its line
# or is none: an opening without its end must not swallow the rest of an answer. The one-character
# forms (C1) count only where they look real, because text that went through the wrong encoding is
# full of them. The body is possessive and holds no control, which keeps this linear.
_BODY = r"[^\x00-\x08\x0a-\x1f\x7f-\x9f]*+(?:\x07|\x1b\\|\x9c)"
_SEQUENCES = re.compile(
    rf"(?:\x1b[\]PX^_]|\x9d(?=\d)){_BODY}"
    r"|(?:\x1b\[|\x9b(?=[0-?]))[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
)
# C0 and C1 controls other than newline and tab; the bidirectional overrides and isolates, which
# reorder the text around them (right-to-left letters themselves stay); lone surrogates.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_DEEPEST = 100
_CUT = "…"
_NEWLINES = re.compile(r"\r\n?|\x85|\u2028|\u2029")


def clean(text: str) -> str:
    """`text` without escape sequences and control characters; newline and tab stay."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROLS.sub("", _NEWLINES.sub("\n", _SEQUENCES.sub("", text)))


def clean_line(text: str) -> str:
    """`text` cleaned and on one line: runs of white space become one space."""
    return " ".join(clean(text).split())


def clean_json(value: JsonValue, *, depth: int = _DEEPEST) -> JsonValue:
    """`value` with every string in it, keys included, cleaned; what is nested too deep is cut."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [clean_json(item, depth=depth - 1) for item in value] if depth else _CUT
    if isinstance(value, dict):
        if not depth:
            return _CUT
        return {clean(key): clean_json(item, depth=depth - 1) for key, item in value.items()}
    return value


CleanText = Annotated[str, AfterValidator(clean)]
CleanLine = Annotated[str, AfterValidator(clean_line)]
# Before: pydantic itself refuses, with an error for the whole row, what is nested too deep.
CleanJson = Annotated[JsonValue, BeforeValidator(clean_json)]
