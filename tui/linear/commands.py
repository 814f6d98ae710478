"""The commands of the linear mode: lines that begin with a slash."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import InputError
from core.models import Task, TaskFilter
from core.suggest import nearest
from core.text import clean_line
from tui import pages
from tui.actions import BY_ID
from tui.format import clock_time, duration, plural
from tui.paint.facts import described, ended

if TYPE_CHECKING:
    from tui.linear.talk import Talk

_LISTED = 10
"""Rows of a list that are read out."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command; `label` and `help` are the registry's where it has the action."""

    name: str
    usage: str
    label: str
    help: str = ""

    def line(self) -> str:
        """What `/help` says."""
        head = f"/{self.name} {self.usage}".rstrip()
        return f"{head}: {self.label}. {self.help}".rstrip()


def _action(name: str, usage: str, action_id: str, help_text: str | None = None) -> Command:
    action = BY_ID[action_id]
    return Command(name, usage, action.label, action.help if help_text is None else help_text)


COMMANDS = (
    _action("help", "", "app.help", "What can be typed here."),
    _action("new", "", "chat.new"),
    _action("conversations", "[TEXT]", "app.conversations", "The latest; or those with TEXT."),
    Command("open", "N", "Open conversation N"),
    Command("more", "", "Older messages of this conversation"),
    _action("tasks", "", "app.tasks", "Those that run, and the latest."),
    Command("task", "[N]", "Task N, or the latest", "Its state, steps, times and error."),
    _action("retry", "[N]", "task.retry", "The same input again. Or what could not be sent."),
    _action("cancel", "[N]", "task.cancel", "Stops the task, after asking."),
    Command("draft", "", "Send the draft of this conversation"),
    Command("discard", "", "Throw away what could not be sent", "After asking."),
    _action("quit", "", "app.quit", "Running tasks go on without us."),
)
_BY_NAME = {command.name: command for command in COMMANDS}

_HELP = (
    "Type a message and press enter to send it, also while an answer is on its way.",
    "A line that ends with a backslash goes on on the next line.",
    "A message that begins with a slash begins with two here.",
    "ctrl+r repeats the line you are typing. ctrl+d on an empty line, or ctrl+c twice, quits.",
    "Commands:",
    *(command.line() for command in COMMANDS),
)


class Commands:
    """Does what the commands say, for a `Talk`. Errors are the services'."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._session = talk.session
        self._line = talk.paper.line
        self._doers: dict[str, Callable[[str], Awaitable[None]]] = {
            "help": self._help,
            "new": self._new,
            "conversations": self._conversations,
            "open": self._open,
            "more": self._more,
            "tasks": self._tasks,
            "task": self._task,
            "retry": self._retry,
            "cancel": self._cancel,
            "draft": self._draft,
            "discard": self._discard,
            "quit": self._quit,
        }

    async def do(self, text: str) -> None:
        """Does the command `text`, which is without its slash."""
        name, _, argument = text.partition(" ")
        doer = self._doers.get(name.lower())
        if doer is None:
            near = nearest(name, _BY_NAME)
            hint = f"did you mean /{near}?" if near else "/help lists them."
            raise InputError(
                f"There is no command /{name[:40]}; {hint} "
                "A message that begins with a slash begins with two here."
            )
        if doer not in (self._help, self._quit):
            # What was typed before is done before.
            await self._talk.letters_settled()
        await doer(argument.strip())

    async def _help(self, _: str) -> None:
        for line in _HELP:
            self._line(line)

    async def _quit(self, _: str) -> None:
        self._talk.left.set()

    async def _new(self, _: str) -> None:
        await self._talk.open(None)

    async def _open(self, argument: str) -> None:
        if not argument:
            raise InputError("Say which one, such as /open 3; /conversations lists them.")
        await self._talk.open(_number(argument))

    async def _conversations(self, text: str) -> None:
        found = await self._session.chat.conversations(text=text)
        if not found:
            self._line("No conversations.")
        now = self._session.now()
        for row in found[:_LISTED]:
            self._line(f"{row.id}: {row.title}, used {clock_time(row.updated_at, now)}")
        if len(found) > _LISTED:
            self._line(f"{len(found) - _LISTED} more; /conversations TEXT finds those with TEXT.")

    async def _more(self, _: str) -> None:
        await self._talk.reading.more(self._talk.conversation_id)

    async def _tasks(self, _: str) -> None:
        running = [*await self._session.tasks.running()]
        latest = await self._session.tasks.list(TaskFilter(limit=_LISTED))
        others = [task for task in latest if task.status.final]
        for task in [*running, *others]:
            self._line(self._row(task))
        if not running and not others:
            self._line("No tasks.")

    def _row(self, task: Task) -> str:
        now = self._session.now()
        row = f"#{task.id} {task.task_type}, {task.status.value}"
        row += f", {clock_time(task.created_at, now)}"
        if task.processing_started_at is not None:
            row += f", {duration(task.elapsed(now))}"
        said = ended(task) if task.status.can_retry else clean_line(task.status_message or "")
        return f"{row}: {said}" if said else row

    async def _task(self, argument: str) -> None:
        if argument:
            number = _number(argument)
        else:
            latest = await self._session.tasks.list(TaskFilter(limit=1))
            if not latest:
                self._line("No tasks.")
                return
            number = latest[0].id
        view = await self._session.tasks.get(number)
        now = self._session.now()
        for name, value in described(view.task, now):
            self._line(f"{name}: {value}")
        for step in self._session.tasks.steps(view):
            seconds = duration(step.seconds(now))
            self._line(f"step {step.label}: {step.state.value}" + (seconds and f", {seconds}"))
        for name, value in view.task.error.items():
            said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            self._line(f"error, {name}: {said}")

    async def _retry(self, argument: str) -> None:
        if not argument and self._talk.resend():
            return
        old = _number(argument) if argument else await self._retriable()
        async with self._talk.turn:  # or the change would be told before we say what it is
            task = await self._session.tasks.retry(old)
            self._line(f"Task #{old} is tried again as #{task.id}.")
            self._talk.answers.retried(old)
            self._talk.answers.follow(task.id)

    async def _retriable(self) -> int:
        """The newest answer of the open conversation that can be retried."""
        here = self._talk.conversation_id
        if here is not None:
            page = await pages.newest(self._session, here)
            views = await pages.tasks(self._session, page.messages)
            for message in reversed(page.messages):
                view = views.get(message.async_task_id or 0)
                if view is not None and view.task.can_retry:
                    return view.task.id
        raise InputError(
            "Nothing to retry: no answer here has failed, timed out or was cancelled lately."
        )

    async def _cancel(self, argument: str) -> None:
        number = _number(argument) if argument else self._only_one()
        view = await self._session.tasks.get(number)
        if view.task.status.final:
            raise InputError(f"Task #{number} is not running: it is {view.task.status.value}.")

        async def cancel() -> None:
            await self._session.tasks.cancel(number)
            if number not in self._talk.answers.running:
                self._line(f"Task #{number} is cancelled.")

        self._talk.ask(f"Cancel task #{number}? What it wrote so far stays.", cancel)

    def _only_one(self) -> int:
        """The task that runs, if it is clear which one."""
        running = self._talk.answers.here or self._talk.answers.running
        if not running:
            raise InputError("Nothing runs here; /tasks lists all tasks.")
        if len(running) > 1:
            which = ", ".join(f"#{number}" for number in running)
            raise InputError(f"Say which one, such as /cancel {running[0]}: {which} run.")
        return running[0]

    async def _draft(self, _: str) -> None:
        self._talk.send_draft()

    async def _discard(self, _: str) -> None:
        letters = [letter for letter in self._talk.outbox.letters if letter.error]
        if not letters:
            raise InputError("Everything was sent: there is nothing to throw away.")
        for letter in letters:
            self._line(f"Not sent: {letter.text}")

        async def discard() -> None:
            for letter in letters:
                self._talk.outbox.withdraw(letter)

        self._talk.ask(f"Throw {plural(len(letters), 'message')} away?", discard)


def _number(argument: str) -> int:
    digits = argument.removeprefix("#")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        raise InputError(f"A number is needed here, such as 12, not {argument[:40]}.")
    return int(digits)
