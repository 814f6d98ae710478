"""What the three services of the stand-in share: keys, tokens, faults, connections."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import jwt
import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

Connection = psycopg.AsyncConnection[dict[str, Any]]


class TokenError(Exception):
    """A token that is not accepted: expired, or not ours."""

    def __init__(self, message: str, *, expired: bool = False) -> None:
        super().__init__(message)
        self.expired = expired


@dataclass
class Faults:
    """What goes wrong next. Each counts down as requests whose path begins with `where` come."""

    refuse: int = 0
    """So many requests are answered `status`."""
    status: int = 503
    retry_after: str | None = None
    hang: int = 0
    """So many are never answered; the connection stays open."""
    drop: int = 0
    """So many are cut off without an answer, before anything was done."""
    drop_late: int = 0
    """So many are done, and cut off before the answer is sent."""
    where: str = "/"
    seen: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Method and path of every request so far."""

    def next(self, path: str) -> str | None:
        """What is to go wrong with this request: the name of a fault, counted down."""
        if path.startswith(self.where):
            for name in ("refuse", "hang", "drop", "drop_late"):
                if (left := getattr(self, name)) > 0:
                    setattr(self, name, left - 1)
                    return name
        return None


class Project:
    """Keys, tokens and the database of one project."""

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        """As the owner of the database."""
        self.secret = "a secret that only this stand-in knows, 32 bytes or more"
        self.issuer = "stepline-stand-in"
        self.skew = 0.0
        """Seconds that the services' clock is ahead of the database's."""
        self.token_seconds = 3600
        """How long an access token lasts."""
        self.max_rows = 1000
        """PostgREST's row limit, as projects have it."""
        self.faults = Faults()
        self.anon_key = self._key("anon")
        self.service_key = self._key("service_role")
        self._issued: set[str] = set()
        self._expired: set[str] = set()
        self._idle: list[Connection] = []

    def now(self) -> float:
        """The services' clock."""
        return time.time() + self.skew

    def token(self, user_id: UUID, session_id: UUID, **claims: Any) -> str:
        """A new access token."""
        now = int(self.now())
        token = self.sign(
            {
                "iss": self.issuer,
                "sub": str(user_id),
                "aud": "authenticated",
                "role": "authenticated",
                "session_id": str(session_id),
                "iat": now,
                "exp": now + self.token_seconds,
                "jti": str(uuid4()),
                **claims,
            }
        )
        self._issued.add(token)
        return token

    def sign(self, claims: dict[str, Any]) -> str:
        """A token with exactly these claims."""
        return jwt.encode(claims, self.secret, "HS256")

    def claims(self, token: str) -> dict[str, Any]:
        """The claims of a token; raises TokenError for one that is not good now."""
        try:
            claims = jwt.decode(
                token,
                self.secret,
                ["HS256"],
                options={"verify_exp": False, "verify_aud": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError as error:
            raise TokenError(str(error)) from None
        if token in self._expired or claims.get("exp", float("inf")) <= self.now():
            raise TokenError("JWT expired", expired=True)
        return claims

    def expire_tokens(self) -> None:
        """Every access token issued so far counts as expired from now on."""
        self._expired |= self._issued

    def key_ok(self, key: str | None) -> bool:
        """Whether this is one of the project's API keys."""
        return key in (self.anon_key, self.service_key)

    @asynccontextmanager
    async def acting(self, claims: dict[str, Any]) -> AsyncIterator[Connection]:
        """A transaction as the role that the claims name, as PostgREST begins one."""
        connection = await self._connection()
        try:
            async with connection.transaction():
                await connection.execute(
                    "SELECT set_config('role', %s, true),"
                    " set_config('request.jwt.claims', %s, true)",
                    (claims.get("role", "anon"), json.dumps(claims)),
                )
                yield connection
        finally:
            if connection.closed or connection.broken:
                await connection.close()
            else:
                self._idle.append(connection)

    @asynccontextmanager
    async def owner(self) -> AsyncIterator[Connection]:
        """A connection that row security does not bind, for Auth's own tables."""
        async with await Connection.connect(
            self.conninfo, autocommit=True, row_factory=dict_row
        ) as connection:
            yield connection

    async def close(self) -> None:
        """Closes the connections."""
        await asyncio.gather(*(connection.close() for connection in self._idle))
        self._idle.clear()

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        # The role that PostgREST connects as: it can do nothing but act as others.
        conninfo = make_conninfo(self.conninfo, user="authenticator")
        return await Connection.connect(
            conninfo, autocommit=True, row_factory=dict_row, options="-c timezone=UTC"
        )

    def _key(self, role: str) -> str:
        return self.sign({"iss": "supabase", "role": role, "iat": 1600000000, "exp": 4000000000})
