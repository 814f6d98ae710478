"""The session of a signed-in user: an access token whenever one is needed, renewed in time.

All processes of a user share one session by its file. Whoever finds it due renews it under a lock
and reads the file again first, so a refresh token is used once.
"""

import asyncio
from collections.abc import Callable
from uuid import UUID

from pydantic import SecretStr

from core.auth.files import SessionFile
from core.auth.service import AuthService
from core.auth.tokens import Tokens, received
from core.errors import ConfigError, SignInNeededError, StoreUnreachableError
from core.settings import Settings

_SIGN_IN = "Nobody is signed in to this project: run `stepline login`."


class Account:
    """See the module."""

    def __init__(self, settings: Settings) -> None:
        """For the project of these settings; raises ConfigError where there is none."""
        project = settings.supabase
        if project.url is None or project.anon_key is None:
            raise ConfigError("There is no project: set SUPABASE_URL and SUPABASE_ANON_KEY.")
        self.url, self.anon_key = project.url, project.anon_key
        self._service = AuthService(project.url, project.anon_key)
        self._given = _given(project.access_token, project.refresh_token)
        seed = project.refresh_token.get_secret_value() if project.refresh_token else ""
        self._file = SessionFile.of(settings.state_dir, project.url, seed)
        self._from_environment = bool(project.access_token or project.refresh_token)
        self._start = project.refresh_token
        self._tokens: Tokens | None = None
        self._user_id: UUID | None = None
        self._renewing = asyncio.Lock()
        self.on_change: Callable[[str], None] | None = None
        """Called with each new access token."""

    @property
    def service(self) -> AuthService:
        """For signing in."""
        return self._service

    @property
    def from_environment(self) -> bool:
        """Whether the tokens were given by the environment; then there is nothing to sign in to."""
        return self._from_environment

    @property
    def tokens(self) -> Tokens | None:
        """The session, where there is one; it need not be good any more."""
        return self._tokens or self._known()

    @property
    def user_id(self) -> UUID:
        """Who is signed in; raises SignInNeededError before `token` has once succeeded."""
        if self._user_id is None:
            raise SignInNeededError(_SIGN_IN)
        return self._user_id

    async def token(self) -> str:
        """An access token that is good for a while.

        Raises SignInNeededError where there is none to be had without the user, and
        StoreUnreachableError where the service does not answer.
        """
        tokens = self._tokens or self._known()
        if tokens is not None and (not tokens.due or tokens.refresh is None):
            # One that cannot be renewed is for the server to judge: our clock may be wrong.
            return self._use(tokens)
        return await self._renewed(None)

    async def renewed(self, refused: str) -> str:
        """Another access token than this one, which the project has refused. Raises as `token`."""
        return await self._renewed(refused)

    def adopt(self, tokens: Tokens) -> None:
        """Somebody has signed in: from now on this is the session, here and in other processes."""
        self._file.write(tokens)
        self._user_id = None
        self._use(tokens)

    async def sign_out(self) -> None:
        """Ends the session and forgets it, forgetting it also where the service does not answer."""
        async with self._file.alone():
            tokens = self._file.read()
            self._file.remove()
        self._tokens = None
        if tokens is not None:
            try:
                await self._service.sign_out(tokens.access)
            except SignInNeededError:
                return  # it was over already

    async def close(self) -> None:
        """Closes its connections; safe to call twice."""
        await self._service.close()

    async def _renewed(self, refused: str | None) -> str:
        async with self._renewing:
            if (tokens := self._fresh(self._tokens, refused)) is not None:
                return self._use(tokens)
            async with self._file.alone():
                tokens = self._known()
                if (fresh := self._fresh(tokens, refused)) is not None:
                    return self._use(fresh)  # another process has done it
                return self._use(await self._next(tokens, refused))

    async def _next(self, tokens: Tokens | None, refused: str | None) -> Tokens:
        """The tokens after these, written down."""
        refresh = tokens.refresh if tokens is not None else self._start
        if refresh is None:
            if self._from_environment:
                raise SignInNeededError(
                    "The token in STEPLINE_ACCESS_TOKEN is no longer good: set a fresh one, or "
                    "STEPLINE_REFRESH_TOKEN beside it."
                )
            raise SignInNeededError(_SIGN_IN)
        try:
            new = await self._service.refresh(refresh)
        except StoreUnreachableError:
            if tokens is not None and refused is None and not tokens.expired:
                return tokens  # good for a little longer
            raise
        except SignInNeededError as error:
            if self._from_environment:
                raise SignInNeededError(
                    "The session of STEPLINE_REFRESH_TOKEN is over: set a fresh token."
                ) from error
            self._file.remove()
            self._tokens = None
            raise
        self._file.write(new)
        return new

    def _known(self) -> Tokens | None:
        """The newest that is known: what was written down, else what was given."""
        if self._from_environment and self._start is None:
            return self._given
        return self._file.read() or self._given

    @staticmethod
    def _fresh(tokens: Tokens | None, refused: str | None) -> Tokens | None:
        if tokens is None or tokens.access.get_secret_value() == refused:
            return None
        return None if tokens.due else tokens

    def _use(self, tokens: Tokens) -> str:
        if self._user_id is not None and tokens.user_id != self._user_id:
            raise SignInNeededError(
                "Somebody else has signed in meanwhile: start stepline again to go on as them."
            )
        changed = self._tokens is None or self._tokens.access != tokens.access
        self._tokens, self._user_id = tokens, tokens.user_id
        access = tokens.access.get_secret_value()
        if changed and self.on_change is not None:
            self.on_change(access)
        return access


def _given(access: SecretStr | None, refresh: SecretStr | None) -> Tokens | None:
    """The tokens of the environment. A refresh token alone is exchanged for both at first use."""
    if access is None:
        return None
    return received(access.get_secret_value(), refresh.get_secret_value() if refresh else None)
