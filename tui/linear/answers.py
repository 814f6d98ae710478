"""The tasks that are followed: their steps as they begin, their text as it grows, their end."""

import asyncio
from contextlib import suppress

from core.changes import Change, Deleted, MessageChanged, Table, TaskChanged
from core.errors import ExitCode, NotFoundError, StoreUnreachableError
from core.models import Message, Task, TaskStatus
from core.session import Session
from tui.cli.verdict import UNCLAIMED_AFTER, unclaimed, verdict
from tui.linear.endings import ending
from tui.linear.paper import Paper
from tui.paint.facts import notice
from tui.telling import BegunSteps, GrowingText


class Followed:
    """What was told of one task, and what is known of it."""

    def __init__(
        self,
        task_id: int,
        message: Message | None,
        conversation_id: int | None,
        text: GrowingText,
    ) -> None:
        self.task_id = task_id
        self.message = message
        self.conversation_id = conversation_id
        """Where it answers; None: it is no answer, or not known yet."""
        self.steps = BegunSteps()
        self.text = text
        self.view: TaskChanged | None = None
        self.hint: asyncio.TimerHandle | None = None


class Answers:
    """Tells of several tasks on one page.

    One answer at a time is told as it grows, in whole lines; one that is complete meanwhile is
    told at once, between two lines of it. An answer in another conversation than the open one is
    only told to be there.
    """

    def __init__(self, session: Session, paper: Paper) -> None:
        self.conversation_id: int | None = None
        """The conversation that is open."""
        self._session = session
        self._paper = paper
        self._running: dict[int, Followed] = {}
        self._codes: dict[int, ExitCode] = {}
        self._growing: Followed | None = None

    @property
    def running(self) -> list[int]:
        """The tasks whose end was not told yet, oldest first."""
        return sorted(self._running)

    @property
    def here(self) -> list[int]:
        """Those of them that are told step by step."""
        return [task_id for task_id in self.running if self._told(self._running[task_id])]

    @property
    def code(self) -> ExitCode:
        """How the followed tasks ended: the first that did not go well decides."""
        return next((code for code in self._codes.values() if code), ExitCode.DONE)

    def before(self, task_id: int, conversation_id: int | None) -> int | None:
        """The answer that a task in the same conversation waits for, if it has to."""
        earlier = (
            each
            for each in self.running
            if each < task_id
            and conversation_id is not None
            and self._running[each].conversation_id == conversation_id
        )
        return max(earlier, default=None)

    def knows(self, task_id: int) -> bool:
        """Whether it is, or was, followed."""
        return task_id in self._running or task_id in self._codes

    def follow(
        self,
        task_id: int,
        *,
        message: Message | None = None,
        conversation_id: int | None = None,
        late: bool = False,
    ) -> None:
        """Tells of a task from now on; `late`: of the steps so far only the last one."""
        if self.knows(task_id):
            return
        followed = Followed(task_id, message, conversation_id, self._new_text(task_id))
        self._running[task_id] = followed
        self._hint_later(followed)
        if view := self._session.feed.view(task_id):
            self._took(followed, view, late=late)
        else:
            self._session.feed.hint_task(task_id)
        if message is not None:
            self._grow(followed)

    def drop(self, conversation_id: int) -> None:
        """Forgets what was told of the answers in a conversation, which is to be read anew."""
        for followed in [*self._running.values()]:
            if followed.conversation_id == conversation_id:
                self._forget(followed)

    def retried(self, old_id: int) -> None:
        """How a task ended does not count any more: another attempt does."""
        self._codes[old_id] = ExitCode.DONE

    def apply(self, change: Change) -> None:
        """Tells what is new, ends excepted."""
        match change:
            case TaskChanged(task=task) if followed := self._running.get(task.id):
                # What has come since then is told with it.
                self._took(followed, self._session.feed.view(task.id) or change)
            case MessageChanged(message=message) if followed := self._running.get(
                message.async_task_id or 0
            ):
                followed.message = message
                followed.conversation_id = message.conversation_id
                self._grow(followed)
            case Deleted(table=Table.TASKS, id=task_id) if followed := self._running.get(task_id):
                self._tell(followed, "The task was deleted.")
                self._end(followed, ExitCode.FAILED)
            case _:
                pass

    async def finish(self) -> None:
        """Tells the end of what has ended; tried again later where the database is away."""
        with suppress(StoreUnreachableError):
            for followed in [*self._running.values()]:
                view = self._session.feed.view(followed.task_id) or followed.view
                if view is not None and view.task.status.final:
                    await self._finish(followed, view)

    def grow(self) -> None:
        """Tells more of the text that can be told now; one that has ended may have made room."""
        for followed in self._running.values():
            self._grow(followed)

    def close(self) -> None:
        """Says nothing more."""
        for followed in self._running.values():
            if followed.hint:
                followed.hint.cancel()

    async def _finish(self, followed: Followed, view: TaskChanged) -> None:
        task = view.task
        if followed.message is not None or task.task_type == "chat":
            message = await self._answer(followed, task)
            if message is None:
                self._tell(followed, "The answer was deleted.")
                self._end(followed, ExitCode.FAILED)
                return
            followed.message, followed.conversation_id = message, message.conversation_id
        if not self._told(followed):
            where = followed.conversation_id
            end = ending(task).rstrip(".")
            self._paper.line(f"#{task.id} in conversation {where}: {end}. /open {where} reads it.")
        else:
            if not followed.text.begun:
                self._tell_steps(followed, view)
            if followed.message is not None:
                followed.text.show(followed.message.content)
                followed.text.end()
            # Steps behind a text that was being told: not in the middle of its last paragraph.
            self._tell_steps(followed, view)
            if said := notice(task):
                self._tell(followed, said)
            if followed.text.begun and task.status is not TaskStatus.COMPLETED:
                self._tell(followed, "The answer is incomplete.")
            self._tell(followed, ending(task))
        self._end(followed, verdict(task))

    async def _answer(self, followed: Followed, task: Task) -> Message | None:
        """The message as it is now; its last change may still be on its way."""
        number = task.input.get("message_id")
        if followed.message is not None:
            number = followed.message.id
        if not isinstance(number, int):
            return None
        try:
            return await self._session.chat.message(number)
        except NotFoundError:
            return None

    def _end(self, followed: Followed, code: ExitCode) -> None:
        self._forget(followed)
        self._codes[followed.task_id] = code

    def _forget(self, followed: Followed) -> None:
        del self._running[followed.task_id]
        if followed.hint:
            followed.hint.cancel()
        if self._growing is followed:
            self._growing = None

    # What is told

    def _told(self, followed: Followed) -> bool:
        return followed.conversation_id in (None, self.conversation_id)

    def _tell(self, followed: Followed, sentence: str) -> None:
        self._paper.line(self._number(followed) + sentence)

    def _number(self, followed: Followed) -> str:
        """`#12 `, where more than one task is told of."""
        return f"#{followed.task_id} " if len(self.here) > 1 else ""

    def _took(self, followed: Followed, view: TaskChanged, *, late: bool = False) -> None:
        followed.view = view
        if followed.conversation_id is None and view.task.task_type == "chat":
            number = view.task.input.get("conversation_id")
            followed.conversation_id = number if isinstance(number, int) else None
        if not view.task.status.final:
            self._tell_steps(followed, view, late=late)

    def _tell_steps(self, followed: Followed, view: TaskChanged, *, late: bool = False) -> None:
        if self._told(followed):
            news = followed.steps.news(self._session.tasks.steps(view))
            for sentence in news[-1:] if late else news:
                self._tell(followed, sentence)

    def _new_text(self, task_id: int) -> GrowingText:
        def write(text: str) -> None:
            followed = self._running[task_id]
            if self._paper.writer is not followed:
                number = f", #{task_id}" if len(self.here) > 1 else ""
                goes_on = " goes on" if followed.text.begun else ""
                self._paper.line(f"Assistant{goes_on}{number}:")
            self._paper.text(text, followed)

        return GrowingText(write, lambda sentence: self._tell(self._running[task_id], sentence))

    def _grow(self, followed: Followed) -> None:
        """Tells the whole lines of a text that grows; its last line has to wait for its end."""
        if followed.message is None or not self._told(followed):
            return
        if self._growing not in (None, followed):
            return
        content = followed.message.content
        followed.text.show(content[: content.rfind("\n") + 1])
        if followed.text.begun:
            self._growing = followed

    def _hint_later(self, followed: Followed) -> None:
        loop = asyncio.get_running_loop()
        followed.hint = loop.call_later(UNCLAIMED_AFTER, self._unclaimed, followed)

    def _unclaimed(self, followed: Followed) -> None:
        if followed.view is not None and followed.view.task.status is not TaskStatus.PENDING:
            return
        if self.before(followed.task_id, followed.conversation_id) is not None:
            self._hint_later(followed)  # it waits for its turn
        else:
            task = followed.view.task if followed.view is not None else None
            engine = self._session.engine.name
            self._tell(followed, unclaimed(followed.task_id, engine, task))
