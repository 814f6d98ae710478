"""How long commands take from exec to exit, beside a bare interpreter.

Prints one JSON object: the best of N runs of each, in seconds and as a multiple of `python -c
pass`. The machine decides the seconds; the multiples compare between machines.

    python bench/startup.py [--runs N]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.command import COMMAND, Stepline, isolated  # noqa: E402


def best(command: Sequence[str | Path], stepline: Stepline, runs: int) -> float:
    """The shortest of `runs` runs, in seconds; the first one, which warms the caches, apart."""
    times: list[float] = []
    for _ in range(runs + 1):
        begun = time.perf_counter()
        subprocess.run(
            command,
            env=dict(stepline.env),
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        times.append(time.perf_counter() - begun)
    return min(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    from core.store.embedded import EmbeddedServer

    with tempfile.TemporaryDirectory(prefix="slbench", dir="/tmp") as home:
        stepline = isolated(Path(home))
        seconds = {
            "python -c pass": best([sys.executable, "-c", "pass"], stepline, runs),
            "stepline --version": best([COMMAND, "--version"], stepline, runs),
            "stepline --help": best([COMMAND, "--help"], stepline, runs),
            "stepline config show": best([COMMAND, "config", "show"], stepline, runs),
            "stepline tasks list, server stopped": best([COMMAND, "tasks", "list"], stepline, runs),
        }
        server = EmbeddedServer(Path(stepline.env["STEPLINE_DATA_DIR"]))
        server.start()
        try:
            seconds["stepline tasks list"] = best([COMMAND, "tasks", "list"], stepline, runs)
        finally:
            server.release()
    bare = seconds["python -c pass"]
    report = {
        name: {
            "seconds": round(value, 3),
            "beyond_python_s": round(value - bare, 3),
            "times_python": round(value / bare, 1),
        }
        for name, value in seconds.items()
    }
    print(json.dumps({"runs": runs, "commands": report}, indent=2))


if __name__ == "__main__":
    main()
