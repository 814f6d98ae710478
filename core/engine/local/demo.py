"""The built-in demo model: answers without any account, and says that it is a demo."""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence

from core.engine.local.events import ChatMessage, Delta, Finished, ModelEvent
from core.text import clean_line

NAME = "stepline-demo"

_THINKING = (
    "No API key is set, so no real model was asked. I will say so plainly, repeat the question, "
    "and explain how to connect a model."
)
_ANSWER = """\
**This is a demo answer.** No language model was asked; you wrote:

> {question}

Every step you saw was real: the task, its claim by the worker, and this stream. For real answers:

1. **OpenRouter**: `export OPENROUTER_API_KEY=sk-or-...`
2. **Ollama** or any compatible server: `export STEPLINE_LLM_BASE_URL=http://localhost:11434/v1` \
and `export STEPLINE_LLM_MODEL=llama3.2`

Then start `stepline` again.
"""


class DemoModel:
    """A `Model` that streams a short Markdown answer word by word."""

    def __init__(self, seconds_per_word: float = 0.028) -> None:
        self._pace = seconds_per_word

    @property
    def name(self) -> str:
        """See `Model.name`."""
        return NAME

    async def close(self) -> None:
        """Nothing is held open."""

    async def stream(self, messages: Sequence[ChatMessage]) -> AsyncGenerator[ModelEvent, None]:
        """See `Model.stream`; never fails."""
        asked = next((m.content for m in reversed(messages) if m.role == "user"), "")
        question = clean_line(asked)
        if len(question) > 120:
            question = question[:119].rstrip() + "…"
        words = 0
        for word in _words(_THINKING):
            await asyncio.sleep(self._pace)
            yield Delta(reasoning=word)
            words += 1
        for word in _words(_ANSWER.format(question=question or "(nothing)")):
            await asyncio.sleep(self._pace)
            yield Delta(word)
            words += 1
        yield Finished(NAME, words)


def _words(text: str) -> list[str]:
    """The words of `text`, each with the white space after it."""
    return re.findall(r"\S+\s*", text.rstrip("\n"))
