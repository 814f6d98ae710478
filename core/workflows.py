"""The registry of automations: `workflows.toml` -> `Workflow`."""

from dataclasses import dataclass, field

from core.models import JsonObject


@dataclass(frozen=True, slots=True)
class Step:
    """A step a workflow is known to take; a workflow may take others too."""

    name: str
    label: str
    icon: str


@dataclass(frozen=True, slots=True)
class Workflow:
    """Everything this program needs to know of one automation."""

    task_type: str
    label: str
    description: str
    workflow_id: str | None
    """The engine's id for it; None where `${VAR}` is not set."""
    webhook_path: str
    timeout_seconds: int
    steps: tuple[Step, ...] = ()
    input_schema: JsonObject = field(default_factory=dict[str, object])  # pyright: ignore
    local: bool = False
    """Whether the local worker has an implementation."""
