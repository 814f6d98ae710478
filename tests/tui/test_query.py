from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import InputError
from core.models import Task, TaskFilter, TaskStatus
from tui.query import EXAMPLE, matches, parse

NOW = datetime(2025, 6, 1, 14, 2, tzinfo=UTC)
TYPES = ("chat", "email", "data_import")


def ask(line: str) -> TaskFilter:
    return parse(line, now=NOW, types=TYPES)


def test_the_example_means_what_it_says():
    assert ask(EXAMPLE) == TaskFilter(
        statuses=(TaskStatus.FAILED,),
        types=("email",),
        since=NOW - timedelta(hours=2),
        text="word",
    )


def test_an_empty_line_asks_for_everything():
    assert ask("  ") == TaskFilter()


@pytest.mark.parametrize(
    ("line", "statuses"),
    [
        ("status:failed,timeout", ("failed", "timeout")),
        ("status:failed status:Timeout", ("failed", "timeout")),
        ("status:running", ("pending", "processing")),
        ("status:done status:completed", ("completed",)),
    ],
)
def test_statuses(line: str, statuses: tuple[str, ...]):
    assert ask(line).statuses == statuses


@pytest.mark.parametrize(
    ("line", "ago"),
    [
        ("since:45s", timedelta(seconds=45)),
        ("since:30m", timedelta(minutes=30)),
        ("since:7d", timedelta(days=7)),
        ("since:2w since:1H", timedelta(hours=1)),
    ],
)
def test_ages(line: str, ago: timedelta):
    assert ask(line).since == NOW - ago


def test_a_day_and_a_huge_age():
    assert ask("since:2025-05-01T00:00:00+00:00").since == datetime(2025, 5, 1, tzinfo=UTC)
    assert ask("since:2025-05-01").since is not None
    assert ask("since:999999w").since == NOW - timedelta(days=36500)


def test_words_quotes_and_addresses_are_text():
    assert ask("no such table").text == "no such table"
    assert ask('"status:failed" x').text == "status:failed x"
    assert ask("https://example.org/a").text == "https://example.org/a"
    assert ask("12:30").text == "12:30"


def test_conversation():
    assert ask("conversation:12").conversation_id == 12


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("stauts:failed", "No filter “stauts:”; did you mean “status:”?"),
        ("zzz:1", "there are status, type, since, conversation."),
        ("status:faild", "No status “faild”; did you mean “failed”?"),
        ("status:", "No status “”; there are pending"),
        ("type:emial", "No task type “emial”; did you mean “email”?"),
        ("type:", "type: needs a task type, such as chat, email"),
        ("since:yesterdayish", "since: takes an age or a day"),
        ("since:", "since: takes an age or a day"),
        ("conversation:x", "conversation: takes a number"),
    ],
)
def test_bad_ones_get_a_sentence(line: str, sentence: str):
    with pytest.raises(InputError) as caught:
        ask(line)
    assert sentence in str(caught.value)


def test_a_type_that_resembles_none_is_let_through():
    assert ask("type:legacy_fax").types == ("legacy_fax",)


@given(st.text(max_size=60))
@example("since:0001-01-01")
def test_any_line_is_either_a_filter_or_a_sentence(line: str):
    with suppress(InputError):
        assert isinstance(ask(line), TaskFilter)


def task(**given_: object) -> Task:
    row = {
        "id": 1,
        "task_type": "email",
        "status": "failed",
        "status_message": "No such Table",
        "created_at": NOW - timedelta(hours=1),
        "timeout_seconds": 300,
        "revision": 1,
        "updated_at": NOW,
        "input_data": {"conversation_id": 12, "subject": "Hi"},
    }
    return Task.model_validate(row | given_)


@pytest.mark.parametrize(
    ("line", "belongs"),
    [
        ("", True),
        ("status:failed", True),
        ("status:running", False),
        ("type:email", True),
        ("type:chat", False),
        ("since:2h", True),
        ("since:30m", False),
        ("conversation:12", True),
        ("conversation:13", False),
        ("table no", True),
        ("subject", True),
        ("chair", False),
    ],
)
def test_live_rows_are_matched_as_the_database_would(line: str, belongs: bool):
    assert matches(ask(line), task()) is belongs
