"""`stepline send`: one message, and its answer as it grows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from core.errors import ExitCode
from tui.cli.base import Command
from tui.cli.output import put, put_json
from tui.cli.running import with_session

if TYPE_CHECKING:
    from core.models import Sent
    from core.session import Session


@click.command(cls=Command)
@click.argument("text")
@click.option("-c", "--conversation", type=int, metavar="ID", help="Go on with this conversation.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object when all is done.")
@click.option("--no-wait", is_flag=True, help="Print the ids at once; the answer comes later.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Wait at most so many seconds; the task goes on after that.",
)
def send(
    *, text: str, conversation: int | None, as_json: bool, no_wait: bool, timeout: float | None
) -> int:
    """Send TEXT (- reads it from stdin) and stream the answer to stdout.

    Without --conversation a new conversation begins.
    """
    if text == "-":
        text = sys.stdin.buffer.read().decode("utf-8", "replace")

    async def work(session: Session) -> int:
        if no_wait:
            _put_ids(await session.chat.send(conversation, text), as_json)
            return ExitCode.DONE
        from tui.cli.answer import Answer

        with Answer(session, quiet=as_json) as answer:
            # Subscribed before sending, so that nothing of the answer falls between.
            sent = await session.chat.send(conversation, text)
            code = await answer.follow(sent, timeout)
            if as_json:
                put_json(await answer.result())
            return code

    return with_session(work, live=not no_wait, worker=True)


def _put_ids(sent: Sent, as_json: bool) -> None:
    ids = sent.model_dump(mode="json")
    if as_json:
        put_json(ids)
    else:
        for name, value in ids.items():
            put(f"{name} {value}")
