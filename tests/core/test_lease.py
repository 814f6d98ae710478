"""File leases, between objects and between processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.lease import Lease, exclusively

_HOLD = """
import sys
from pathlib import Path
from core.lease import Lease
lease = Lease(Path(sys.argv[1]))
lease.acquire_shared()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.lease"


def test_many_share_and_none_is_alone(path: Path):
    one, two, three = Lease(path), Lease(path), Lease(path)
    one.acquire_shared()
    two.acquire_shared()
    assert one.held
    assert two.held
    assert not three.try_exclusive()
    assert not three.held
    one.release()
    assert not three.try_exclusive()
    two.release()
    assert three.try_exclusive()
    assert not one.try_exclusive()
    three.release()


def test_the_last_holder_becomes_the_only_one(path: Path):
    lease = Lease(path)
    lease.acquire_shared()
    assert lease.try_exclusive()
    lease.release()
    lease.release()
    assert not lease.held


def test_a_killed_holder_leaves_nothing(path: Path):
    mine = Lease(path)
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert not mine.try_exclusive()
        other.kill()
        other.wait()
        assert mine.try_exclusive()
    mine.release()


def test_a_started_program_does_not_inherit_it(path: Path):
    mine, theirs = Lease(path), Lease(path)
    mine.acquire_shared()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False):
        mine.release()
        assert theirs.try_exclusive()
    theirs.release()


def test_a_removed_file_is_made_anew(path: Path):
    old = Lease(path)
    assert old.try_exclusive()
    path.unlink()
    new = Lease(path)
    assert new.try_exclusive()
    assert not Lease(path).try_exclusive()
    new.release()
    old.release()


def test_a_link_is_not_followed(path: Path, tmp_path: Path):
    target = tmp_path / "precious"
    target.write_text("x")
    path.symlink_to(target)
    with pytest.raises(OSError, match="symbolic link"):
        Lease(path).try_exclusive()


def test_waiting_for_a_taken_file_ends(path: Path):
    taken = Lease(path)
    assert taken.try_exclusive()
    with pytest.raises(TimeoutError), exclusively(path, timeout_seconds=0.02):
        pass
    taken.release()
    with exclusively(path, timeout_seconds=0.02) as mine:
        assert mine.held
    assert not mine.held
