"""Running a command's coroutine: the session around it, and signals that end it cleanly."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from tui import startup
from tui.cli.base import chosen
from tui.cli.output import complain

if TYPE_CHECKING:
    from core.session import Session
    from core.settings import Settings


def with_session(
    work: Callable[[Session], Awaitable[int]],
    *,
    live: bool = False,
    worker: bool = False,
    settings: Settings | None = None,
) -> int:
    """Opens a session, awaits `work(session)` and closes it; returns the exit code.

    `live` starts the feed, `worker` sees to it that somebody works on tasks. `settings`: those that
    were read already.
    """
    settings = settings or chosen().settings()
    for warning in settings.warnings:
        complain(warning)

    async def opened() -> int:
        from core.session import Session

        session = await Session.open(settings, live=live, worker=worker)
        try:
            return await work(session)
        finally:
            await session.close()

    return run(opened())


def run(work: Coroutine[Any, Any, int]) -> int:
    """`asyncio.run`, where SIGTERM and SIGHUP cancel as ctrl+c does: with everything given back."""
    import asyncio  # not for who only asks for `--help`

    startup.done()
    caught: list[int] = []

    async def guarded() -> int:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()

        def stop(number: int) -> None:
            caught.append(number)
            if task:
                task.cancel()

        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays nohup
                loop.add_signal_handler(number, stop, number)
        return await work

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        if not caught:
            raise
        return 128 + caught[0]
