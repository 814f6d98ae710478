"""The command line. Importing it is cheap: what a command needs is imported when it runs."""

from tui import startup
from tui.cli.entry import main

__all__ = ["main"]

startup.begin()
