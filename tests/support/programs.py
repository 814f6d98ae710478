"""Programs that the tests of terminals need."""

import os
import shutil

import pytest


def needs(program: str) -> str:
    """The program's path; without it the test is skipped, and where .ci/run runs it, fails."""
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None and "STEPLINE_TEST_NEEDS_ALL" in os.environ:
        pytest.fail(f"{program} is not installed; .ci/run installs it")
    if found is None:
        pytest.skip(f"needs {program}")
    return found
