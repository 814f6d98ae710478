"""The few styles there are. ANSI colours: the theme, or the user's own terminal, says which."""

from rich.style import Style

PLAIN = Style.null()
BOLD = Style(bold=True)
DIM = Style(dim=True)
USER = Style(color="cyan", bold=True)
ASSISTANT = Style(color="green", bold=True)
DONE = Style(color="green")
RUNNING = Style(color="cyan")
CURRENT = Style(color="cyan", bold=True)
FAILED = Style(color="red")
WARNING = Style(color="yellow")
ACCENT = Style(color="cyan")
MATCH = Style(reverse=True)
HERE = Style(underline=True)
"""The row under a cursor that the keys are not for."""
THINKING = Style(dim=True, italic=True)
