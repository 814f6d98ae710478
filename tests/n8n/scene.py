"""A user's conversation, answered by n8n."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx

from tests.core.engine.scene import Scene
from tests.n8n.publish import TOKEN, Publisher
from tests.support.model_process import ModelProcess
from tests.support.n8n_server import wait_until

_GOING_ON = ("new", "running", "waiting")


@dataclass
class N8nScene(Scene):
    """The scene, with n8n and the model it calls."""

    published: Publisher
    model: ModelProcess

    def call(
        self, task_id: object, path: str = "chat/process", token: str | None = TOKEN, **body: object
    ) -> httpx.Response:
        """The webhook, called as the client does it."""
        return httpx.post(
            f"{self.published.server.base_url}/webhook/{path}",
            headers={} if token is None else {"X-Stepline-Token": token},
            json={"task_id": task_id, "task_type": "chat", "user_id": str(self.user), **body},
            trust_env=False,
            timeout=120,
        )

    async def calls(self, task_id: int, path: str) -> None:
        """The same for a webhook that answers when it is over: may be cancelled."""
        async with httpx.AsyncClient(trust_env=False, timeout=120) as client:
            await client.post(
                f"{self.published.server.base_url}/webhook/{path}",
                headers={"X-Stepline-Token": TOKEN},
                json={"task_id": task_id},
            )

    def asked(self, text: str) -> list[dict[str, Any]]:
        """The requests that the model got with this text in their last message."""
        return [
            request
            for request in self.model.requests()
            if request["messages"] and text in request["messages"][-1]["content"]
        ]

    async def at_model(self, text: str) -> None:
        """Waits until the model was asked with this text."""
        await asyncio.to_thread(wait_until, lambda: self.asked(text))

    def execution(self, task_id: int) -> dict[str, Any]:
        """n8n's own record of the execution that claimed a task."""
        execution = self.task(task_id)["n8n_execution_id"]
        found: dict[str, Any] = self.published.server.api("GET", f"/executions/{execution}")
        return found

    def stop(self, task_id: int) -> None:
        """Stops that execution, as the client does after a cancel."""
        execution = self.task(task_id)["n8n_execution_id"]
        self.published.server.api("POST", f"/executions/{execution}/stop")

    def ended(self, task_id: int) -> dict[str, Any]:
        """The execution that claimed a task, once it is over."""
        wait_until(
            lambda: self.execution(task_id)["status"] not in _GOING_ON,
            lambda: self.execution(task_id),
        )
        return self.execution(task_id)

    def until_idle(self, but: int = 0) -> None:
        """Waits until n8n works on nothing, but for so many executions."""

        def idle() -> bool:
            found = self.published.server.api("GET", "/executions?limit=50")["data"]
            return len([each for each in found if each["status"] in _GOING_ON]) <= but

        wait_until(idle)
