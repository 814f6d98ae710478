"""Following one sent message on stdout and stderr until its task is final."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Self

from core.changes import Change, Deleted, LinkChanged, LinkState, MessageChanged, TaskChanged
from core.errors import ExitCode, NotFoundError
from core.models import Message, Sent, TaskStatus
from core.session import Session
from tui.cli.output import put, say
from tui.cli.verdict import UNCLAIMED_AFTER, explain, goes_on, unclaimed, verdict
from tui.telling import BegunSteps, GrowingText


class Answer:
    """From a sent message to the end of its task: text to stdout, steps to stderr."""

    def __init__(self, session: Session, *, quiet: bool) -> None:
        """`quiet`: the text is not written as it grows; `result` has it."""
        self._session = session
        self._quiet = quiet
        self._text = GrowingText(lambda text: put(text, end=""), say)
        self._steps = BegunSteps()

    def __enter__(self) -> Self:
        self._changes = self._session.feed.subscribe()
        return self

    def __exit__(self, *_: object) -> None:
        self._changes.close()

    async def follow(self, sent: Sent, seconds: float | None) -> ExitCode:
        """Returns when the task is final, or after so many seconds."""
        self._sent = sent
        hint = asyncio.get_running_loop().call_later(UNCLAIMED_AFTER, self._unclaimed)
        try:
            async with asyncio.timeout(seconds):
                await self._until_final()
        except TimeoutError:
            self._narrate(f"Not done after {seconds:g} s; {goes_on(sent.task_id)}")
            return ExitCode.TRY_AGAIN
        except asyncio.CancelledError:
            self._narrate(f"Interrupted; {goes_on(sent.task_id)}")
            raise
        finally:
            hint.cancel()
        self._grow((await self._message()).content)
        self._text.end()
        explain(self._view.task)
        return verdict(self._view.task)

    async def result(self) -> dict[str, Any]:
        """What `--json` prints, as far as it is known now."""
        view, message = self._view, await self._message()
        now = self._session.now()
        return {
            "task_id": self._sent.task_id,
            "conversation_id": self._sent.conversation_id,
            "message_id": self._sent.message_id,
            "status": view.task.status.value,
            "reply": message.content,
            "thinking": message.thinking,
            "model": view.task.output.get("model_used"),
            "tokens": view.task.output.get("tokens_used"),
            "seconds": round(view.task.elapsed(now), 3),
            "steps": [
                {"step": step.name, "label": step.label, "seconds": round(seconds, 3)}
                for step in self._session.tasks.steps(view)
                if (seconds := step.seconds(now)) is not None
            ],
        }

    async def _until_final(self) -> None:
        self._took(await self._session.tasks.get(self._sent.task_id))
        while not self._view.task.status.final:
            for change in await self._changes.batch():
                self._take(change)

    def _take(self, change: Change) -> None:
        match change:
            case TaskChanged(task=task) if task.id == self._sent.task_id:
                self._took(change)
            case MessageChanged(message=message) if message.id == self._sent.message_id:
                self._grow(message.content)
            case Deleted() if change.key == self._view.key:
                raise NotFoundError(f"Task #{change.id} was deleted while it ran.")
            case LinkChanged(state=state, detail=detail) if state in _TROUBLE:
                self._narrate(detail or f"The connection to the database is {state.value}.")
            case _:
                pass

    def _took(self, view: TaskChanged) -> None:
        """Tells of the steps that have begun since the last time."""
        self._view = view
        for sentence in self._steps.news(self._session.tasks.steps(view)):
            self._narrate(sentence)

    def _grow(self, text: str) -> None:
        if not self._quiet:
            self._text.show(text)

    def _narrate(self, sentence: str) -> None:
        if self._text.in_line and sys.stdout.isatty() and sys.stderr.isatty():
            say("")  # both are the same screen: do not write behind the answer's last word
        say(sentence)

    def _unclaimed(self) -> None:
        if self._view.task.status is TaskStatus.PENDING:
            engine = self._session.engine.name
            self._narrate(unclaimed(self._sent.task_id, engine, self._view.task))

    async def _message(self) -> Message:
        sent = self._sent
        found = await self._session.chat.messages(
            sent.conversation_id, after_id=sent.message_id - 1, limit=1
        )
        if not found or found[0].id != sent.message_id:
            raise NotFoundError(f"The answer of task #{sent.task_id} was deleted.")
        return found[0]


_TROUBLE = (LinkState.RECONNECTING, LinkState.OFFLINE, LinkState.SIGNED_OUT)
