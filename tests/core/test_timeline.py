"""The step ladder, from a task's row and events."""

from datetime import UTC, datetime, timedelta

import pytest

from core.models import Task, TaskEvent, TaskStatus
from core.timeline import StepState, StepView, timeline
from core.workflows import Step, Workflow

START = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)
PLAN = Workflow(
    task_type="demo",
    label="Demo",
    description="",
    workflow_id=None,
    webhook_path="demo",
    timeout_seconds=60,
    steps=tuple(
        Step(name, name.title(), icon)
        for name, icon in [("one", "1"), ("two", "2"), ("three", "3"), ("completed", "4")]
    ),
)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def task(status: TaskStatus, step: str | None = None, message: str | None = None) -> Task:
    return Task(
        id=1,
        task_type="demo",
        status=status,
        current_step=step,
        status_message=message,
        created_at=START,
        processing_started_at=at(1),
        processing_completed_at=at(100) if status.final else None,
        timeout_seconds=60,
        revision=1,
        updated_at=at(200),
    )


def steps(*entered: tuple[str, float]) -> list[TaskEvent]:
    return [
        TaskEvent(
            id=number,
            task_id=1,
            event_type="step_update",
            event_data={"step": name, "message": f"in {name}"},
            created_at=at(second),
        )
        for number, (name, second) in enumerate(entered, 1)
    ]


def shape(views: list[StepView]) -> list[tuple[str, str]]:
    return [(view.name, view.state.value) for view in views]


def test_before_it_is_claimed_every_step_waits() -> None:
    views = timeline(task(TaskStatus.PENDING), [], PLAN)
    assert shape(views) == [("one", "waiting"), ("two", "waiting"), ("three", "waiting")]
    assert [(view.label, view.icon) for view in views] == [
        ("One", "1"),
        ("Two", "2"),
        ("Three", "3"),
    ]
    assert views[0].seconds(at(5)) is None


def test_while_it_runs() -> None:
    views = timeline(task(TaskStatus.PROCESSING, "two"), steps(("one", 1), ("two", 3)), PLAN)
    assert shape(views) == [("one", "done"), ("two", "current"), ("three", "waiting")]
    assert views[0].seconds(at(10)) == 2
    assert views[1].seconds(at(10)) == 7
    assert views[1].message == "in two"


def test_the_rows_message_is_newer_than_the_events() -> None:
    running = task(TaskStatus.PROCESSING, "two", "batch 2 of 10")
    views = timeline(running, steps(("one", 1), ("two", 3)), PLAN)
    assert [view.message for view in views] == ["in one", "batch 2 of 10", ""]


def test_a_message_of_another_step_is_not_taken_over() -> None:
    # The row is ahead of the events that are known so far.
    running = task(TaskStatus.PROCESSING, "three", "in three")
    assert timeline(running, steps(("two", 3)), PLAN)[0].message == "in two"


def test_an_unknown_step_is_shown_by_its_own_name() -> None:
    views = timeline(task(TaskStatus.PROCESSING, "extra"), steps(("one", 1), ("extra", 2)), PLAN)
    assert shape(views) == [
        ("one", "done"),
        ("extra", "current"),
        ("two", "waiting"),
        ("three", "waiting"),
    ]
    assert (views[1].label, views[1].icon) == ("extra", "")


def test_without_a_workflow_there_is_no_plan() -> None:
    views = timeline(task(TaskStatus.PROCESSING, "two"), steps(("one", 1), ("two", 2)), None)
    assert shape(views) == [("one", "done"), ("two", "current")]


def test_a_skipped_step_does_not_wait_for_ever() -> None:
    views = timeline(task(TaskStatus.PROCESSING, "three"), steps(("one", 1), ("three", 2)), PLAN)
    assert shape(views) == [("one", "done"), ("three", "current")]


def test_a_repeated_step_appears_again_and_what_follows_it_is_still_to_come() -> None:
    entered = steps(("one", 1), ("two", 2), ("one", 5))
    views = timeline(task(TaskStatus.PROCESSING, "one"), entered, PLAN)
    assert shape(views) == [
        ("one", "done"),
        ("two", "done"),
        ("one", "current"),
        ("two", "waiting"),
        ("three", "waiting"),
    ]
    assert [view.seconds(at(6)) for view in views] == [1, 3, 1, None, None]


def test_completed() -> None:
    entered = steps(("one", 1), ("two", 2), ("three", 3), ("completed", 7))
    views = timeline(task(TaskStatus.COMPLETED, "completed"), entered, PLAN)
    assert shape(views) == [("one", "done"), ("two", "done"), ("three", "done")]
    assert views[-1].seconds(at(1000)) == 4


@pytest.mark.parametrize("status", [TaskStatus.FAILED, TaskStatus.TIMEOUT, TaskStatus.CANCELLED])
@pytest.mark.parametrize("with_ending", [True, False])
def test_ended_badly(status: TaskStatus, *, with_ending: bool) -> None:
    entered = [("one", 1.0), ("two", 2.0)] + ([(status.value, 9.0)] if with_ending else [])
    views = timeline(task(status, status.value, "Processing failed"), steps(*entered), PLAN)
    assert shape(views) == [("one", "done"), ("two", "failed")]
    assert views[-1].ended == (at(9) if with_ending else at(100))
    assert views[-1].message == "in two"


def test_ended_before_it_began() -> None:
    assert timeline(task(TaskStatus.CANCELLED), [], PLAN) == []


def test_other_and_malformed_events_are_passed_over() -> None:
    def event(kind: str, data: object) -> TaskEvent:
        return TaskEvent(id=9, task_id=1, event_type=kind, event_data=data, created_at=at(2))  # type: ignore[arg-type]

    noise = [
        event("status_change", {"from": "pending", "to": "processing"}),
        event("error", {"step": "two"}),
        event("step_update", {"step": 7}),
        event("step_update", ["one"]),
        event("step_update", None),
    ]
    views = timeline(task(TaskStatus.PROCESSING, "one"), [*steps(("one", 1)), *noise], PLAN)
    assert shape(views) == [("one", "current"), ("two", "waiting"), ("three", "waiting")]
    assert views[0].state is StepState.CURRENT


def test_a_message_that_is_no_text_is_empty() -> None:
    odd = TaskEvent(
        id=1,
        task_id=1,
        event_type="step_update",
        event_data={"step": "one", "message": {"a": 1}},
        created_at=at(1),
    )
    assert timeline(task(TaskStatus.PROCESSING, "one"), [odd], PLAN)[0].message == ""


def test_a_clock_that_is_behind_never_shows_negative_seconds() -> None:
    views = timeline(task(TaskStatus.PROCESSING, "one"), steps(("one", 10)), PLAN)
    assert views[0].seconds(at(3)) == 0


def test_the_step_in_which_a_worker_died_is_not_done() -> None:
    [one, again] = steps(("one", 1), ("one", 5))
    adopted = TaskEvent(
        id=9, task_id=1, event_type="adopted", event_data={"from": "a"}, created_at=at(5)
    )
    views = timeline(task(TaskStatus.PROCESSING, "one"), [one, adopted, again], PLAN)
    assert shape(views)[:2] == [("one", "failed"), ("one", "current")]
    assert views[0].seconds(at(50)) == 4
