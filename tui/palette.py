"""The command palette: every action that can be done here, by its name."""

from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from tui.actions import ACTIONS, SCOPES, Action
from tui.context import context
from tui.format import fit
from tui.fuzzy import fuzzy
from tui.paint.lines import Line, line
from tui.paint.styles import BOLD, DIM, PLAIN
from tui.perform import doer
from tui.screens.fitted import FittedModal
from tui.widgets.line_list import LineList
from tui.widgets.quiet_input import QuietInput


@dataclass(frozen=True, slots=True)
class Command:
    """An action and who does it."""

    action: Action
    node: DOMNode


class CommandList(LineList):
    """The actions that match."""

    DEFAULT_CSS = "CommandList { height: 1fr; }"
    empty = "Nothing found: try another word, or esc."

    def __init__(self, commands: list[Command]) -> None:
        super().__init__()
        self._all = commands
        self.commands = commands

    @property
    def count(self) -> int:
        """How many match."""
        return len(self.commands)

    @property
    def in_hand(self) -> bool:
        """Always: enter and the arrows come here from the line above."""
        return True

    def search(self, text: str) -> None:
        """Shows what matches, best first."""
        found = [(fuzzy(text, _words(command)), command) for command in self._all]
        matching = [(match.score, command) for match, command in found if match is not None]
        matching.sort(key=lambda pair: -pair[0])
        self.commands = [command for _, command in matching]
        self.cursor = 0
        self.rows_changed()

    def draw(self, index: int, width: int) -> Line:
        """Its name, what it says more, its keys."""
        here = context(self)
        action = self.commands[index].action
        keys = here.keymap.all(action)
        label = fit(f"{SCOPES[action.scopes[0]]}: {action.label}", width - len(keys) - 3)
        room = width - len(label) - len(keys) - 4
        more = fit(action.help, room, here.symbols.ellipsis) if room > 12 else ""
        gap = max(1, width - 1 - len(label) - 2 - len(more) - len(keys))
        parts = ((f" {label}  ", PLAIN), (more, DIM), (" " * (gap - 1), PLAIN), (keys, BOLD))
        return line(*parts)


class Palette(FittedModal[Command | None]):
    """Type, choose, enter."""

    BINDINGS = [("escape", "leave", ""), ("down", "move(1)", ""), ("up", "move(-1)", "")]  # noqa: RUF012
    DEFAULT_CSS = """
    Palette {
        align: center top;
        Vertical {
            width: 90%; max-width: 90; height: 18; max-height: 90%; margin-top: 1;
            border: solid $primary; background: $background;
        }
    }
    """

    def __init__(self, screen: Screen[object], focused: Widget | None) -> None:
        """For what can be done on `screen`, where `focused` has the focus."""
        super().__init__()
        found = [(action, doer(action, screen, focused)) for action in ACTIONS]
        self._commands = [Command(action, node) for action, node in found if node is not None]

    def compose(self) -> ComposeResult:
        """A line to type, and the list."""
        with Vertical():
            yield QuietInput(placeholder="What do you want to do?")
            yield CommandList(self._commands)

    def on_mount(self) -> None:
        """Types at once."""
        self.query_one(QuietInput).focus()
        self.query_one(CommandList).rows_changed()

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        self.query_one(CommandList).search(event.value)

    @on(Input.Submitted)
    @on(CommandList.Chosen)
    def _chosen(self) -> None:
        rows = self.query_one(CommandList)
        self.dismiss(rows.commands[rows.cursor] if rows.commands else None)

    def action_leave(self) -> None:
        """Nothing is done."""
        self.dismiss(None)

    def action_move(self, step: int) -> None:
        """The next or previous action, while typing too."""
        self.query_one(CommandList).cursor += step


def _words(command: Command) -> str:
    action = command.action
    return f"{SCOPES[action.scopes[0]]} {action.label} {action.id}"
