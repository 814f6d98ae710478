"""Every screen of the app, one after the other, as one walks through them with the scene's data."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.support.pty_terminal import Terminal


@dataclass(frozen=True)
class Stop:
    """A screen, and how one gets there from the stop before."""

    name: str
    keys: tuple[str, ...]
    shows: str
    """What is seen there and not at the stop before, at every size."""
    top: str = ""
    """What the first row shows, where nothing else may be."""
    bottom: str = ""
    """What the last row begins with."""
    box: bool = False
    """Whether it is a dialog with a frame."""


_MAIN = r"^ stepline   Refund policy.* live .*3 running$"
_TASKS = r"^ Tasks  7$"
_INSPECTOR = "^ #125 chat .*3m00s$"

STOPS = (
    Stop(
        "main", (), "(?s)the last words.*#126 email.* enter send", _MAIN, " enter send  ctrl+j line"
    ),
    Stop("help", ("f1",), "While typing", "", " esc back  pgdn page down"),
    Stop("", ("esc",), "(?s)#126 email.* enter send"),
    Stop("palette", ("ctrl+p",), "What do you want", box=True),
    Stop("", ("esc",), r"(?s)#126 email.* > Type a message *\n enter send"),
    Stop(
        "conversations", ("ctrl+o",), "Conversations  1", r"^ Conversations  1$", " enter open  /"
    ),
    Stop("rename", ("r",), "The conversation's title", r"^ Conversations  1$", box=True),
    Stop("", ("esc",), r"\A Conversations  1\n[^┌+]*\Z"),
    Stop("delete", ("d",), "cannot be undone", r"^ Conversations  1$", box=True),
    Stop("", ("n",), r"\A Conversations  1\n[^┌+]*\Z"),
    Stop("", ("esc",), "(?s)#126 email.* enter send"),
    Stop("tasks", ("ctrl+g",), "#122    email", _TASKS, " enter open  / filter"),
    Stop("cancel", ("c",), "Cancel task #128", _TASKS, box=True),
    Stop("", ("n",), r"(?s)#125 .*#122    email"),
    Stop("inspector", ("j", "j", "j", "enter"), "attempt 1", _INSPECTOR, " tab switch  enter fold"),
    Stop("events", ("tab", "tab"), r"\[Events\]", _INSPECTOR, " tab switch  enter fold"),
    Stop("", ("esc",), r"#122    email"),
    Stop("types", ("n",), "Email campaign", "^ New task$", " enter choose  esc back"),
    Stop("form", ("enter", "ctrl+r"), "is missing", "^ New task: Chat", " ctrl+r create"),
    Stop("json", ("ctrl+f",), r"^ \{\}", "^ New task: Chat", " ctrl+r create"),
    Stop("", ("esc",), "Email campaign"),
    Stop("", ("esc",), "#122    email"),
    Stop("", ("esc",), "(?s)#126 email.* enter send"),
    Stop("panel", ("tab",), " enter inspector", _MAIN, " enter inspector  r retry"),
    Stop("conversation", ("tab",), " i type", _MAIN, " i type  n new"),
)


def tour(terminal: Terminal) -> Iterator[Stop]:
    """Goes to each stop that has a name."""
    for stop in STOPS:
        for key in stop.keys:
            terminal.press(key)
        terminal.wait_for(stop.shows)
        if stop.name:
            yield stop
