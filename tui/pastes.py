"""Long pastes: a short stand-in is typed, the text itself is kept aside until it is sent."""

from tui.format import count

LONG = 8_000
"""Characters from which on a text has a stand-in."""


class Pastes:
    """The texts that stand-ins stand for."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def shorten(self, text: str) -> str:
        """A stand-in for a long text; other texts as they are."""
        if len(text) < LONG:
            return text
        for name, known in self._texts.items():
            if known == text:
                return name
        name = f"[pasted text {len(self._texts) + 1}: {count(len(text))} characters]"
        self._texts[name] = text
        return name

    def expand(self, text: str) -> str:
        """The text with every stand-in replaced by what it stands for."""
        for name, whole in self._texts.items():
            text = text.replace(name, whole)
        return text

    def clear(self) -> None:
        """Forgets all texts; for when they are sent."""
        self._texts.clear()
