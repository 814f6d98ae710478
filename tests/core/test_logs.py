"""The log file: private, shared, rotated, without secrets, harmless when it cannot be written."""

import logging
import stat
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Root logger and warnings as they were."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logs._secrets.clear()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_it_is_a_private_file_in_the_state_directory(tmp_path: Path):
    path = logs.setup(tmp_path / "deep/state", name="worker")
    logging.getLogger("x").info("hello %s", "world")
    assert path == tmp_path / "deep/state/worker.log"
    assert "INFO x: hello world" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_nothing_goes_to_the_terminal(tmp_path: Path):
    code = (
        "import logging, warnings; from pathlib import Path; from core import logs;"
        f"logs.setup(Path({str(tmp_path)!r}));"
        "logging.getLogger('x').error('an error'); warnings.warn('a warning')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, cwd=Path.cwd()
    )
    assert (done.stdout, done.stderr) == (b"", b"")
    text = logs.log_path(tmp_path).read_text()
    assert "an error" in text
    assert "a warning" in text


def test_a_second_setup_replaces_the_first(tmp_path: Path):
    first = logs.setup(tmp_path / "a")
    second = logs.setup(tmp_path / "b")
    logging.getLogger("x").info("once")
    assert not first.exists()
    assert second.read_text().count("once") == 1


SECRETS = {
    "a key we were told": "the-very-key-1234",
    "an OpenRouter key": "sk-or-v1-0123456789abcdef",
    "a URL's password": "postgresql://me:hunter2@db.example.com/x",
    "a bearer token": "Authorization: Bearer abc.def-ghi",
    "a JSON Web Token": "eyJhbGciOi.eyJzdWIiOi.SflKxwRJ",
    "a conninfo": "host=db user=me password=hunter2",
    "a header in JSON": '{"api_key": "hunter2-and-more"}',
}


@pytest.mark.parametrize("what", SECRETS)
@pytest.mark.parametrize("how", ["message", "argument", "traceback"])
def test_secrets_are_masked(tmp_path: Path, what: str, how: str):
    path = logs.setup(tmp_path, secrets=["the-very-key-1234"])
    text = SECRETS[what]
    log = logging.getLogger("x")
    if how == "message":
        log.info(text)
    elif how == "argument":
        log.info("said: %s", {"deep": [text]})
    else:
        try:
            int(text)
        except ValueError:
            log.exception("it failed")
    written = path.read_text()
    assert "[secret]" in written
    for secret in ("very-key", "0123456789", "hunter2", "abc.def", "SflKxwRJ"):
        assert secret not in written


def test_a_second_setup_still_knows_the_secrets(tmp_path: Path):
    logs.setup(tmp_path / "a", secrets=["the-very-key-1234"])
    path = logs.setup(tmp_path / "b")
    logging.getLogger("x").info("the-very-key-1234")
    assert "the-very-key-1234" not in path.read_text()


def test_what_only_looks_harmless_stays(tmp_path: Path):
    path = logs.setup(tmp_path, secrets=["a", ""])
    logging.getLogger("x").info("task 12 of https://example.com/a:b took 843 tokens")
    assert "task 12 of https://example.com/a:b took 843 tokens" in path.read_text()


def test_it_rotates_and_keeps_a_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logs, "MAX_BYTES", 2000)
    path = logs.setup(tmp_path)
    for number in range(200):
        logging.getLogger("x").info("line %d %s", number, "x" * 50)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["stepline.log"] + [
        f"stepline.log.{number}" for number in range(1, logs.BACKUPS + 1)
    ]
    assert all(file.stat().st_size <= 2000 for file in files)
    assert "line 199 " in path.read_text()


def test_ten_processes_share_it_without_losing_a_line(tmp_path: Path):
    code = (
        "import logging, sys; from pathlib import Path; from core import logs;"
        "logs.MAX_BYTES, logs.BACKUPS = 50_000, 50;"
        f"logs.setup(Path({str(tmp_path)!r}));"
        "[logging.getLogger('x').info('<%s-%d> %s', sys.argv[1], n, 'x' * 100)"
        " for n in range(200)]"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(number)], cwd=Path.cwd())
        for number in range(10)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 10
    text = "".join(file.read_text() for file in tmp_path.glob("stepline.log*"))
    missing = [
        f"<{writer}-{line}>"
        for writer in range(10)
        for line in range(200)
        if f"<{writer}-{line}>" not in text
    ]
    assert missing == []
    assert len(list(tmp_path.glob("stepline.log*"))) > 2


def test_a_full_disk_only_loses_the_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    path = logs.setup(tmp_path)
    path.symlink_to("/dev/full")
    logging.getLogger("x").error("nowhere to go")
    with warnings.catch_warnings():
        logging.getLogger("x").warning("again")
    path.unlink()
    logging.getLogger("x").info("room again")
    assert "room again" in path.read_text()
    assert capfd.readouterr() == ("", "")


def test_a_directory_that_cannot_be_made_means_no_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    (tmp_path / "file").write_text("")
    logs.setup(tmp_path / "file/state")
    logging.getLogger("x").error("nowhere to go")
    assert capfd.readouterr() == ("", "")


def test_a_lone_surrogate_is_written(tmp_path: Path):
    path = logs.setup(tmp_path)
    root = logging.getLogger()
    # What pytest captures is sent between test processes, which this cannot be.
    root.handlers[:] = [each for each in root.handlers if "pytest" not in type(each).__module__]
    logging.getLogger("x").info("\udcff")
    assert "\\udcff" in path.read_text()
