"""The feed: a store's change stream as one ordered, gap-free stream of models.

Delivery is a hint that makes things fast; reconciliation is what makes them right. Every hint,
live or reconciled, takes the same road: known already? else fetch the row, drop it if it is older
than what we have, tell the subscribers. A subscriber that is slow gets the newest state of each
row, not a backlog.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime

from core.changes import (
    Change,
    ConversationChanged,
    Deleted,
    EngineChanged,
    Hint,
    LinkChanged,
    LinkState,
    MessageChanged,
    Table,
    TaskChanged,
)
from core.errors import SignInNeededError, SteplineError, StoreUnreachableError
from core.mirror import Key, Mirror
from core.models import JsonObject, Message
from core.store.base import Store, Wanted

_log = logging.getLogger(__name__)

_FRAME = 0.02
"""Seconds between two fetches: hints that arrive meanwhile are fetched together."""
_PER_ROW, _LONGEST_FRAME = 0.002, 0.12
"""Seconds more for each row that was just fetched, up to so many in all."""
_AT_ONCE = 500
"""Rows fetched together, at most: a whole night's changes in one answer would be too slow."""
_BUSY, _QUIET, _DOWN = 3.0, 30.0, 2.0
"""Seconds between reconciliations: while a task runs, while none does, while the link is down."""
_SILENT = 2.0
"""Seconds after which what reconciliation has found should have come over the link, too (Realtime
takes half a second); a link that has said nothing since is suspect."""
_UNEXPECTED = "Something unexpected happened; the log has it."
_TOLD = (Table.TASKS, Table.CONVERSATIONS)
"""The tables whose every change the link of any store should tell of."""


class Subscription:
    """One reader of the feed. Holds the newest change per row until it is asked for."""

    def __init__(self, feed: "Feed") -> None:
        self._feed = feed
        self._changes: dict[tuple[str, int], Change] = {}
        self._ready = asyncio.Event()

    async def batch(self) -> list[Change]:
        """Waits until something changed; then all that changed since the last call."""
        await self._ready.wait()
        self._ready.clear()
        changes, self._changes = self._changes, {}
        return list(changes.values())

    def put(self, change: Change) -> None:
        """For the feed: a change to hand out."""
        # Re-inserted at the end, so that the batch is in the order of the newest changes.
        self._changes.pop(change.key, None)
        self._changes[change.key] = change
        self._ready.set()

    def close(self) -> None:
        """No more changes are kept for this reader."""
        self._feed.unsubscribe(self)


class Feed:
    """See the module. `start` and `stop` belong to the session that owns it."""

    def __init__(self, store: Store) -> None:
        self.state = LinkChanged(LinkState.CONNECTING)
        self._store = store
        self._subscriptions: list[Subscription] = []
        self._mirror = Mirror(self._publish)
        self._wanted: dict[Key, int] = {}
        self._portion = _AT_ONCE
        self._work = asyncio.Event()
        self._catch_up = asyncio.Event()
        self._cursor: datetime | None = None
        self._loops: list[asyncio.Task[None]] = []
        self._listening = False
        self._live = asyncio.Event()
        self._turn = asyncio.Event()
        self._pace = _DOWN
        self._unheard: float | None = None
        self.watched: int | None = None
        """The open conversation; see `watch_conversation`."""
        self._looked_up = 0.0

    async def start(self) -> None:
        """Begins to listen; returns at once, `state` tells when it is live."""
        loops = (self._listen(), self._fetch_wanted(), self._reconcile_for_ever())
        self._loops = [asyncio.create_task(loop) for loop in loops]

    async def live(self) -> None:
        """Waits until the stream was live and caught up for the first time."""
        await self._live.wait()

    async def stop(self) -> None:
        """Ends all of it; safe to call twice."""
        loops, self._loops = set(self._loops), []
        while loops:
            for loop in loops:
                loop.cancel()
            # Until Python 3.12 `wait_for`, which psycopg uses, can swallow a cancel that comes
            # as its wait ends (https://github.com/python/cpython/issues/86296): ask again.
            _, loops = await asyncio.wait(loops, timeout=0.5)

    def subscribe(self) -> Subscription:
        """A reader that gets every change from now on."""
        subscription = Subscription(self)
        self._subscriptions.append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """See `Subscription.close`."""
        with suppress(ValueError):
            self._subscriptions.remove(subscription)

    def view(self, task_id: int) -> TaskChanged | None:
        """The newest known state of a task, with its events."""
        return self._mirror.view(task_id)

    async def load(self, task_ids: Iterable[int]) -> dict[int, TaskChanged]:
        """Tasks with all their events, known or fetched; those that don't exist are left out."""
        ids = set(task_ids)
        known = {task_id: view for task_id in ids if (view := self._mirror.view(task_id))}
        if missing := ids - known.keys():
            wanted = Wanted(tasks=dict.fromkeys(missing, 0))
            self._mirror.take(await self._store.fetch(wanted), wanted)
        # What was known may have been forgotten while the rest was fetched.
        return known | {task_id: view for task_id in ids if (view := self._mirror.view(task_id))}

    async def refresh(self, task_id: int) -> TaskChanged | None:
        """A task fetched anew, with all its events; None if there is no such task."""
        wanted = Wanted(tasks={task_id: 0})
        rows = await self._store.fetch(wanted)
        if not rows.tasks:
            return None
        self._mirror.take(rows, wanted)
        return self._mirror.view(task_id)

    def note(self, *changes: Change) -> None:
        """Shows at once what this client has written itself.

        A task without events is only a hint: its events are fetched.
        """
        for change in changes:
            match change:
                case TaskChanged(task=task):
                    self._mirror.take_task(task, change.events)
                    self.hint_task(task.id)
                case MessageChanged() | ConversationChanged():
                    self._mirror.take_change(change)
                case Deleted(table=table, id=row_id):
                    self._mirror.forget(table, row_id)
                case LinkChanged():
                    self._set_state(change)
                case EngineChanged():
                    self._publish(change)

    def preview(self, message: Message, content: str) -> None:
        """Shows an answer as far as it is known, until its row says more.

        `message` is the row as it was last fetched; `content` was cleaned.
        """
        if not self._mirror.knows(Hint(Table.MESSAGES, message.id, message.revision + 1)):
            part: JsonObject = {"content": content, "metadata": {"partial": True}}
            self._publish(MessageChanged(message.model_copy(update=part)))

    def hint(self, hint: Hint) -> None:
        """A row may have changed; it is fetched unless we have that revision already."""
        if self._mirror.knows(hint):
            return
        key = (hint.table, hint.id)
        self._wanted[key] = max(hint.revision, self._wanted.get(key, 0))
        self._work.set()

    def watch_conversation(self, conversation_id: int | None) -> None:
        """The open conversation: its messages are to come live."""
        self.watched = conversation_id
        self._store.watch_conversation(conversation_id)

    def hint_task(self, task_id: int) -> None:
        """A task is to be fetched, whatever revision is known of it."""
        self.hint(Hint(Table.TASKS, task_id, 0))

    # The three loops

    async def _listen(self) -> None:
        while True:
            try:
                async for item in self._store.hints():
                    self._hear(item)
            except Exception:
                # Without hints changes come late, with the reconciliations; they do come.
                _log.exception("The stream of hints broke off")
                self._hear(LinkChanged(LinkState.RECONNECTING, _UNEXPECTED))
            await asyncio.sleep(_DOWN)

    def _hear(self, item: Hint | LinkChanged) -> None:
        self._unheard = None
        if isinstance(item, Hint):
            self.hint(item)
            return
        self._listening = item.state is LinkState.LIVE
        # A link that comes and goes is no news while nobody is signed in.
        if not self._listening and self.state.state is not LinkState.SIGNED_OUT:
            self._set_state(item)
        # Live is said only once what was missed meanwhile has been asked for.
        self._catch_up.set()
        self._turn.set()

    async def _fetch_wanted(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._wanted:
                # The newest first: that is what is being looked at.
                wanted = dict(list(self._wanted.items())[-self._portion :])
                for key in wanted:
                    del self._wanted[key]
                await self._fetch(wanted)

    async def _fetch(self, wanted: dict[Key, int]) -> None:
        """Fetches these rows and shows them, or puts them back; then waits for the next turn."""
        try:
            asked = self._mirror.lacks(wanted)
            rows = await self._store.fetch(asked)
            torn = self._mirror.take(rows, asked)
            self._mirror.forget_missing(wanted, rows)
            for task_id in torn:
                self.hint_task(task_id)
        except Exception as error:
            # Nothing is forgotten: the same rows are asked for again, fewer at a time, since too
            # many may take longer than an answer may.
            self._wanted = wanted | self._wanted
            self._portion = max(1, self._portion // 2)
            if isinstance(error, StoreUnreachableError | SignInNeededError):
                self._set_state(_trouble(error, LinkState.RECONNECTING))
                await asyncio.sleep(_DOWN)
                return
            _log.exception("These rows cannot be read: %s", list(wanted))
            # One that is refused each time must not hold up the others, nor be asked for at once.
            await self._news(_DOWN if len(self._wanted) > 1 else _QUIET)
            return
        self._portion = min(_AT_ONCE, 2 * self._portion)
        # A burst is fetched less often, so that it leaves the screen time for the keys.
        await asyncio.sleep(min(_LONGEST_FRAME, _FRAME + _PER_ROW * len(wanted)))

    async def _news(self, seconds: float) -> None:
        """Until another hint comes, at most so long."""
        self._work.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._work.wait()

    async def _reconcile_for_ever(self) -> None:
        joined = False
        while True:
            await self._pause()
            joined = joined or self._catch_up.is_set()
            self._catch_up.clear()
            try:
                await self._reconcile(joined)
            except SteplineError as error:
                self._set_state(_trouble(error, LinkState.OFFLINE))
            except Exception:
                _log.exception("The reconciliation failed")
                self._set_state(LinkChanged(LinkState.OFFLINE, _UNEXPECTED))
            else:
                joined = False

    async def _reconcile(self, joined: bool) -> None:
        answer = await self._store.reconcile(self._cursor)
        await self._store.task_expire()
        self._cursor = answer.cursor
        self._doubt(answer.hints)
        for hint in answer.hints:
            self.hint(hint)
        if joined or self._look_up_due():
            # An end and a deletion leave no newer row behind to be found by its time.
            self._looked_up = _now()
            for task_id in self._mirror.open_tasks:
                self.hint_task(task_id)
            for row_id in self._mirror.ids(Table.CONVERSATIONS):
                self.hint(Hint(Table.CONVERSATIONS, row_id, 0))
        if self._listening:
            self._set_state(LinkChanged(LinkState.LIVE))
            self._live.set()
        else:
            self._set_state(LinkChanged(LinkState.POLLING))

    async def _pause(self) -> None:
        """Until the next reconciliation, which may become due sooner meanwhile."""
        begun = _now()
        while not self._catch_up.is_set():
            self._turn.clear()
            self._pace = self._interval()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(begun + self._pace):
                    await self._turn.wait()
                    continue
            return

    def _interval(self) -> float:
        if self.state.state is not LinkState.LIVE:
            return _DOWN
        return _BUSY if self._mirror.open_tasks else _QUIET

    def _doubt(self, found: Iterable[Hint]) -> None:
        """Suspects a link that has said nothing since reconciliation found what it should tell."""
        now = _now()
        if self.state.state is not LinkState.LIVE:
            self._unheard = None
        elif self._unheard is None:
            if any(hint.table in _TOLD and not self._mirror.knows(hint) for hint in found):
                self._unheard = now
        elif now - self._unheard >= _SILENT:
            _log.warning("The link says it is live, but reconciliation finds what it does not tell")
            self._unheard = None
            self._store.suspect()

    def _look_up_due(self) -> bool:
        return not self._store.hears_deletions and _now() - self._looked_up >= _QUIET

    def _set_state(self, state: LinkChanged) -> None:
        if state != self.state:
            self._publish(state)

    def _publish(self, change: Change) -> None:
        if isinstance(change, LinkChanged):
            self.state = change
        if self._pace > _BUSY and self._interval() < self._pace:
            self._turn.set()
        for subscription in self._subscriptions:
            subscription.put(change)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _trouble(error: SteplineError, otherwise: LinkState) -> LinkChanged:
    state = LinkState.SIGNED_OUT if isinstance(error, SignInNeededError) else otherwise
    return LinkChanged(state, str(error))
