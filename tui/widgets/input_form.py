"""A form made from a workflow's input schema; what is wrong is said beside its field."""

import re
from collections.abc import Sequence

from pydantic import JsonValue
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from core.inputs import Problem
from core.models import JsonObject
from tui.form_fields import Entered, Field, Kind, entered, fields_of, shown
from tui.paint.styles import BOLD, DIM, FAILED
from tui.widgets.choice_line import ChoiceLine
from tui.widgets.quiet_area import QuietArea
from tui.widgets.quiet_input import QuietInput

_NONE = "(none)"


class InputForm(VerticalScroll, can_focus=False):
    """One editor per property of the schema."""

    DEFAULT_CSS = "InputForm { height: 1fr; scrollbar-size-vertical: 1; }"

    def __init__(self, schema: JsonObject) -> None:
        super().__init__()
        self._editors = [FieldEditor(field) for field in fields_of(schema)]
        self._others: JsonObject = {}
        """What the schema has no property for: kept, not shown."""

    def compose(self) -> ComposeResult:
        """The editors, in the schema's order."""
        yield from self._editors
        if not self._editors:
            yield Static(Text(" This workflow takes no input.", DIM))

    @property
    def value(self) -> JsonObject:
        """The input as far as it is filled in."""
        value = dict(self._others)
        for editor in self._editors:
            entry = editor.entered
            if entry.given:
                value[editor.field.name] = entry.value
        return value

    @property
    def problems(self) -> list[Problem]:
        """What cannot even be read."""
        entries = [(editor.field.name, editor.entered) for editor in self._editors]
        return [Problem(name, entry.problem) for name, entry in entries if entry.problem]

    def fill(self, value: JsonObject) -> str:
        """Fills the form with `value`; the name of a field that cannot show its part, or nothing.

        In that case nothing was changed.
        """
        texts: list[tuple[FieldEditor, str]] = []
        for editor in self._editors:
            name = editor.field.name
            text = shown(editor.field, value[name]) if name in value else ""
            if text is None:
                return name
            texts.append((editor, text))
        for editor, text in texts:
            editor.text = text
        names = {editor.field.name for editor in self._editors}
        self._others = {name: part for name, part in value.items() if name not in names}
        return ""

    def show_problems(self, problems: Sequence[Problem]) -> list[Problem]:
        """Says each beside its field, goes to the first; gives back those that have no field."""
        first: FieldEditor | None = None
        names = {editor.field.name for editor in self._editors}
        for editor in self._editors:
            mine = [each for each in problems if _top(each.field) == editor.field.name]
            editor.say("; ".join(_words(each, editor.field) for each in mine))
            first = first or (editor if mine else None)
        if first is not None:
            first.enter()
        return [each for each in problems if _top(each.field) not in names]

    def enter(self) -> None:
        """To the first field."""
        if self._editors:
            self._editors[0].enter()


class FieldEditor(Vertical):
    """Name, description, what is typed, what is wrong."""

    DEFAULT_CSS = """
    FieldEditor {
        height: auto; margin-bottom: 1; padding: 0 1;
        Static { height: auto; }
        .problem { display: none; }
        &.-wrong .problem { display: block; }
    }
    """

    def __init__(self, field: Field) -> None:
        super().__init__()
        self.field = field
        self._editor = _editor(field)

    def compose(self) -> ComposeResult:
        """The lines, from the top."""
        name = Text.assemble(
            (self.field.title, BOLD), " (needed)" if self.field.required else "", "  "
        )
        yield Static(name.append(self.field.description, DIM))
        yield self._editor
        yield Static(classes="problem")

    def enter(self) -> None:
        """Puts the cursor here."""
        self._editor.focus()

    def say(self, problem: str) -> None:
        """What is wrong here; nothing if all is well."""
        self.set_class(bool(problem), "-wrong")
        self.query_one(".problem", Static).update(Text(problem, FAILED))

    @property
    def entered(self) -> Entered:
        """What was typed, as a value."""
        return entered(self.field, self.text)

    @property
    def text(self) -> str:
        """What was typed; of a choice, its value as JSON."""
        if isinstance(self._editor, QuietInput):
            return self._editor.value
        if isinstance(self._editor, QuietArea):
            return self._editor.text
        return _options(self.field)[self._editor.chosen][0]

    @text.setter
    def text(self, text: str) -> None:
        if isinstance(self._editor, QuietInput):
            self._editor.value = text
        elif isinstance(self._editor, QuietArea):
            self._editor.text = text
        else:
            texts = [each for each, _ in _options(self.field)]
            self._editor.choose(texts.index(text) if text in texts else 0)


def _editor(field: Field) -> QuietInput | QuietArea | ChoiceLine:
    given = shown(field, field.default) if field.default is not None else None
    if field.kind is Kind.CHOICE:
        options = _options(field)
        texts = [text for text, _ in options]
        return ChoiceLine(
            [label for _, label in options], texts.index(given) if given in texts else 0
        )
    if field.kind in (Kind.LINES, Kind.JSON):
        hint = "one a line" if field.kind is Kind.LINES else "{ JSON }"
        return QuietArea(given or "", placeholder=field.example or hint)
    return QuietInput(given or "", placeholder=field.example)


def _options(field: Field) -> list[tuple[str, str]]:
    """The values as text, each with its label; one may be left out where it is not required."""
    options = [(shown(field, value) or "", _label(value)) for value in field.choices]
    return options if field.required else [("", _NONE), *options]


def _label(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _top(place: str) -> str:
    return re.split(r"[.\[]", place)[0]


def _words(problem: Problem, field: Field) -> str:
    """`is missing`, or with the place inside of the field: `[2] should be text`."""
    inside = problem.field.removeprefix(field.name)
    return f"{inside} {problem.reason}".strip()
