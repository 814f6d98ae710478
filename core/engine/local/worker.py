"""A worker process, from its start to its end."""

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from core.engine.local import chat
from core.engine.local.database import Database
from core.engine.local.loop import Standing, Worker
from core.engine.local.model import open_model
from core.store.connections import Revive
from core.text import clean_line

if TYPE_CHECKING:
    from core.settings import Settings


def new_worker_id() -> str:
    """A name no other worker has; `task_next` knows local workers by its beginning."""
    host = clean_line(socket.gethostname())[:100] or "localhost"
    return f"local:{host}:{os.getpid()}:{secrets.token_hex(4)}"


async def run_worker(
    conninfo: str,
    settings: "Settings",
    *,
    concurrency: int = 8,
    revive: Revive | None = None,
    standing: Callable[[], Standing] | None = None,
    worker_id: str | None = None,
    predecessor: str | None = None,
    on_ready: Callable[[str], None] | None = None,
    on_stopping: Callable[[int], None] | None = None,
) -> None:
    """Works until SIGTERM or SIGINT; then finishes what it holds. A second signal ends it at once
    (CancelledError), and what it holds is free for others.

    `revive` brings an embedded database back. With `standing` the worker also ends by itself
    when nobody needs it (see `Standing`). `predecessor` is a worker known to be dead: its tasks are
    adopted at once. `on_ready` is told the worker's id once it can claim tasks, `on_stopping` how
    many tasks there are to finish. Raises StoreUnreachableError or SchemaError when the database
    cannot be worked on at the start; later it waits for it for ever.
    """
    database = Database(conninfo, revive)
    model = open_model(settings.llm)
    worker = Worker(
        database,
        {"chat": partial(chat.answer, model=model)},
        worker_id=worker_id or new_worker_id(),
        concurrency=concurrency,
        standing=standing,
        on_stopping=on_stopping,
    )
    try:
        await database.open()
        with _signals(worker):
            await worker.run(predecessor, on_ready)
    finally:
        await model.close()
        await database.close()


@contextmanager
def _signals(worker: Worker) -> Generator[None]:
    """The first signal asks the worker to finish, the second one ends it."""
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    numbers = [
        number
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # nohup stays nohup
    ]

    def stop() -> None:
        if worker.stopping and main is not None:
            main.cancel()
        worker.stop()

    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
