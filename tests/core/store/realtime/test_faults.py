"""Whatever Realtime loses, says twice, says late or never says: nothing is missed."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import pytest

from core.changes import Deleted, Hint, LinkChanged, LinkState, Table
from tests.core.store.realtime.conftest import HearingStore, OpenHearing
from tests.core.store.realtime.scene import playing
from tests.core.test_feed import until
from tests.support.database import Database
from tests.support.supabase import Supabase
from tests.support.supabase.realtime import SUBSCRIBED, Faults, Realtime

LIVE, LOST = LinkState.LIVE, LinkState.RECONNECTING


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong at once, and whether the link is made anew."""

    happen: Callable[[Realtime], None]
    lost: bool


def _expire(realtime: Realtime) -> None:
    realtime.project.expire_tokens()


def _say(text: str) -> Callable[[Realtime], None]:
    return lambda realtime: realtime.say(text)


def _frame(event: str, payload: object, topic: str = "realtime:async_tasks-1") -> str:
    return json.dumps({"ref": None, "event": event, "topic": topic, "payload": payload})


FAULTS = {
    "socket dropped": Fault(Realtime.drop_sockets, lost=True),
    "server stopped": Fault(Realtime.close_sockets, lost=True),
    "closed as if all were well": Fault(lambda here: here.close_sockets(1000), lost=True),
    "channels closed": Fault(Realtime.close_channels, lost=True),
    "channels crashed": Fault(Realtime.crash_channels, lost=True),
    "system error": Fault(lambda here: here.fail_channels("Replication died"), lost=True),
    "token expired": Fault(_expire, lost=True),
    "frame larger than the client takes": Fault(_say("x" * 1_100_000), lost=True),
    # Ends the task in which the client reads, without a word to anybody.
    "presence without its fields": Fault(
        _say(_frame("presence_state", {"x": {"metas": [{}]}})), lost=True
    ),
    "not JSON": Fault(_say("{bad"), lost=False),
    "nested too deep": Fault(_say("[" * 100_000), lost=False),
    "unknown event": Fault(_say(_frame("surprise", {})), lost=False),
    "no topic of ours": Fault(_say(_frame("phx_close", {}, "realtime:other")), lost=False),
    "change of nothing": Fault(_say(_frame("postgres_changes", {"data": {}, "ids": []})), False),
    "subscribed again": Fault(
        _say(
            _frame(
                "system",
                {
                    "channel": "async_tasks-1",
                    "extension": "postgres_changes",
                    "message": SUBSCRIBED,
                    "status": "ok",
                },
            )
        ),
        lost=False,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_what_goes_wrong_at_once(
    name: str, database: Database, hearing: OpenHearing, realtime: Realtime
) -> None:
    fault = FAULTS[name]
    async with hearing() as store, playing(store, database) as scene:
        before = len(store.heard)
        fault.happen(realtime)
        await scene.step(2)
        await scene.agreement()
        if fault.lost:
            await _heard(store, before, LOST)
            await _heard(store, before, LIVE)
        await scene.state(LIVE)
        await scene.step()
        await scene.agreement()
        states = [item.state for item in store.heard[before:] if isinstance(item, LinkChanged)]
        assert (LOST in states) is fault.lost
        # It was noticed by itself, not because nothing came any more.
        assert store.suspected == 0


@pytest.mark.parametrize(
    ("fault", "value"),
    [
        ("drop_next", 4),
        ("delay", 0.5),
        ("double", True),
        ("reorder", True),
        ("cut", True),
        ("leave_out", frozenset({"revision"})),
        ("leave_out", frozenset({"id", "input_data"})),
    ],
)
async def test_what_goes_wrong_with_changes(
    fault: str, value: object, database: Database, hearing: OpenHearing, realtime: Realtime
) -> None:
    async with hearing() as store, playing(store, database) as scene:
        setattr(realtime.faults, fault, value)
        await scene.step(4)
        await scene.agreement()
        assert scene.feed.state.state is LIVE
        assert store.suspected == 0


async def test_a_link_that_delivers_nothing_is_found_out_and_made_anew(
    database: Database, hearing: OpenHearing, realtime: Realtime
) -> None:
    async with hearing() as store, playing(store, database) as scene:
        realtime.faults.silent = True
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await scene.step()
        await scene.agreement()
        assert loop.time() - begun < 5
        sockets = realtime.counts["sockets"]
        async with asyncio.timeout(8):
            # Suspected comes before the new socket does.
            while realtime.counts["sockets"] == sockets or scene.feed.state.state is not LIVE:
                await scene.step()
                await asyncio.wait_for(scene.reader.batch(), 8)
        assert store.suspected
        assert realtime.counts["sockets"] == sockets + 1
        # It is not made anew again and again, whatever is suspected, while that does not help.
        before = len(store.heard)
        store.suspect()
        await asyncio.sleep(0.3)
        assert store.heard[before:] == []
        realtime.faults.silent = False
        await scene.step()
        await scene.agreement()


async def test_a_task_that_begins_is_reconciled_soon(
    database: Database, hearing: OpenHearing, realtime: Realtime
) -> None:
    async with hearing() as store, playing(store, database, 0) as scene:
        await scene.state(LIVE)
        realtime.faults.silent = True
        task = await store.task_create("email", {}, 600, None)
        scene.feed.hint_task(task.id)
        await scene.agreement()
        await scene.worker.execute("SELECT task_claim(%s, 'exec')", (task.id,))
        await scene.agreement(5)


@pytest.mark.parametrize("fault", ["refuse_joins", "fail_after_ok", "never_confirm"])
async def test_no_join_and_then_one(
    fault: str,
    database: Database,
    hearing: OpenHearing,
    realtime: Realtime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.store.realtime.link._CONFIRM", 0.5)
    async with hearing() as store, playing(store, database) as scene:
        setattr(realtime.faults, fault, "No, said the server")
        before = len(store.heard)
        realtime.drop_sockets()
        await scene.step()
        await scene.agreement()
        await scene.state(LinkState.POLLING)
        assert LIVE not in [
            item.state for item in store.heard[before:] if isinstance(item, LinkChanged)
        ]
        realtime.faults = Faults()
        await scene.state(LIVE)
        await scene.step()
        await scene.agreement()


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_refused_at_the_door(
    status: int,
    database: Database,
    hearing: OpenHearing,
    supabase: Supabase,
    realtime: Realtime,
) -> None:
    async with hearing() as store, playing(store, database) as scene:
        supabase.faults.status, supabase.faults.where = status, "/realtime"
        supabase.faults.refuse = 3
        before = len(store.heard)
        realtime.drop_sockets()
        await scene.step()
        await scene.agreement()
        await scene.state(LIVE)
        details = [item.detail for item in store.heard[before:] if isinstance(item, LinkChanged)]
        assert any(f"HTTP {status}" in detail for detail in details)
        assert supabase.anon_key not in "".join(details)


async def test_what_is_committed_before_the_server_says_subscribed_is_caught_up_with(
    database: Database, hearing: OpenHearing, realtime: Realtime
) -> None:
    realtime.times.warm = 1.0
    async with hearing() as store, playing(store, database) as scene:
        joins = realtime.counts["joins"]
        before = len(store.heard)
        realtime.drop_sockets()
        async with asyncio.timeout(10):
            while realtime.counts["joins"] < joins + 2:
                await asyncio.sleep(0.01)
        changes = realtime.counts["changes"]
        await scene.step()
        assert realtime.subscribed == 0
        states = [item.state for item in store.heard[before:] if isinstance(item, LinkChanged)]
        assert states == [LOST]
        await scene.state(LIVE)
        await scene.agreement()
        assert realtime.counts["changes"] == changes


async def test_a_server_that_was_down_for_long_is_found_at_once(
    database: Database,
    hearing: OpenHearing,
    supabase: Supabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As if it had failed so often already that the next try is half a minute away.
    monkeypatch.setattr("core.store.realtime._FIRST", 60.0)
    async with hearing() as store, playing(store, database) as scene:
        before = len(store.heard)
        supabase.pause()
        await _heard(store, before, LOST)
        await asyncio.sleep(2)
        await scene.step()
        await scene.agreement()
        before = len(store.heard)
        supabase.resume()
        async with asyncio.timeout(2):
            await _heard(store, before, LIVE)
        await scene.state(LIVE)


async def test_a_fresh_token_goes_on_with_the_same_link(
    database: Database, hearing: OpenHearing, supabase: Supabase, realtime: Realtime
) -> None:
    async with hearing() as store, playing(store, database) as scene:
        sockets, before = realtime.counts["sockets"], len(store.heard)
        fresh = supabase.auth.sign_in(store.user_id)[0]
        store.ears.token_changed(fresh)
        # It is told once more that it is live, by each of its channels.
        await _heard(store, before, LIVE)
        assert {channel.token for channel in realtime.channels()} == {fresh}
        await scene.step()
        await scene.agreement()
        assert realtime.counts["sockets"] == sockets


async def test_nobody_hears_of_somebody_elses_rows(
    database: Database, hearing: OpenHearing, realtime: Realtime
) -> None:
    async with (
        hearing() as mine,
        hearing() as theirs,
        playing(mine, database) as scene,
        playing(theirs, database) as others,
    ):
        sent = await theirs.chat_send(None, "a secret", 600, uuid4())
        mine.watch_conversation(sent.conversation_id)
        await others.step()
        await others.agreement()
        await scene.step()
        await scene.agreement()
        heard = {(item.table, item.id) for item in mine.heard if isinstance(item, Hint)}
        assert heard == {(Table.TASKS, task.id) for task in scene.tasks}


async def test_the_messages_of_the_open_conversation_come_live(
    database: Database, hearing: OpenHearing
) -> None:
    async with hearing() as store, playing(store, database, 0) as scene:
        first = await store.chat_send(None, "one", 600, uuid4())
        second = await store.chat_send(None, "two", 600, uuid4())
        for opened, other in ((first, second), (second, first)):
            before = len(store.heard)
            scene.feed.watch_conversation(opened.conversation_id)
            await _heard(store, before, LIVE)
            before = len(store.heard)
            await store.chat_send(other.conversation_id, "not here", 600, uuid4())
            said = await store.chat_send(opened.conversation_id, "here", 600, uuid4())
            async with asyncio.timeout(5):
                # Not the feed's batches: it may know them already, by reconciliation.
                while not {said.user_message_id, said.message_id} <= _messages(store, before):
                    await store.news()
            assert _messages(store, before) == {said.user_message_id, said.message_id}
        assert LOST not in [item.state for item in store.heard if isinstance(item, LinkChanged)]


async def test_a_deletion_is_found_though_nobody_tells_of_it(
    database: Database, hearing: OpenHearing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.feed._QUIET", 1.0)
    async with hearing() as store, playing(store, database, 0) as scene:
        await scene.state(LIVE)
        sent = await store.chat_send(None, "one", 600, uuid4())
        key = (Table.CONVERSATIONS, sent.conversation_id)
        await until(scene.reader, lambda change: change.key == key)
        with database.owner() as owner:
            owner.execute("DELETE FROM chat_conversations")
        await until(scene.reader, lambda change: change == Deleted(*key))


async def test_a_link_that_answers_no_heartbeat_is_dead(
    database: Database,
    hearing: OpenHearing,
    realtime: Realtime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.store.realtime.link._ANSWER", -24.0)
    realtime.faults.deaf = True
    async with hearing() as store, playing(store, database):
        await _heard(store, 0, LOST)
        assert "does not answer" in _details(store)
        realtime.faults.deaf = False
        sockets = realtime.counts["sockets"]
        await _heard(store, len(store.heard), LIVE)
        assert realtime.counts["sockets"] > sockets


async def _heard(store: HearingStore, after: int, state: LinkState) -> None:
    async with asyncio.timeout(15):
        while not any(
            isinstance(item, LinkChanged) and item.state is state for item in store.heard[after:]
        ):
            await store.news()


def _details(store: HearingStore) -> str:
    return " ".join(item.detail for item in store.heard if isinstance(item, LinkChanged))


def _messages(store: HearingStore, after: int) -> set[int]:
    return {
        item.id
        for item in store.heard[after:]
        if isinstance(item, Hint) and item.table is Table.MESSAGES
    }
