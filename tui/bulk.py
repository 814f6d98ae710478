"""One thing done to many tasks, and what came of it in one sentence."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from core.errors import SteplineError, StoreUnreachableError
from tui.format import plural

_NAMED = 3
"""Refusals that are told one by one; the others are counted."""


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    done: list[int] = field(default_factory=list[int])
    refused: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    stopped: str = ""
    """Why the rest was not tried."""

    def sentence(self, verb: str) -> str:
        """`Retried 3 tasks; 1 could not be: #12 (is still running).`"""
        done = f"{verb} {plural(len(self.done), 'task')}"
        if len(self.done) == 1:
            done = f"{verb} #{self.done[0]}"
        if self.stopped:
            return f"{done}, then stopped: {self.stopped}"
        if not self.refused:
            return f"{done}."
        if len(self.refused) == 1 and not self.done:
            return self.refused[0][1]
        reasons = [f"#{task_id} ({why.rstrip('.')})" for task_id, why in self.refused[:_NAMED]]
        if more := len(self.refused) - _NAMED:
            reasons += [f"and {more} more"] if more > 0 else []
        return f"{done}; {len(self.refused)} could not be: {', '.join(reasons)}."


async def each(ids: Iterable[int], do: Callable[[int], Awaitable[object]]) -> Outcome:
    """Does it to every task, one after the other; what one refuses does not stop the others."""
    outcome = Outcome()
    for task_id in ids:
        try:
            await do(task_id)
        except StoreUnreachableError as error:
            outcome.stopped = str(error)
            break
        except SteplineError as error:
            outcome.refused.append((task_id, str(error)))
        else:
            outcome.done.append(task_id)
    return outcome
