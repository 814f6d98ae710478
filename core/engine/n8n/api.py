"""A small client of n8n's public API. Every failure is one sentence with the next step."""

import asyncio
import base64
import json
import re
from collections.abc import Sequence
from time import monotonic
from types import TracebackType
from typing import Any, Self

import httpx

from core.engine.n8n.client import open_client
from core.errors import ConfigError, ExitCode, SteplineError
from core.models import JsonObject
from core.settings import N8nSettings
from core.text import clean_line

NEEDED = "2.41"
"""The oldest n8n whose API is known to do all this."""
SCOPES = [
    "credential:create",
    "credential:delete",
    "credential:list",
    "credential:read",
    "credential:update",
    "execution:stop",
    "tag:create",
    "tag:delete",
    "tag:list",
    "workflow:activate",
    "workflow:create",
    "workflow:deactivate",
    "workflow:delete",
    "workflow:list",
    "workflow:read",
    "workflow:update",
    "workflowTags:update",
]
"""What a key for `stepline n8n` must be allowed."""

_TIMEOUT = 30.0
_SETTLING = 30.0
"""Seconds that n8n may take to finish what it was asked before."""
_PAGE = 100
# Its editor's page, open to everybody, names the release; nothing in the API does.
_RELEASE = re.compile(r'name="n8n:config:sentry" content="([\w+/=]*)"')


class ApiError(SteplineError):
    """n8n said no; `status` is the HTTP status."""

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status


class ApiUnreachableError(ApiError):
    """n8n does not answer; nothing is known of what it did."""

    exit_code = ExitCode.TRY_AGAIN


class Api:
    """n8n's public API, as the key in the settings may use it. All methods raise `ApiError`."""

    def __init__(self, n8n: N8nSettings, *, timeout: float = _TIMEOUT) -> None:
        if n8n.base_url is None:
            raise ConfigError("No n8n is set; set N8N_BASE_URL, or base_url in [n8n].")
        if n8n.api_key is None:
            raise ConfigError(
                "n8n's API needs a key: make one in n8n under Settings, n8n API, and set "
                "N8N_API_KEY, or api_key in [n8n]."
            )
        self.url = n8n.base_url.rstrip("/")
        self._key = n8n.api_key.get_secret_value()
        self._client = open_client(n8n, timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes its connections; safe to call twice."""
        await self._client.aclose()

    async def check(self, needed: Sequence[str] = SCOPES) -> None:
        """Raises unless this is an n8n that is new enough, with a key that may do what we need."""
        try:
            answer = await self._call("GET", "/discover")
        except ApiError as error:
            if error.status in (404, 405):
                raise await self._too_old() from None
            raise
        allowed = _dict(_dict(answer).get("data")).get("scopes")
        missing = [
            scope for scope in needed if not isinstance(allowed, list) or scope not in allowed
        ]
        if missing:
            raise _too_narrow(missing)

    async def version(self) -> str | None:
        """The release, as its editor's page tells; None where it does not."""
        try:
            answer = await self._client.get(f"{self.url}/")
            found = _RELEASE.search(answer.text)
            release = json.loads(base64.b64decode(found[1]))["release"] if found else ""
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError, OSError):
            return None
        match = re.fullmatch(r"n8n@([\d.]+[\w.-]*)", str(release))
        return match[1] if match else None

    # Workflows

    async def workflows(
        self, *, tag: str | None = None, name: str | None = None
    ) -> list[JsonObject]:
        """Those with the tag and of exactly that name, nodes included."""
        asked = {"excludePinnedData": "true"}
        asked |= {"tags": tag} if tag else {}
        asked |= {"name": name} if name else {}
        found = await self._list("/workflows", "workflow:list", asked)
        return [each for each in found if name is None or each.get("name") == name]

    async def create_workflow(self, workflow: JsonObject) -> JsonObject:
        """Makes one, inactive; returns it as n8n has it."""
        return _dict(await self._call("POST", "/workflows", "workflow:create", workflow))

    async def update_workflow(self, workflow_id: str, workflow: JsonObject) -> JsonObject:
        """Replaces one; an active one stays active, in its new form."""
        path = f"/workflows/{workflow_id}"
        return _dict(await self._call("PUT", path, "workflow:update", workflow))

    async def delete_workflow(self, workflow_id: str) -> None:
        """Deletes one for good, in production or not; one that is gone already is fine."""
        await self._gone("POST", f"/workflows/{workflow_id}/deactivate", "workflow:deactivate")
        await self._gone("DELETE", f"/workflows/{workflow_id}", "workflow:delete")

    async def activate(self, workflow_id: str) -> None:
        """Puts one into production; its webhook can answer 404 for some seconds more."""
        await self._call("POST", f"/workflows/{workflow_id}/activate", "workflow:activate", {})

    async def unarchive(self, workflow_id: str) -> None:
        """Takes one back out of the archive, inactive."""
        await self._call("POST", f"/workflows/{workflow_id}/unarchive", "workflow:update")

    async def tag_workflow(self, workflow_id: str, tag_ids: Sequence[str]) -> None:
        """These tags and no others."""
        tags = [{"id": each} for each in tag_ids]
        await self._call("PUT", f"/workflows/{workflow_id}/tags", "workflowTags:update", tags)

    # Tags

    async def find_tag(self, name: str) -> str | None:
        """The id of the tag of that name."""
        tags = await self._list("/tags", "tag:list")
        return next((str(tag["id"]) for tag in tags if tag.get("name") == name), None)

    async def create_tag(self, name: str) -> str:
        """Makes a tag; returns its id."""
        return str(_dict(await self._call("POST", "/tags", "tag:create", {"name": name}))["id"])

    async def delete_tag(self, tag_id: str) -> None:
        """Deletes a tag, from whatever has it too."""
        await self._gone("DELETE", f"/tags/{tag_id}", "tag:delete")

    # Credentials

    async def credentials(self) -> list[JsonObject]:
        """All of them, the newest first, without what is secret: id, name, type, times."""
        return await self._list("/credentials", "credential:list")

    async def create_credential(self, name: str, kind: str, data: JsonObject) -> JsonObject:
        """Makes one; returns it without `data`."""
        given = {"name": name, "type": kind, "data": data}
        return _dict(await self._call("POST", "/credentials", "credential:create", given))

    async def update_credential(
        self, credential_id: str, data: JsonObject, *, merge: bool = False
    ) -> JsonObject:
        """Replaces what is in one, or with `merge` only these parts; returns it without that."""
        path = f"/credentials/{credential_id}"
        given = {"data": data, "isPartialData": merge}
        return _dict(await self._call("PATCH", path, "credential:update", given))

    async def delete_credential(self, credential_id: str) -> None:
        """Deletes one; one that is gone already is fine."""
        await self._gone("DELETE", f"/credentials/{credential_id}", "credential:delete")

    async def test_credential(self, credential_id: str) -> str | None:
        """What n8n says against it when it tries it; None when it works."""
        path = f"/credentials/{credential_id}/test"
        answer = _dict(await self._call("POST", path, "credential:read"))
        if answer.get("status") == "OK":
            return None
        return clean_line(str(answer.get("message") or "no reason given"))[:300].rstrip(".")

    # Executions

    async def stop_execution(self, execution_id: str) -> bool:
        """Ends an execution; False if it is over already, or never was."""
        if not re.fullmatch(r"[1-9][0-9]{0,17}", execution_id):
            return False
        try:
            await self._call("POST", f"/executions/{execution_id}/stop", "execution:stop")
        except ApiError as error:
            if error.status in (404, 409):
                return False
            raise
        return True

    # How

    async def _gone(self, method: str, path: str, scope: str) -> None:
        try:
            await self._call(method, path, scope)
        except ApiError as error:
            if error.status != 404:
                raise

    async def _list(
        self, path: str, scope: str, asked: dict[str, str] | None = None
    ) -> list[JsonObject]:
        found: list[JsonObject] = []
        query = {"limit": str(_PAGE), **(asked or {})}
        while True:
            page = _dict(await self._call("GET", path, scope, query=query))
            rows = page.get("data")
            found += [_dict(row) for row in rows] if isinstance(rows, list) else []
            if not (cursor := page.get("nextCursor")):
                return found
            query["cursor"] = str(cursor)

    async def _call(
        self,
        method: str,
        path: str,
        scope: str = "",
        body: object = None,
        *,
        query: dict[str, str] | None = None,
    ) -> Any:
        answer = await self._send(method, f"{self.url}/api/v1{path}", body, query=query)
        until = monotonic() + _SETTLING
        while _settling(answer) and monotonic() < until:
            await asyncio.sleep(0.5)
            answer = await self._send(method, f"{self.url}/api/v1{path}", body, query=query)
        if answer.is_success:
            if not answer.content:
                return None
            try:
                return answer.json()
            except ValueError:
                raise self._not_n8n("something other than JSON") from None
        raise await self._refusal(answer, scope)

    async def _send(
        self,
        method: str,
        url: str,
        body: object = None,
        *,
        query: dict[str, str] | None = None,
    ) -> httpx.Response:
        try:
            return await self._client.request(
                method,
                url,
                json=body,
                params=query,
                headers={"X-N8N-API-KEY": self._key},
            )
        except (httpx.LocalProtocolError, UnicodeEncodeError):
            # Its message would quote the header, that is the key.
            raise ApiError(
                "The API key of n8n has characters that cannot be sent; set N8N_API_KEY again."
            ) from None
        except httpx.ReadTimeout:
            raise ApiUnreachableError(
                f"n8n at {self.url} took too long to answer; look at its log, and try again."
            ) from None
        except (httpx.UnsupportedProtocol, httpx.InvalidURL):
            raise ConfigError(
                f"{self.url} is no address that can be called; set N8N_BASE_URL."
            ) from None
        except (httpx.HTTPError, OSError) as error:
            reason = clean_line(str(error))[:200].rstrip(".") or "no answer"
            raise ApiUnreachableError(
                f"n8n at {self.url} cannot be reached ({reason}); check that it runs, N8N_BASE_URL "
                "and the network."
            ) from None

    async def _refusal(self, answer: httpx.Response, scope: str) -> ApiError:
        status = answer.status_code
        said = _said(answer)
        if status == 401 and "www-authenticate" in answer.headers:
            return ApiError(
                f"Something before n8n at {self.url} asks for a user and a password; set "
                "N8N_BASIC_AUTH_USER and N8N_BASIC_AUTH_PASSWORD.",
                status,
            )
        if status == 401:
            return ApiError(
                f"n8n at {self.url} does not accept the API key; make a new one in n8n under "
                "Settings, n8n API, and set N8N_API_KEY.",
                status,
            )
        if said is None:
            if status >= 502:
                return ApiUnreachableError(
                    f"n8n at {self.url} cannot be reached: what is before it answered with HTTP "
                    f"{status}; check that n8n runs, and try again.",
                    status,
                )
            if answer.is_redirect:
                return ApiError(
                    f"{self.url} leads elsewhere (HTTP {status}); set N8N_BASE_URL to the address "
                    "itself.",
                    status,
                )
            return self._not_n8n(f"HTTP {status}", status)
        if status == 403:
            if said.lower() != "forbidden" and scope:
                return ApiError(
                    f"n8n refuses: {said}; the API key's owner must be allowed {scope}.", status
                )
            return _too_narrow([scope] if scope else [], status)
        if status == 405:
            return await self._too_old()
        if status == 429 or status >= 500:
            return ApiUnreachableError(
                f"n8n at {self.url} answered with HTTP {status} ({said}); look at its log, and "
                "try again.",
                status,
            )
        return ApiError(
            f"n8n refuses (HTTP {status}): {said}; look at its log (stepline needs n8n {NEEDED} "
            "or newer).",
            status,
        )

    async def _too_old(self) -> ApiError:
        version = await self.version()
        if version is None:
            return ApiError(
                f"{self.url} is not an n8n {NEEDED} or newer whose public API is switched on; "
                "check N8N_BASE_URL (where n8n's editor is), and update n8n.",
                404,
            )
        if _older(version, NEEDED):
            return ApiError(
                f"n8n at {self.url} is {version}, which is too old: its API cannot do all that "
                f"stepline needs; update n8n to {NEEDED} or newer.",
                404,
            )
        return ApiError(
            f"n8n at {self.url} has its public API switched off; remove N8N_PUBLIC_API_DISABLED "
            "from its environment.",
            404,
        )

    def _not_n8n(self, what: str, status: int = 0) -> ApiError:
        return ApiError(
            f"{self.url} does not answer as n8n's API does ({what}); set N8N_BASE_URL to where "
            "n8n's editor is.",
            status,
        )


def _settling(answer: httpx.Response) -> bool:
    """Whether n8n is still at what it was asked before: a moment after it has said that a workflow
    is out of production, it refuses to delete or change it ("still being unpublished")."""
    return answer.status_code == 409 and "again" in answer.text


def _too_narrow(scopes: Sequence[str], status: int = 403) -> ApiError:
    missing = ", ".join(scopes) or "what is needed"
    return ApiError(
        f"The API key may not do everything it must; allow it {missing} in n8n under Settings, "
        "n8n API.",
        status,
    )


def _said(answer: httpx.Response) -> str | None:
    """The message of a refusal in n8n's form; None if it is not in that form."""
    try:
        message = _dict(answer.json()).get("message")
    except (ValueError, RecursionError):
        return None
    return clean_line(str(message))[:300].rstrip(".") if message else None


def _older(version: str, than: str) -> bool:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", text)[:2]]

    return numbers(version) < numbers(than)


def _dict(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]
