"""Keys: the `[keys]` table of the settings over the registry's defaults, and how keys are shown."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from core.errors import ConfigError
from tui.actions import ACTIONS, BY_ID, TOGETHER, Action

_LONG = {
    "esc": "escape",
    "pgup": "pageup",
    "pgdn": "pagedown",
    "return": "enter",
    ",": "comma",
    "?": "question_mark",
    "/": "slash",
    "[": "left_square_bracket",
    "]": "right_square_bracket",
    "{": "left_curly_bracket",
    "}": "right_curly_bracket",
    " ": "space",
}
_SHORT = {long: short for short, long in _LONG.items() if short != " "} | {
    "enter": "enter",
    "up": "up",
    "down": "down",
}

UNSAFE = frozenset(
    [f"ctrl+{letter}" for letter in "abhimsqz"]
    + ["ctrl+left_square_bracket", "shift+enter", "ctrl+enter", "f11"]
)
"""Keys that tmux, screen or a terminal takes or cannot send: never the only way to an action."""


def normal(key: str) -> str:
    """A key's name as Textual has it: `esc` -> `escape`, `?` -> `question_mark`."""
    key = key.strip()
    head, plus, last = key.rpartition("+")
    if plus and last:
        return f"{head.lower()}+{_LONG.get(last.lower(), last.lower())}"
    if len(key) == 1:
        return _LONG.get(key, key)
    return _LONG.get(key.lower(), key.lower())


def shown(key: str) -> str:
    """A key as people call it: `escape` -> `esc`."""
    head, plus, last = normal(key).rpartition("+")
    return f"{head}{plus}{_SHORT.get(last, last)}"


class Keymap:
    """Every action's keys, the user's own included."""

    def __init__(self, overrides: Mapping[str, str] | None = None) -> None:
        """Raises `ConfigError` for an unknown action, an empty key or two actions on one key."""
        self._overrides = {
            action_id: _list(action_id, keys) for action_id, keys in (overrides or {}).items()
        }
        self._check_clashes()

    def keys(self, action: Action | str) -> tuple[str, ...]:
        """The action's keys, as Textual names them, most convenient first."""
        action = BY_ID[action] if isinstance(action, str) else action
        return self._overrides.get(action.id) or tuple(map(normal, action.keys.split(",")))

    def first(self, action: Action | str) -> str:
        """The action's first key, as people call it."""
        return shown(self.keys(action)[0])

    def all(self, action: Action | str) -> str:
        """All of the action's keys, as people call them."""
        return " ".join(map(shown, self.keys(action)))

    @property
    def overrides(self) -> dict[str, str]:
        """What Textual's `App.set_keymap` wants: action id -> keys."""
        return {action_id: ",".join(keys) for action_id, keys in self._overrides.items()}

    def _check_clashes(self) -> None:
        for scopes in TOGETHER:
            taken: dict[str, Action] = {}
            for action in ACTIONS:
                if action.when or set(scopes).isdisjoint(action.scopes):
                    continue
                for key in self.keys(action):
                    other = taken.setdefault(key, action)
                    # `back` is what is left to do with a key that nothing nearer wanted.
                    if other is not action and "app.back" not in (other.id, action.id):
                        raise ConfigError(_clash(key, other, action, self._overrides))


def _list(action_id: str, keys: str) -> tuple[str, ...]:
    if action_id not in BY_ID:
        near = get_close_matches(action_id, BY_ID, n=1, cutoff=0.5)
        hint = f"; did you mean `{near[0]}`?" if near else "; the help (f1) names the actions."
        raise ConfigError(f"[keys] knows no action `{action_id}`{hint}")
    found = tuple(normal(key) for key in _split(keys) if key.strip())
    if not found:
        raise ConfigError(f"[keys] `{action_id}` has no key; give one, like `ctrl+r`.")
    return found


def _split(keys: str) -> Iterable[str]:
    return [","] if keys.strip() == "," else keys.split(",")


def _clash(key: str, one: Action, two: Action, overrides: Mapping[str, object]) -> str:
    mine, other = (one, two) if one.id in overrides else (two, one)
    return (
        f"[keys] gives `{shown(key)}` to `{mine.id}`, but `{other.id}` ({other.label.lower()}) "
        "has it in the same place; choose another key for one of them."
    )
