"""The theme that stepline starts with: the terminal's own colours.

They are what the user chose and can read, they need no truecolor, and they take a third of the
bytes on the link.
"""

from textual.theme import BUILTIN_THEMES, Theme

NAME = "stepline"


_CURSOR = {
    "input-cursor-background": "ansi_default",
    "input-cursor-foreground": "ansi_default",
    "input-cursor-text-style": "reverse",
}


def own_theme() -> Theme:
    """Textual's ANSI theme under our name, with a cursor that every palette shows."""
    base = BUILTIN_THEMES["ansi-dark"]
    return Theme(
        name=NAME,
        ansi=True,
        primary=base.primary,
        secondary=base.secondary,
        warning=base.warning,
        error=base.error,
        success=base.success,
        accent="ansi_cyan",
        foreground=base.foreground,
        background=base.background,
        surface=base.surface,
        panel=base.panel,
        boost=base.boost,
        variables={**base.variables, **_CURSOR},
    )
