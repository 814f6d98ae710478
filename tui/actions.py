"""The one registry of actions: bindings, command palette, help and `[keys]` are made from it.

An action `chat.new` is the method `action_chat_new` of the widget, screen or app that offers it.
A class declares the scopes it serves: `BINDINGS = bindings("conversation")`.

A key in a scope may be used again only by an action with a `when` that can't hold at the same
time. The scopes `list` and `tree` belong to the list widget itself, the others to its container:
so `n` is the next match while a list is being searched, and "new" otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.binding import Binding, BindingType


@dataclass(frozen=True, slots=True)
class Action:
    """Something a user can do, and how."""

    id: str
    label: str
    keys: str
    """Default keys, most convenient first, separated by commas, as Textual names them."""
    scopes: tuple[str, ...]
    help: str = ""
    """One sentence more than the label, where it is needed."""
    dangerous: bool = False
    """Whether it asks once before it is done."""
    when: str = ""
    """The condition under which alone the key works, for the help; the method's owner checks it."""

    @property
    def method(self) -> str:
        """The action's name in Textual's sense: its method is `action_` and this."""
        return self.id.replace(".", "_")


SCOPES: dict[str, str] = {
    "composer": "While typing",
    "conversation": "Conversation",
    "panel": "Task panel",
    "inspector": "Inspector",
    "tree": "JSON",
    "tasks": "Task list",
    "conversations": "Conversations",
    "form": "New task",
    "list": "Any list",
    "choice": "One of several values",
    "dialog": "Questions",
    "sign_in": "Signing in",
    "start": "When the start failed",
    "app": "Everywhere",
}
"""Scope -> its heading in the help, in the order of the help."""

SCREENS: dict[str, tuple[str, ...]] = {
    "main": ("composer", "conversation", "panel", "list", "start", "app"),
    "inspector": ("inspector", "tree", "list", "app"),
    "tasks": ("tasks", "list", "app"),
    "conversations": ("conversations", "list", "app"),
    "form": ("form", "choice", "app"),
    "sign_in": ("sign_in",),
    "dialog": ("dialog",),
}
"""Which scopes exist on which screen."""

TOGETHER: tuple[tuple[str, ...], ...] = (
    ("composer", "app"),
    ("conversation", "list", "app"),
    ("panel", "list", "app"),
    ("inspector", "tree", "app"),
    ("inspector", "list", "app"),
    ("tasks", "list", "app"),
    ("conversations", "list", "app"),
    ("form", "choice", "app"),
    ("sign_in",),
    ("dialog",),
    ("start", "app"),
)
"""The scopes that hear the same key press: within one of these a key means one thing."""

_RETRY = "The same input again, as a new attempt."
_CANCEL = "Stops the task; what it wrote so far stays."

ACTIONS: tuple[Action, ...] = (
    # Everywhere
    Action("app.palette", "Commands", "ctrl+p", ("app",), "Find any action by its name."),
    Action("app.help", "Help", "f1,?", ("app",), "The keys that work here."),
    Action("app.conversations", "Conversations", "ctrl+o", ("app",), "Find, open, rename, delete."),
    Action("app.tasks", "All tasks", "ctrl+g", ("app",), "The full list, and new tasks (then n)."),
    Action("app.next_pane", "Next pane", "tab", ("app",)),
    Action("app.previous_pane", "Previous pane", "shift+tab", ("app",)),
    Action("app.back", "Back", "escape", ("app",), "Leaves what is in front; never quits."),
    Action("app.sign_in", "Sign in", "f4", ("app",), "Where the session is over (Supabase)."),
    Action("app.redraw", "Redraw", "ctrl+l", ("app",), "The whole screen, once again."),
    Action("app.quit", "Quit", "ctrl+c", ("app",), "Twice. Running tasks go on without us."),
    # Composer
    Action("compose.send", "Send", "enter", ("composer",)),
    Action("compose.newline", "New line", "ctrl+j,alt+enter", ("composer",)),
    Action("compose.leave", "To the conversation", "escape", ("composer",)),
    Action("compose.older", "Older text", "up", ("composer",), when="on the first line"),
    Action("compose.newer", "Newer text", "down", ("composer",), when="on the last line"),
    Action("compose.page_up", "Scroll up", "pageup", ("composer",)),
    Action("compose.page_down", "Scroll down", "pagedown", ("composer",)),
    Action("compose.search", "Search the conversation", "ctrl+f", ("composer",)),
    Action("compose.retry", "Retry the last answer", "ctrl+r", ("composer",), _RETRY),
    Action("compose.quit", "Quit", "ctrl+d", ("composer",), when="nothing is typed"),
    # Conversation
    Action("chat.new", "New conversation", "n", ("conversation", "conversations")),
    Action("chat.type", "Type a message", "i", ("conversation",)),
    Action("chat.edit", "Edit and resend", "e", ("conversation",), "Your text, back to typing."),
    Action(
        "chat.copy", "Copy the message", "y", ("conversation",), "Its source, to the clipboard."
    ),
    Action("chat.thinking", "Thinking", "t", ("conversation",), "Unfold or fold it."),
    Action("chat.steps", "Steps", "s", ("conversation",), "Unfold or fold them."),
    # Tasks, wherever one is selected
    Action("task.retry", "Retry", "r", ("conversation", "panel", "inspector", "tasks"), _RETRY),
    Action(
        "task.cancel",
        "Cancel",
        "c",
        ("conversation", "panel", "inspector", "tasks"),
        _CANCEL,
        dangerous=True,
    ),
    Action("task.new", "New task", "n", ("panel", "tasks")),
    # Full screens
    Action("screen.close", "Back", "q", ("inspector", "tasks", "conversations")),
    # Inspector
    Action("inspector.next", "Next task", "]", ("inspector",)),
    Action("inspector.previous", "Previous task", "[", ("inspector",)),
    Action(
        "inspector.link", "n8n execution", "o", ("inspector",), "Opens it; over SSH, copies it."
    ),
    Action("inspector.next_tab", "Next tab", "right_curly_bracket,L", ("inspector",)),
    Action("inspector.previous_tab", "Previous tab", "left_curly_bracket,H", ("inspector",)),
    # JSON tree
    Action("tree.down", "Down", "j,down", ("tree",)),
    Action("tree.up", "Up", "k,up", ("tree",)),
    Action("tree.fold", "Fold", "left,h", ("tree",)),
    Action("tree.unfold", "Unfold", "right,l", ("tree",)),
    Action("tree.toggle", "Fold or unfold", "enter,space", ("tree",)),
    Action("tree.first", "First", "g,home", ("tree",)),
    Action("tree.last", "Last", "G,end", ("tree",)),
    Action("tree.half_down", "Half a page down", "ctrl+d,pagedown", ("tree",)),
    Action("tree.half_up", "Half a page up", "ctrl+u,pageup", ("tree",)),
    Action("tree.search", "Search", "/", ("tree",)),
    Action("tree.next_match", "Next match", "n", ("tree",)),
    Action("tree.previous_match", "Previous match", "N", ("tree",)),
    Action("tree.copy", "Copy the value", "y", ("tree",)),
    Action("tree.copy_all", "Copy all", "Y", ("tree",)),
    # Conversations
    Action("conversations.rename", "Rename", "r", ("conversations",)),
    Action("conversations.archive", "Archive", "a", ("conversations",), "Or take it out again."),
    Action("conversations.archived", "Show archived", "A", ("conversations",)),
    Action("conversations.delete", "Delete", "d", ("conversations",), dangerous=True),
    Action("conversations.export", "Export", "x", ("conversations",), "As Markdown or JSON."),
    # Task list
    Action("tasks.sort", "Sort", "o", ("tasks",), "By the next column."),
    Action("tasks.reverse", "Reverse the order", "O", ("tasks",)),
    Action("tasks.select_all", "Select all", "a", ("tasks",)),
    # New task
    Action("form.submit", "Create the task", "ctrl+r", ("form",)),
    Action("form.json", "Form or JSON", "ctrl+f", ("form",)),
    Action("choice.next", "Next value", "right,space,l", ("choice",)),
    Action("choice.previous", "Previous value", "left,h", ("choice",)),
    # Signing in
    Action("sign_in.code", "Code by mail", "ctrl+r", ("sign_in",), "In place of a password."),
    Action(
        "sign_in.anonymous",
        "Without a name",
        "ctrl+g",
        ("sign_in",),
        "As a new user, where the project allows it.",
    ),
    # Questions
    Action("dialog.yes", "Yes", "y", ("dialog",)),
    Action("dialog.no", "No", "n,escape", ("dialog",)),
    # Lists
    Action("list.down", "Down", "j,down", ("list",)),
    Action("list.up", "Up", "k,up", ("list",)),
    Action("list.first", "First", "g,home", ("list",)),
    Action("list.last", "Last", "G,end", ("list",)),
    Action("list.half_down", "Half a page down", "ctrl+d", ("list",)),
    Action("list.half_up", "Half a page up", "ctrl+u", ("list",)),
    Action("list.page_down", "Page down", "pagedown", ("list",)),
    Action("list.page_up", "Page up", "pageup", ("list",)),
    Action("list.open", "Open", "enter", ("list",), "The inspector, or back to typing."),
    Action("list.select", "Select", "space", ("list",), "Where several can be selected."),
    Action("list.search", "Search", "/", ("list",)),
    Action("list.next_match", "Next match", "n", ("list",), when="searching"),
    Action("list.previous_match", "Previous match", "N", ("list",), when="searching"),
    # A failed start
    Action("start.retry", "Try again", "r", ("start",)),
)

BY_ID: dict[str, Action] = {action.id: action for action in ACTIONS}


def in_scope(*scopes: str) -> list[Action]:
    """The actions of these scopes, in the registry's order."""
    return [action for action in ACTIONS if not set(scopes).isdisjoint(action.scopes)]


def bindings(*scopes: str, priority: tuple[str, ...] = ()) -> list[BindingType]:
    """Textual bindings for all actions of these scopes; their ids are the actions' ids.

    `priority` names actions whose keys are heard before the focused widget hears them.
    """
    return [_binding(action, action.id in priority) for action in in_scope(*scopes)]


def bindings_of(*ids: str) -> list[BindingType]:
    """Bindings for single actions: what a screen does itself instead of the app."""
    return [_binding(BY_ID[action_id]) for action_id in ids]


def _binding(action: Action, priority: bool = False) -> Binding:
    # Here and not above: the linear mode names actions too, and does without Textual.
    from textual.binding import Binding

    return Binding(
        action.keys,
        action.method,
        action.label,
        show=False,
        id=action.id,
        priority=priority,
    )
