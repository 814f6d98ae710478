"""The keys: those of the pane that has the focus first, then all others."""

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from tui.actions import SCOPES, bindings, bindings_of, in_scope
from tui.context import context
from tui.paint.styles import ACCENT, BOLD, DIM
from tui.perform import scopes_here
from tui.screens.fitted import FittedScreen
from tui.widgets.key_line import KeyLine

_KEYS_WIDTH = 18


class HelpLines(VerticalScroll):
    """Scrolled by the keys of a list."""

    BINDINGS = bindings("list")

    def action_list_down(self) -> None:
        """One line down."""
        self.scroll_relative(y=1, animate=False)

    def action_list_up(self) -> None:
        """One line up."""
        self.scroll_relative(y=-1, animate=False)

    def action_list_first(self) -> None:
        """To the beginning."""
        self.scroll_home(animate=False)

    def action_list_last(self) -> None:
        """To the end."""
        self.scroll_end(animate=False)

    def _by(self, pages: float) -> None:
        self.scroll_relative(y=round(pages * self.size.height), animate=False)

    def action_list_half_down(self) -> None:
        """Half a page down."""
        self._by(0.5)

    def action_list_half_up(self) -> None:
        """Half a page up."""
        self._by(-0.5)

    def action_list_page_down(self) -> None:
        """A page down."""
        self._by(1)

    def action_list_page_up(self) -> None:
        """A page up."""
        self._by(-1)


class HelpScreen(FittedScreen[None], inherit_bindings=False):
    """Full screen; escape goes back."""

    BINDINGS = bindings_of("app.back", "screen.close")
    DEFAULT_CSS = "HelpScreen { HelpLines { height: 1fr; scrollbar-size-vertical: 1; } }"

    def __init__(self, scopes: list[str]) -> None:
        """`scopes`: those to begin with."""
        super().__init__()
        self._scopes = [*scopes, *(scope for scope in SCOPES if scope not in scopes)]

    @classmethod
    def here(cls, screen: Screen[object], focused: Widget | None) -> "HelpScreen":
        """The help for where the focus is."""
        return cls(scopes_here(screen, focused))

    def compose(self) -> ComposeResult:
        """One text, and the keys to leave it."""
        with HelpLines():
            yield Static(self._text(), markup=False)
        yield KeyLine(("app.back", "back"), ("list.page_down", "page down"))

    def on_mount(self) -> None:
        """Can be scrolled at once."""
        self.query_one(HelpLines).focus()

    def action_app_back(self) -> None:
        """Back."""
        self.dismiss()

    def action_screen_close(self) -> None:
        """Back."""
        self.dismiss()

    def _text(self) -> Text:
        keymap = context(self).keymap
        text = Text()
        for scope in self._scopes:
            text.append(f"\n {SCOPES[scope]}\n", BOLD)
            for action in in_scope(scope):
                text.append(f"  {keymap.all(action):<{_KEYS_WIDTH}}", ACCENT)
                text.append(action.label)
                more = [action.help, f"When {action.when}." if action.when else ""]
                more.append("Asks first." if action.dangerous else "")
                said = " ".join(part for part in more if part)
                text.append(f"  {said}\n" if said else "\n", DIM)
        return text
