"""`stepline tasks`: every task, whatever its type."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.errors import ExitCode, InputError
from tui.cli.base import Group
from tui.cli.output import put, put_json, put_table, say
from tui.cli.running import with_session

if TYPE_CHECKING:
    from core.models import JsonObject, Task
    from core.session import Session

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_wait_option = click.option(
    "--wait", is_flag=True, help="Wait for the end; the exit code says how it ended."
)


@click.group(cls=Group)
def tasks() -> None:
    """List, show, create, watch, retry and cancel tasks."""


@tasks.command("list")
@click.option(
    "--status",
    metavar="STATUS,...",
    help="pending, processing, completed, failed, cancelled, timeout; running, bad.",
)
@click.option("--type", "task_type", metavar="TYPE,...", help="Only these task types.")
@click.option("--since", metavar="AGE", help="Only newer ones: 30m, 2h, 7d, today, 2025-06-01.")
@click.option("--text", default="", metavar="WORDS", help="Only those with all these words.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@_json_option
def list_tasks(
    *,
    status: str | None,
    task_type: str | None,
    since: str | None,
    text: str,
    limit: int,
    as_json: bool,
) -> int:
    """List tasks, newest first."""

    async def work(session: Session) -> int:
        from tui.query import parse

        given = {"status": status, "type": task_type, "since": since}
        line = " ".join(
            f'{key}:"{value.replace(chr(34), "")}"'
            for key, value in given.items()
            if value is not None
        )
        types = [workflow.task_type for workflow in session.workflows.all()]
        wanted = parse(line, now=session.now(), types=types)
        found = await session.tasks.list(wanted.model_copy(update={"text": text, "limit": limit}))
        if as_json:
            put_json([task.model_dump(mode="json") for task in found])
        else:
            _put_tasks(found, session)
        return ExitCode.DONE

    return with_session(work)


def _put_tasks(found: Sequence[Task], session: Session) -> None:
    from core.text import clean_line
    from tui.format import clock_time, duration

    if not found:
        say("No tasks.")
        return
    now = session.now()
    rows = [
        (
            str(task.id),
            task.status.value,
            task.task_type,
            clock_time(task.created_at, now),
            duration(task.elapsed(now)) if task.processing_started_at else "",
            clean_line(task.status_message or ""),
        )
        for task in found
    ]
    put_table(("ID", "STATUS", "TYPE", "CREATED", "TIME", "MESSAGE"), rows)


@tasks.command()
@click.argument("task_id", metavar="ID", type=int)
@_json_option
def show(task_id: int, as_json: bool) -> int:
    """Show one task: its state, steps, input, output and error."""

    async def work(session: Session) -> int:
        view = await session.tasks.get(task_id)
        now = session.now()
        steps = [
            {
                "step": step.name,
                "label": step.label,
                "state": step.state.value,
                "message": step.message,
                "seconds": None if (seconds := step.seconds(now)) is None else round(seconds, 3),
            }
            for step in session.tasks.steps(view)
        ]
        if as_json:
            events = [event.model_dump(mode="json") for event in view.events]
            put_json(view.task.model_dump(mode="json") | {"steps": steps, "events": events})
        else:
            _put_task(view.task, steps, session)
        return ExitCode.DONE

    return with_session(work)


def _put_task(task: Task, steps: list[dict[str, Any]], session: Session) -> None:
    from tui.format import duration
    from tui.paint.facts import described

    for name, value in described(task, session.now()):
        put(f"{name + ':':<12}{value}")
    if steps:
        put("")
        rows = [(step["state"], duration(step["seconds"]), step["label"]) for step in steps]
        put_table(("STATE", "TIME", "STEP"), rows)
    for name, value in (
        ("input", task.input),
        ("output", task.output),
        ("error", task.error),
    ):
        if value:
            put(f"\n{name}:")
            put_json(value)


@tasks.command()
@click.argument("task_type", metavar="TYPE")
@click.option(
    "--input",
    "given",
    required=True,
    metavar="JSON|@FILE|-",
    help="The input as a JSON object, from a file, or from stdin.",
)
@_wait_option
@_json_option
def create(task_type: str, given: str, wait: bool, as_json: bool) -> int:
    """Create a task of TYPE; print its id."""
    data = _input(given)

    async def work(session: Session) -> int:
        return await _begun(session, await session.tasks.create(task_type, data), wait, as_json)

    return with_session(work, live=wait, worker=True)


@tasks.command()
@click.argument("task_id", metavar="ID", type=int)
@_wait_option
@_json_option
def retry(task_id: int, wait: bool, as_json: bool) -> int:
    """Try a failed, cancelled or timed-out task again, as a new task; print its id."""

    async def work(session: Session) -> int:
        return await _begun(session, await session.tasks.retry(task_id), wait, as_json)

    return with_session(work, live=wait, worker=True)


@tasks.command()
@click.argument("task_id", metavar="ID", type=int)
@_json_option
def cancel(task_id: int, as_json: bool) -> int:
    """Cancel a task that is pending or processing."""

    async def work(session: Session) -> int:
        task = await session.tasks.cancel(task_id)
        if as_json:
            put_json(task.model_dump(mode="json"))
        else:
            say(f"Task #{task.id} is {task.status.value}.")
        return ExitCode.DONE

    return with_session(work)


@tasks.command()
@click.argument("task_id", metavar="[ID]", type=int, required=False)
@click.option("--json", is_flag=True, expose_value=False, help="JSON lines; it is always so.")
def watch(task_id: int | None) -> int:
    """Print one JSON line per change, until the task is final.

    Without ID: the changes of all tasks, until interrupted. A line holds task_id, status, step,
    message, at and event_id (null where only the message changed).
    """

    async def work(session: Session) -> int:
        from tui.cli.watching import watch as follow

        return await follow(session, task_id)

    return with_session(work, live=True)


async def _begun(session: Session, task: Task, wait: bool, as_json: bool) -> int:
    """Prints a new task, and waits for its end if asked to."""
    if not wait:
        if as_json:
            put_json(task.model_dump(mode="json"))
        else:
            put(str(task.id))
        return ExitCode.DONE
    from tui.cli.watching import wait as until_final

    code, task = await until_final(session, task.id)
    if as_json:
        put_json(task.model_dump(mode="json"))
    else:
        put(str(task.id))
    return code


def _input(given: str) -> JsonObject:
    """The object that `--input` means; raises InputError."""
    try:
        if given == "-":
            text = sys.stdin.buffer.read().decode()
        elif given.startswith("@"):
            text = Path(given[1:]).expanduser().read_text(encoding="utf-8")
        else:
            text = given
        data = json.loads(text)
    except OSError as error:
        raise InputError(f"--input: {given[1:]} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError("--input: this is not UTF-8 text.") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"--input: this is not JSON ({error.msg}, {where}).") from error
    except RecursionError as error:
        raise InputError("--input: this JSON is nested too deeply.") from error
    if not isinstance(data, dict):
        raise InputError('--input: a JSON object is needed, such as {"conversation_id": 1}.')
    return data
