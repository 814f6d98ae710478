"""Making a task by hand: choose a type, fill in its form or its JSON."""

import json
from typing import ClassVar

from rich.segment import Segment
from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from core.errors import SteplineError, WorkflowNotConfiguredError
from core.inputs import Problem
from core.models import JsonObject
from core.session import Session
from core.workflows import Workflow
from tui.actions import bindings, bindings_of
from tui.context import context
from tui.form_fields import parsed
from tui.format import pad
from tui.paint.lines import Line, cut
from tui.paint.styles import BOLD, DIM, FAILED, PLAIN
from tui.screens.fitted import FittedScreen
from tui.screens.live import tell
from tui.widgets.input_form import InputForm
from tui.widgets.key_line import KeyLine
from tui.widgets.line_list import LineList
from tui.widgets.quiet_area import QuietArea

_NAME_WIDTH = 22
_MOST_SAID = 3


class NewTaskScreen(FittedScreen[int | None]):
    """The task types; its result is the id of the task that was made, if one was."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_of("app.back", "screen.close")]
    DEFAULT_CSS = """
    NewTaskScreen {
        #heading { height: 1; }
        #why { height: auto; padding: 0 1; }
    }
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._types = [(each, _reason(session, each)) for each in session.workflows.all()]

    def compose(self) -> ComposeResult:
        """Heading, types, why the one under the cursor cannot run, keys."""
        yield Static(Text(" New task", BOLD), id="heading")
        yield _Types(self._types)
        yield Static(id="why")
        yield KeyLine(("list.open", "choose"), ("app.back", "back"), ("app.help", "help"))

    def on_mount(self) -> None:
        """Begins with the first type that can run."""
        types = self.query_one(_Types)
        types.focus()
        types.rows_changed()
        runs = [index for index, (_, reason) in enumerate(self._types) if not reason]
        types.cursor = runs[0] if runs else 0

    @on(LineList.Moved)
    def _say_why(self, event: LineList.Moved) -> None:
        self.query_one("#why", Static).update(Text(self._types[event.index][1], DIM))

    @on(LineList.Chosen)
    @work(exclusive=True)
    async def _choose(self, event: LineList.Chosen) -> None:
        workflow, reason = self._types[event.index]
        if reason:
            tell(self, reason, bad=True)
            return
        task_id = await self.app.push_screen_wait(TaskFormScreen(self._session, workflow))
        if task_id is not None:
            self.dismiss(task_id)

    def action_screen_close(self) -> None:
        """Makes no task."""
        self.dismiss(None)

    action_app_back = action_screen_close


class _Types(LineList):
    empty = "No task types: workflows.toml declares none."

    def __init__(self, types: list[tuple[Workflow, str]]) -> None:
        super().__init__()
        self._types = types

    @property
    def count(self) -> int:
        return len(self._types)

    def draw(self, index: int, width: int) -> Line:
        workflow, reason = self._types[index]
        symbols = context(self).symbols
        mark = symbols.cancelled if reason else symbols.bullet
        text = "cannot run here" if reason else workflow.description
        return [
            Segment(f" {mark} "),
            Segment(pad(workflow.label, _NAME_WIDTH, symbols.ellipsis), DIM if reason else PLAIN),
            Segment(f" {pad(workflow.task_type, _NAME_WIDTH, symbols.ellipsis)} ", DIM),
            *cut(text, width - 2 * _NAME_WIDTH - 6, DIM, symbols.ellipsis),
        ]


class TaskFormScreen(FittedScreen[int | None]):
    """The input of one task, as a form or as JSON. What was typed survives every error."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form"), *bindings_of("app.back")]
    DEFAULT_CSS = """
    TaskFormScreen {
        #heading { height: 1; }
        #json { display: none; height: 1fr; }
        #wrong { height: auto; padding: 0 1; max-height: 5; }
        &.-json #json { display: block; }
        &.-json InputForm { display: none; }
    }
    """

    def __init__(self, session: Session, workflow: Workflow) -> None:
        super().__init__()
        self._session = session
        self._workflow = workflow

    def compose(self) -> ComposeResult:
        """Heading, form or JSON, what is wrong, keys."""
        heading = Text.assemble(
            (f" New task: {self._workflow.label}", BOLD), (f"  {self._workflow.description}", DIM)
        )
        yield Static(heading, id="heading")
        yield InputForm(self._workflow.input_schema)
        yield QuietArea(id="json")
        yield Static(id="wrong")
        yield KeyLine(
            ("form.submit", "create"),
            ("form.json", "form or JSON"),
            ("app.next_pane", "next field"),
            ("app.back", "back"),
            ("app.help", "help"),
        )

    def on_mount(self) -> None:
        """Begins with the first field."""
        self._form.enter()

    @property
    def _form(self) -> InputForm:
        return self.query_one(InputForm)

    @property
    def _json(self) -> QuietArea:
        return self.query_one("#json", QuietArea)

    def _say(self, sentence: str) -> None:
        self.query_one("#wrong", Static).update(Text(sentence, FAILED))

    def action_form_json(self) -> None:
        """Shows the same input the other way, if it can be shown that way."""
        self._say("")
        if not self.has_class("-json"):
            self._json.text = json.dumps(self._form.value, ensure_ascii=False, indent=2)
            self.add_class("-json")
            self._json.focus()
            return
        value = self._read_json()
        if value is None:
            return
        if name := self._form.fill(value):
            self._say(f"The form has no way to show what is in “{name}”: it stays JSON.")
            return
        self.remove_class("-json")
        self._form.show_problems([])
        self._form.enter()

    def _read_json(self) -> JsonObject | None:
        try:
            value = parsed(self._json.text)
        except ValueError as error:
            self._say(f"The input {error}.")
            return None
        if not isinstance(value, dict):
            self._say("The input should be an object: { … }.")
            return None
        return value

    @work(exclusive=True)
    async def action_form_submit(self) -> None:
        """Creates the task, or says beside the fields what is wrong."""
        self._say("")
        in_json = self.has_class("-json")
        value = self._read_json() if in_json else self._form.value
        if value is None:
            return
        unread = [] if in_json else self._form.problems
        names = {each.field for each in unread}
        found = self._session.workflows.problems(self._workflow, value)
        problems = unread + [each for each in found if each.field not in names]
        left = problems if in_json else self._form.show_problems(problems)
        self._say(_sentence(left))
        if problems:
            return
        try:
            task = await self._session.tasks.create(self._workflow.task_type, value)
        except SteplineError as error:
            self._say(str(error))
            return
        tell(self, f"Task #{task.id} was created.")
        self.dismiss(task.id)

    def action_app_back(self) -> None:
        """Back to the types."""
        self.dismiss(None)


def _reason(session: Session, workflow: Workflow) -> str:
    try:
        session.workflows.runnable(workflow.task_type, session.engine.name)
    except WorkflowNotConfiguredError as error:
        return str(error)
    return ""


def _sentence(problems: list[Problem]) -> str:
    if not problems:
        return ""
    more = len(problems) - _MOST_SAID
    said = "; ".join(map(str, problems[:_MOST_SAID]))
    return said + (f"; and {more} more." if more > 0 else ".")
