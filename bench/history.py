"""From a key press to what it shows, with a long history, beside the same with ten tasks.

Sizes are tasks in the history, with ten events each.
"""

import re
import time
from collections.abc import Iterator, Sequence
from statistics import median

from bench.figure import Figure, Yardstick
from bench.scene import Scene, scene, until_shown
from core.models import TaskColumn
from tests.support.history import History, fill
from tests.support.pty_terminal import Terminal

SIZES = (100_000, 150_000, 200_000)
SMALL = (200,)
FEW = 10
LATER = 0.3
"""Seconds that the same may take longer than with few tasks; larger histories show how it grows."""

_NEWEST = "ORDER BY id DESC"
_ORDERS = {
    TaskColumn.TYPE: ("type ↓", "ORDER BY task_type, id DESC"),
    TaskColumn.STATUS: (
        "status ↓",
        "ORDER BY array_position('{failed,timeout,cancelled,completed}', status::text), id DESC",
    ),
    TaskColumn.ELAPSED: (
        "time ↓",
        "ORDER BY processing_completed_at - processing_started_at DESC, id DESC",
    ),
    TaskColumn.ID: ("task ↓", _NEWEST),
}
_SAYS = "WHERE concat_ws(' ', task_type, current_step, status_message, input_data) ILIKE '%%{}%%'"


def run(sizes: Sequence[int]) -> Iterator[Figure]:
    """Medians; what is on the screen is compared with what the plainest SQL says."""
    runs = 5 if max(sizes) > SMALL[0] else 1
    with scene() as here:
        few = dict(_measured(here, fill(here.database, here.user_id, FEW), runs))
        stored = FEW
        for size in sizes:
            history = fill(here.database, here.user_id, size - stored)
            stored = size
            for what, seconds in _measured(here, history, runs):
                yardstick = Yardstick(f"the same with {FEW} tasks", few[what])
                limit = few[what] + LATER if size <= SIZES[0] else None
                yield Figure(f"history: {what}", seconds, "s", size, yardstick, limit, runs)


def _measured(here: Scene, history: History, runs: int) -> Iterator[tuple[str, float]]:
    with here.database.owner() as owner:
        owner.execute("VACUUM")  # nobody else does here, and a server does it all the time
    yield "start to the panel's first row", median(_start(here, history) for _ in range(runs))
    with here.app() as terminal:
        figures: dict[str, list[float]] = {}
        for _ in range(runs):
            for what, seconds in _tour(here, terminal, history):
                figures.setdefault(what, []).append(seconds)
    for what, values in figures.items():
        yield what, median(values)


def _start(here: Scene, history: History) -> float:
    begun = time.perf_counter()
    with here.app(ready=rf"#{history.last} "):
        return time.perf_counter() - begun


def _tour(here: Scene, terminal: Terminal, history: History) -> Iterator[tuple[str, float]]:
    """Through the list, from the main screen and back to it."""
    every = _ids(here, _NEWEST)
    top = _rows(*every[:2])
    # The panel shows them too, and beside an empty conversation with nothing before them.
    yield "ctrl+g to the list", until_shown(terminal, ["ctrl+g"], rf"^ Tasks[\s\S]*\n{top}")
    terminal.wait_for(rf"^ Tasks  {len(every):,}$")
    yield "G to the end", _moved(terminal, "G", _rows(*every[-2:]))
    yield "g to the top", _moved(terminal, "g", top)
    for column, (head, order) in _ORDERS.items():
        ids = _ids(here, order)
        place = ids.index(every[0])
        # The cursor stays on its task, which comes to stand at an edge of the screen.
        above, below = _rows(*ids[place - 1 : place + 1]), _rows(*ids[place : place + 2])
        shown = rf"{head}[\s\S]*\n({above}|{below})" if place else rf"{head}.*\n{below}"
        yield f"sort by {column.value}", until_shown(terminal, ["o"], shown)
    yield from _filters(here, terminal, history, len(every))
    facts = rf"#{every[0]} \w+ [\s\S]*step_10"
    yield "enter to the inspector", until_shown(terminal, ["enter"], facts)
    yield "] to the next task", until_shown(terminal, ["]"], facts.replace(*map(str, every[:2])))
    terminal.press("esc")
    terminal.wait_for(top)
    terminal.press("esc")
    terminal.wait_for("Type a message")


def _moved(terminal: Terminal, key: str, pattern: str) -> float:
    """As `until_shown`; the ends of few tasks are on one screen, and take no time at all."""
    if re.search(pattern, terminal.text()):
        terminal.press(key)
        return 0.0
    return until_shown(terminal, [key], pattern)


def _filters(
    here: Scene, terminal: Terminal, history: History, total: int
) -> Iterator[tuple[str, float]]:
    for what, line, where in (
        ("filter by status", "status:failed", "WHERE status = 'failed'"),
        ("filter by a rare word", history.rare, _SAYS.format(history.rare)),
        ("filter by a common word", history.common, _SAYS.format(history.common)),
        ("filter by a word of nobody", history.absent, _SAYS.format(history.absent)),
    ):
        ids = _ids(here, f"{where} {_NEWEST}")
        terminal.press("/")
        terminal.type(line)
        terminal.wait_for(f"^ *{line}")
        heading = rf"^ Tasks  [\d,+]+  {line}[\s\S]*"
        shown = rf"{heading}\n{_rows(*ids[:2])}" if ids else rf"{heading}No tasks\."
        yield what, until_shown(terminal, ["enter"], shown)
        terminal.wait_for(rf"^ Tasks  {len(ids):,}  {line}$")
        terminal.press("esc")
        terminal.wait_for(rf"^ Tasks  {total:,}$")


def _ids(here: Scene, clauses: str) -> list[int]:
    with here.database.owner() as owner:
        rows = owner.execute(f"SELECT id FROM async_tasks {clauses}".encode(), {}).fetchall()
    return [row["id"] for row in rows]


def _rows(*ids: int) -> str:
    """A pattern of these tasks below each other, their rows read."""
    return r".*\n".join(rf"\W*{re.escape(f'#{task_id}')} +[a-z_]+ +" for task_id in ids)
