"""Turns reports of `python -m bench` into the table of the README.

python -m bench > report.json
python -m bench.table report.json [MORE.json ...]
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_HEAD = (
    "| figure | taken at | value | at most | yardstick | larger sizes |\n|---|---|---|---|---|---|"
)


def rows(figures: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A row per figure: the first size, and how it grows."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for figure in figures:
        by_name.setdefault(figure["figure"], []).append(figure)
    for name, (first, *larger) in by_name.items():
        unit = first["unit"]
        limit = _short(first["limit"], unit) if "limit" in first else ""
        if first.get("missed"):
            limit = f"**{limit}, missed**"
        yardstick = first.get("yardstick")
        beside = f"{yardstick['what']}: {_short(yardstick['value'], unit)}" if yardstick else ""
        growth = ", ".join(f"{each['size']:,}: {_short(each['value'], unit)}" for each in larger)
        value = _short(first["value"], unit)
        yield f"| {name} | {first['size']:,} | {value} | {limit} | {beside} | {growth} |"


def _short(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value * 1000:,.1f} ms" if value < 0.1 else f"{value:,.2f} s"
    return f"{value:,.4g} {unit}"


def main() -> None:
    """Prints the table of the reports that were named."""
    figures: list[dict[str, Any]] = []
    for name in sys.argv[1:]:
        figures += json.loads(Path(name).read_text())["figures"]
    print("\n".join([_HEAD, *rows(figures)]))


if __name__ == "__main__":
    main()
