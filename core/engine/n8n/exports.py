"""The workflows as they come with the program, or as the user has them, made ready for one n8n."""

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from core.errors import ConfigError
from core.models import JsonObject
from core.workflows import Workflow, load_workflows

if TYPE_CHECKING:
    from core.settings import LlmSettings, Settings

FAILURE, SWEEP = "failure", "sweep"
# What moves boxes about in the editor, or is n8n's own.
_COSMETIC = {"id", "position", "webhookId", "notes", "notesInFlow"}


@dataclass(frozen=True)
class Export:
    """One file, and what it is for."""

    key: str
    """The task type it serves, `failure` or `sweep`."""
    path: Path
    body: JsonObject
    workflow: Workflow | None = None
    """The task type's entry in `workflows.toml`."""

    @property
    def name(self) -> str:
        """Its name in n8n."""
        return str(self.body["name"])

    @property
    def variable(self) -> str:
        """The environment variable that its id goes by."""
        declared = self.workflow.workflow_variable if self.workflow else None
        return declared or f"N8N_{self.key.upper()}_WORKFLOW_ID"

    def credentials(self) -> Iterator[tuple[str, JsonObject]]:
        """Kind and reference of each credential of each node."""
        for node in _nodes(self.body):
            yield from cast("dict[str, JsonObject]", node.get("credentials") or {}).items()


def shipped() -> Path:
    """Where the exports are that come with the program."""
    # A wheel has them inside `core`, a checkout on top.
    core = Path(__file__).parents[2]
    packaged = core / "workflows"
    return packaged if packaged.is_dir() else core.parent / "workflows"


def load_exports(settings: "Settings") -> list[Export]:
    """The exports to push, what others refer to first. Raises `ConfigError`.

    Those in `workflows/` beside the user's own `workflows.toml` win. A type whose `workflow_id` is
    written out there is served by a workflow of the user's own, and none is pushed for it.
    """
    places = [settings.workflows_file.with_name("workflows"), shipped()]
    registry = load_workflows(settings.workflows_file, {})
    found = [_read(FAILURE, _find(places, [FAILURE]))]
    for workflow in registry.all():
        names = [f"{workflow.task_type}-streaming"] if workflow.stream else []
        path = _find(places, [*names, workflow.task_type])
        if path is not None and workflow.workflow_variable is not None:
            found.append(_read(workflow.task_type, path, workflow))
    return [*found, _read(SWEEP, _find(places, [SWEEP]))]


def prepare(
    export: Export,
    credentials: Mapping[tuple[str, str], str],
    ids: Mapping[str, str],
    llm: "LlmSettings",
) -> JsonObject:
    """What n8n is given: the export with the ids, the model and the limits of this place in it.

    `credentials`: (kind, name) -> id, `ids`: key of an export -> id. What has none yet stays open.
    """
    body = copy.deepcopy(export.body)
    nodes = _nodes(body)
    for node in nodes:
        used = cast("dict[str, JsonObject]", node.get("credentials") or {})
        for kind, reference in used.items():
            name = str(reference.get("name"))
            reference.clear()
            reference["name"] = name
            if (kind, name) in credentials:
                reference["id"] = credentials[kind, name]
    settings: JsonObject = {**cast("JsonObject", body["settings"]), "executionOrder": "v1"}
    if export.key == SWEEP:
        types = {key: each for key, each in ids.items() if key not in (FAILURE, SWEEP)}
        _fill(nodes, "Workflows", {"workflows": json.dumps(types, sort_keys=True)})
    if export.workflow is not None:
        settings["executionTimeout"] = export.workflow.timeout_seconds
        if FAILURE in ids:
            settings["errorWorkflow"] = ids[FAILURE]
        model: JsonObject = {
            "base_url": llm.base_url,
            "model": llm.model,
            "temperature": llm.temperature,
            "max_tokens": llm.max_tokens,
        }
        _fill(nodes, "Settings", model)
        webhooks = [node for node in nodes if node.get("type") == "n8n-nodes-base.webhook"]
        for node in webhooks:
            if len(webhooks) == 1 or node.get("name") == "Webhook":
                cast("JsonObject", node["parameters"])["path"] = export.workflow.webhook_path
    body["settings"] = settings
    return body


def normal(workflow: JsonObject, like: JsonObject) -> JsonObject:
    """What counts of a workflow when it is compared with `like`, which is about to be given."""
    settings = cast("JsonObject", workflow.get("settings") or {})
    nodes = {
        str(node.get("name")): {
            key: value
            for key, value in node.items()
            if key not in _COSMETIC and value is not None and value is not False
        }
        for node in _nodes(workflow)
    }
    return {
        "name": workflow.get("name"),
        "settings": {key: settings.get(key) for key in cast("JsonObject", like["settings"])},
        "nodes": cast("JsonObject", nodes),
        "connections": workflow.get("connections"),
    }


def _find(places: list[Path], names: list[str]) -> Path | None:
    paths = (place / f"{name}.json" for place in places for name in names)
    return next((path for path in paths if path.exists()), None)


def _read(key: str, path: Path | None, workflow: Workflow | None = None) -> Export:
    if path is None:
        raise ConfigError(f"{shipped() / key}.json is missing; install stepline again.")
    try:
        read: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{path} is not JSON; export the workflow from n8n again.") from None
    wanted = {"name": str, "nodes": list, "connections": dict}
    if not isinstance(read, dict) or any(
        not isinstance(cast("JsonObject", read).get(name), kind) for name, kind in wanted.items()
    ):
        raise ConfigError(f"{path} is not a workflow of n8n; export it from n8n again.")
    data = cast("JsonObject", read)
    body = {name: data[name] for name in wanted}
    body["settings"] = data.get("settings") or {}
    return Export(key, path, body, workflow)


def _nodes(workflow: JsonObject) -> list[JsonObject]:
    return cast("list[JsonObject]", workflow.get("nodes") or [])


def _fill(nodes: list[JsonObject], name: str, values: JsonObject) -> None:
    """Sets what the Set node `name` assigns; only what it has already."""
    for node in nodes:
        if node.get("name") == name and node.get("type") == "n8n-nodes-base.set":
            parameters = cast("dict[str, Any]", node.get("parameters") or {})
            for each in parameters.get("assignments", {}).get("assignments", []):
                if each.get("name") in values:
                    each["value"] = values[each["name"]]
