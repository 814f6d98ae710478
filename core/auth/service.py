"""The project's Auth service, through the official client, which here only does the talking.

It can keep a session and renew it by a timer too; neither is wanted, because a session belongs to
all processes of a user, and two that renew it at the same time end it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from pydantic import SecretStr, ValidationError
from supabase_auth import AsyncGoTrueClient
from supabase_auth.errors import AuthApiError, AuthError, AuthRetryableError
from supabase_auth.types import AuthResponse

from core.auth.tokens import Tokens, received
from core.errors import (
    ConfigError,
    InputError,
    SignInNeededError,
    SteplineError,
    StoreUnreachableError,
)
from core.text import clean_line

_ANSWER = 10.0
"""Seconds an answer may take."""
_AGAIN = 0.5
"""Seconds before what failed on the way is tried a second time."""
_OVER = frozenset(
    {
        "refresh_token_not_found",
        "refresh_token_already_used",
        "session_not_found",
        "session_expired",
        "user_not_found",
        "user_banned",
        "bad_jwt",
    }
)


class AuthService:
    """Auth of one project. Raises `SteplineError`s only."""

    def __init__(self, url: str, anon_key: SecretStr) -> None:
        self._http = httpx.AsyncClient(timeout=_ANSWER, event_hooks={"response": [_not_now]})
        self._client = AsyncGoTrueClient(
            url=f"{url}/auth/v1",
            headers={"apikey": anon_key.get_secret_value()},
            auto_refresh_token=False,
            persist_session=False,
            http_client=self._http,
        )

    async def close(self) -> None:
        """Closes its connections; safe to call twice."""
        await self._http.aclose()

    async def password(self, email: str, password: SecretStr) -> Tokens:
        """Signs in with a password."""
        if not email or not password.get_secret_value():
            raise InputError("Signing in takes an e-mail address and a password: give both.")
        return await self._signed_in(
            lambda: self._client.sign_in_with_password(
                {"email": email, "password": password.get_secret_value()}
            )
        )

    async def send_code(self, email: str) -> None:
        """Has a one-time code mailed."""
        if "@" not in email:
            raise InputError("That is no e-mail address: type one, like you@example.org.")
        await self._told(
            lambda: self._client.sign_in_with_otp(
                {"email": email, "options": {"should_create_user": True}}
            )
        )

    async def code(self, email: str, code: str) -> Tokens:
        """Signs in with a code that was mailed."""
        return await self._signed_in(
            lambda: self._client.verify_otp({"email": email, "token": code, "type": "email"})
        )

    async def anonymous(self) -> Tokens:
        """Signs in as a new user without a name."""
        return await self._signed_in(self._client.sign_in_anonymously)

    async def refresh(self, token: SecretStr) -> Tokens:
        """The next tokens of the session. Asked twice with the same token, because an answer got
        lost, Auth gives the same ones."""
        text = token.get_secret_value()
        return await self._signed_in(lambda: self._client.refresh_session(text))

    async def sign_out(self, access: SecretStr) -> None:
        """Ends this session, not the user's others."""
        text = access.get_secret_value()
        await self._told(lambda: self._client.admin.sign_out(text, "local"))

    async def _signed_in(self, ask: Callable[[], Awaitable[AuthResponse]]) -> Tokens:
        session = (await self._told(ask)).session
        if session is None:
            raise SteplineError(
                "The project did not begin a session: confirm the address by the mail it sent, "
                "and try again."
            )
        return received(session.access_token, session.refresh_token, session.expires_in)

    async def _told(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await ask()
        except AuthRetryableError:
            await asyncio.sleep(_AGAIN)
        except (AuthError, ValidationError, TypeError) as error:
            raise _in_words(error) from None
        try:
            return await ask()
        except (AuthError, ValidationError, TypeError) as error:
            raise _in_words(error) from None


async def _not_now(response: httpx.Response) -> None:
    """What gateways answer is for us to see: the client takes it for nonsense, or for a reply."""
    if response.status_code == 429:
        raise StoreUnreachableError(
            "The project's sign-in takes no more requests for now: wait a minute and try again."
        )
    if response.status_code >= 500:
        raise httpx.RemoteProtocolError(f"status {response.status_code}", request=response.request)


def _in_words(error: Exception) -> SteplineError:
    """What the client raised, as a sentence. Its own words may quote what was sent."""
    if isinstance(error, AuthApiError):
        said = clean_line(error.message).rstrip(".") or f"status {error.status}"
        if error.code in _OVER:
            return SignInNeededError(f"The session is over ({said}): run `stepline login`.")
        if error.status == 401:
            return ConfigError(
                "The project does not accept the anon key: copy it again from the project's API "
                "settings into SUPABASE_ANON_KEY or [supabase]."
            )
        if error.code == "anonymous_provider_disabled":
            return InputError(
                "This project allows no anonymous users: sign in with `stepline login`, or allow "
                "them in the project's Auth settings."
            )
        if error.code == "otp_expired":
            return InputError("The code is wrong or too old: ask for a new one and try again.")
        if error.code == "invalid_credentials":
            return InputError("The address or the password is wrong: try again.")
        return InputError(f"The project refused to sign you in ({said}): correct it and try again.")
    if isinstance(error, AuthRetryableError):
        return StoreUnreachableError(
            "The project's sign-in does not answer: check the network and the project's address, "
            "and try again."
        )
    return ConfigError(
        "What answers at the project's address is not Supabase: check SUPABASE_URL or [supabase]."
    )
