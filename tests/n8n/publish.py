"""Puts the exports into a test's n8n: credentials first, then what refers to them by name."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from psycopg.conninfo import conninfo_to_dict

from tests.support.n8n_server import N8nServer, wait_until

WORKFLOWS = Path(__file__).parents[2] / "workflows"
TOKEN = "the-webhook's-token"
Export = dict[str, Any]


@dataclass
class Publisher:
    """What was made so far; ids by name."""

    server: N8nServer
    credentials: dict[str, str] = field(default_factory=dict)
    workflows: dict[str, str] = field(default_factory=dict)

    def credential(self, name: str, kind: str, data: dict[str, Any]) -> None:
        made = self.server.api("POST", "/credentials", {"name": name, "type": kind, "data": data})
        self.credentials[name] = made["id"]

    def database(self, conninfo: str, password: str) -> None:
        """The credential of the Postgres nodes: the worker's role."""
        where = conninfo_to_dict(conninfo)
        data = {
            "host": where["host"],
            "port": 5432,
            "database": where["dbname"],
            "user": "stepline_worker",
            "password": password,
            "ssl": "disable",
            "sshTunnel": False,
            "maxConnections": 10,
            "allowUnauthorizedCerts": False,
        }
        self.credential("stepline database", "postgres", data)

    def webhook(self) -> None:
        """The credential of the webhooks."""
        data = {"name": "X-Stepline-Token", "value": TOKEN}
        self.credential("stepline webhook", "httpHeaderAuth", data)

    def model(self, url: str) -> None:
        """The credential of the model calls."""
        self.credential(
            "stepline model", "openAiApi", {"apiKey": "sk-test", "url": url, "header": False}
        )

    def workflow(
        self, file: str, change: Callable[[Export], None] = lambda _: None, **settings: Any
    ) -> str:
        """Creates and activates one export, changed where a test wants it so; its id."""
        export: Export = json.loads((WORKFLOWS / f"{file}.json").read_text())
        for node in export["nodes"]:
            for credential in node.get("credentials", {}).values():
                credential["id"] = self.credentials[credential["name"]]
        export["settings"] |= settings
        change(export)
        made: str = self.server.api("POST", "/workflows", export)["id"]
        self.workflows[file] = made
        self.server.api("POST", f"/workflows/{made}/activate")
        return made

    @contextmanager
    def variant(
        self,
        file: str,
        path: str | None,
        change: Callable[[Export], None] = lambda _: None,
        **settings: Any,
    ) -> Iterator[str]:
        """A changed copy of an export under a path of its own, while this lasts; its id."""
        old = self.workflows.get(file)
        address = self.settings_of(file, "base_url") if path is not None else None

        def all_changes(export: Export) -> None:
            if path is not None:
                node_of(export, "Webhook")["parameters"]["path"] = path
                node_of(export, "Webhook")["webhookId"] = path.replace("/", "-")
                set_field(export, "Settings", "base_url", address)
            change(export)

        settings = {"errorWorkflow": self.workflows["failure"], "executionTimeout": 60, **settings}
        made = self.workflow(file, all_changes, **settings)
        if old is not None:
            self.workflows[file] = old
        try:
            if path is not None:
                self.wait_for(path)
            yield made
        finally:
            self.server.api("POST", f"/workflows/{made}/deactivate")
            # It is still being unpublished for a while after that has been answered.
            wait_until(lambda: self.server.call("DELETE", f"/workflows/{made}").is_success)

    @contextmanager
    def changed(self, file: str, node: str, name: str, value: object, path: str) -> Iterator[str]:
        """A variant with one field of a Set node changed."""
        with self.variant(file, path, lambda export: set_field(export, node, name, value)) as made:
            yield made

    def settings_of(self, file: str, name: str) -> Any:
        """A field of the Settings node, as it is in n8n."""
        export = self.server.api("GET", f"/workflows/{self.workflows[file]}")
        fields = node_of(export, "Settings")["parameters"]["assignments"]["assignments"]
        return next(each["value"] for each in fields if each["name"] == name)

    def wait_for(self, path: str) -> None:
        """Waits until a webhook is there: without the token it answers 403, before that 404."""
        url = f"{self.server.base_url}/webhook/{path}"
        wait_until(lambda: _status(url) == 403, lambda: url)

    def wait_for_webhooks(self) -> None:
        """Waits until every webhook is there: n8n says `active` some time before."""
        for file in self.workflows:
            export = self.server.api("GET", f"/workflows/{self.workflows[file]}")
            for node in export["nodes"]:
                if node["type"] == "n8n-nodes-base.webhook":
                    self.wait_for(node["parameters"]["path"])


def _status(url: str) -> int:
    return httpx.post(url, json={}, trust_env=False, timeout=30).status_code


def node_of(export: Export, name: str) -> dict[str, Any]:
    """A node of an export by its name."""
    return next(node for node in export["nodes"] if node["name"] == name)


def set_field(export: Export, node: str, name: str, value: object) -> None:
    """Changes one field of a Set node."""
    fields = node_of(export, node)["parameters"]["assignments"]["assignments"]
    next(each for each in fields if each["name"] == name)["value"] = value
