"""Live hints from Supabase Realtime: the supervisor of the official client.

The client gives up after five tries, and its channels may stay closed after a reconnect, so its own
reconnecting is off: at the first sign that a link is broken the whole client is thrown away and
another one made, for ever. What Realtime says is a hint only; rows are fetched, and what it loses
is found by reconciliation (see `core.feed`).
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import UUID

from core.changes import Hint, LinkChanged, LinkState
from core.errors import SteplineError
from core.store.realtime.lost import Lost, Why

if TYPE_CHECKING:
    from core.store.realtime.link import Link

_log = logging.getLogger(__name__)

_FIRST, _LONGEST = 0.1, 30.0
"""Seconds between two tries to connect: doubling, with jitter."""
_DROPPED = 1.6
"""The same, at most, where the server lets us in and drops us before we have joined: it is up."""
_PROBE = 1.0
"""Seconds between two looks whether a server that could not be reached is back. A look is one TCP
connection; everything dearer (a token, TLS, the joins) keeps to the backoff."""
_DOUBT, _LONGEST_DOUBT = 10.0, 300.0
"""Seconds between two recreations of a link that delivers nothing, doubling while none helps: over
its budget a project delivers nothing for a while, and joining again does not change that."""


class RealtimeHints:
    """The change stream of one user; see `core.store.base.Store.hints`.

    `token` is asked for the user's access token before every connect. Tasks and conversations are
    followed by their owner; of the messages, which have no owner column, those of the conversation
    that is being watched. Events are not followed: each is written in the transaction of its task's
    own update, and is fetched with the task. A second frame for each step would halve what a
    project's budget (100 frames a second, for all its users) is good for, and without an owner
    column to filter by, each event would be checked against the policies of everybody who is there.
    """

    def __init__(
        self, url: str, anon_key: str, token: Callable[[], Awaitable[str]], user_id: UUID
    ) -> None:
        self._url = url.rstrip("/")
        self._anon_key = anon_key
        self._token = token
        self._user_id = user_id
        self._conversation: int | None = None
        self._link: Link | None = None
        self._signed_in = asyncio.Event()
        """Set with each fresh token: it ends a wait for the next try."""
        self._doubts = 0
        self._doubted = -_LONGEST_DOUBT

    async def hints(self) -> AsyncGenerator[Hint | LinkChanged]:
        """Never ends and never raises for a lost link."""
        failures = 0
        while True:
            lost = Lost(Why.DROPPED, "The connection to Realtime ended; connecting again.")
            try:
                link = self._link = await self._new_link()
                try:
                    await link.open()
                    async for item in link.items():
                        if item is None:
                            failures = 0
                            yield LinkChanged(LinkState.LIVE)
                        else:
                            self._doubts = 0
                            yield item
                finally:
                    self._link = None
                    await link.close()
            except Lost as error:
                lost = error
            except SteplineError as error:
                lost = Lost(Why.REFUSED, str(error))
            except Exception as error:
                # Whatever the client raises, the feed goes on.
                _log.exception("The Realtime client failed")
                lost = Lost(Why.REFUSED, f"Realtime failed ({type(error).__name__}).")
            failures += 1
            _log.info("Link lost, try %s: %s", failures, lost)
            yield LinkChanged(LinkState.RECONNECTING, str(lost))
            await self._wait(failures, lost.why)

    def watch_conversation(self, conversation_id: int | None) -> None:
        """Whose messages are followed from now on; once they are, the stream says LIVE again."""
        self._conversation = conversation_id
        if self._link is not None:
            self._link.watch(conversation_id)

    def token_changed(self, token: str) -> None:
        """The session has a fresh token: the link goes on with it."""
        if self._link is not None:
            self._link.refresh(token)
        self._signed_in.set()

    def suspect(self) -> None:
        """The link says live, but there is news that it has not told of: it is made anew."""
        now = asyncio.get_running_loop().time()
        pause = min(_LONGEST_DOUBT, _DOUBT * 2**self._doubts)
        if self._link is not None and now - self._doubted >= pause:
            self._doubted = now
            self._doubts += 1
            self._link.lose(
                Lost(Why.DROPPED, "Realtime says it is live, but delivers nothing; joining again.")
            )

    async def _new_link(self) -> "Link":
        token = await self._token()
        # The official client takes longer to import than the first paint may wait.
        link = await asyncio.to_thread(_import_link)
        return link(self._url, self._anon_key, token, self._user_id, self._conversation)

    async def _wait(self, failures: int, why: Why) -> None:
        seconds = backoff(failures, why)
        if why is not Why.UNREACHABLE:
            self._signed_in.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._signed_in.wait()
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0:
            await asyncio.sleep(min(left, _PROBE * random.uniform(0.5, 1.0)))  # noqa: S311
            if await _answers(self._url):
                return


def backoff(failures: int, why: Why) -> float:
    """Seconds to wait after so many failures in a row."""
    longest = _DROPPED if why is Why.DROPPED else _LONGEST
    return min(longest, _FIRST * 2 ** min(failures - 1, 10)) * random.uniform(0.5, 1.0)  # noqa: S311


def _import_link() -> "type[Link]":
    from core.store.realtime.link import Link

    return Link


async def _answers(url: str) -> bool:
    """Whether anything accepts connections where the server should be."""
    where = urlsplit(url)
    port = where.port or (443 if where.scheme == "https" else 80)
    try:
        async with asyncio.timeout(_PROBE):
            _, writer = await asyncio.open_connection(where.hostname, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
