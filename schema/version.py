"""Which schema version this program needs, without the driver that applying it takes."""

import re
from functools import cache
from importlib.resources import files

FILE_NAME = re.compile(r"(\d{4})_(\w+)\.sql")
"""What a migration's file is called."""


@cache
def latest_version() -> int:
    """The number of the newest migration."""
    found = (
        FILE_NAME.fullmatch(file.name) for file in files("schema").joinpath("migrations").iterdir()
    )
    return max(int(match[1]) for match in found if match)
