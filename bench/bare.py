"""The yardstick: the smallest Textual program in which one can type."""

from textual.app import App, ComposeResult
from textual.widgets import TextArea


class Bare(App[None]):
    """A text area, nothing else."""

    def compose(self) -> ComposeResult:
        """Only that."""
        area = TextArea(placeholder="Type a message")
        area.cursor_blink = False
        yield area


if __name__ == "__main__":
    Bare().run()
