"""`stepline login`, `logout` and `whoami`: who one is to a Supabase project."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from core.errors import ExitCode, InputError
from tui.cli.base import Command, chosen
from tui.cli.output import put, put_json, say
from tui.cli.running import run

if TYPE_CHECKING:
    from pydantic import SecretStr

    from core.auth.account import Account
    from core.auth.service import AuthService
    from core.auth.tokens import Tokens
    from core.settings import Settings

PASSWORD = "STEPLINE_PASSWORD"  # noqa: S105 -- the variable's name
"""Where the password comes from where nobody is asked for it."""


@click.command(cls=Command)
@click.argument("email", required=False)
@click.option("--code", "by_code", is_flag=True, help="By a one-time code that is mailed to you.")
@click.option("--anonymous", is_flag=True, help="As a new user without a name.")
def login(email: str | None, by_code: bool, anonymous: bool) -> int:
    """Sign in to the Supabase project of the profile.

    The password is asked for; without a terminal it is STEPLINE_PASSWORD, or the first line of
    stdin, as is a code. The session is kept in the state directory, for you alone.
    """
    if anonymous and (email or by_code):
        raise click.UsageError("--anonymous goes with neither an address nor --code.")

    settings = chosen().settings()

    async def ready(account: Account) -> int:
        if account.from_environment:
            raise InputError(
                "The environment holds the tokens of a session: unset STEPLINE_ACCESS_TOKEN and "
                "STEPLINE_REFRESH_TOKEN to sign in here."
            )
        return ExitCode.DONE

    _with_account(ready, settings)
    # Questions are asked outside the loop, where ctrl+c ends them.
    if anonymous:
        return _sign_in(settings, lambda service: service.anonymous())
    address = (email or _asked("E-mail: ")).strip()
    if not by_code:
        password = _password()
        return _sign_in(settings, lambda service: service.password(address, password))

    async def send(account: Account) -> int:
        await account.service.send_code(address)
        say(f"A code is on its way to {address}.")
        return ExitCode.DONE

    _with_account(send, settings)
    code = _asked("Code: ").strip()
    return _sign_in(settings, lambda service: service.code(address, code))


def _sign_in(settings: Settings, how: Callable[[AuthService], Awaitable[Tokens]]) -> int:
    async def work(account: Account) -> int:
        tokens = await how(account.service)
        account.adopt(tokens)
        say(f"Signed in as {tokens.email or 'a new user without a name'}.")
        return ExitCode.DONE

    return _with_account(work, settings)


@click.command(cls=Command)
def logout() -> int:
    """End the session, on this machine and in the project."""

    async def work(account: Account) -> int:
        if account.from_environment:
            raise InputError(
                "The session is the environment's: unset STEPLINE_ACCESS_TOKEN and "
                "STEPLINE_REFRESH_TOKEN to end it here."
            )
        if account.tokens is None:
            say("Nobody was signed in.")
        else:
            await account.sign_out()
            say("Signed out.")
        return ExitCode.DONE

    return _with_account(work)


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def whoami(as_json: bool) -> int:
    """Print whom the profile acts as, and make sure that the session is good."""
    settings = chosen().settings()
    if settings.store != "supabase":
        from core.session import user_of

        user_id, email = user_of(settings)
        _put_user(str(user_id), email, as_json=as_json)
        return ExitCode.DONE

    async def work(account: Account) -> int:
        await account.token()
        tokens = account.tokens
        email = tokens.email if tokens else ""
        _put_user(str(account.user_id), email, as_json=as_json)
        return ExitCode.DONE

    return _with_account(work, settings)


def _put_user(user_id: str, email: str, *, as_json: bool) -> None:
    from core.text import clean_line

    if as_json:
        put_json({"user_id": user_id, "email": email or None})
    else:
        put(f"{clean_line(email) or 'anonymous'}  {user_id}")


def _with_account(
    work: Callable[[Account], Awaitable[int]], settings: Settings | None = None
) -> int:
    """Awaits `work` with the account of the profile's project; returns the exit code."""
    settings = settings or chosen().settings()
    if settings.store != "supabase":
        raise InputError(
            f'There is nothing to sign in to: the store is "{settings.store}" '
            f"({settings.source('store')}); set SUPABASE_URL and SUPABASE_ANON_KEY."
        )

    async def opened() -> int:
        from core.auth.account import Account

        account = Account(settings)
        try:
            return await work(account)
        finally:
            await account.close()

    return run(opened())


def _password() -> SecretStr:
    from pydantic import SecretStr

    given = os.environ.get(PASSWORD)
    return SecretStr(given if given is not None else _asked("Password: ", hidden=True))


def _asked(question: str, *, hidden: bool = False) -> str:
    """The answer of whoever sits there, or the next line of stdin."""
    if sys.stdin.isatty():
        return click.prompt(question, prompt_suffix="", hide_input=hidden, err=True)
    line = sys.stdin.readline()
    if not line:
        what = question.rstrip(": ").lower()
        raise InputError(
            f"There is no terminal to ask for the {what}: give it on stdin"
            + (f", or in {PASSWORD}." if hidden else ".")
        )
    return line.rstrip("\r\n")
