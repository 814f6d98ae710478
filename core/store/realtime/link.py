"""One life of the official client: from its connect to the first sign that it is broken.

Whatever is written here of how the client behaves was seen with `realtime` 2.34.1.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, cast
from uuid import UUID

from realtime import AsyncRealtimeChannel, AsyncRealtimeClient
from realtime.message import ReplyMessage, ServerMessage
from realtime.types import (
    PostgresChangesPayload,
    RealtimePostgresChangesListenEvent,
    RealtimeSubscribeStates,
)
from websockets.exceptions import ConnectionClosed, InvalidStatus

from core.changes import Hint, Table
from core.store.realtime.frames import hint
from core.store.realtime.lost import Lost, Why
from core.text import clean_line

_HEARTBEAT, _ANSWER = 25, 10.0
"""Seconds between two heartbeats, and for the answer to one. Without any, the server hangs up after
66 seconds; a link that answers none is dead, whatever its socket says."""
_CONNECT, _CONFIRM = 10, 15.0
"""Seconds for the connect and for a reply to a join; and for "Subscribed to PostgreSQL", which a
cold server says 2.5 seconds after its reply. A refusal takes 5."""
_CLOSE = 1.0
"""Seconds for saying goodbye."""

# It logs every frame that it does not understand, rows and all; what matters of its troubles is
# said by the supervisor.
logging.getLogger("realtime").setLevel(logging.CRITICAL + 1)
for _chatty in ("websockets.client", "websockets"):
    # At DEBUG it logs the handshake, and the key in its URL with it.
    logging.getLogger(_chatty).setLevel(logging.WARNING)


class Link:
    """See the module. `items` is None where everything is followed from now on, or a hint."""

    def __init__(
        self, url: str, anon_key: str, token: str, user_id: UUID, conversation_id: int | None
    ) -> None:
        self._client = AsyncRealtimeClient(
            f"{url}/realtime/v1",
            token=anon_key,
            auto_reconnect=False,
            hb_interval=_HEARTBEAT,
            timeout=_CONNECT,
        )
        self._token = token
        self._user_id = user_id
        self._conversation = conversation_id
        self._items: asyncio.Queue[Hint | Lost | None] = asyncio.Queue()
        self._followed: dict[AsyncRealtimeChannel, bool] = {}
        """Every channel that we want, and whether it delivers."""
        self._messages: AsyncRealtimeChannel | None = None
        self._topics = 0
        self._chores: set[asyncio.Task[None]] = set()
        self._deadline: asyncio.TimerHandle | None = None
        self._pulse: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Connects and begins to join; raises Lost."""
        await self._client.set_auth(self._token)
        # Nothing else hears the answers to heartbeats, which the client does not look at.
        self._client.channels["phoenix"] = _Pulse(self._client, self._beat)
        self._beat()
        try:
            await self._client.connect()
        except InvalidStatus as error:
            status = error.response.status_code
            why = "the project's anon key is wrong or has expired" if status == 401 else "try later"
            raise Lost(
                Why.REFUSED, f"Realtime does not let us in (HTTP {status}): {why}."
            ) from error
        except (OSError, TimeoutError) as error:
            raise Lost(Why.UNREACHABLE, "Realtime cannot be reached; trying again.") from error
        except Exception as error:
            # A server that goes away in the middle of a handshake, or speaks something else.
            raise Lost(Why.DROPPED, "Realtime broke off the connection; trying again.") from error
        # An exception in there, as on a presence frame without its fields, leaves an open socket
        # that nobody reads.
        listening = cast("asyncio.Task[None]", self._client._listen_task)  # pyright: ignore
        listening.add_done_callback(self._deaf)
        self._follow(Table.TASKS, f"created_by=eq.{self._user_id}")
        self._follow(Table.CONVERSATIONS, f"user_id=eq.{self._user_id}")
        self.watch(self._conversation)

    async def items(self) -> AsyncGenerator[Hint | None]:
        """What it says, until it is broken; then raises Lost."""
        while True:
            item = await self._items.get()
            if isinstance(item, Lost):
                raise item
            yield item

    def lose(self, lost: Lost) -> None:
        """Ends `items`."""
        self._items.put_nowait(lost)

    def watch(self, conversation_id: int | None) -> None:
        """Follows the messages of this conversation, and of no other."""
        if (old := self._messages) is not None and conversation_id == self._conversation:
            return
        self._conversation = conversation_id
        confirmed = True
        if old is not None:
            self._messages = None
            confirmed = self._followed.pop(old)
            self._chore(self._client.remove_channel(old))
        if conversation_id is not None and self._client.is_connected:
            self._messages = self._follow(Table.MESSAGES, f"conversation_id=eq.{conversation_id}")
        elif not confirmed:
            self._settle()  # the others may have waited for this one only

    def refresh(self, token: str) -> None:
        """Goes on with another token. The server says nothing but "Subscribed" once more."""
        self._token = token
        self._chore(self._client.set_auth(token))

    async def close(self) -> None:
        """Leaves nothing behind, neither timers nor tasks."""
        for timer in (self._deadline, self._pulse):
            if timer is not None:
                timer.cancel()
        for chore in self._chores:
            chore.cancel()
        self._followed.clear()
        for channel in self._client.channels.values():
            # The client's own `close` leaves these running.
            channel.rejoin_timer.reset()
            for push in (channel.join_push, *channel.messages_waiting_for_ack.values()):
                push.destroy()
        # A server that is gone does not say goodbye; the websocket waits ten seconds for it.
        socket = self._client._ws_connection  # pyright: ignore[reportPrivateUsage]
        with suppress(Exception):
            async with asyncio.timeout(_CLOSE):
                await self._client.close()
        if socket is not None:
            socket.transport.abort()

    def _follow(self, table: Table, filter_: str) -> AsyncRealtimeChannel:
        # A channel for each table: one bad binding disables every binding of its channel. A topic
        # is never used twice: the old one's `phx_close` comes after the new one's reply, and the
        # client would take it for the new one's.
        self._topics += 1
        channel = self._client.channel(f"{table}-{self._topics}")
        channel.on_postgres_changes(
            RealtimePostgresChangesListenEvent.All,
            self._changed,
            table=table,
            schema="public",
            filter=filter_,
        )
        # Not when it says SUBSCRIBED, which is the reply to the join: what is committed before the
        # server's own word, up to 2.5 seconds later, is never delivered.
        channel.on_system(lambda payload: self._confirmed(channel, payload.extension))
        self._followed[channel] = False
        if self._deadline is not None:
            self._deadline.cancel()
        late = Lost(Why.REFUSED, "Realtime does not confirm what it follows; joining again.")
        self._deadline = asyncio.get_running_loop().call_later(_CONFIRM, self.lose, late)
        self._chore(self._join(channel, table))
        return channel

    async def _join(self, channel: AsyncRealtimeChannel, table: Table) -> None:
        token = self._token
        await channel.subscribe(partial(self._state, channel, table))
        if token != self._token:
            # It changed while the join was under way, which still carried the old one.
            await self._client.set_auth(self._token)

    def _changed(self, payload: PostgresChangesPayload) -> None:
        if found := hint(payload):
            self._items.put_nowait(found)

    def _confirmed(self, channel: AsyncRealtimeChannel, extension: str) -> None:
        if extension != "postgres_changes" or channel not in self._followed:
            return
        self._followed[channel] = True
        self._settle()

    def _settle(self) -> None:
        if all(self._followed.values()):
            if self._deadline is not None:
                self._deadline.cancel()
            self._items.put_nowait(None)

    def _state(
        self,
        channel: AsyncRealtimeChannel,
        table: Table,
        state: RealtimeSubscribeStates,
        error: Exception | None,
    ) -> None:
        if channel not in self._followed or state is RealtimeSubscribeStates.SUBSCRIBED:
            return
        if isinstance(error, ConnectionClosed):
            code = error.rcvd.code if error.rcvd else 1006
            lost = Lost(Why.DROPPED, f"Realtime closed the connection ({code}); connecting again.")
        else:
            said = _said(error) or state.value.lower().replace("_", " ")
            lost = Lost(Why.REFUSED, f"Realtime no longer follows {table} ({said}); trying again.")
        self.lose(lost)

    def _deaf(self, listening: "asyncio.Task[None]") -> None:
        if not listening.cancelled():
            # After a close the channels have said so before this.
            self.lose(Lost(Why.DROPPED, "The connection to Realtime ended; connecting again."))
            listening.exception()

    def _beat(self) -> None:
        if self._pulse is not None:
            self._pulse.cancel()
        lost = Lost(Why.DROPPED, "Realtime does not answer any more; connecting again.")
        wait = _HEARTBEAT + _ANSWER
        self._pulse = asyncio.get_running_loop().call_later(wait, self.lose, lost)

    def _chore(self, work: Coroutine[Any, Any, None]) -> None:
        chore = asyncio.create_task(work)
        self._chores.add(chore)
        chore.add_done_callback(self._chore_done)

    def _chore_done(self, chore: "asyncio.Task[None]") -> None:
        self._chores.discard(chore)
        if not chore.cancelled() and chore.exception() is not None:
            self.lose(Lost(Why.DROPPED, "The connection to Realtime broke; connecting again."))


class _Pulse(AsyncRealtimeChannel):
    """The topic of the heartbeats: every answer is one of theirs."""

    def __init__(self, client: AsyncRealtimeClient, beat: Any) -> None:
        super().__init__(client, "phoenix")
        self._beat = beat

    def _handle_message(self, message: ServerMessage) -> None:
        if isinstance(message, ReplyMessage):
            self._beat()


def _said(error: Exception | None) -> str:
    """What the server gave as its reason, in one short line."""
    text = str(error or "")
    with suppress(ValueError):
        value = json.loads(text)
        if isinstance(value, dict):
            text = str(value.get("message") or value.get("reason") or "")  # pyright: ignore
    return clean_line(text)[:200].rstrip(".")
