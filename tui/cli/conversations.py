"""`stepline conversations`: what was said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from core.errors import ExitCode, InputError
from tui.cli.base import Group
from tui.cli.output import put, put_json, put_table, say
from tui.cli.running import with_session

if TYPE_CHECKING:
    from core.models import Message
    from core.session import Session

_PAGE = 500


@click.group(cls=Group)
def conversations() -> None:
    """List, show and export conversations."""


@conversations.command("list")
@click.option("--text", default="", metavar="TEXT", help="Only those with TEXT in them.")
@click.option("--archived", is_flag=True, help="Those that were put away.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_conversations(text: str, archived: bool, as_json: bool) -> int:
    """List conversations, the latest used first."""

    async def work(session: Session) -> int:
        from tui.format import clock_time

        found = await session.chat.conversations(text=text, archived=archived)
        if as_json:
            put_json([conversation.model_dump(mode="json") for conversation in found])
        elif not found:
            say("No conversations.")
        else:
            now = session.now()
            rows = [(str(row.id), clock_time(row.updated_at, now), row.title) for row in found]
            put_table(("ID", "USED", "TITLE"), rows)
        return ExitCode.DONE

    return with_session(work)


@conversations.command()
@click.argument("conversation_id", metavar="ID", type=int)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(conversation_id: int, as_json: bool) -> int:
    """Show a whole conversation."""

    async def work(session: Session) -> int:
        if as_json:
            put(await session.chat.export(conversation_id, "json"), end="")
            return ExitCode.DONE
        conversation = await session.chat.conversation(conversation_id)
        put(conversation.title)
        messages: list[Message] = []
        while page := await session.chat.messages(
            conversation_id, after_id=messages[-1].id if messages else 0, limit=_PAGE
        ):
            for message in page:
                note = ", incomplete" if message.partial else ""
                put(f"\n[{message.role.value}, {message.created_at.astimezone():%F %H:%M}{note}]")
                put(message.content.rstrip("\n"))
            messages = page
        return ExitCode.DONE

    return with_session(work)


@conversations.command()
@click.argument("conversation_id", metavar="ID", type=int)
@click.option(
    "--format",
    "fmt",
    type=click.Choice(["markdown", "json"]),
    default="markdown",
    show_default=True,
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to FILE instead of stdout.",
)
def export(conversation_id: int, fmt: Literal["markdown", "json"], output: Path | None) -> int:
    """Export a conversation as Markdown or JSON."""

    async def work(session: Session) -> int:
        text = await session.chat.export(conversation_id, fmt)
        if output is None:
            put(text, end="")
        else:
            _write(output, text)
        return ExitCode.DONE

    return with_session(work)


def _write(output: Path, text: str) -> None:
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{output} cannot be written: {error.strerror}.") from error
    say(f"Wrote {output}.")
