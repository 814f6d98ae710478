"""n8n as an engine: its webhook is called for each task, and again until somebody claims it.

Calling twice is safe, because only one claim can win. What came of a call is noted in the
database, so that every client sees why a task still waits.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from core.changes import Deleted, EngineChanged, LinkChanged, LinkState, Table, TaskChanged
from core.engine.base import EngineName
from core.engine.n8n import webhook as calls
from core.engine.n8n.api import Api
from core.engine.n8n.health import Health
from core.engine.n8n.tokens import tokens
from core.engine.n8n.webhook import DOWN, CallFailedError, Outcome, Webhook, unanswered
from core.errors import SteplineError
from core.feed import Feed, Subscription
from core.models import Task, TaskStatus
from core.store.base import Store, Wanted
from core.text import clean
from core.workflows import Registry, Workflow

if TYPE_CHECKING:
    from core.settings import Settings

_log = logging.getLogger(__name__)

_TRIES = 3
"""Calls in a row before a task counts as not told, and the wait for n8n begins."""
_BACKOFF = 0.5
_AGAIN, _MOST_AGAIN = 30.0, 240.0
"""Seconds until a task that n8n was told of, and nobody claimed, is told of again; doubled."""
_NOT_OURS = 15.0
"""Seconds that another client has for telling n8n of what it created."""
_STARTING = 20.0
"""Seconds in which "no such webhook" may mean that n8n has only just started."""
_LEAVING = 10.0
"""Seconds that `close` leaves to calls that have begun."""
_SHOW = 0.1
"""Seconds between two looks at text that streams in."""


@dataclass
class _Waiting:
    """A pending task that is looked after."""

    said: asyncio.Future[None]
    """Done once n8n was told of it, or cannot be."""
    own: bool = False
    """This client was asked to have it run; others only help."""
    told: bool = False
    """n8n may have it by now."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when one should look again."""


class N8nEngine:
    """See `core.engine.base.Engine`."""

    name: EngineName = "n8n"

    def __init__(self, settings: "Settings", store: Store, feed: Feed, workflows: Registry) -> None:
        self._store = store
        self._feed = feed
        self._workflows = workflows
        self._webhook = Webhook(settings.n8n)
        self._health = Health(self._webhook)
        self._api = Api(settings.n8n) if settings.n8n.api_key is not None else None
        self._open: dict[int, Task] = {}
        """Every open task this client knows of."""
        self._watched: dict[int, _Waiting] = {}
        self._begun: set[asyncio.Task[None]] = set()
        """Calls that `close` waits for."""
        self._unsaid: set[asyncio.Future[None]] = set()
        """One for each task whose first calls are still to come; `close` waits for these too."""
        self._others: set[asyncio.Task[None]] = set()
        self._subscription: Subscription | None = None

    @property
    def health(self) -> EngineChanged:
        """See `Engine.health`."""
        return self._health.state

    async def start(self, on_health: Callable[[EngineChanged], None]) -> None:
        """See `Engine.start`."""
        self._health.on_change = on_health
        self._subscription = self._feed.subscribe()
        self._spawn(self._follow(self._subscription), self._others)
        self._spawn(self._health.watch(), self._others)

    async def close(self) -> None:
        """See `Engine.close`."""
        if self._subscription is not None:
            self._subscription.close()
        if waited := self._begun | self._unsaid:
            await asyncio.wait(waited, timeout=_LEAVING)
        left = self._begun | self._others
        for each in left:
            each.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._webhook.close()
        if self._api is not None:
            await self._api.close()

    def trigger(self, task: Task) -> None:
        """See `Engine.trigger`."""
        self._take(task, wait=0.0, own=True)

    def stop(self, task: Task) -> None:
        """See `Engine.stop`: at once where there is an API key; else the next step ends it."""
        if self._api is not None and self._ours(task):
            self._spawn(self._stop(self._api, str(task.n8n_execution_id)), self._begun)

    def link(self, task: Task) -> str | None:
        """See `Engine.link`."""
        if not self._ours(task) or not task.workflow_id:
            return None
        base = self._webhook.base_url
        return f"{base}/workflow/{task.workflow_id}/executions/{task.n8n_execution_id}"

    def _ours(self, task: Task) -> bool:
        """Whether this n8n runs it: its numbers mean something else in another one."""
        workflow = self._workflows.find(task.task_type)
        execution = task.n8n_execution_id or ""
        return (
            bool(execution)
            and not execution.startswith("local:")
            and workflow is not None
            and task.workflow_id == workflow.workflow_id
        )

    def _spawn(self, work: Coroutine[Any, Any, None], among: set[asyncio.Task[None]]) -> None:
        task = asyncio.create_task(work)
        among.add(task)
        task.add_done_callback(among.discard)

    # Which tasks are open

    async def _follow(self, subscription: Subscription) -> None:
        while True:
            for change in await subscription.batch():
                match change:
                    case TaskChanged(task=task):
                        self._take(task, wait=_NOT_OURS)
                    case Deleted(table=Table.TASKS, id=task_id):
                        self._forget(task_id)
                    case LinkChanged(state=LinkState.LIVE):
                        # What a crash left pending is told of again.
                        with suppress(SteplineError):
                            for task in await self._store.running_tasks():
                                self._take(task, wait=0.0)
                    case _:
                        pass

    def _take(self, task: Task, *, wait: float, own: bool = False) -> None:
        known = self._open.get(task.id)
        if known is not None and known.revision > task.revision:
            task = known
        if task.status.final:
            self._forget(task.id)
            return
        self._open[task.id] = task
        self._health.needed.set()
        waiting = self._watched.get(task.id)
        if task.status is not TaskStatus.PENDING:
            if waiting is not None:
                waiting.changed.set()
            return
        if waiting is None:
            workflow = self._workflows.find(task.task_type)
            if workflow is None or workflow.workflow_id is None:
                return
            waiting = _Waiting(asyncio.get_running_loop().create_future())
            self._watched[task.id] = waiting
            self._spawn(self._look_after(task.id, workflow, wait, waiting), self._others)
        elif not wait and not waiting.told:
            # The feed was quicker than whoever sent it.
            waiting.changed.set()
        waiting.own = waiting.own or own
        if not wait and not waiting.said.done():
            self._unsaid.add(waiting.said)
            waiting.said.add_done_callback(self._unsaid.discard)

    def _forget(self, task_id: int) -> None:
        task = self._open.pop(task_id, None)
        if not self._open:
            self._health.needed.clear()
        if task_id in self._watched:
            self._watched[task_id].changed.set()
        if task is None:
            return
        # The next message of its conversation may now be answered.
        for each in self._open.values():
            if each.id in self._watched and _follows(each, task):
                self._watched[each.id].changed.set()

    def _waits(self, task: Task) -> bool:
        """Whether an earlier message of its conversation is still being answered; it would not
        be claimed yet."""
        conversation = _conversation(task)
        return conversation is not None and any(
            each.id < task.id and _conversation(each) == conversation
            for each in self._open.values()
        )

    # Telling n8n

    async def _look_after(
        self, task_id: int, workflow: Workflow, wait: float, waiting: _Waiting
    ) -> None:
        """Tells n8n of a task until it is claimed or over."""
        changed = waiting.changed
        again = _AGAIN
        noted = False
        try:
            while True:
                if wait:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(wait):
                            await changed.wait()
                changed.clear()
                task = self._open.get(task_id)
                if task is None or task.status is not TaskStatus.PENDING:
                    return
                if self._waits(task):
                    _resolve(waiting.said)
                    wait = _MOST_AGAIN
                    continue
                if self._health.gone:
                    if not noted:
                        await self._note(task, Outcome.UNREACHABLE, _later(self.health.detail))
                    noted = False
                    _resolve(waiting.said)
                    await self._health.back()
                    wait = 0.0
                    continue
                told = asyncio.create_task(self._tell(task, workflow, waiting))
                self._begun.add(told)
                told.add_done_callback(self._begun.discard)
                try:
                    await told
                except Exception as error:
                    # Its words may quote what was sent, the token too.
                    kind = type(error).__name__
                    _log.error("n8n could not be told of task %d: %s", task_id, kind)
                noted = True
                _resolve(waiting.said)
                wait = 0.0 if self._health.gone else again
                again = min(_MOST_AGAIN, 2 * again)
        finally:
            _resolve(waiting.said)
            self._watched.pop(task_id, None)

    async def _tell(self, task: Task, workflow: Workflow, waiting: _Waiting) -> None:
        """Up to three calls, and a note of what came of them."""
        began = asyncio.get_running_loop().time()
        tries = 0
        while True:
            tries += 1
            try:
                await self._call(task, workflow)
            except CallFailedError as error:
                failed = error
            else:
                waiting.told = True
                self._health.seen()
                await self._note(task, Outcome.SENT, "Sent to n8n, waiting for it to start...")
                return
            young = asyncio.get_running_loop().time() - began < _STARTING
            starting = failed.status == 404 and young
            if failed.outcome is Outcome.UNREACHABLE and tries < _TRIES:
                starting = True
            if not starting:
                break
            await asyncio.sleep(min(4.0, _BACKOFF * 2 ** (tries - 1)) * random.uniform(0.8, 1.2))  # noqa: S311
        outcome, said = failed.outcome, str(failed)
        if outcome is Outcome.UNCONFIRMED:
            waiting.told = True
        elif outcome is Outcome.REFUSED and (waiting.told or not waiting.own):
            # Whoever sent it may have reached an n8n that takes it: it is not ours to fail.
            outcome = Outcome.UNREACHABLE
        elif outcome is Outcome.UNREACHABLE and (failed.status is None or failed.status in DOWN):
            # The tasks wait, and one look after the other is taken until it is back.
            self._health.lost(failed)
            said = _later(said)
        await self._note(task, outcome, said)

    async def _call(self, task: Task, workflow: Workflow) -> None:
        if not workflow.stream:
            async with self._webhook.call(workflow, task) as response:
                # The status was the answer; its body may break off.
                with suppress(httpx.HTTPError, httpx.StreamError):
                    await response.aread()
            return
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._spawn(self._stream(task, workflow, started), self._others)
        try:
            async with asyncio.timeout(calls.ANSWER):
                await asyncio.shield(started)
        except TimeoutError:
            # It goes on listening: n8n says nothing before the first token.
            started.add_done_callback(lambda late: late.cancelled() or late.exception())
            raise unanswered() from None

    async def _stream(self, task: Task, workflow: Workflow, started: asyncio.Future[None]) -> None:
        """Reads the answer that comes over the webhook, and shows it; the database has the last
        word, and a stream that breaks changes nothing but the pace."""
        try:
            async with self._webhook.call(workflow, task) as response:
                if not started.done():
                    started.set_result(None)
                await self._show(task, response)
        except CallFailedError as error:
            if not started.done():
                started.set_exception(error)
        except SteplineError:
            _log.info("What streams in for task %d cannot be shown.", task.id)
        finally:
            if not started.done():
                lost = CallFailedError(Outcome.UNCONFIRMED, "The call of n8n was broken off.")
                started.set_exception(lost)

    async def _show(self, task: Task, response: httpx.Response) -> None:
        message_id = task.input.get("message_id")
        if not isinstance(message_id, int):
            return
        rows = await self._store.fetch(Wanted(messages=frozenset((message_id,))))
        if not rows.messages or rows.messages[0].async_task_id != task.id:
            return
        message, text, shown = rows.messages[0], "", 0.0
        clock = asyncio.get_running_loop().time
        async for piece in tokens(response):
            if task.id not in self._open:
                return  # cancelled, or out of time: this text will be in no row
            text += piece
            if clock() - shown >= _SHOW:
                shown = clock()
                self._feed.preview(message, clean(text))
        if text and task.id in self._open:
            self._feed.preview(message, clean(text))

    async def _note(self, task: Task, outcome: Outcome, sentence: str) -> None:
        try:
            noted = await self._store.task_triggered(task.id, outcome.value, sentence)
        except SteplineError as error:
            _log.warning("It could not be noted that task %d was %s: %s", task.id, outcome, error)
            return
        self._feed.note(TaskChanged(noted, ()))

    async def _stop(self, api: Api, execution: str) -> None:
        try:
            await api.stop_execution(execution)
        except SteplineError as error:
            # It ends by itself at its next step, which the database refuses.
            _log.warning("Execution %s could not be stopped: %s", execution, error)


def _conversation(task: Task) -> object:
    """The conversation whose order a task keeps; None where there is none."""
    return task.input.get("conversation_id") if task.task_type == "chat" else None


def _follows(task: Task, before: Task) -> bool:
    return _conversation(before) is not None and _conversation(task) == _conversation(before)


def _later(sentence: str) -> str:
    return f"{sentence.rstrip('.')}; the task waits and starts when it is back."


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
