"""`stepline migrate` on the bundled PostgreSQL and by URL."""

from tests.support.command import Stepline
from tests.support.postgres_server import PostgresServer


def test_print_is_one_sql_text(bare: Stepline):
    done = bare.run("migrate", "--print")
    assert done.returncode == 0
    assert done.stdout.startswith("BEGIN;")
    assert "CREATE TABLE" in done.stdout


def test_status_then_migrate_then_nothing(bare: Stepline, postgres: PostgresServer):
    import psycopg

    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE cli_migrate")
    url = ["--db-url", postgres.conninfo("cli_migrate")]
    assert "missing" in bare.run("migrate", "--status", *url).stdout
    first = bare.run("migrate", *url)
    assert first.returncode == 0
    assert first.stdout.startswith("0001 ")
    again = bare.run("migrate", *url)
    assert (again.returncode, again.stdout) == (0, "")
    assert "missing" not in bare.run("migrate", "--status", *url).stdout


def test_unreachable_is_3_without_the_password(bare: Stepline):
    url = "postgresql://me:hunter2secret@127.0.0.1:1/none"
    done = bare.run("migrate", "--db-url", url)
    assert done.returncode == 3
    assert done.stderr.startswith("stepline: The database cannot be reached")
    assert done.stderr.count("\n") == 1
    assert "hunter2secret" not in done.stderr


def test_nonsense_for_a_url_is_2(bare: Stepline):
    done = bare.run("migrate", "--db-url", "nonsense")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_bundled_database(bare: Stepline):
    done = bare.run("migrate")
    assert done.returncode == 0
    assert bare.run("migrate", "--status").stdout.count("missing") == 0


def test_what_follows_an_at_sign_in_a_password_is_not_told(bare: Stepline) -> None:
    done = bare.having(STEPLINE_DB_URL="postgresql://me:hunter@2secret@127.0.0.1:1/x").run(
        "migrate"
    )
    assert done.returncode == 3
    assert "2secret" not in done.stdout + done.stderr
    assert "…@127.0.0.1" in done.stderr
