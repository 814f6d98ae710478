"""`<think>...</think>` at the beginning of an answer, as models served by Ollama send it."""

from core.engine.local.events import Delta

_OPEN = "<think>"
_CLOSE = "</think>"


class ThinkSplitter:
    """Tells thinking from answer in a stream, wherever the tags are cut.

    Only a tag before any other text counts: an answer that talks about `<think>` keeps it.
    """

    def __init__(self) -> None:
        self._held = ""
        """Text that may yet turn out to be (part of) a tag."""
        self._thinking: bool | None = None
        """None until it is known whether the answer begins with the tag."""
        self._strip = False
        """Whether white space is dropped: between a tag and the text after it."""

    def feed(self, content: str) -> Delta:
        """What is now known of the text so far."""
        self._held += content
        reasoning = ""
        if self._thinking is None:
            start = self._held.lstrip()
            if len(start) < len(_OPEN) and _OPEN.startswith(start):
                return Delta()
            self._thinking = start.startswith(_OPEN)
            if self._thinking:
                self._held = start[len(_OPEN) :]
                self._strip = True
        if self._thinking:
            before, tag, after = self._held.partition(_CLOSE)
            if not tag:
                kept = _overlap(self._held)
                before = self._held[: len(self._held) - kept]
                after = self._held[len(self._held) - kept :]
            self._held = after
            reasoning = self._stripped(before)
            if not tag:
                return Delta(reasoning=reasoning)
            self._thinking, self._strip = False, True
        text, self._held = self._stripped(self._held), ""
        return Delta(text, reasoning)

    def end(self) -> Delta:
        """What was held back when the stream ended."""
        held, self._held = self._held, ""
        return Delta(reasoning=held) if self._thinking else Delta(held)

    def _stripped(self, text: str) -> str:
        if not self._strip:
            return text
        text = text.lstrip()
        self._strip = not text
        return text


def _overlap(text: str) -> int:
    """How many characters at the end of `text` may be the beginning of the closing tag."""
    return next(
        (n for n in range(min(len(text), len(_CLOSE) - 1), 0, -1) if _CLOSE.startswith(text[-n:])),
        0,
    )
