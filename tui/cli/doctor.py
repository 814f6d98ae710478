"""`stepline doctor`: is everything as it must be?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.errors import ExitCode
from tui.cli.base import Command, chosen
from tui.cli.output import put, put_json
from tui.cli.running import run

if TYPE_CHECKING:
    from core.doctor import Check


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array when all is checked.")
def doctor(as_json: bool) -> int:
    """Check everything that can be wrong, and say how to put it right.

    The exit code is 1 if something fails; warnings alone leave it 0.
    """
    load = chosen().settings

    async def work() -> int:
        from core.doctor import Verdict, examine

        found: list[Check] = []
        async for check in examine(load):
            found.append(check)
            if not as_json:
                _put_check(check)
        if as_json:
            put_json(
                [
                    {
                        "name": check.name,
                        "status": check.verdict.value,
                        "sentence": check.sentence,
                        "fix": check.fix,
                    }
                    for check in found
                ]
            )
        bad = any(check.verdict is Verdict.FAIL for check in found)
        return ExitCode.FAILED if bad else ExitCode.DONE

    return run(work())


def _put_check(check: Check) -> None:
    put(f"{check.verdict.value:<5}{check.name + ':':<18}{check.sentence}")
    if check.fix:
        put(f"{'':<23}Fix: {check.fix}")
