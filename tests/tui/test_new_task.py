import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue
from textual.pilot import Pilot

from core.models import TaskFilter
from core.session import Session
from core.settings import Settings, default_workflows_file
from core.workflows import load_workflows
from tests.tui.screen_app import ScreenApp, SessionApp, until
from tui.form_fields import Field, Kind, entered, fields_of, shown
from tui.screens.new_task import NewTaskScreen, TaskFormScreen
from tui.widgets.input_form import InputForm

SIZES = [(80, 24), (120, 40), (200, 60), (60, 16)]

WORKFLOWS = """
[types.everything]
label = "[b]Everything[/b]"
description = "One field of each kind 漢字"
webhook_path = "everything"
timeout_seconds = 60
local = true

[types.everything.input]
required = ["name", "count", "kind", "tags"]
additionalProperties = false

[types.everything.input.properties]
name = { type = "string", minLength = 3, title = "[red]N[/]", description = "[@click=x]As is[/]" }
count = { type = "integer", minimum = 1, title = "Count", default = 5 }
ratio = { type = "number", title = "Ratio" }
kind = { type = "string", enum = ["csv", "json", "api"], default = "json", title = "Kind" }
loud = { type = "boolean", title = "Loud" }
tags = { type = "array", minItems = 1, items = { type = "string", pattern = "^[a-z]+$" } }
options = { type = "object", title = "Options" }

[types.elsewhere]
label = "Elsewhere"
description = "Has no local implementation"
webhook_path = "elsewhere"
timeout_seconds = 60
"""


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    file = tmp_path / "workflows.toml"
    file.write_text(WORKFLOWS)
    return replace(settings, workflows_file=file)


def form(session: Session) -> TaskFormScreen:
    return TaskFormScreen(session, session.workflows.get("everything"))


class Made(ScreenApp):
    """Remembers what the screen was left with."""

    def __init__(self, screen: NewTaskScreen | TaskFormScreen, session: Session):
        super().__init__(screen, session=session)
        self.results: list[int | None] = []

    async def show(self) -> None:
        await self.push_screen(self.shown, self.results.append)  # pyright: ignore


@pytest.mark.parametrize("size", SIZES)
def test_picture_of_the_types(snap_compare, settings: Settings, size: tuple[int, int]):
    async def listed(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: "Elsewhere" in pilot.app.screen_text())  # pyright: ignore

    app = SessionApp(settings, NewTaskScreen)
    assert snap_compare(app, terminal_size=size, run_before=listed)


@pytest.mark.parametrize("size", SIZES)
def test_picture_of_a_form_with_problems(snap_compare, settings: Settings, size: tuple[int, int]):
    async def submit(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: "Count" in pilot.app.screen_text())  # pyright: ignore
        await pilot.press("a", "tab", "x", "ctrl+r")
        await until(pilot, lambda: "3 characters" in pilot.app.screen_text())  # pyright: ignore

    assert snap_compare(SessionApp(settings, form), terminal_size=size, run_before=submit)


async def test_a_type_that_cannot_run_says_why(session: Session):
    app = Made(NewTaskScreen(session), session)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "cannot run here" in app.screen_text())
        assert "no workflow that can run here" not in app.screen_text()
        await pilot.press("j")
        await until(pilot, lambda: "has no workflow that can run here" in app.screen_text())
        await pilot.press("enter")
        await until(pilot, lambda: bool([*app.toasts()]))
        assert len(app.screen_stack) == 2
        await pilot.press("escape")
        await until(pilot, lambda: app.results == [None])


async def test_from_the_types_through_the_form_to_the_task(session: Session):
    app = Made(NewTaskScreen(session), session)
    async with app.run_test(size=(100, 50)) as pilot:
        await until(pilot, lambda: "Everything" in app.screen_text())
        await pilot.press("enter")
        await until(pilot, lambda: "Count" in app.screen_text())
        await pilot.press(*"[b]me", "tab", "0", "tab", *"2.5", "tab", "left", "tab", "right")
        await pilot.press("tab", *"a", "enter", *"b", "tab", *'{"x": [1]}', "ctrl+r")
        await until(pilot, lambda: bool(app.results))
    [task] = await session.tasks.list(TaskFilter())
    assert app.results == [task.id]
    assert task.input_data == {
        "name": "[b]me",
        "count": 50,
        "ratio": 2.5,
        "kind": "csv",
        "loud": True,
        "tags": ["a", "b"],
        "options": {"x": [1]},
    }


async def test_errors_stand_beside_their_fields_and_nothing_is_lost(session: Session):
    app = Made(form(session), session)
    async with app.run_test(size=(100, 50)) as pilot:
        await until(pilot, lambda: "Count" in app.screen_text())
        await pilot.press("m", "tab", *"x", "tab", "tab", "tab", "tab", *"A", "tab", "{", "ctrl+r")
        await until(pilot, lambda: "should be a whole number" in app.screen_text())
        text = app.screen_text()
        for said in ("at least 3 characters", "[0] should look like ^[a-z]+$", "is not JSON"):
            assert said in text
        value = app.screen.query_one(InputForm).value
        assert (value["name"], value["count"], value["tags"]) == ("m", "5x", ["A"])
        assert app.focused is not None
        await pilot.press("end", *"ore")
        assert app.screen.query_one(InputForm).value["name"] == "more"
        assert await session.tasks.list(TaskFilter()) == []


async def test_what_was_typed_survives_form_and_json(session: Session):
    app = Made(form(session), session)
    async with app.run_test(size=(100, 50)) as pilot:
        await until(pilot, lambda: "Count" in app.screen_text())
        await pilot.press(*"name", "tab", *"x", "ctrl+f")
        area = app.screen.query_one("#json")
        assert json.loads(area.text) == {"name": "name", "count": "5x", "kind": "json"}  # pyright: ignore
        area.text = '{"name": "n", "kind": "csv", "tags": ["a", "b"], "new": 1}'  # pyright: ignore
        await pilot.press("ctrl+f")
        assert app.screen.query_one(InputForm).value == {
            "name": "n",
            "kind": "csv",
            "tags": ["a", "b"],
            "new": 1,
        }
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "new is not a known field" in app.screen_text())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[1]", "should be an object"),
        ('{"tags": [1]}', "no way to show what is in “tags”"),
        ('{"count": NaN}', "NaN is no number there"),
    ],
)
async def test_json_that_the_form_cannot_show_stays_json(session: Session, text: str, said: str):
    app = Made(form(session), session)
    async with app.run_test(size=(100, 50)) as pilot:
        await until(pilot, lambda: "Count" in app.screen_text())
        await pilot.press("ctrl+f")
        app.screen.query_one("#json").text = text  # pyright: ignore
        await pilot.press("ctrl+f")
        await until(pilot, lambda: said in app.screen_text())
        assert app.screen.query_one("#json").text == text  # pyright: ignore
        assert app.screen.query_one("#json").display


async def test_json_is_checked_and_created_too(session: Session):
    app = Made(form(session), session)
    async with app.run_test(size=(100, 50)) as pilot:
        await until(pilot, lambda: "Count" in app.screen_text())
        await pilot.press("ctrl+f")
        area: Any = app.screen.query_one("#json")
        area.text = '{"name": "name", "count": 0, "kind": "csv"}'
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "count should be 1 or more; tags is missing." in _flat(app))
        area.text = '{"name": "name", "count": 1, "kind": "csv", "tags": ["a"]}'
        await pilot.press("ctrl+r")
        await until(pilot, lambda: bool(app.results))
    assert len(await session.tasks.list(TaskFilter())) == 1


def _flat(app: ScreenApp) -> str:
    return " ".join(app.screen_text().split())


FIELDS = {
    kind: Field("f", "F", "", required=False, kind=kind, choices=("a", True, 3)) for kind in Kind
}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.TEXT, " text with spaces "),
        (Kind.INTEGER, 12),
        (Kind.INTEGER, -(10**30)),
        (Kind.NUMBER, 2.5),
        (Kind.CHOICE, "a"),
        (Kind.CHOICE, True),
        (Kind.CHOICE, 3),
        (Kind.LINES, ["a", "b c", "[d]"]),
        (Kind.JSON, {"a": [None, 1.5, "ü"]}),
    ],
)
def test_values_survive_the_way_into_the_field_and_back(kind: Kind, value: JsonValue):
    text = shown(FIELDS[kind], value)
    assert text is not None
    assert entered(FIELDS[kind], text).value == value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.TEXT, 1),
        (Kind.TEXT, "two\nlines"),
        (Kind.INTEGER, True),
        (Kind.CHOICE, "z"),
        (Kind.LINES, "a"),
        (Kind.LINES, ["a", 1]),
    ],
)
def test_what_a_field_cannot_show_is_not_shown(kind: Kind, value: JsonValue):
    assert shown(FIELDS[kind], value) is None


@pytest.mark.parametrize("text", ["x", "1.5", "1e400", "nan", "9" * 5000])
def test_no_whole_number_stays_text(text: str):
    assert entered(FIELDS[Kind.INTEGER], text).value == text


def test_every_declared_workflow_has_a_form():
    for workflow in load_workflows(default_workflows_file(), {}).all():
        fields = fields_of(workflow.input_schema)
        assert [field.name for field in fields] == [*workflow.input_schema["properties"]]  # pyright: ignore
