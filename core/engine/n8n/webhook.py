"""The call that starts a workflow: one POST to its webhook, and what the answer means."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

import httpx

from core.engine.n8n.client import open_client
from core.models import Task
from core.text import clean_line
from core.workflows import Workflow

if TYPE_CHECKING:
    from core.settings import N8nSettings

TOKEN_HEADER = "X-Stepline-Token"  # noqa: S105 - the header's name
_CONNECT = 5.0
ANSWER = 10.0
"""Seconds n8n has to say that it has started the workflow; 0.04 to 0.24 s were seen."""
DOWN = (502, 503, 504)
"""What a proxy says for an n8n that is not there, and n8n itself while it starts."""


class Outcome(StrEnum):
    """What became of a call; the names that `task_triggered` knows."""

    SENT = "sent"
    UNCONFIRMED = "unconfirmed"
    """No answer in time: n8n may have it all the same."""
    UNREACHABLE = "unreachable"
    """n8n has not got it; it is told again."""
    REFUSED = "refused"
    """n8n said no, and would say it again."""


class CallFailedError(Exception):
    """A call without a good answer; `str` is a sentence for the user."""

    def __init__(self, outcome: Outcome, sentence: str, *, status: int | None = None) -> None:
        super().__init__(sentence)
        self.outcome = outcome
        self.status = status


def unanswered() -> CallFailedError:
    """What to say when there is no answer in time."""
    return CallFailedError(
        Outcome.UNCONFIRMED, "n8n has not answered yet; waiting for it to take the task..."
    )


class Webhook:
    """The webhooks of one n8n."""

    def __init__(self, settings: "N8nSettings") -> None:
        self.base_url = settings.base_url or ""
        self._headers: dict[str, str] = {}
        if settings.token is not None:
            self._headers[TOKEN_HEADER] = settings.token.get_secret_value()
        timeout = httpx.Timeout(ANSWER, connect=_CONNECT, pool=None)
        self._client = open_client(settings, timeout)

    async def close(self) -> None:
        """Closes what is open."""
        await self._client.aclose()

    @asynccontextmanager
    async def call(self, workflow: Workflow, task: Task) -> AsyncGenerator[httpx.Response]:
        """Starts the workflow for a task, and gives n8n's good answer, its body not yet read.

        The body is a hint only: the workflow believes what it claims from the database. Raises
        CallFailedError.
        """
        body = {
            "task_id": task.id,
            "task_type": task.task_type,
            "input_data": task.input_data,
            "user_id": str(task.created_by),
        }
        # A streaming one answers with its result, as long as that takes.
        read = float(workflow.timeout_seconds) if workflow.stream else ANSWER
        timeout = httpx.Timeout(ANSWER, connect=_CONNECT, read=read, pool=None)
        url = f"{self.base_url}/webhook/{workflow.webhook_path}"
        try:
            request = self._client.build_request(
                "POST", url, json=body, headers=self._headers, timeout=timeout
            )
            response = await self._client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise self._unreachable(str(error) or "no answer") from None
        except httpx.TimeoutException:
            raise unanswered() from None
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            raise CallFailedError(
                Outcome.UNCONFIRMED,
                "The connection to n8n was lost; waiting for it to take the task...",
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):
            # The message would quote the header, that is the token.
            raise CallFailedError(
                Outcome.REFUSED,
                "n8n cannot be called with these settings; check N8N_BASE_URL, the webhook token "
                "and the proxy.",
            ) from None
        try:
            if not response.is_success:
                raise self._refusal(response, workflow)
            yield response
        finally:
            await response.aclose()

    async def check(self) -> None:
        """Asks whether n8n is there; raises CallFailedError where it is not."""
        try:
            response = await self._client.get(f"{self.base_url}/healthz")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise self._unreachable(str(error) or "no answer") from None
        if response.status_code in DOWN:
            raise self._unreachable(f"HTTP {response.status_code}")

    async def status(self, workflow: Workflow) -> int:
        """What its webhook answers to a call without the token, which starts nothing: 403 where it
        listens, 404 where it does not. Raises CallFailedError."""
        url = f"{self.base_url}/webhook/{workflow.webhook_path}"
        try:
            return (await self._client.post(url, json={})).status_code
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise self._unreachable(str(error) or "no answer") from None

    def _unreachable(self, reason: str) -> CallFailedError:
        return CallFailedError(
            Outcome.UNREACHABLE,
            f"n8n at {self.base_url} cannot be reached ({clean_line(reason)[:100]}).",
        )

    def _refusal(self, response: httpx.Response, workflow: Workflow) -> CallFailedError:
        status = response.status_code
        outcome = Outcome.REFUSED
        if status == 401:
            said = "it asks for a user and a password; set N8N_BASIC_AUTH_USER and _PASSWORD."
        elif status == 403:
            said = "the webhook token is not the right one; run `stepline n8n push`."
        elif status == 404:
            said = (
                f"no active workflow listens at webhook/{workflow.webhook_path}; "
                "run `stepline n8n push`, or activate it."
            )
        elif response.is_redirect:
            where = clean_line(response.headers.get("location", "elsewhere"))[:100]
            said = f"the address has moved to {where}; correct N8N_BASE_URL."
        elif status == 429 or status >= 500:
            outcome = Outcome.UNREACHABLE
            said = "it is told again until the task's time is over."
        else:
            said = "look at its log, and at the address in N8N_BASE_URL."
        return CallFailedError(
            outcome, f"n8n did not take the task (HTTP {status}): {said}", status=status
        )
