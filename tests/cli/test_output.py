"""What is written as things change: growing text, and a line per change."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from core.changes import TaskChanged
from core.models import Task, TaskEvent, TaskStatus
from tui.cli.output import put, put_table, say
from tui.cli.watching import ChangeLog
from tui.telling import GrowingText

AT = datetime(2025, 6, 1, 14, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("texts", "written", "said"),
    [
        (["", "He", "Hello", "Hello\n"], "Hello\n", ""),
        (["Hello"], "Hello\n", ""),
        ([], "", ""),
        (["Hello \n", "Hello"], "Hello \n", ""),
        # Another worker begins again, and says the same.
        (["Hello wo", "", "Hel", "Hello world"], "Hello world\n", ""),
        # Another worker begins again, and says something else.
        (
            ["Hello wo", "", "Hi", "Hi there"],
            "Hello wo\nHi there\n",
            "The answer was begun again.\n",
        ),
    ],
)
def test_growing_text(
    texts: list[str], written: str, said: str, capsys: pytest.CaptureFixture[str]
):
    growing = GrowingText(lambda text: put(text, end=""), say)
    for text in texts:
        growing.show(text)
    growing.end()
    assert capsys.readouterr() == (written, said)


def history() -> list[TaskChanged]:
    """A task after each of its changes, as somebody sees it who misses none."""
    steps = [
        (TaskStatus.PENDING, None, "Task created", "status_change"),
        (TaskStatus.PROCESSING, None, "Starting", "status_change"),
        (TaskStatus.PROCESSING, "downloading", "Starting", "step_update"),
        (TaskStatus.PROCESSING, "downloading", "500 of 2,000", None),
        (TaskStatus.PROCESSING, "importing", "Importing", "step_update"),
        (TaskStatus.COMPLETED, "importing", "Done", "status_change"),
        (TaskStatus.COMPLETED, "completed", "Done", "step_update"),
    ]
    events: list[TaskEvent] = []
    views: list[TaskChanged] = []
    for number, (status, step, message, kind) in enumerate(steps, start=1):
        at = AT + timedelta(seconds=number)
        if kind:
            data = {"message": message} | ({"step": step} if kind == "step_update" else {})
            if kind == "status_change":
                data["status"] = status.value
            events.append(
                TaskEvent(id=number, task_id=7, event_type=kind, event_data=data, created_at=at)
            )
        task = Task(
            id=7,
            task_type="data_import",
            status=status,
            current_step=step,
            status_message=message,
            created_at=AT,
            timeout_seconds=60,
            revision=number,
            updated_at=at,
        )
        views.append(TaskChanged(task, list(events)))
    return views


def lines_of(views: list[TaskChanged]) -> list[dict[str, object]]:
    log = ChangeLog()
    return [line for view in views for line in log.lines(view)]


def test_a_line_per_change():
    lines = lines_of(history())
    assert [(line["status"], line["step"], line["message"]) for line in lines] == [
        ("pending", None, "Task created"),
        ("processing", None, "Starting"),
        ("processing", "downloading", "Starting"),
        ("processing", "downloading", "500 of 2,000"),
        ("processing", "importing", "Importing"),
        ("completed", "importing", "Done"),
        ("completed", "completed", "Done"),
    ]
    assert [line["event_id"] for line in lines] == [1, 2, 3, None, 5, 6, 7]
    assert lines[3]["at"] == "2025-06-01T14:02:04+00:00"


@pytest.mark.parametrize("seed", range(20))
def test_merged_and_repeated_updates_lose_no_event_and_repeat_none(seed: int):
    views = history()
    chance = random.Random(seed)
    seen = sorted([*chance.sample(range(6), chance.randint(0, 6)), 6, 6])
    lines = lines_of([views[at] for at in seen])
    assert [line["event_id"] for line in lines if line["event_id"]] == [1, 2, 3, 5, 6, 7]


def test_events_newer_than_their_row_do_not_bring_its_old_message_back():
    views = history()
    mixed = [views[2], TaskChanged(views[2].task, views[4].events), *views[4:]]
    assert [line["message"] for line in lines_of(mixed)] == [
        "Task created",
        "Starting",
        "Starting",
        "Importing",
        "Done",
        "Done",
    ]


def test_wide_characters_stay_in_their_columns(capsys: pytest.CaptureFixture[str]):
    put_table(("A", "B", "C"), [("漢字", "x", "1"), ("a", "yy", "2" * 200)])
    assert capsys.readouterr().out == f"A     B   C\n漢字  x   1\na     yy  {'2' * 200}\n"
