"""The registry of automations: `workflows.toml` -> `Workflow`."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StrictStr

from core.engine.base import EngineName
from core.errors import InputError, UnknownTaskTypeError, WorkflowNotConfiguredError
from core.inputs import InputSchema, Problem, find_problems
from core.models import JsonObject
from core.suggest import did_you_mean
from core.text import clean_line
from core.tomlfile import Document, Table, bad_value, read_toml, sentence

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _no_schema() -> JsonObject:
    return {}


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
    input_schema: JsonObject = field(default_factory=_no_schema)
    """JSON Schema of the input, an object; see `core.inputs.InputSchema` for what it may hold."""
    local: bool = False
    """Whether the local worker has an implementation."""
    workflow_variable: str | None = None
    """The environment variable that `workflow_id` is read from, if it is read from one."""
    stream: bool = False
    """Whether its webhook answers with the result as it comes (n8n's `responseMode: streaming`)."""


class Registry:
    """All automations of one `workflows.toml`."""

    def __init__(self, path: Path, workflows: Mapping[str, Workflow]) -> None:
        self.path = path
        self._workflows = dict(workflows)

    def all(self) -> list[Workflow]:
        """Every workflow, in the order of the file."""
        return list(self._workflows.values())

    def find(self, task_type: str) -> Workflow | None:
        """The workflow of that type, or None: a task may be of a type we no longer know."""
        return self._workflows.get(task_type)

    def get(self, task_type: str) -> Workflow:
        """The workflow of that type; raises `UnknownTaskTypeError`."""
        found = self.find(task_type)
        if found is None:
            hint = did_you_mean(task_type, self._workflows)
            known = ", ".join(self._workflows)
            name = clean_line(task_type)[:60]
            raise UnknownTaskTypeError(
                f'There is no task type "{name}"{hint or "."} Known types: {known}.'
            )
        return found

    def runnable(self, task_type: str, engine: EngineName) -> Workflow:
        """The workflow of that type if `engine` can run it.

        Raises `UnknownTaskTypeError`, or `WorkflowNotConfiguredError` where nothing would ever
        pick the task up.
        """
        workflow = self.get(task_type)
        if engine == "local" and not workflow.local:
            able = ", ".join(each.task_type for each in self.all() if each.local) or "none"
            raise WorkflowNotConfiguredError(
                f'Task type "{task_type}" has no workflow that can run here: the local worker '
                f"runs only {able}, so use one of those, or have a workflow for it written "
                f"(see {self.path})."
            )
        if engine == "n8n" and workflow.workflow_id is None:
            where = workflow.workflow_variable or f"workflow_id in {self.path}"
            raise WorkflowNotConfiguredError(
                f'Task type "{task_type}" has no workflow in n8n yet: `stepline n8n push` puts '
                f"those of stepline there; set {where} for one of your own."
            )
        return workflow

    def problems(self, workflow: Workflow, input_data: JsonObject) -> list[Problem]:
        """Everything wrong with an input for `workflow`, to be shown beside its fields."""
        return find_problems(workflow.input_schema, input_data)

    def validate(self, workflow: Workflow, input_data: JsonObject) -> None:
        """Raises `InputError`, naming the first field that is wrong, unless the input is good."""
        problems = self.problems(workflow, input_data)
        if problems:
            more = len(problems) - 1
            others = f" (and {more} more)" if more else ""
            raise InputError(sentence(f"Input for {workflow.task_type}: {problems[0]}{others}"))


def load_workflows(path: Path, env: Mapping[str, str]) -> Registry:
    """The registry in the file at `path`, its `${VAR}` references read from `env`.

    Raises `ConfigError` naming file, line and key, and the nearest key there is.
    """
    document = read_toml(path)
    declared = document.parse(_File).types
    return Registry(
        path, {name: _workflow(name, each, document, env) for name, each in declared.items()}
    )


def _workflow(name: str, declared: "_Type", document: Document, env: Mapping[str, str]) -> Workflow:
    schema: JsonObject = {"type": "object", **document.data["types"][name].get("input", {})}
    found = _REFERENCE.fullmatch(declared.workflow_id or "")
    workflow_id = (env.get(found[1]) or None) if found else declared.workflow_id
    if workflow_id is not None and len(workflow_id) > 100:
        raise document.error(("types", name, "workflow_id"), "is longer than 100 characters")
    return Workflow(
        task_type=name,
        label=declared.label,
        description=declared.description,
        workflow_id=workflow_id,
        webhook_path=declared.webhook_path,
        timeout_seconds=declared.timeout_seconds,
        steps=tuple(Step(step.name, step.label, step.icon) for step in declared.steps),
        input_schema=schema,
        local=declared.local,
        stream=declared.stream,
        workflow_variable=found[1] if found else None,
    )


def _one_line(text: str) -> str:
    cleaned = clean_line(text)
    if not cleaned:
        raise bad_value("should not be empty")
    return cleaned


def _one_cell(icon: str) -> str:
    # Wider ones, emoji above all, put the columns of the step ladder out of line.
    # Marks and controls have no column at all.
    if (
        len(icon) != 1
        or unicodedata.east_asian_width(icon) in "WF"
        or unicodedata.category(icon)[0] in "MCZ"
    ):
        raise bad_value("should be one character that is one column wide, like ◆")
    return icon


def _reference(workflow_id: str) -> str:
    if "$" in workflow_id and not _REFERENCE.fullmatch(workflow_id):
        raise bad_value('should be an id, or a reference like "${N8N_CHAT_WORKFLOW_ID}"')
    return workflow_id


def _path(path: str) -> str:
    if not re.fullmatch(r"[\w.~%-]+(/[\w.~%-]+)*", path, re.ASCII):
        raise bad_value('should be a path without host and leading slash, like "chat/process"')
    return path


_Name = Annotated[StrictStr, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=50)]
_Line = Annotated[StrictStr, AfterValidator(_one_line)]


class _Step(Table):
    name: _Name
    label: _Line
    icon: Annotated[StrictStr, AfterValidator(_one_cell)] = "•"


def _distinct(steps: tuple[_Step, ...]) -> tuple[_Step, ...]:
    names = [step.name for step in steps]
    for name in names:
        if names.count(name) > 1:
            raise bad_value(f'has the step "{name}" twice')
    return steps


class _Type(Table):
    label: _Line
    description: Annotated[StrictStr, AfterValidator(clean_line)] = ""
    workflow_id: Annotated[_Line, AfterValidator(_reference)] | None = None
    webhook_path: Annotated[StrictStr, AfterValidator(_path)]
    timeout_seconds: Annotated[StrictInt, Field(ge=1, le=7 * 24 * 3600)]
    local: StrictBool = False
    stream: StrictBool = False
    steps: Annotated[tuple[_Step, ...], AfterValidator(_distinct)] = ()
    input: InputSchema = InputSchema()


class _File(Table):
    types: Annotated[dict[_Name, _Type], Field(min_length=1)]
