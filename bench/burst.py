"""A thousand updates a second for ten seconds over fifty tasks, while somebody types.

The database itself writes them, by the worker's own function, a transaction each, so that nothing
here competes with the program under test. Sizes are updates a second.
"""

import re
import threading
from collections.abc import Iterator, Sequence

from bench.figure import Figure, Yardstick, percentile
from bench.scene import Scene, memory_mib, quiet, scene, type_letters
from tests.support.pty_terminal import Terminal

SIZES = (1_000, 2_000, 4_000)
SMALL = (100,)
TASKS = 50
ECHO = 0.050
"""Seconds, for 95 of 100 key presses."""
GROWTH = 5.0
"""MiB by which memory may grow from the first burst to the second; both bring the same."""
_MARK = re.compile(r"t(\d\d)n(\d{6})")

_WRITE = """
DO $$
DECLARE
  tasks bigint[] := '{tasks}';
  begun timestamptz := clock_timestamp();
  ahead double precision;
BEGIN
  FOR n IN 1..{updates} LOOP
    PERFORM public.task_step(tasks[1 + n % {count}], 'initializing',
      format('t%sn%s', lpad((n % {count})::text, 2, '0'), lpad(({base} + n)::text, 6, '0')));
    COMMIT;
    ahead := n / {rate}::double precision - extract(epoch FROM clock_timestamp() - begun);
    IF ahead > 0.002 THEN
      PERFORM pg_sleep(ahead);
    END IF;
  END LOOP;
END
$$
"""


def run(sizes: Sequence[int]) -> Iterator[Figure]:
    """Each rate twice, so that what the first one made the program hold does not count."""
    seconds = 10 if max(sizes) > SMALL[0] else 2
    with scene() as here:
        with here.bare() as bare:
            quiet(bare)
            echo = Yardstick("bare app's key echo, p95", percentile(type_letters(bare, 50), 0.95))
        tasks = here.run_others(TASKS)
        with here.app() as app:
            app.wait_for(f"{TASKS} running")
            base, took = 0, 0.0
            for rate in sizes:
                echoes: list[float] = []
                held: list[float] = []
                for _ in range(2):
                    took = _burst(here, app, tasks, rate, rate * seconds, base, echoes)
                    base += rate * seconds
                    _assert_final(here, app, tasks, base)
                    held.append(memory_mib(app))
                yield Figure(
                    "burst: key echo, p95",
                    percentile(echoes, 0.95),
                    "s",
                    rate,
                    echo,
                    ECHO,
                    len(echoes),
                    f"updates written at {rate * seconds / took:,.0f}/s",
                )
                yield Figure(
                    "burst: memory grown from the first to the second",
                    held[1] - held[0],
                    "MiB",
                    rate,
                    Yardstick("memory after the first", held[0]),
                    GROWTH,
                )


def _burst(
    here: Scene,
    app: Terminal,
    tasks: Sequence[int],
    rate: int,
    updates: int,
    base: int,
    echoes: list[float],
) -> float:
    """Writes, types meanwhile, and sees that no task goes back; the seconds the writing took."""
    statement = _WRITE.format(
        tasks="{" + ",".join(map(str, tasks)) + "}",
        updates=updates,
        count=len(tasks),
        rate=rate,
        base=base,
    )
    took: list[float] = []

    def write() -> None:
        with here.database.worker() as worker:
            row = worker.execute("SELECT clock_timestamp() AS now").fetchone()
            worker.execute(statement)
            end = worker.execute("SELECT clock_timestamp() AS now").fetchone()
            assert row is not None
            assert end is not None
            took.append((end["now"] - row["now"]).total_seconds())

    writer = threading.Thread(target=write)
    writer.start()
    seen: dict[str, int] = {}
    while writer.is_alive():
        echoes += type_letters(app, 1)
        for task, number in _MARK.findall(app.text()):
            assert int(number) >= seen.get(task, 0), f"task {task} went back to {number}"
            seen[task] = int(number)
    writer.join()
    assert seen, "nothing was shown meanwhile"
    assert took, "the updates were not written"
    return took[0]


def _assert_final(here: Scene, app: Terminal, tasks: Sequence[int], last: int) -> None:
    """Every task shows its last state."""
    with here.database.owner() as owner:
        rows = owner.execute(
            "SELECT status_message FROM public.async_tasks WHERE id = ANY (%s)", (list(tasks),)
        ).fetchall()
    final = {row["status_message"] for row in rows}
    assert any(message.endswith(f"n{last:06}") for message in final), final
    app.resize(120, 110)  # room for all of them
    for message in final:
        app.wait_for(message)
    app.resize(120, 40)
    app.wait_gone(min(final))
