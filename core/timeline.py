"""A task's steps as they happened: derived from its row, its events and its workflow's plan.

This is what the step ladder, the panel, the inspector and `--json` all show.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from core.models import Task, TaskEvent, TaskStatus

if TYPE_CHECKING:
    from core.workflows import Step, Workflow

# Values of `current_step` that name an ending, not work (spec.md, 5.3 and 5.4).
_ENDINGS = frozenset(status.value for status in TaskStatus if status.final)


class StepState(StrEnum):
    """How far a step is."""

    WAITING = "waiting"
    CURRENT = "current"
    DONE = "done"
    FAILED = "failed"
    """The step during which the task ended badly, or lost its worker."""


@dataclass(frozen=True, slots=True)
class StepView:
    """One line of the ladder. `started` and `ended` are by the database's clock."""

    name: str
    label: str
    icon: str
    state: StepState
    started: datetime | None = None
    ended: datetime | None = None
    message: str = ""

    def seconds(self, now: datetime) -> float | None:
        """How long the step took, or has been running; None if it has not begun."""
        if self.started is None:
            return None
        return max(0.0, ((self.ended or now) - self.started).total_seconds())


def timeline(
    task: Task, events: Sequence[TaskEvent], workflow: "Workflow | None"
) -> list[StepView]:
    """Every step of `task`: those that happened in their order, then those still to come.

    A step unknown to the workflow is shown by its own name; a step that was entered again
    appears again, as a timeline does. Steps still to come are those that the plan has after the
    last one that happened: one that was skipped will not come, but a task that another worker
    took over goes through its steps again. A final task has none.
    """
    plan = {step.name: step for step in workflow.steps} if workflow else {}
    views: list[StepView] = []
    for event in events:
        if event.event_type == "adopted" and views:
            # Its worker died in this step; the steps begin again.
            views[-1] = _ended(views[-1], event.created_at, StepState.FAILED)
        name = event.data.get("step")
        if event.event_type != "step_update" or not isinstance(name, str):
            continue
        if views and views[-1].ended is None:
            views[-1] = _ended(views[-1], event.created_at, StepState.DONE)
        if name in _ENDINGS:
            continue
        message = event.data.get("message")
        views.append(
            _view(
                name,
                plan.get(name),
                StepState.CURRENT,
                event.created_at,
                message if isinstance(message, str) else "",
            )
        )
    if task.status.final:
        return _close(views, task)
    if views and views[-1].name == task.current_step and task.status_message:
        # The row's own message is newer than the event's where only the message changed.
        views[-1] = _with_message(views[-1], task.status_message)
    position = {name: at for at, name in enumerate(plan, 1)}
    reached = next((position[view.name] for view in reversed(views) if view.name in plan), 0)
    waiting = [step for step in [*plan.values()][reached:] if step.name not in _ENDINGS]
    return views + [_view(step.name, step, StepState.WAITING, None, "") for step in waiting]


def _close(views: list[StepView], task: Task) -> list[StepView]:
    """The last step of a final task: done if it completed, else the one that failed."""
    if not views:
        return views
    last = views[-1]
    state = StepState.DONE if task.status is TaskStatus.COMPLETED else StepState.FAILED
    views[-1] = _ended(last, last.ended or task.processing_completed_at or task.updated_at, state)
    return views


def _view(
    name: str, step: "Step | None", state: StepState, started: datetime | None, message: str
) -> StepView:
    label, icon = (step.label, step.icon) if step else (name, "")
    return StepView(name, label, icon, state, started, None, message)


def _ended(view: StepView, at: datetime, state: StepState) -> StepView:
    return StepView(view.name, view.label, view.icon, state, view.started, at, view.message)


def _with_message(view: StepView, message: str) -> StepView:
    return StepView(view.name, view.label, view.icon, view.state, view.started, view.ended, message)
