"""Users and workers in random order, against a model of what must come of it."""

from contextlib import ExitStack
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.schema.scenes import FINAL, LEGAL, STATES, attempt, one, rows
from tests.support.database import Database

SIDES = st.integers(0, 1)


@dataclass
class Expected:
    """What the model knows of one task. Times are hours of the model's own clock."""

    id: int
    created: int
    conversation: int | None = None
    message: int | None = None
    status: str = "pending"
    execution: str | None = None
    started: int | None = None
    ended: int | None = None
    retried: bool = False
    revision: int = 1
    history: list[str] = field(default_factory=lambda: ["pending"])

    @property
    def open(self) -> bool:
        return self.status not in FINAL


def make_machine(database: Database) -> type[RuleBasedStateMachine]:
    class Machine(RuleBasedStateMachine):
        tasks = Bundle("tasks")

        def __init__(self) -> None:
            super().__init__()
            self.stack = ExitStack()
            self.owner = self.stack.enter_context(database.owner())
            user_id = database.add_user()
            self.user_id = user_id
            self.users = [self.stack.enter_context(database.user(user_id)) for _ in range(2)]
            self.workers = [self.stack.enter_context(database.worker()) for _ in range(2)]
            self.known: dict[int, Expected] = {}
            self.texts: dict[int, str] = {}
            self.linked: dict[int, int] = {}
            self.hour = 0

        def teardown(self) -> None:
            # Tasks left open would be taken by the next example's workers.
            self.owner.execute(
                "UPDATE async_tasks SET status = 'cancelled'"
                " WHERE status IN ('pending', 'processing')"
            )
            self.stack.close()

        # The model

        def earlier(self, task: Expected) -> list[Expected]:
            return [
                other
                for other in self.known.values()
                if task.conversation is not None
                and other.conversation == task.conversation
                and other.id < task.id
            ]

        def waits(self, task: Expected) -> bool:
            return task.status == "pending" and any(other.open for other in self.earlier(task))

        def late(self, task: Expected) -> bool:
            since = task.started
            if since is None:
                ended = [other.ended for other in self.earlier(task) if other.ended is not None]
                since = max([task.created, *ended])
            return since < self.hour

        def become(self, task: Expected, status: str) -> None:
            task.history.append(status)
            task.status = status
            if status == "processing":
                task.started = self.hour
            if status in FINAL:
                task.ended = self.hour

        def as_worker(self, side: int, task: Expected, statement: str, *values: object) -> bool:
            """Calls what only a running task allows; whether it was running."""
            refused = attempt(self.workers[side], statement, task.id, *values)
            assert refused == (None if task.status == "processing" else "SL002")
            return refused is None

        # The rules

        @rule(target=tasks, side=SIDES)
        def create(self, side: int):
            row = one(self.users[side], "SELECT * FROM task_create('email', '{}')")
            self.known[row["id"]] = Expected(row["id"], self.hour)
            return row["id"]

        @rule(target=tasks, side=SIDES, into=st.none() | tasks)
        def send(self, side: int, into: int | None):
            conversation = self.known[into].conversation if into is not None else None
            sent = one(self.users[side], "SELECT * FROM chat_send(%s, 'question')", conversation)
            self.known[sent["task_id"]] = Expected(
                sent["task_id"], self.hour, sent["conversation_id"], sent["message_id"]
            )
            self.texts[sent["message_id"]] = ""
            self.linked[sent["message_id"]] = sent["task_id"]
            return sent["task_id"]

        @rule(side=SIDES, number=tasks)
        def claim(self, side: int, number: int) -> None:
            task = self.known[number]
            claimed = rows(
                self.workers[side], "SELECT * FROM task_claim(%s, %s)", number, f"exec-{side}"
            )
            ready = task.status == "pending" and not self.waits(task) and not self.late(task)
            assert bool(claimed) == ready
            if claimed:
                task.execution = f"exec-{side}"
                self.become(task, "processing")

        @rule(side=SIDES)
        def take_next(self, side: int) -> None:
            ready = [
                task
                for task in self.known.values()
                if task.status == "pending" and not self.waits(task) and not self.late(task)
            ]
            taken = rows(
                self.workers[side],
                "SELECT * FROM task_next(%s, '{chat,email}')",
                f"exec-{side}",
            )
            assert [row["id"] for row in taken] == [task.id for task in ready[:1]]
            for row in taken:
                self.known[row["id"]].execution = f"exec-{side}"
                self.become(self.known[row["id"]], "processing")

        @rule(side=SIDES, number=tasks, step=st.sampled_from(["rendering", "sending"]))
        def step(self, side: int, number: int, step: str) -> None:
            self.as_worker(side, self.known[number], "SELECT task_step(%s, %s, '')", step)

        @rule(side=SIDES, number=tasks, text=st.sampled_from(["Hal", "Hallo"]))
        def partial(self, side: int, number: int, text: str) -> None:
            task = self.known[number]
            if self.as_worker(side, task, "SELECT chat_partial(%s, %s)", text):
                self.say(task, text)

        @rule(side=SIDES, number=tasks, text=st.sampled_from(["Hallo!", "42"]))
        def reply(self, side: int, number: int, text: str) -> None:
            task = self.known[number]
            if self.as_worker(side, task, "SELECT chat_reply(%s, %s, '', '{}')", text):
                self.say(task, text)
                self.become(task, "completed")

        def say(self, task: Expected, text: str) -> None:
            if task.message is not None and self.linked[task.message] == task.id:
                self.texts[task.message] = text

        @rule(side=SIDES, number=tasks)
        def complete(self, side: int, number: int) -> None:
            task = self.known[number]
            if task.message is None and self.as_worker(
                side, task, "SELECT task_complete(%s, '{}')"
            ):
                self.become(task, "completed")

        @rule(side=SIDES, number=tasks)
        def fail(self, side: int, number: int) -> None:
            task = self.known[number]
            changed = rows(self.workers[side], "SELECT * FROM task_fail(%s, '{}')", number)
            assert bool(changed) == task.open
            if changed:
                late = self.late(task) and not self.waits(task)
                self.become(task, "timeout" if late else "failed")

        @rule(side=SIDES, number=tasks)
        def cancel(self, side: int, number: int) -> None:
            task = self.known[number]
            refused = attempt(self.users[side], "SELECT task_cancel(%s)", number)
            assert refused == (None if task.open or task.status == "cancelled" else "SL001")
            if task.open:
                self.become(task, "cancelled")

        @rule(target=tasks, side=SIDES, number=tasks)
        def retry(self, side: int, number: int):
            old = self.known[number]
            may = old.status in ("failed", "cancelled", "timeout") and not old.retried
            user = self.users[side]
            if not may:
                assert attempt(user, "SELECT task_retry(%s)", number) == "SL001"
                return multiple()
            new = one(user, "SELECT * FROM task_retry(%s)", number)["id"]
            old.retried = True
            self.known[new] = Expected(new, self.hour, old.conversation, old.message)
            if old.message is not None:
                self.linked[old.message] = new
                self.texts[old.message] = ""
            return new

        @rule(side=SIDES)
        def expire(self, side: int) -> None:
            overdue = [
                task
                for task in self.known.values()
                if task.open and self.late(task) and not self.waits(task)
            ]
            found = one(self.users[side], "SELECT task_expire() AS n")["n"]
            assert found == len(overdue)
            for task in overdue:
                self.become(task, "timeout")

        @rule(side=SIDES, number=tasks, status=st.sampled_from(STATES))
        def write(self, side: int, number: int, status: str) -> None:
            """A workflow's plain UPDATE, as in the specification."""
            task = self.known[number]
            if status == "completed" and task.message is not None:
                return
            refused = attempt(
                self.workers[side],
                "UPDATE async_tasks SET status = %s WHERE id = %s",
                status,
                number,
            )
            legal = status == task.status or status in LEGAL[task.status]
            assert refused == (None if legal else "SL001")
            if legal and status != task.status:
                self.become(task, status)

        @rule()
        def an_hour_passes(self) -> None:
            self.hour += 1
            self.owner.execute("SET session_replication_role = replica")
            for column in ("created_at", "processing_started_at", "processing_completed_at"):
                self.owner.execute(
                    f"UPDATE async_tasks SET {column} = {column} - interval '1 hour'".encode()
                )
            self.owner.execute("SET session_replication_role = origin")

        # What must hold

        @invariant()
        def the_database_agrees(self) -> None:
            if not self.known:
                return
            found = {row["id"]: row for row in rows(self.users[0], "SELECT * FROM async_tasks")}
            assert found.keys() == self.known.keys()
            for number, task in self.known.items():
                row = found[number]
                assert row["status"] == task.status
                assert row["n8n_execution_id"] == task.execution
                assert row["revision"] >= task.revision
                assert row["revision"] >= len(task.history)
                assert (row["processing_completed_at"] is not None) == (not task.open)
                assert ("retried_by" in row["metadata"]) == task.retried
                task.revision = row["revision"]
            self._events_agree()
            self._messages_agree(found)

        def _events_agree(self) -> None:
            told: dict[int, list[str]] = {number: [] for number in self.known}
            for event in rows(
                self.users[1],
                "SELECT * FROM task_events WHERE event_type = 'status_change' ORDER BY id",
            ):
                told[event["task_id"]].append(event["event_data"]["status"])
            for number, task in self.known.items():
                assert told[number] == task.history
                assert told[number].count("processing") <= 1
                for old, new in zip(told[number], told[number][1:], strict=False):
                    assert new in LEGAL[old]

        def _messages_agree(self, found: dict[int, dict]) -> None:
            answers = rows(self.users[1], "SELECT * FROM chat_messages WHERE role = 'assistant'")
            assert {row["id"]: row["async_task_id"] for row in answers} == self.linked
            assert {row["id"]: row["content"] for row in answers} == self.texts
            for row in answers:
                task = found[row["async_task_id"]]
                if task["status"] == "completed":
                    assert row["content"] == task["output_data"]["ai_response"] != ""
                    assert "partial" not in row["metadata"]

    return Machine


def test_users_and_workers_in_any_order(database: Database) -> None:
    run_state_machine_as_test(
        make_machine(database),
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
