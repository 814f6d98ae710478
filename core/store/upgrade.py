"""The schema runner with its failures in the words of core."""

from collections.abc import Generator
from contextlib import contextmanager

import psycopg

from core.errors import SchemaError, StoreUnreachableError
from core.logs import mask
from core.store.connections import not_understood, reason
from schema import runner
from schema.runner import Migration, MigrationError, MigrationStatus


def upgrade(conninfo: str) -> list[Migration]:
    """Applies the missing migrations and returns them.

    Raises SchemaError, ConfigError for a URL that is none, StoreUnreachableError.
    """
    with _told():
        return runner.migrate(conninfo)


def schema_status(conninfo: str) -> list[MigrationStatus]:
    """Every migration, applied or not; raises as `upgrade`."""
    with _told():
        return runner.status(conninfo)


@contextmanager
def _told() -> Generator[None]:
    try:
        yield
    except MigrationError as error:
        raise SchemaError(str(error)) from error
    except psycopg.ProgrammingError as error:
        if error.sqlstate is None:
            raise not_understood() from None
        raise SchemaError(f"The database refused: {_words(error)}.") from error
    except psycopg.OperationalError as error:
        raise StoreUnreachableError(
            f"The database cannot be reached: {_words(error)}. Check the URL and the network, "
            "and try again."
        ) from error


def _words(error: Exception) -> str:
    return mask(reason(error)).rstrip(".")
