"""What is said of the link: a line where something changes for the reader, and no other."""

import pytest

from core.changes import LinkChanged, LinkState
from tui.linear.link import Link

LOST = "The connection to the database is lost; trying again."
AGAIN = "Connected to the database again."
LATE = "Connected to the database; changes come a few seconds late."


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (["connecting", "live", "live"], []),
        (["live", "reconnecting", "offline", "reconnecting", "live"], [LOST, AGAIN]),
        (["offline", "polling", "polling", "live"], [LOST, LATE, AGAIN]),
    ],
)
def test_only_what_changes_is_said(states: list[str], said: list[str]):
    link = Link()
    news = [link.news(LinkChanged(LinkState(state))) for state in states]
    assert [sentence for sentence in news if sentence] == said
    assert link.up


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        ("The database does not answer.", "The database does not answer."),
        ("no answer in 10 s", f"{LOST[:38]} (no answer in 10 s); trying again."),
    ],
)
def test_the_reason_is_part_of_a_sentence(detail: str, said: str):
    link = Link()
    assert link.news(LinkChanged(LinkState.OFFLINE, detail)) == said
    assert not link.up
