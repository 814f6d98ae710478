"""Loads named SQL statements from a `.sql` file beside the code that runs them."""

import re
from importlib.resources import files
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_queries(package: str, file: str) -> dict[str, LiteralString]:
    """Name -> statement, for a file of blocks that each begin with `-- name: x`."""
    text = files(package).joinpath(file).read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    return {
        name: cast(LiteralString, statement.strip().rstrip(";"))
        for name, statement in zip(parts[::2], parts[1::2], strict=True)
    }
