"""The registry of automations: the file that ships, and files with every kind of mistake."""

import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from core.errors import (
    ConfigError,
    InputError,
    UnknownTaskTypeError,
    WorkflowNotConfiguredError,
)
from core.settings import default_workflows_file
from core.workflows import Registry, load_workflows

SHIPPED = default_workflows_file()
TYPES = [
    "chat",
    "email",
    "data_import",
    "report_generation",
    "image_processing",
    "notification_broadcast",
]
SMALL = """\
[types.demo]
label = "Demo"
workflow_id = "${DEMO_ID}"
webhook_path = "demo/run"
timeout_seconds = 60
steps = [
  { name = "one", label = "One", icon = "1" },
  { name = "two", label = "Two", icon = "2" },
]

[types.demo.input]
required = ["count"]

[types.demo.input.properties]
count = { type = "integer" }
names = { type = "array", items = { type = "string" } }
"""


@pytest.fixture
def shipped() -> Registry:
    return load_workflows(SHIPPED, {})


def load(tmp_path: Path, text: str, env: dict[str, str] | None = None) -> Registry:
    path = tmp_path / "workflows.toml"
    path.write_text(text, encoding="utf-8")
    return load_workflows(path, env or {})


def test_all_six_types_are_declared_and_chat_is_the_one_that_runs(shipped: Registry) -> None:
    assert [workflow.task_type for workflow in shipped.all()] == TYPES
    assert [workflow.task_type for workflow in shipped.all() if workflow.local] == ["chat"]
    assert shipped.runnable("chat", "local").timeout_seconds == 180
    assert shipped.get("email").timeout_seconds == 300
    assert shipped.get("data_import").timeout_seconds == 600
    assert {w.task_type: w.webhook_path for w in shipped.all()} == {
        "chat": "chat/process",
        "email": "email/send",
        "data_import": "data/import",
        "report_generation": "report/generate",
        "image_processing": "image/process",
        "notification_broadcast": "notification/broadcast",
    }


def test_the_steps_of_chat(shipped: Registry) -> None:
    assert [(step.name, step.label) for step in shipped.get("chat").steps] == [
        ("initializing", "Starting up"),
        ("preparing_request", "Preparing request"),
        ("calling_ai", "AI is thinking"),
        ("processing_response", "Processing response"),
        ("saving_response", "Saving response"),
        ("completed", "Complete"),
    ]


@pytest.mark.parametrize("task_type", TYPES)
def test_every_shipped_input_can_be_made_a_form(shipped: Registry, task_type: str) -> None:
    schema = shipped.get(task_type).input_schema
    Draft202012Validator.check_schema(schema)
    properties = schema["properties"]
    assert isinstance(properties, dict)
    for field in properties.values():
        assert isinstance(field, dict)
        assert {"type", "title", "description"} <= field.keys()


@pytest.mark.parametrize(
    ("task_type", "example"),
    [
        ("chat", {"conversation_id": 45, "message_id": 67}),
        ("chat", {"conversation_id": 45, "message_id": 67, "user_message_id": 66}),
        (
            "email",
            {
                "campaign_id": 123,
                "recipients": ["user1@example.com", "user2@example.com"],
                "template": "welcome_series_1",
                "personalization": {"name": "Ann"},
            },
        ),
        (
            "data_import",
            {
                "source_type": "csv",
                "file_url": "https://example.com/a.csv",
                "mapping_config": {"Name": "name"},
                "destination_table": "contacts",
            },
        ),
    ],
)
def test_good_inputs_pass(shipped: Registry, task_type: str, example: dict[str, object]) -> None:
    shipped.validate(shipped.get(task_type), example)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task_type", "wrong", "sentence"),
    [
        ("chat", {"conversation_id": 1}, "Input for chat: message_id is missing."),
        (
            "chat",
            {"conversation_id": "1", "message_id": True},
            "Input for chat: conversation_id should be a whole number (and 1 more).",
        ),
        (
            "chat",
            {"conversation_id": 0, "message_id": 1},
            "Input for chat: conversation_id should be 1 or more.",
        ),
        (
            "email",
            {"campaign_id": 1, "recipients": ["a@b.c", "nobody"], "template": "x"},
            r"Input for email: recipients[1] should look like ^[^@\s]+@[^@\s]+$.",
        ),
        (
            "email",
            {"campaign_id": 1, "recipients": [], "template": "x"},
            "Input for email: recipients should not be empty.",
        ),
        (
            "email",
            {"campaign_id": 1, "recipients": ["a@b.c"], "template": "x", "personalisation": {}},
            "Input for email: personalisation is not a known field; "
            'did you mean "personalization"?',
        ),
        (
            "data_import",
            {"source_type": "cvs", "file_url": "https://x", "destination_table": "t"},
            "Input for data_import: source_type should be one of csv, json, api; "
            'did you mean "csv"?',
        ),
    ],
)
def test_a_bad_input_names_the_field_and_the_reason(
    shipped: Registry, task_type: str, wrong: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InputError) as caught:
        shipped.validate(shipped.get(task_type), wrong)  # type: ignore[arg-type]
    assert str(caught.value) == sentence


def test_problems_come_in_the_order_of_the_form(shipped: Registry) -> None:
    problems = shipped.problems(shipped.get("email"), {"recipients": "x", "extra": 1})
    assert [(problem.field, problem.reason) for problem in problems] == [
        ("campaign_id", "is missing"),
        ("recipients", "should be a list"),
        ("template", "is missing"),
        ("extra", "is not a known field"),
    ]


def test_a_hostile_input_gives_a_short_and_clean_sentence(shipped: Registry) -> None:
    hostile = "\x1b]0;x\x07\x1b[31m" + "y" * 1_000_000
    with pytest.raises(InputError) as caught:
        shipped.validate(shipped.get("email"), {hostile: hostile, "campaign_id": hostile})
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_an_unknown_type_names_the_nearest_and_all(shipped: Registry) -> None:
    with pytest.raises(UnknownTaskTypeError) as caught:
        shipped.runnable("emial", "local")
    assert str(caught.value) == (
        'There is no task type "emial"; did you mean "email"? Known types: '
        + ", ".join(TYPES)
        + "."
    )
    assert shipped.find("emial") is None
    with pytest.raises(UnknownTaskTypeError, match=r'no task type "zzz"\. Known types'):
        shipped.get("zzz")


@pytest.mark.parametrize("task_type", TYPES[1:])
def test_a_type_that_nothing_here_runs(task_type: str) -> None:
    configured = {f"N8N_{task_type.upper()}_WORKFLOW_ID": "abc"}
    registry = load_workflows(SHIPPED, configured)
    assert registry.get(task_type).workflow_id == "abc"
    with pytest.raises(WorkflowNotConfiguredError, match=f'"{task_type}".*only chat'):
        registry.runnable(task_type, "local")


@pytest.mark.parametrize(
    ("env", "workflow_id"),
    [({"DEMO_ID": "workflow_abc123"}, "workflow_abc123"), ({}, None), ({"DEMO_ID": ""}, None)],
)
def test_a_reference_is_read_from_the_environment(
    tmp_path: Path, env: dict[str, str], workflow_id: str | None
) -> None:
    workflow = load(tmp_path, SMALL, env).get("demo")
    assert workflow.workflow_id == workflow_id
    assert workflow.workflow_variable == "DEMO_ID"


def test_an_id_may_stand_in_the_file_itself_or_be_left_out(tmp_path: Path) -> None:
    literal = load(tmp_path, SMALL.replace("${DEMO_ID}", "abc")).get("demo")
    assert (literal.workflow_id, literal.workflow_variable) == ("abc", None)
    without = load(tmp_path, SMALL.replace('workflow_id = "${DEMO_ID}"\n', "")).get("demo")
    assert (without.workflow_id, without.workflow_variable) == (None, None)


def test_an_id_that_the_database_could_not_hold(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"line 3: types\.demo\.workflow_id is longer than 100"):
        load(tmp_path, SMALL, {"DEMO_ID": "x" * 101})


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        (
            'label = "Demo"',
            'labl = "Demo"',
            2,
            'types.demo.labl is not a known key; did you mean "label"?',
        ),
        ('label = "Demo"\n', "", 1, "types.demo.label is missing."),
        ('webhook_path = "demo/run"\n', "", 1, "types.demo.webhook_path is missing."),
        ("timeout_seconds = 60\n", "", 1, "types.demo.timeout_seconds is missing."),
        ('label = "Demo"', 'label = ""', 2, "types.demo.label should not be empty."),
        ('label = "Demo"', "label = 3", 2, "types.demo.label should be text in quotes."),
        (
            "seconds = 60",
            'seconds = "60"',
            5,
            "types.demo.timeout_seconds should be a whole number.",
        ),
        (
            "seconds = 60",
            "seconds = 0",
            5,
            "types.demo.timeout_seconds should be greater than or equal to 1.",
        ),
        (
            "seconds = 60",
            "seconds = true",
            5,
            "types.demo.timeout_seconds should be a whole number.",
        ),
        (
            "seconds = 60",
            'seconds = 60\nlocal = "yes"',
            6,
            "types.demo.local should be true or false.",
        ),
        ('"demo/run"', '"/demo/run"', 4, "types.demo.webhook_path should be a path"),
        ('"demo/run"', '"https://x/y"', 4, "types.demo.webhook_path should be a path"),
        ('"demo/run"', '"${X}/run"', 4, "types.demo.webhook_path should be a path"),
        ("${DEMO_ID}", "${DEMO-ID}", 3, "types.demo.workflow_id should be an id, or a reference"),
        ("${DEMO_ID}", "$DEMO_ID", 3, "types.demo.workflow_id should be an id, or a reference"),
        (
            'name = "two", label',
            'name = "two", labl',
            8,
            'types.demo.steps[1].labl is not a known key; did you mean "',
        ),
        ('name = "two", ', "", 8, "types.demo.steps[1].name is missing."),
        ('name = "two"', 'name = "Two!"', 8, "types.demo.steps[1].name should be small letters"),
        ('name = "two"', 'name = "one"', 6, 'types.demo.steps has the step "one" twice.'),
        (
            'icon = "2"',
            'icon = "🧠"',
            8,
            "types.demo.steps[1].icon should be one character that is one",
        ),
        ('icon = "2"', 'icon = "22"', 8, "types.demo.steps[1].icon should be one character"),
        ('icon = "2"', 'icon = "\\u0301"', 8, "types.demo.steps[1].icon should be one character"),
        ("[types.demo]", "[type.demo]", 1, 'type is not a known key; did you mean "types"?'),
        ("types.demo", "types.Demo", 1, "types.Demo should be small letters"),
        (
            '"count"]',
            '"cuont"]',
            11,
            'types.demo.input requires "cuont", which is not among its properties; '
            'did you mean "count"?',
        ),
        (
            "required =",
            "requird =",
            12,
            'types.demo.input.requird is not a known key; did you mean "required"?',
        ),
        (
            '"integer"',
            '"intger"',
            15,
            'types.demo.input.properties.count.type should be "object", "array", "string", '
            '"integer", "number", "boolean" or "null"; did you mean "integer"?',
        ),
        (
            '"integer"',
            '"integer", minimun = 1',
            15,
            'types.demo.input.properties.count.minimun is not a known key; did you mean "minimum"?',
        ),
        (
            'type = "string"',
            'pattern = "("',
            16,
            "types.demo.input.properties.names.items.pattern is not a regular expression: ",
        ),
        ('label = "Demo"', "label = Demo", 2, "is not valid TOML: Invalid value."),
        (
            'label = "Demo"',
            'label = "Demo"\nlabel = "Demo"',
            3,
            "is not valid TOML: Cannot overwrite a value.",
        ),
        ("names = {", "names = ", 16, "is not valid TOML: "),
    ],
)
def test_a_mistake_is_named_by_file_line_and_key(
    tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    assert old in SMALL
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, SMALL.replace(old, new))
    separator = " " if said.startswith("is not valid TOML") else ": "
    expected = f"{tmp_path / 'workflows.toml'}, line {line}{separator}{said}"
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


def test_steps_as_tables_of_their_own(tmp_path: Path) -> None:
    text = SMALL[: SMALL.index("steps = ")] + (
        '[[types.demo.steps]]\nname = "one"\nlabel = "One"\n\n'
        '[[types.demo.steps]]\nname = "two"\nlable = "Two"\n'
    )
    with pytest.raises(ConfigError, match=r'line 12: types\.demo\.steps\[1\]\.lable .* "label"'):
        load(tmp_path, text)
    steps = load(tmp_path, text.replace("lable", "label")).get("demo").steps
    assert [(step.name, step.icon) for step in steps] == [("one", "•"), ("two", "•")]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml does not exist"):
        load_workflows(tmp_path / "nowhere.toml", {})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_workflows(tmp_path, {})
    (tmp_path / "latin.toml").write_bytes(b'x = "\xe9"')
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load_workflows(tmp_path / "latin.toml", {})
    with pytest.raises(ConfigError, match="types is missing"):
        load(tmp_path, "")


def test_loading_needs_no_heavy_import() -> None:
    code = (
        "import sys; from core.settings import default_workflows_file as f; "
        "from core.workflows import load_workflows; load_workflows(f(), {}); "
        "print([m for m in ('jsonschema', 'textual', 'rich', 'click', 'httpx', 'psycopg') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
