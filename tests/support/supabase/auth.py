"""The stand-in's Auth (GoTrue): sessions, codes by mail, refresh tokens that rotate.

Covered: password, code by mail, anonymous, refresh, user, logout, settings; refresh tokens as Auth
treats them (one used again within ten seconds, or right before the newest one is used, gives the
newest; any other reuse ends the session). Not covered: providers, factors, confirmations, rate
limits of its own. Passwords are kept as they are.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_urlsafe
from typing import Any
from uuid import UUID, uuid4

import psycopg
from aiohttp import web

from tests.support.supabase.project import Project, TokenError

REUSE_SECONDS = 10.0


@dataclass
class _Refresh:
    """One refresh token of a session."""

    token: str
    parent: str | None
    used_at: float | None = None


@dataclass
class _Session:
    user_id: UUID
    id: UUID = field(default_factory=uuid4)
    chain: list[_Refresh] = field(default_factory=list[_Refresh])
    revoked: bool = False

    def grow(self) -> str:
        token = token_urlsafe(12)
        self.chain.append(_Refresh(token, self.chain[-1].token if self.chain else None))
        return token


class AuthProblem(Exception):
    """An answer that is an error in Auth's own words."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Auth:
    """Users and sessions of one project. Everything below that tests use is safe to call from
    their own thread."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.anonymous = True
        """Whether the project allows anonymous users."""
        self.signup = True
        """Whether a code is mailed to whoever asks."""
        self.codes: dict[str, str] = {}
        """E-mail address -> the code that was mailed there last."""
        self.refreshes = 0
        """How many refresh tokens were accepted or refused so far."""
        self._sessions: list[_Session] = []
        self._seen: defaultdict[str, int] = defaultdict(int)

    def add_user(self, email: str, password: str = "correct horse") -> UUID:
        """A user who can sign in with a password."""
        user_id = uuid4()
        with psycopg.connect(self.project.conninfo, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO auth.users (id, email, encrypted_password) VALUES (%s, %s, %s)",
                (user_id, email, password),
            )
        return user_id

    def sign_in(self, user_id: UUID, **claims: Any) -> tuple[str, str]:
        """Access and refresh token of a new session, as a server is given them."""
        session = _Session(user_id)
        self._sessions.append(session)
        return self.project.token(user_id, session.id, **claims), session.grow()

    def revoke(self, user_id: UUID) -> None:
        """Ends the user's sessions. Tokens already given out stay good until they expire."""
        for session in self._sessions:
            if session.user_id == user_id:
                session.revoked = True

    # The requests

    async def token(self, request: web.Request) -> web.Response:
        """POST /token"""
        body = await request.json()
        kind = request.query.get("grant_type")
        if kind == "password":
            user = await self._user_by("email", str(body.get("email", "")).lower())
            if user is None or user["encrypted_password"] != body.get("password"):
                raise AuthProblem(400, "invalid_credentials", "Invalid login credentials")
            return self._begin(user)
        if kind == "refresh_token":
            self.refreshes += 1
            return await self._refresh(str(body.get("refresh_token", "")))
        raise AuthProblem(400, "validation_failed", "unsupported_grant_type")

    async def otp(self, request: web.Request) -> web.Response:
        """POST /otp"""
        body = await request.json()
        email = str(body.get("email") or "").lower()
        if "@" not in email:
            raise AuthProblem(400, "validation_failed", "Unable to validate email address")
        user = await self._user_by("email", email)
        if user is None:
            if not (self.signup and body.get("create_user", True)):
                raise AuthProblem(422, "otp_disabled", "Signups not allowed for otp")
            await self._insert(email)
        self._seen[email] += 1
        self.codes[email] = f"{self._seen[email]:03}{len(email):03}"
        return web.json_response({})

    async def verify(self, request: web.Request) -> web.Response:
        """POST /verify"""
        body = await request.json()
        email = str(body.get("email") or "").lower()
        if email not in self.codes or self.codes[email] != body.get("token"):
            raise AuthProblem(403, "otp_expired", "Token has expired or is invalid")
        del self.codes[email]
        user = await self._user_by("email", email)
        assert user is not None
        return self._begin(user)

    async def sign_up(self, request: web.Request) -> web.Response:
        """POST /signup, of somebody without a name."""
        body = await request.json()
        if body.get("email"):
            raise AuthProblem(501, "not_covered", "The stand-in signs up nobody by password")
        if not self.anonymous:
            raise AuthProblem(422, "anonymous_provider_disabled", "Anonymous sign-ins are disabled")
        return self._begin(await self._insert(None))

    async def user(self, request: web.Request) -> web.Response:
        """GET /user"""
        session, _ = self._session_of(request)
        row = await self._user_by("id", session.user_id)
        if row is None:
            raise AuthProblem(403, "user_not_found", "User from sub claim in JWT does not exist")
        return web.json_response(_public(row))

    async def logout(self, request: web.Request) -> web.Response:
        """POST /logout"""
        session, _ = self._session_of(request)
        scope = request.query.get("scope", "global")
        for each in self._sessions:
            if each is session or (scope == "global" and each.user_id == session.user_id):
                each.revoked = True
        return web.Response(status=204)

    async def settings(self, request: web.Request) -> web.Response:
        """GET /settings"""
        return web.json_response(
            {
                "external": {"anonymous_users": self.anonymous, "email": True},
                "disable_signup": not self.signup,
                "mailer_autoconfirm": False,
            }
        )

    def _session_of(self, request: web.Request) -> tuple[_Session, dict[str, Any]]:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            claims = self.project.claims(token)
        except TokenError as error:
            raise AuthProblem(403, "bad_jwt", f"invalid JWT: {error}") from None
        for session in self._sessions:
            if str(session.id) == claims.get("session_id") and not session.revoked:
                return session, claims
        raise AuthProblem(
            403, "session_not_found", "Session from session_id claim in JWT does not exist"
        )

    async def _refresh(self, token: str) -> web.Response:
        session = next(
            (each for each in self._sessions if any(r.token == token for r in each.chain)), None
        )
        if session is None or session.revoked:
            raise AuthProblem(
                400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found"
            )
        user = await self._user_by("id", session.user_id)
        if user is None or (user["banned_until"] or datetime.min.replace(tzinfo=UTC)) > (
            datetime.now(UTC)
        ):
            raise AuthProblem(403, "user_banned", "Invalid Refresh Token: User Banned")
        used, newest = next(r for r in session.chain if r.token == token), session.chain[-1]
        now = self.project.now()
        if used is newest:
            used.used_at = now
            session.grow()
        elif newest.parent != token and now - (used.used_at or 0) > REUSE_SECONDS:
            session.revoked = True
            raise AuthProblem(
                400, "refresh_token_already_used", "Invalid Refresh Token: Already Used"
            )
        return self._session_body(session, user)

    def _begin(self, user: dict[str, Any]) -> web.Response:
        session = _Session(user["id"])
        session.grow()
        self._sessions.append(session)
        return self._session_body(session, user)

    def _session_body(self, session: _Session, user: dict[str, Any]) -> web.Response:
        claims = {"email": user["email"] or "", "is_anonymous": user["is_anonymous"]}
        return web.json_response(
            {
                "access_token": self.project.token(session.user_id, session.id, **claims),
                "token_type": "bearer",
                "expires_in": self.project.token_seconds,
                "expires_at": int(self.project.now()) + self.project.token_seconds,
                "refresh_token": session.chain[-1].token,
                "user": _public(user),
            }
        )

    async def _user_by(self, column: str, value: object) -> dict[str, Any] | None:
        async with self.project.owner() as connection:
            cursor = await connection.execute(
                f"SELECT * FROM auth.users WHERE {column} = %s".encode(), (value,)
            )
            return await cursor.fetchone()

    async def _insert(self, email: str | None) -> dict[str, Any]:
        async with self.project.owner() as connection:
            cursor = await connection.execute(
                "INSERT INTO auth.users (email, is_anonymous) VALUES (%s, %s) RETURNING *",
                (email, email is None),
            )
            row = await cursor.fetchone()
        assert row is not None
        return row


def routes(auth: Auth) -> list[web.RouteDef]:
    """Where Auth is, in a Supabase project."""

    def told(handler: Any) -> Any:
        async def handle(request: web.Request) -> web.Response:
            try:
                return await handler(request)
            except AuthProblem as problem:
                return web.json_response(
                    {"code": problem.code, "message": str(problem)},
                    status=problem.status,
                    headers={"X-Supabase-Api-Version": "2024-01-01"},
                )

        return handle

    return [
        web.post("/auth/v1/token", told(auth.token)),
        web.post("/auth/v1/otp", told(auth.otp)),
        web.post("/auth/v1/verify", told(auth.verify)),
        web.post("/auth/v1/signup", told(auth.sign_up)),
        web.get("/auth/v1/user", told(auth.user)),
        web.post("/auth/v1/logout", told(auth.logout)),
        web.get("/auth/v1/settings", told(auth.settings)),
    ]


def _public(user: dict[str, Any]) -> dict[str, Any]:
    when = user["created_at"].isoformat()
    return {
        "id": str(user["id"]),
        "aud": "authenticated",
        "role": "authenticated",
        "email": user["email"] or "",
        "is_anonymous": user["is_anonymous"],
        "app_metadata": {},
        "user_metadata": {},
        "identities": [],
        "created_at": when,
        "updated_at": when,
    }
