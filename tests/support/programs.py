"""Programs that tests need: without them they are skipped, and where .ci/run runs them, fail."""

import os
import shutil
from typing import NoReturn

import pytest

from tests.support.n8n_install import installed


def needs(program: str) -> str:
    """The program's path."""
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    return found or _lacks(f"needs {program}, which .ci/run installs")


def needs_n8n() -> None:
    """The pinned n8n."""
    if not installed():
        _lacks("needs n8n: python -m tests.support.n8n_install")


def _lacks(what: str) -> NoReturn:
    if "STEPLINE_TEST_NEEDS_ALL" in os.environ:
        pytest.fail(what)
    pytest.skip(what)
