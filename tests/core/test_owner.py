"""Whose texts are kept where: a name per store and user, and the embedded one as ever."""

import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from psycopg.conninfo import conninfo_to_dict

from core.auth.files import SessionFile
from core.owner import database_of, known_user, owner_name
from core.settings import Settings, load_settings
from tests.support.tokens import tokens_of

ADA, EVE = UUID(int=1), UUID(int=2)
HERE, THERE = "https://here.supabase.co", "https://there.supabase.co"


@pytest.fixture(autouse=True)
def no_libpq(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)


def settings_of(directory: Path, **env: str) -> Settings:
    return load_settings(data_dir=directory, env={"XDG_CONFIG_HOME": str(directory), **env})


def project(directory: Path, url: str = HERE, **env: str) -> Settings:
    return settings_of(directory, SUPABASE_URL=url, SUPABASE_ANON_KEY="anon", **env)


def test_the_embedded_name_stays(tmp_path: Path) -> None:
    assert owner_name(settings_of(tmp_path), None) == "embedded"
    assert owner_name(settings_of(tmp_path), ADA) == "embedded"


def test_projects_and_their_users_are_apart(tmp_path: Path) -> None:
    names = [
        owner_name(project(tmp_path, url), user)
        for url in (HERE, THERE)
        for user in (ADA, EVE, None)
    ]
    assert len({*names, "embedded"}) == 7
    assert names[0] == owner_name(project(tmp_path), ADA)
    assert names[0].startswith("here.supabase.co-")


def test_databases_and_users_are_apart_and_passwords_play_no_part(tmp_path: Path) -> None:
    def name(url: str, **env: str) -> str:
        return owner_name(settings_of(tmp_path, STEPLINE_DB_URL=url, **env), None)

    one = name("postgresql://me:first@db.example.org/one")
    assert one.startswith("embedded-")
    assert one == name("postgresql://me:second@db.example.org:5432/one?sslmode=require")
    others = [
        name("postgresql://me:first@db.example.org/two"),
        name("postgresql://me:first@db.example.org:5433/one"),
        name("postgresql://me:first@example.org/one"),
        name("postgresql://me:first@db.example.org/one", STEPLINE_USER="ada"),
        name("postgresql://me:first@db.example.org/one", STEPLINE_USER="eve"),
    ]
    assert len({one, *others}) == 6


@pytest.mark.parametrize(
    "conninfo",
    [
        "postgresql://me:p%40ss@db.example.org:6543/stepline?sslmode=require",
        "postgres://db.example.org",
        "postgresql://me@[::1]:6543/stepline",
        "postgresql://me@one:1,two:2/stepline",
        "postgresql:///stepline?host=/tmp/socket&port=5433",
        "postgresql://me@%2Ftmp%2Fsocket/stepline",
        "host=/tmp/socket port=5433 dbname=stepline user=me",
        r"host = 'a b' password='it\'s dbname=no' dbname='st\\ep'",
        "service=work",
    ],
)
def test_a_database_is_the_one_that_libpq_reads(conninfo: str) -> None:
    read = conninfo_to_dict(conninfo)
    service, host, port, name = database_of(conninfo)
    assert service == read.get("service", "")
    assert host == read.get("host", "")
    assert port == str(read.get("port", 5432))
    assert name == read.get("dbname", read.get("user", ""))


def test_what_is_no_address_is_none() -> None:
    assert database_of("postgresql://[") == database_of("") == ("", "", "5432", "")


def test_the_kept_session_says_who_it_is(tmp_path: Path) -> None:
    settings = project(tmp_path)
    assert known_user(settings) is None
    SessionFile.of(settings.state_dir, HERE).write(tokens_of(ADA))
    assert known_user(settings) == ADA
    assert known_user(project(tmp_path, THERE)) is None
    assert known_user(settings_of(tmp_path)) is None


def test_the_environments_token_says_who_it_is(tmp_path: Path) -> None:
    access = tokens_of(EVE).access.get_secret_value()
    SessionFile.of(project(tmp_path).state_dir, HERE).write(tokens_of(ADA))
    assert known_user(project(tmp_path, STEPLINE_ACCESS_TOKEN=access)) == EVE
    assert known_user(project(tmp_path, STEPLINE_REFRESH_TOKEN="later")) is None
    assert known_user(project(tmp_path, STEPLINE_ACCESS_TOKEN="no token")) is None


def test_nothing_slow_is_imported_for_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from core.settings import load_settings;"
        "from core.owner import known_user, owner_name;"
        f"of = lambda **env: load_settings(data_dir=Path({str(tmp_path)!r}), env=env);"
        "a = of(SUPABASE_URL='https://a.supabase.co', SUPABASE_ANON_KEY='anon');"
        "b = of(STEPLINE_DB_URL='postgresql://a/b');"
        "[owner_name(each, known_user(each)) for each in (a, b)];"
        "print({'psycopg', 'httpx', 'supabase', 'jwt', 'core.session'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
