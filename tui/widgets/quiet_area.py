"""Several lines to type into, without a blinking cursor."""

from textual.widgets import TextArea


class QuietArea(TextArea):
    """Textual's TextArea, plain and still; tab leaves it."""

    DEFAULT_CSS = """
    QuietArea {
        height: 4; border: none; padding: 0 1; background: $surface;
        scrollbar-size-vertical: 1;
        &:focus { border: none; background-tint: $foreground 5%; }
        & .text-area--cursor-line { background: transparent; }
    }
    """

    def __init__(self, text: str = "", *, placeholder: str = "", id: str | None = None) -> None:
        super().__init__(
            text,
            id=id,
            soft_wrap=True,
            show_line_numbers=False,
            highlight_cursor_line=False,
            tab_behavior="focus",
            placeholder=placeholder,
        )
        self.cursor_blink = False
