"""Tasks as they change: JSON lines for scripts, steps on stderr while we wait."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from core.changes import Change, Deleted, Table, TaskChanged
from core.errors import ExitCode, NotFoundError
from core.models import Task, TaskStatus
from core.session import Session
from tui.cli.output import put_json, say
from tui.cli.verdict import explain, goes_on, verdict
from tui.telling import BegunSteps


async def watch(session: Session, task_id: int | None) -> ExitCode:
    """Prints a line per change; returns how the task ended (with None: only by interruption)."""
    logs: dict[int, ChangeLog] = {}
    async for change in session.tasks.watch(task_id):
        if isinstance(change, TaskChanged):
            log = logs.setdefault(change.task.id, ChangeLog())
            for line in log.lines(change):
                put_json(line, indent=None)
            if task_id is not None and change.task.status.final:
                explain(change.task)
                return verdict(change.task)
        _refuse_deleted(change, task_id)
    raise AssertionError("a watch ends with a final task")


async def wait(session: Session, task_id: int) -> tuple[ExitCode, Task]:
    """Waits for the end of a task and tells of its steps on stderr."""
    begun = BegunSteps()
    try:
        async for change in session.tasks.watch(task_id):
            if isinstance(change, TaskChanged):
                for sentence in begun.news(session.tasks.steps(change)):
                    say(sentence)
                if change.task.status.final:
                    explain(change.task)
                    return verdict(change.task), change.task
            _refuse_deleted(change, task_id)
    except asyncio.CancelledError:
        say(f"Interrupted; {goes_on(task_id)}")
        raise
    raise AssertionError("a watch ends with a final task")


def _refuse_deleted(change: Change, task_id: int | None) -> None:
    if isinstance(change, Deleted) and change.key == (Table.TASKS, task_id):
        raise NotFoundError(f"Task #{task_id} was deleted.")


class ChangeLog:
    """Turns what is known of one task into a line per change, each change once.

    Updates of a row can reach us merged. The events cannot: they are the log of every status and
    step, so the lines come from them.
    """

    def __init__(self) -> None:
        self._event_id = 0
        self._status = TaskStatus.PENDING.value
        self._step: str | None = None
        self._message: str | None = None

    def lines(self, view: TaskChanged) -> Iterator[dict[str, Any]]:
        """The lines for what `view` has more than the last one had."""
        task = view.task
        for event in view.events:
            if event.id <= self._event_id:
                continue
            self._event_id = event.id
            data = event.data
            if event.event_type == "status_change":
                self._status = str(data.get("status"))
            elif event.event_type == "step_update":
                self._step = str(data.get("step"))
            else:
                continue
            message = data.get("message")
            self._message = message if isinstance(message, str) else None
            yield self._line(task.id, event.created_at.isoformat(), event.id)
        # The events can be newer than the row they came with: then its message is an old one.
        newest = view.events[-1].created_at if view.events else task.created_at
        if task.updated_at > newest and task.status_message != self._message:
            self._message = task.status_message
            yield self._line(task.id, task.updated_at.isoformat(), None)

    def _line(self, task_id: int, at: str, event_id: int | None) -> dict[str, Any]:
        return {
            "task_id": task_id,
            "status": self._status,
            "step": self._step,
            "message": self._message,
            "at": at,
            "event_id": event_id,
        }
