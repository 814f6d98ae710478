"""A test's database, and how to act in it as a user, as a worker or as nobody."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import DictRow, dict_row

Connection = psycopg.Connection[DictRow]


@dataclass(frozen=True)
class Database:
    """Where a test's own database is."""

    conninfo: str

    @contextmanager
    def owner(self) -> Iterator[Connection]:
        """A connection that row security does not bind: for setting scenes and for looking."""
        with psycopg.connect(self.conninfo, autocommit=True, row_factory=dict_row) as connection:
            yield connection

    @contextmanager
    def acting(self, role: str, user_id: UUID | None = None) -> Iterator[Connection]:
        """A connection as one of the roles of the API, with a user's claims if one is given."""
        with self.owner() as connection:
            claims = json.dumps({"role": role} | ({"sub": str(user_id)} if user_id else {}))
            connection.execute(
                "SELECT set_config('request.jwt.claims', %s, false), set_config('role', %s, false)",
                (claims, role),
            )
            yield connection

    def add_user(self) -> UUID:
        """A new row of auth.users."""
        user_id = uuid4()
        with self.owner() as connection:
            connection.execute(
                "INSERT INTO auth.users (id, email) VALUES (%s, %s)", (user_id, f"{user_id}@x.org")
            )
        return user_id

    @contextmanager
    def user(self, user_id: UUID | None = None) -> Iterator[Connection]:
        """A connection as a signed-in user, a new one if none is given."""
        with self.acting("authenticated", user_id or self.add_user()) as connection:
            yield connection

    @contextmanager
    def worker(self) -> Iterator[Connection]:
        """A connection as the worker's role."""
        with self.acting("stepline_worker") as connection:
            yield connection
