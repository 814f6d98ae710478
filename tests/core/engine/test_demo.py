"""The built-in demo model."""

from itertools import pairwise

from core.engine.local.demo import NAME, DemoModel
from core.engine.local.events import ChatMessage, Delta, Finished


async def test_says_that_it_is_a_demo_and_how_to_set_a_key() -> None:
    asked = [
        ChatMessage("user", "earlier"),
        ChatMessage("assistant", "hm"),
        ChatMessage("user", "Why is the \x1b[31msky blue? {0} %s"),
    ]
    events = [event async for event in DemoModel(seconds_per_word=0).stream(asked)]
    deltas = [event for event in events if isinstance(event, Delta)]
    answer = "".join(delta.content for delta in deltas)
    assert "demo" in answer
    assert "> Why is the sky blue? {0} %s\n" in answer
    for name in ("OPENROUTER_API_KEY", "STEPLINE_LLM_BASE_URL", "STEPLINE_LLM_MODEL"):
        assert name in answer
    assert "".join(delta.reasoning for delta in deltas)
    thinking_first = [bool(delta.reasoning) for delta in deltas]
    assert all(a >= b for a, b in pairwise(thinking_first))
    assert events[-1] == Finished(NAME, len(deltas))


async def test_long_and_missing_questions() -> None:
    for messages in ([], [ChatMessage("user", "word " * 5000)]):
        events = [event async for event in DemoModel(seconds_per_word=0).stream(messages)]
        assert sum(len(event.content) for event in events if isinstance(event, Delta)) < 1000
