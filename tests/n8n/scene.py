"""A user's conversation, answered by n8n."""

from dataclasses import dataclass
from typing import Any

import httpx

from tests.core.engine.scene import Scene
from tests.n8n.publish import TOKEN, Publisher
from tests.support.model_process import ModelProcess
from tests.support.n8n_server import wait_until


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

    def asked(self, text: str) -> list[dict[str, Any]]:
        """The requests that the model got with this text in their last message."""
        return [
            request
            for request in self.model.requests()
            if request["messages"] and text in request["messages"][-1]["content"]
        ]

    def executions(self, task_id: int) -> list[dict[str, Any]]:
        """n8n's own record of the execution that claimed a task."""
        execution = self.task(task_id)["n8n_execution_id"]
        found = self.published.server.api("GET", f"/executions/{execution}")
        return [found]

    def ended(self, task_id: int) -> dict[str, Any]:
        """The execution that claimed a task, once it is over."""

        def over() -> dict[str, Any] | None:
            found: dict[str, Any] = self.executions(task_id)[0]
            return found if found["status"] not in ("new", "running", "waiting") else None

        found = wait_until(over, lambda: self.executions(task_id))
        assert found is not None
        return found
