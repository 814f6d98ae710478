"""A project's PostgREST as one user, through the official client, which here only does the talking.

Its own repeats (of reads, for up to seven seconds, never after 429) are off: what may be repeated
and for how long is decided here, the same for reads and writes.
"""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Protocol, cast

import httpx
from postgrest import AsyncPostgrestClient
from postgrest.exceptions import APIError

from core.auth.account import Account
from core.errors import (
    ConfigError,
    SchemaError,
    SignInNeededError,
    SteplineError,
    StoreUnreachableError,
)
from core.store.refusals import refusal, unreachable
from core.text import clean_line

ANSWER = 10.0
"""Seconds an answer may take before the project counts as unreachable."""
_PAUSES = (0.2, 0.8)
"""Seconds before the second and the third try."""
_LONGEST_PAUSE = 3.0
"""Seconds to wait at most where the project names a time itself."""
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 531), 540, 544})
"""What gateways and overloaded services answer."""
_NOT_DONE = frozenset({"PGRST000", "PGRST002", "PGRST003"})
"""PostgREST had no connection to the database, so nothing has happened there."""
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_MISSING = frozenset({"PGRST202", "PGRST205", "PGRST106", "42883", "42P01"})
"""A function, a table or the schema `public` that the API does not know."""


class Ask(Protocol):
    """A request that the client has put together."""

    async def execute(self) -> Any:
        """Sends it."""
        ...


class Rest:
    """The API as one user. Raises `SteplineError`s only."""

    def __init__(self, account: Account) -> None:
        self._url = account.url
        # HTTP/1.1 on purpose: one lost HTTP/2 connection fails every request that is under way.
        self._http = httpx.AsyncClient(
            auth=_Bearer(account), timeout=httpx.Timeout(ANSWER, connect=5.0)
        )
        self._client = AsyncPostgrestClient(
            f"{account.url}/rest/v1",
            headers={"apikey": account.anon_key.get_secret_value()},
            http_client=self._http,
            retry_enabled=False,
        )

    async def close(self) -> None:
        """Closes its connections; safe to call twice."""
        await self._http.aclose()

    async def call(self, name: str, values: Mapping[str, Any], *, repeat: bool = True) -> Any:
        """What a function of the schema returns. With `repeat` False it is called again only if
        the first call cannot have reached the database."""
        return await self.send(
            lambda client: client.rpc(name, cast("dict[str, str]", values)), repeat=repeat
        )

    async def send(self, ask: Callable[[AsyncPostgrestClient], Ask], *, repeat: bool = True) -> Any:
        """What PostgREST answers to what `ask` puts together; see `call`."""
        for pause in (*_PAUSES, None):
            try:
                return (await ask(self._client).execute()).data
            except (_LaterError, httpx.TransportError) as error:
                if not repeat and not _not_done(error):
                    raise _unreachable(error, known=False) from error
                if pause is None or isinstance(error, httpx.ReadTimeout) or _much_later(error):
                    raise _unreachable(error) from error
                await asyncio.sleep(_pause(error, pause))
            except APIError as error:
                raise self._refused(error) from error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise _strange(self._url) from error
            except RuntimeError as error:
                if not self._http.is_closed:
                    raise
                raise StoreUnreachableError(
                    "The project's connection is closed; start stepline again."
                ) from error
        raise AssertionError

    def _refused(self, error: APIError) -> SteplineError:
        code, said = error.code or "", clean_line(error.message or "")
        if (refused := refusal(code, said)) is not None:
            return refused
        if code in _MISSING:
            return SchemaError(
                f"The project's schema is not the one this program needs ({said.rstrip('.')}): "
                "run `stepline migrate --db-url URL` with the database's URL."
            )
        if code == "57014":
            return StoreUnreachableError(
                "The database took too long and was stopped by its time limit; try again, or run "
                "`stepline doctor`."
            )
        if code == "25006":
            return SteplineError(
                "The project's database takes no changes for now, as it does when its disk is "
                "full: see the project's dashboard."
            )
        if code == "42501":
            return SteplineError(
                f"The project does not allow it ({said.rstrip('.')}): run `stepline doctor`."
            )
        if not code or len(code) == 3:  # an HTTP status, for want of a code
            return _strange(self._url)
        return SteplineError(
            f"The database refused: {said.rstrip('.') or code}. Run `stepline doctor`."
        )


class _LaterError(Exception):
    """An answer that says: not now."""

    def __init__(self, status: int, code: str, after: float | None) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.code = code
        self.after = after


class _Bearer(httpx.Auth):
    """The user's token on each request: renewed in time, and once more where it was refused."""

    def __init__(self, account: Account) -> None:
        self._account = account

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        token = await self._account.token()
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == 401:
            if "API key" in await _text(response):
                raise ConfigError(
                    "The project does not accept the anon key: copy it again from the project's "
                    "API settings into SUPABASE_ANON_KEY or [supabase]."
                )
            token = await self._account.renewed(token)
            request.headers["Authorization"] = f"Bearer {token}"
            response = yield request
            if response.status_code == 401:
                raise SignInNeededError(
                    "The project does not accept the session any more: run `stepline login`."
                )
        if response.status_code in _LATER:
            code = _code(await _text(response))
            if response.status_code != 500 or len(code) != 5:  # a state of the database's own
                raise _LaterError(
                    response.status_code, code, _seconds(response.headers.get("Retry-After"))
                )
        if response.is_success and await _text(response) and not _is_json(response):
            raise _strange(str(request.url.copy_with(path="/", query=None)).rstrip("/"))


def _strange(url: str) -> SteplineError:
    return ConfigError(
        f"What answers at {url} is not a Supabase project: check SUPABASE_URL or [supabase]."
    )


def _is_json(response: httpx.Response) -> bool:
    return "json" in response.headers.get("content-type", "")


async def _text(response: httpx.Response) -> str:
    return (await response.aread()).decode(errors="replace")


def _code(body: str) -> str:
    """PostgREST's code in the body of an error; empty where somebody else has answered."""
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return str(cast("dict[str, Any]", value).get("code", "")) if isinstance(value, dict) else ""


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None  # a date: our clock need not be theirs


def _not_done(error: Exception) -> bool:
    """Whether the request has surely changed nothing."""
    if isinstance(error, _LaterError):
        return error.status == 429 or error.code in _NOT_DONE
    return isinstance(error, _NOT_SENT)


def _much_later(error: Exception) -> bool:
    """Whether the project names a time that is too long to be waited for here."""
    return isinstance(error, _LaterError) and (error.after or 0.0) > _LONGEST_PAUSE


def _pause(error: Exception, usual: float) -> float:
    after = error.after if isinstance(error, _LaterError) else None
    if after is not None:
        return after
    return usual * random.uniform(0.5, 1.0)  # noqa: S311


def _unreachable(error: Exception, *, known: bool = True) -> StoreUnreachableError:
    if isinstance(error, _LaterError):
        said = (
            "it takes no more requests for now"
            if error.status == 429
            else f"its gateway says {error.status}"
        )
    elif isinstance(error, httpx.TimeoutException):
        said = f"no answer within {ANSWER:.0f} seconds"
    else:
        said = clean_line(str(error)) or type(error).__name__
    return unreachable("The project", said, known=known)
