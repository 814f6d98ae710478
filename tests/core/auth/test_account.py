"""Sessions: begun in every way, kept, renewed once, over."""

import asyncio
import json
import stat
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from core.auth.account import Account
from core.auth.files import SessionFile
from core.auth.tokens import received
from core.errors import ConfigError, InputError, SignInNeededError, StoreUnreachableError
from core.settings import Settings
from tests.support.supabase import Supabase
from tests.support.supabase.target import Target

EMAIL, PASSWORD = "ada@example.org", SecretStr("correct horse")

NewAccount = Callable[..., Account]


@pytest.fixture
def project(target: Target) -> Supabase:
    """For what it is told to do wrong."""
    if target.stand_in is None:
        pytest.skip("a real project does not misbehave on command")
    return target.stand_in


@pytest.fixture
def settings(target: Target, tmp_path: Path) -> Settings:
    return target.settings(tmp_path)


@pytest.fixture
async def new_account(settings: Settings) -> AsyncIterator[NewAccount]:
    """An account as each process has its own."""
    accounts: list[Account] = []

    def new(**tokens: str) -> Account:
        secrets = {name: SecretStr(text) for name, text in tokens.items()}
        account = Account(replace(settings, supabase=replace(settings.supabase, **secrets)))
        accounts.append(account)
        return account

    yield new
    for account in accounts:
        await account.close()


@pytest.fixture
async def account(new_account: NewAccount, project: Supabase) -> Account:
    """Signed in by password."""
    project.auth.add_user(EMAIL)
    account = new_account()
    account.adopt(await account.service.password(EMAIL, PASSWORD))
    return account


# Signing in


async def test_nobody_is_signed_in(new_account: NewAccount) -> None:
    account = new_account()
    with pytest.raises(SignInNeededError, match="stepline login"):
        await account.token()
    with pytest.raises(SignInNeededError):
        _ = account.user_id


async def test_a_password(new_account: NewAccount, project: Supabase) -> None:
    user_id = project.auth.add_user(EMAIL)
    account = new_account()
    with pytest.raises(InputError, match="address or the password is wrong"):
        await account.service.password(EMAIL, SecretStr("wrong"))
    with pytest.raises(InputError, match="give both"):
        await account.service.password(EMAIL, SecretStr(""))
    tokens = await account.service.password(EMAIL, PASSWORD)
    account.adopt(tokens)
    assert (tokens.user_id, tokens.email) == (user_id, EMAIL)
    # The next process needs no password, and no request.
    asked = len(project.faults.seen)
    assert await new_account().token() == tokens.access.get_secret_value()
    assert len(project.faults.seen) == asked


async def test_a_code_by_mail(new_account: NewAccount, project: Supabase) -> None:
    account = new_account()
    with pytest.raises(InputError, match="no e-mail address"):
        await account.service.send_code("ada")
    await account.service.send_code(EMAIL)
    with pytest.raises(InputError, match="wrong or too old"):
        await account.service.code(EMAIL, "000000")
    code = project.auth.codes[EMAIL]
    assert (await account.service.code(EMAIL, code)).email == EMAIL
    with pytest.raises(InputError, match="wrong or too old"):
        await account.service.code(EMAIL, code)


async def test_nameless_where_it_is_allowed(new_account: NewAccount, project: Supabase) -> None:
    account = new_account()
    assert (await account.service.anonymous()).email == ""
    project.auth.anonymous = False
    with pytest.raises(InputError, match="allows no anonymous users"):
        await account.service.anonymous()


async def test_signing_out(account: Account, new_account: NewAccount, project: Supabase) -> None:
    tokens = account.tokens
    assert tokens is not None
    assert tokens.refresh is not None
    await account.sign_out()
    await account.sign_out()
    with pytest.raises(SignInNeededError):
        await new_account().token()
    with pytest.raises(SignInNeededError, match="session is over"):
        await account.service.refresh(tokens.refresh)


# The file


def test_the_file_is_its_owners_alone(account: Account, settings: Settings) -> None:
    directory = settings.state_dir / "sessions"
    [file] = directory.glob("*.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [path.suffix for path in directory.iterdir() if path != file] == []


def test_each_project_has_its_own(tmp_path: Path) -> None:
    def path(url: str, seed: str = "") -> Path:
        return SessionFile.of(tmp_path, url, seed).path

    assert path("https://a.supabase.co") == path("https://a.supabase.co")
    others = {path("https://b.supabase.co"), path("http://a.supabase.co:8000"),
              path("https://a.supabase.co/x"), path("https://a.supabase.co", "token")}  # fmt: skip
    assert len(others | {path("https://a.supabase.co")}) == 5
    assert all(each.parent == tmp_path / "sessions" for each in others)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"access_token": 1}', "\x00\xff"])
async def test_a_broken_file_is_no_session(
    new_account: NewAccount, account: Account, settings: Settings, text: str
) -> None:
    [file] = (settings.state_dir / "sessions").glob("*.json")
    file.write_text(text, encoding="latin-1")
    with pytest.raises(SignInNeededError):
        await new_account().token()


async def test_secrets_are_shown_nowhere(account: Account) -> None:
    token = await account.token()
    assert token not in repr(account.tokens)
    assert PASSWORD.get_secret_value() not in repr(vars(account))


# Renewing


async def test_renewed_before_it_expires(
    account: Account, new_account: NewAccount, project: Supabase
) -> None:
    first = await account.token()
    due(account)
    heard: list[str] = []
    account.on_change = heard.append
    second = await account.token()
    assert second != first
    assert heard == [second]
    assert await account.token() == second
    assert await new_account().token() == second
    assert project.auth.refreshes == 1


async def test_a_refused_token_is_renewed_once_for_all(account: Account, project: Supabase) -> None:
    refused = await account.token()
    tokens = await asyncio.gather(*(account.renewed(refused) for _ in range(20)))
    assert len(set(tokens)) == 1
    assert tokens[0] != refused
    assert project.auth.refreshes == 1


async def test_processes_renew_it_once(
    account: Account, target: Target, tmp_path: Path, project: Supabase
) -> None:
    due(account)
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PROCESS, str(tmp_path / "data"), target.url, target.anon_key,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(4)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    outputs = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert len({output for output, _ in outputs}) == 1
    assert outputs[0][0].startswith(b"ey")
    assert project.auth.refreshes == 1


_PROCESS = """
import asyncio, sys
from pathlib import Path
from core.auth.account import Account
from core.settings import load_settings

data_dir, url, key = sys.argv[1:]
settings = load_settings(data_dir=Path(data_dir), overrides={
    "store": "supabase", "supabase.url": url, "supabase.anon_key": key}, env={})
account = Account(settings)
print("ready", flush=True)
sys.stdin.readline()
print(asyncio.run(account.token()))
"""


async def test_a_lost_answer_costs_nothing(account: Account, project: Supabase) -> None:
    due(account)
    project.faults.where = "/auth/v1/token"
    project.faults.drop_late = 1
    assert await account.token()
    assert project.auth.refreshes == 2


async def test_a_token_lasts_while_nobody_can_renew_it(account: Account, project: Supabase) -> None:
    first = await account.token()
    due(account)
    project.faults.refuse = 2
    assert await account.token() == first
    # Where the project has refused it, it is of no use.
    project.faults.refuse = 2
    with pytest.raises(StoreUnreachableError, match="sign-in does not answer"):
        await account.renewed(first)
    project.faults.refuse, project.faults.status = 1, 429
    assert await account.token() == first


@pytest.mark.parametrize("seconds", [-7200, 7200])
async def test_a_wrong_clock_does_no_harm(
    new_account: NewAccount, project: Supabase, seconds: int
) -> None:
    project.auth.add_user(EMAIL)
    project.project.skew = seconds
    account = new_account()
    account.adopt(await account.service.password(EMAIL, PASSWORD))
    assert await account.token() == await account.token()
    assert project.auth.refreshes == 0


async def test_a_revoked_session_is_over(
    account: Account, new_account: NewAccount, project: Supabase
) -> None:
    project.auth.revoke(account.user_id)
    due(account)
    with pytest.raises(SignInNeededError, match="stepline login"):
        await account.token()
    asked = project.auth.refreshes
    for each in (account, new_account()):
        with pytest.raises(SignInNeededError, match="stepline login"):
            await each.token()
    assert project.auth.refreshes == asked
    # Signing in elsewhere is signing in here.
    again = new_account()
    again.adopt(await again.service.password(EMAIL, PASSWORD))
    assert await account.token() == await again.token()


async def test_somebody_else_is_not_followed(
    account: Account, new_account: NewAccount, project: Supabase
) -> None:
    project.auth.add_user("eve@example.org")
    other = new_account()
    other.adopt(await other.service.password("eve@example.org", PASSWORD))
    with pytest.raises(SignInNeededError, match="Somebody else has signed in"):
        await account.renewed(await account.token())


async def test_a_stolen_refresh_token_ends_the_session(account: Account, project: Supabase) -> None:
    tokens = account.tokens
    assert tokens is not None
    assert tokens.refresh is not None
    for _ in range(2):
        await account.renewed(await account.token())
    project.project.skew += 60
    with pytest.raises(SignInNeededError, match="session is over"):
        await account.service.refresh(tokens.refresh)
    with pytest.raises(SignInNeededError):
        await account.renewed(await account.token())


# Given by the environment


async def test_an_access_token_is_used_while_it_lasts(
    new_account: NewAccount, target: Target, project: Supabase
) -> None:
    signed = target.sign_in()
    account = new_account(access_token=signed.access)
    assert await account.token() == signed.access
    assert account.user_id == signed.user_id
    with pytest.raises(SignInNeededError, match="STEPLINE_ACCESS_TOKEN is no longer good"):
        await account.renewed(signed.access)
    assert project.auth.refreshes == 0


async def test_a_refresh_token_goes_on_over_restarts(
    new_account: NewAccount, target: Target, project: Supabase
) -> None:
    signed = target.sign_in()
    tokens = {await new_account(refresh_token=signed.refresh).token() for _ in range(3)}
    assert len(tokens) == 1
    assert project.auth.refreshes == 1
    # Hours later the given one is long used up; what came of it is not.
    project.project.skew += 7200
    account = new_account(refresh_token=signed.refresh)
    await account.renewed(tokens.pop())
    newest = await new_account(refresh_token=signed.refresh).renewed(await account.token())
    assert await account.renewed(await account.token()) == newest
    project.auth.revoke(signed.user_id)
    with pytest.raises(SignInNeededError, match="STEPLINE_REFRESH_TOKEN is over"):
        await account.renewed(newest)


def test_what_is_no_users_token(project: Supabase) -> None:
    for text in ("", "abc", "a.b.c", project.anon_key, project.project.sign({"role": "x"})):
        with pytest.raises(ConfigError, match="not a signed-in user's"):
            received(text, None)
    for claims in ({}, {"sub": "x"}, {"sub": str(project.auth.add_user("b@x.org"))}):
        token = project.project.sign({"role": "authenticated", **claims})
        with pytest.raises(ConfigError, match="does not say whose"):
            received(token, None)


def due(account: Account) -> None:
    """The session, here and in its file, is about to expire."""
    tokens = account.tokens
    assert tokens is not None
    aged = replace(tokens, expires_at=tokens.expires_at - tokens.lifetime + 30)
    account.adopt(aged)
    value = json.loads(account._file.path.read_text())
    assert value["expires_at"] == aged.expires_at
