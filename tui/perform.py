"""Finds who does an action on a screen, for the palette and the help."""

from textual.dom import DOMNode
from textual.screen import Screen
from textual.widget import Widget

from tui.actions import SCOPES, Action, in_scope


def doer(action: Action, screen: Screen[object], focused: Widget | None) -> DOMNode | None:
    """Who does it: the focused widget, what it is in, the app, else any widget of the screen."""
    chain: list[DOMNode] = [
        *(focused.ancestors_with_self if focused else screen.ancestors_with_self)
    ]
    for node in [*chain, *screen.query("*")]:
        if hasattr(node, f"action_{action.method}") and node.check_action(action.method, ()):
            return node
    return None


def scopes_of(node: DOMNode) -> list[str]:
    """The scopes whose keys a widget, screen or app hears."""
    declared = getattr(node, "SCOPES", None)
    if isinstance(declared, tuple):
        return [str(scope) for scope in declared]
    ids = {getattr(binding, "id", None) for binding in node.BINDINGS}
    return [
        scope for scope in SCOPES if all(action.id in ids for action in in_scope(scope)) and ids
    ]


def scopes_here(screen: Screen[object], focused: Widget | None) -> list[str]:
    """The scopes that hear a key press now, nearest first."""
    found: list[str] = []
    for node in focused.ancestors_with_self if focused else screen.ancestors_with_self:
        found += [scope for scope in scopes_of(node) if scope not in found]
    return found
