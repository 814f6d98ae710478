"""What the store in a Supabase project adds to the contract: tokens, troubles, other users."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from core.auth.account import Account
from core.errors import (
    ConfigError,
    SchemaError,
    SignInNeededError,
    SteplineError,
    StoreUnreachableError,
)
from core.models import TaskFilter
from core.session import Session
from core.settings import load_settings
from core.store.base import Wanted
from core.store.supabase import SupabaseStore
from schema.runner import latest_version
from tests.core.store.scene import create
from tests.schema.scenes import one
from tests.support.supabase import Supabase
from tests.support.supabase.target import Signed, Target, is_real

OpenSupabase = Callable[..., Awaitable[SupabaseStore]]
stand_in_only = pytest.mark.skipif(is_real(), reason="a real project does not misbehave on command")


@pytest.fixture
def project(target: Target) -> Supabase:
    """For what it is told to do wrong."""
    if target.stand_in is None:
        pytest.skip("a real project does not misbehave on command")
    return target.stand_in


@pytest.fixture
async def store(open_supabase: OpenSupabase) -> SupabaseStore:
    return await open_supabase()


# Somebody else's rows


async def test_nothing_of_somebody_elses_by_table_or_function(
    open_supabase: OpenSupabase, target: Target
) -> None:
    owner = await open_supabase()
    sent = await owner.chat_send(None, "a secret", 60, uuid4())
    await owner.task_cancel((await create(owner, note="a secret")).id)
    eve = target.sign_in()
    ids = [sent.task_id, sent.task_id + 1]
    everything = {
        "rows_fetch": {"tasks": ids, "known": [0, 0], "messages": [sent.user_message_id],
                       "conversations": [sent.conversation_id]},
        "tasks_running": {},
        "task_list": {"words": "secret"},
        "task_list ": {},
        "task_ids": {},
        "conversation_list": {"words": "secret"},
        "conversation_list ": {},
        "changes_since": {"since": "2000-01-01T00:00:00Z"},
    }  # fmt: skip
    for name, values in everything.items():
        answer = call(target, name.strip(), values, eve.access)
        assert answer.status_code == 200, answer.text
        assert "secret" not in answer.text
        assert rows_of(answer.json()) == [], name
    for table in ("async_tasks", "task_events", "chat_messages", "chat_conversations"):
        answer = read(target, table, eve.access)
        assert (answer.status_code, answer.json()) == (200, [])
        # A key alone, without a user, reads nothing at all.
        assert read(target, table, target.anon_key).status_code == 401
    for name, values in everything.items():
        assert call(target, name.strip(), values, target.anon_key).status_code == 401
    for name in ("task_cancel", "task_retry"):
        answer = call(target, name, {"task": sent.task_id}, eve.access)
        assert (answer.status_code, answer.json()["code"]) == (400, "SL003")
    for name, values in _WORKERS.items():
        answer = call(target, name, {"task": sent.task_id, **values}, eve.access)
        assert (answer.status_code, answer.json()["code"]) == (403, "42501"), name
    assert len(await owner.messages(sent.conversation_id)) == 2
    assert [task.id for task in await owner.running_tasks()] == [sent.task_id]


_WORKERS: Mapping[str, Mapping[str, Any]] = {
    "task_claim": {"execution": "e"},
    "task_step": {"step": "s", "message": "m"},
    "task_complete": {"output": {}},
    "chat_history": {},
    "chat_partial": {"content": "x"},
}


def call(target: Target, name: str, values: Mapping[str, Any], token: str) -> httpx.Response:
    headers = {"apikey": target.anon_key, "Authorization": f"Bearer {token}"}
    url = f"{target.url}/rest/v1/rpc/{name}"
    return httpx.post(url, json=values, headers=headers, timeout=30)


def read(target: Target, table: str, token: str) -> httpx.Response:
    headers = {"apikey": target.anon_key, "Authorization": f"Bearer {token}"}
    return httpx.get(f"{target.url}/rest/v1/{table}?select=*", headers=headers, timeout=30)


def rows_of(answer: Any) -> list[Any]:
    """All rows in an answer, wherever in it they are."""
    if isinstance(answer, dict):
        return [row for value in answer.values() if isinstance(value, list) for row in value]
    return answer


async def test_no_list_is_cut_short_by_the_row_limit(
    store: SupabaseStore, project: Supabase
) -> None:
    project.project.max_rows = 5
    tasks = [await create(store) for _ in range(8)]
    assert len(await store.running_tasks()) == 8
    rows = await store.fetch(Wanted(tasks=dict.fromkeys((task.id for task in tasks), 0)))
    assert (len(rows.tasks), len(rows.events)) == (8, 8)
    assert len((await store.reconcile(None)).hints) == 8
    assert len(await store.task_ids(TaskFilter())) == 8


# Tokens


async def test_an_expired_token_is_renewed_unnoticed(
    store: SupabaseStore, project: Supabase
) -> None:
    for _ in range(3):
        project.project.expire_tokens()
        await create(store)
    project.project.expire_tokens()
    found = await asyncio.gather(*(store.running_tasks() for _ in range(6)))
    assert [len(tasks) for tasks in found] == [3] * 6
    assert project.auth.refreshes == 4


async def test_a_session_that_is_over_says_so(store: SupabaseStore, project: Supabase) -> None:
    project.auth.revoke(store.user_id)
    await create(store)  # the token is good until it expires
    project.project.expire_tokens()
    for _ in range(2):
        with pytest.raises(SignInNeededError, match="over"):
            await store.running_tasks()
    with pytest.raises(SignInNeededError):
        await create(store)


async def test_nobody_signed_in_is_found_out_on_opening(
    target: Target, tmp_path: Path, project: Supabase
) -> None:
    with pytest.raises(SignInNeededError, match="stepline login") as refused:
        await Session.open(target.settings(tmp_path))
    assert refused.value.exit_code == 2
    assert project.faults.seen == []


async def test_a_service_key_is_refused_before_anything_is_sent(
    target: Target, tmp_path: Path
) -> None:
    stand_in = Supabase("")
    for key in ("sb_secret_abc", stand_in.project.service_key):
        for variable in ("SUPABASE_ANON_KEY", "NEXT_PUBLIC_SUPABASE_ANON_KEY"):
            with pytest.raises(ConfigError, match=f"{variable} is a service key") as refused:
                load_settings(env={"SUPABASE_URL": target.url, variable: key})
            assert key not in str(refused.value)
        file = tmp_path / "config.toml"
        file.write_text(f'[supabase]\nurl = "{target.url}"\nanon_key = "{key}"\n')
        file.chmod(0o600)
        with pytest.raises(ConfigError, match=r"config\.toml, line 3: supabase.anon_key is a serv"):
            load_settings(env={"STEPLINE_CONFIG": str(file)})
    with pytest.raises(ConfigError, match="STEPLINE_ACCESS_TOKEN is a service key"):
        load_settings(env={"STEPLINE_ACCESS_TOKEN": stand_in.project.service_key})


def test_the_web_apps_names_are_understood() -> None:
    env = {"NEXT_PUBLIC_SUPABASE_URL": "https://a.supabase.co/",
           "NEXT_PUBLIC_SUPABASE_ANON_KEY": "sb_publishable_a"}  # fmt: skip
    settings = load_settings(env=env)
    assert (settings.store, settings.supabase.url) == ("supabase", "https://a.supabase.co")
    assert settings.source("supabase.url") == "NEXT_PUBLIC_SUPABASE_URL"
    both = load_settings(env=env | {"SUPABASE_URL": "https://b.supabase.co"})
    assert both.supabase.url == "https://b.supabase.co"
    assert both.source("supabase.anon_key") == "NEXT_PUBLIC_SUPABASE_ANON_KEY"


async def test_another_projects_key(target: Target, tmp_path: Path) -> None:
    strange = Target(target.url, "sb_publishable_nonsense", target.database, None)
    store = SupabaseStore(Account(strange.settings(tmp_path, target.sign_in())))
    with pytest.raises(ConfigError, match="does not accept the anon key"):
        await store.open()
    await store.close()


# Troubles


@stand_in_only
@pytest.mark.parametrize("status", [429, 502, 503, 504, 520])
async def test_what_may_be_repeated_is(
    store: SupabaseStore, project: Supabase, status: int
) -> None:
    project.faults.status, project.faults.refuse = status, 2
    assert await store.running_tasks() == []
    project.faults.refuse = 1
    assert (await store.chat_send(None, "hello", 60, uuid4())).task_id
    project.faults.refuse = 3
    with pytest.raises(StoreUnreachableError, match=r"429|no more requests|says \d+") as refused:
        await store.running_tasks()
    assert "upstream" not in str(refused.value)
    assert refused.value.exit_code == 3


async def test_what_must_not_be_written_twice_is_not(
    store: SupabaseStore, project: Supabase
) -> None:
    # Refused before anything was done: asked again.
    project.faults.status, project.faults.refuse = 429, 2
    await create(store)
    assert len(await store.running_tasks()) == 1
    # Done, and the answer lost: said, and not done again.
    project.faults.drop_late = 1
    with pytest.raises(StoreUnreachableError):
        await create(store)
    assert len(await store.running_tasks()) == 2
    # A message has a name, and is asked for again.
    project.faults.drop_late = 1
    await store.chat_send(None, "once", 60, uuid4())
    assert len(await store.conversations()) == 1


async def test_the_time_a_project_names_is_waited_for(
    store: SupabaseStore, project: Supabase
) -> None:
    project.faults.status, project.faults.refuse, project.faults.retry_after = 429, 1, "1"
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await store.running_tasks()
    assert loop.time() - begun >= 1


async def test_dropped_connections_are_replaced(store: SupabaseStore, project: Supabase) -> None:
    task = await create(store)
    project.faults.drop = 2
    assert await store.running_tasks() == [task]
    project.pause()
    with pytest.raises(StoreUnreachableError, match="does not answer"):
        await store.running_tasks()
    with pytest.raises(StoreUnreachableError, match="does not answer"):
        await create(store)
    project.resume()
    assert await store.running_tasks() == [task]


async def test_no_answer_is_an_answer_too(
    store: SupabaseStore, project: Supabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    store._rest._http.timeout = httpx.Timeout(0.3)
    project.faults.hang = 1
    with pytest.raises(StoreUnreachableError, match="no answer within"):
        await store.running_tasks()
    assert await store.running_tasks() == []


@pytest.mark.parametrize("trouble", ["older", "newer", "none"])
@stand_in_only
async def test_another_schema_version_is_refused(
    target: Target, tmp_path: Path, trouble: str
) -> None:
    with target.database.owner() as owner:
        if trouble == "older":
            owner.execute("DELETE FROM stepline.migrations WHERE version > 6")
        elif trouble == "newer":
            owner.execute("INSERT INTO stepline.migrations VALUES (999, 'x', 'x')")
        else:
            owner.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            owner.execute("GRANT USAGE ON SCHEMA public TO authenticated")
    store = SupabaseStore(Account(target.settings(tmp_path, target.sign_in())))
    said = "update stepline" if trouble == "newer" else "stepline migrate"
    with pytest.raises(SchemaError, match=said):
        await store.open()
    await store.close()


async def test_what_is_no_project(target: Target, tmp_path: Path, model_page: str) -> None:
    strange = Target(model_page, target.anon_key, target.database, None)
    store = SupabaseStore(Account(strange.settings(tmp_path, target.sign_in())))
    with pytest.raises(ConfigError, match="is not a Supabase project"):
        await store.open()
    await store.close()


@pytest.fixture
def model_page(target: Target) -> str:
    """An address at which something answers, but no PostgREST."""
    return f"{target.url}/somewhere/else"


async def test_the_schema_is_the_one_of_this_version(target: Target) -> None:
    with target.database.owner() as owner:
        assert one(owner, "SELECT stepline_schema_version() AS v")["v"] == latest_version()


@stand_in_only
async def test_a_session_works_from_its_opening_to_its_end(target: Target, tmp_path: Path) -> None:
    tasks = len(asyncio.all_tasks())
    signed: Signed = target.sign_in()
    session = await Session.open(target.settings(tmp_path, signed), worker=False)
    async with asyncio.timeout(15):
        await session.feed.live()
        reader = session.feed.subscribe()
        sent = await session.chat.send(None, "hello")
        with target.database.worker() as worker:
            worker.execute("SELECT task_claim(%s, 'e')", (sent.task_id,))
            worker.execute("SELECT chat_reply(%s, 'hi', NULL, '{}')", (sent.task_id,))
        while (view := session.feed.view(sent.task_id)) is None or not view.task.status.final:
            await reader.batch()
    assert session.store.user_id == signed.user_id
    assert [row.content for row in await session.chat.messages(sent.conversation_id)] == [
        "hello",
        "hi",
    ]
    await session.close()
    await session.close()
    assert len(asyncio.all_tasks()) == tasks


async def test_errors_hold_no_secrets(store: SupabaseStore, project: Supabase) -> None:
    secrets = [project.anon_key, *project.project._issued]
    errors: list[SteplineError] = []
    for fault in ("refuse", "drop"):
        setattr(project.faults, fault, 3)
        with pytest.raises(SteplineError) as refused:
            await store.running_tasks()
        errors.append(refused.value)
    for error in errors:
        said = json.dumps([str(error), repr(error.__cause__)])
        assert not any(secret in said for secret in secrets)
