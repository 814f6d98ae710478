"""The database as n8n reaches it, and the password of the role that it comes in as."""

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from core.errors import ConfigError, SteplineError, StoreUnreachableError
from core.models import JsonObject
from core.store.connections import not_understood, reason

if TYPE_CHECKING:
    from core.settings import Settings

ROLE = "stepline_worker"


@dataclass(frozen=True)
class Target:
    """Where n8n finds the database."""

    host: str
    port: int
    database: str
    user: str = ROLE
    password: SecretStr | None = None
    """None: the role is ours, and `give_password` makes one."""
    sslmode: str = "prefer"

    @property
    def ways(self) -> tuple[bool, ...]:
        """Whether to use TLS: what to try, one after the other."""
        if self.host.startswith("/") or self.sslmode == "disable":
            return (False,)
        return (True, False) if self.sslmode in ("allow", "prefer") else (True,)

    def credential(self, *, tls: bool) -> JsonObject:
        """What n8n's credential holds, but for the password."""
        verified = self.sslmode.startswith("verify")
        return {
            "host": self.host,
            "port": self.port,
            "database": self.database,
            "user": self.user,
            "ssl": "require" if tls else "disable",
            # n8n uses TLS wherever this is true, whatever `ssl` says.
            "allowUnauthorizedCerts": tls and not verified,
            "sshTunnel": False,
            "maxConnections": 10,
        }


def target_of(settings: "Settings") -> Target:
    """The database of these settings; raises `ConfigError` where n8n's way to it is not known."""
    if settings.n8n.database_url is not None:
        where = _parsed(settings.n8n.database_url)
        password = SecretStr(str(where.get("password") or ""))
        return _target(where, user=str(where.get("user") or ROLE), password=password)
    if settings.store == "postgres" and settings.database_url is not None:
        return _target(_parsed(settings.database_url))
    if settings.store == "embedded":
        from core.store.embedded.account import account_for
        from core.store.embedded.layout import DATABASE, PORT, Layout

        layout = Layout(settings.data_dir.expanduser().resolve())
        return Target(str(layout.socket_dir(account_for(layout.cluster))), PORT, DATABASE)
    raise ConfigError(
        "n8n needs the database's own address with the store supabase: set N8N_DATABASE_URL to "
        "the connection string of the project, for a role with the rights of stepline_worker."
    )


def give_password(conninfo: str) -> SecretStr:
    """Lets the worker's role log in, with a new password; blocks.

    The server gets a verifier only, so the password is in none of its logs.
    """
    password = secrets.token_urlsafe(32)
    try:
        with psycopg.connect(conninfo, autocommit=True, connect_timeout=10) as connection:
            verifier = connection.pgconn.encrypt_password(
                password.encode(), ROLE.encode(), b"scram-sha-256"
            )
            connection.execute(
                sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(
                    sql.Identifier(ROLE), verifier.decode()
                )
            )
    except psycopg.errors.InsufficientPrivilege:
        raise SteplineError(
            f"The database user of stepline may not let the role {ROLE} log in: have its owner do "
            f"it (ALTER ROLE {ROLE} LOGIN PASSWORD '...'), and set N8N_DATABASE_URL."
        ) from None
    except psycopg.errors.UndefinedObject:
        raise SteplineError(
            f"The database has no role {ROLE} yet: run `stepline migrate`, and push again."
        ) from None
    except psycopg.ProgrammingError as error:
        if error.sqlstate is None:
            raise not_understood() from None
        raise SteplineError(f"The database refused: {reason(error)}.") from None
    except psycopg.Error as error:
        raise StoreUnreachableError(
            f"The database does not answer ({reason(error)}); run `stepline doctor`."
        ) from None
    return SecretStr(password)


def _target(
    where: dict[str, str | int | None], user: str = ROLE, password: SecretStr | None = None
) -> Target:
    host = str(where.get("host") or "localhost").partition(",")[0]
    port = str(where.get("port") or 5432).partition(",")[0]
    database = str(where.get("dbname") or where.get("user") or "postgres")
    mode = str(where.get("sslmode") or "prefer")
    return Target(host, int(port), database, user, password, mode)


def _parsed(url: SecretStr) -> dict[str, str | int | None]:
    try:
        return dict(conninfo_to_dict(url.get_secret_value()))
    except psycopg.Error:
        raise not_understood() from None
