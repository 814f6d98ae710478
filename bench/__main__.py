"""Prints what stepline costs, as one JSON object; see `--help`.

Exit code 0 when everything was measured, whether or not a limit was missed; 1 when a result, not a
time, was wrong.
"""

import argparse
import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib import import_module
from typing import cast

from bench.figure import Benchmark, Figure, LeftOutError

NAMES = (
    "start",
    "commands",
    "motion",
    "paint",
    "realtime",
    "burst",
    "conversation",
    "history",
    "link",
    "n8n",
    "soak",
)
"""Every benchmark, in the order of the run; `n8n` takes minutes, `soak` half an hour."""


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measures stepline beside yardsticks from the same run; prints JSON.",
        epilog="The first size is the one that limits are for; the larger ones show growth.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all")
    parser.add_argument("--small", action="store_true", help="the smallest sizes: a smoke test")
    parser.add_argument("--sizes", help="other sizes, separated by commas")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in NAMES]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}: there are {', '.join(NAMES)}")
    report: dict[str, object] = {"machine": _machine(), "begun": _now()}
    figures: list[Figure] = []
    wrong: list[str] = []
    left_out: list[str] = []
    for name in given.names or NAMES:
        benchmark = cast(Benchmark, import_module(f"bench.{name}"))
        sizes = benchmark.SMALL if given.small else benchmark.SIZES
        if given.sizes:
            sizes = [int(size) for size in given.sizes.split(",")]
        try:
            for figure in benchmark.run(sizes):
                figures.append(figure)
                print(f"{name}: {_line(figure)}", file=sys.stderr, flush=True)
        except LeftOutError as error:
            left_out.append(f"{name}: {error}")
            print(f"{name}: left out: {error}", file=sys.stderr, flush=True)
        except AssertionError as error:
            wrong.append(f"{name}: {error}")
            print(f"{name}: WRONG: {error}", file=sys.stderr, flush=True)
    report["ended"] = _now()
    report["figures"] = [figure.as_json() for figure in figures]
    report["missed"] = [_line(figure) for figure in figures if figure.missed]
    report["left_out"] = left_out
    report["wrong"] = wrong
    print(json.dumps(report, indent=2, ensure_ascii=False))
    return 1 if wrong else 0


def _line(figure: Figure) -> str:
    said = f"{figure.name} [{figure.size}] {figure.value:.4g} {figure.unit}"
    if figure.limit is not None:
        said += f" (at most {figure.limit:.4g}{', MISSED' if figure.missed else ''})"
    if figure.yardstick is not None:
        said += f"; {figure.yardstick.what}: {figure.yardstick.value:.4g}"
    return f"{said}; {figure.note}" if figure.note else said


def _machine() -> dict[str, object]:
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    sys.exit(main())
