"""The benchmarks at their smallest: that they run and that what they see is right, not times."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import NAMES

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_small_run_finds_everything_right(name: str):
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--small", name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["wrong"] == []
    assert bool(report["figures"]) != (report["left_out"] == ["n8n: it takes minutes"])
    for figure in report["figures"]:
        assert {"figure", "size", "value", "unit"} <= set(figure)
        assert figure["value"] == figure["value"], "not a number"


def test_an_unknown_name_is_told_with_those_there_are():
    done = subprocess.run(
        [sys.executable, "-m", "bench", "sart"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "start" in done.stderr
