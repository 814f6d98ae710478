"""A message over several lines while it is typed, and the draft it becomes if it is not sent."""

from tui.writing import Writing


class Begun:
    """The lines so far of a message that goes on."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._lines: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, line: str) -> str | None:
        """The whole message, or None where `line` ends with a backslash: then it goes on."""
        # Of backslashes in pairs none says so.
        if (len(line) - len(line.rstrip("\\"))) % 2:
            self._lines.append(line[:-1])
            return None
        text = "\n".join([*self._lines, line])
        self._lines.clear()
        return text

    def keep(self, rest: str = "") -> bool:
        """Puts what was begun, `rest` being its last line, behind the draft; false if nothing was.

        The draft is the one that the full screen has in its composer.
        """
        lines = [*self._lines, rest] if rest else self._lines
        if not lines:
            return False
        before = [self._writing.text] if self._writing.text else []
        self._writing.text = "\n".join([*before, *lines])
        self._writing.save()
        self._lines.clear()
        return True
