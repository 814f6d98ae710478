"""What is told of a task as it goes on, line by line and each thing once."""

from collections.abc import Callable, Iterator, Sequence

from core.timeline import StepState, StepView


class GrowingText:
    """A text that is written as it grows, each character once."""

    def __init__(self, write: Callable[[str], None], say: Callable[[str], None]) -> None:
        """`write` takes text as it is, `say` a sentence about it that is not part of it."""
        self._write = write
        self._say = say
        self._written = ""

    @property
    def begun(self) -> bool:
        """Whether anything was written."""
        return bool(self._written)

    @property
    def in_line(self) -> bool:
        """Whether the last line has no end yet."""
        return self.begun and not self._written.endswith("\n")

    def show(self, text: str) -> None:
        """Writes what `text` has more than the last one."""
        if self._written.startswith(text):
            return  # trimmed at its end, or begun again and not yet as far
        if not text.startswith(self._written):
            self.end()
            self._say("The answer was begun again.")
            self._written = ""
        self._write(text[len(self._written) :])
        self._written = text

    def end(self) -> None:
        """Ends the last line."""
        if self.in_line:
            self._write("\n")
            self._written += "\n"


class BegunSteps:
    """A task's steps as sentences, each as it begins."""

    def __init__(self) -> None:
        self._told = 0

    def news(self, steps: Sequence[StepView]) -> list[str]:
        """What has begun since the last time."""
        begun = [step for step in steps if step.started is not None]
        told, self._told = self._told, max(self._told, len(begun))
        return [*self._sentences(begun, told)]

    def _sentences(self, begun: Sequence[StepView], told: int) -> Iterator[str]:
        for at in range(told, len(begun)):
            if at and begun[at - 1].state is StepState.FAILED:
                # Only the last step of a task can fail, unless its worker died in it.
                yield "The worker was lost; another one begins again."
            step = begun[at]
            yield f"{step.label}: {step.message}" if step.message else step.label
