"""Which part may import which, and what a part may drag in."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_imports_point_one_way() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_core_runs_without_a_screen() -> None:
    code = """
import importlib, pkgutil, sys
import core, schema
for package in (core, schema):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
print(sorted({"textual"} & {name.partition(".")[0] for name in sys.modules}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_services_load_neither_screen_nor_command_line() -> None:
    # httpx, which only a worker needs, brings click and rich along where they are installed.
    code = """
import sys
import core.session, core.store.postgres
print(sorted({"textual", "rich", "click", "httpx"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from tui.cli import main
main(["--help"])
heavy = {"textual", "rich", "pydantic", "psycopg", "httpx", "jsonschema"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage:")
    assert done.stderr.strip() == "[]"
