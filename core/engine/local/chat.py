"""The task type `chat`: the ten steps of spec.md 5.3, against any `Model`."""

import asyncio
import time
from contextlib import aclosing

from psycopg.types.json import Jsonb

from core.engine.local.events import ChatMessage, Delta, Finished, Model, Waiting
from core.engine.local.failures import ModelError
from core.engine.local.job import Job
from core.engine.local.waits import in_words
from core.models import JsonObject
from core.text import clean, clean_line

_SECONDS_BETWEEN_WRITES = 0.1
_SPECS_MODEL = "openai/gpt-4o"
_SPECS_NAME = "OpenAI GPT-4"


async def answer(job: Job, model: Model) -> None:
    """Answers one chat message. Its first two steps are the claim, done when this is called."""
    await job.step("preparing_request", "Preparing your conversation for the AI model...")
    calling = f"Sending your message to {_display(model.name)}. This usually takes 10-30 seconds..."
    await job.step("calling_ai", calling)
    rows = await job.query("SELECT role, content FROM public.chat_history(%(task)s)")
    messages = [ChatMessage(row["role"], row["content"]) for row in rows]
    if not messages:
        nothing = "there is no message to answer; send one to the conversation"
        await job.fail({"error": nothing, "code": "no_question"})
        return
    draft = _Draft(job, calling)
    try:
        finished = await _stream(model, messages, draft)
    except ModelError as error:
        await draft.save()
        await job.fail(error.details)
        return
    await job.step("processing_response", "AI responded! Now formatting and saving the response...")
    content, thinking = draft.text()
    await job.step("saving_response", "Saving AI response to your chat...")
    output: JsonObject = {"tokens_used": finished.tokens, "model_used": finished.model}
    if finished.cut:
        output["notice"] = finished.cut
    await job.query(
        "SELECT id FROM public.chat_reply(%(task)s, %(content)s, %(thinking)s, %(output)s)",
        {"content": content, "thinking": thinking, "output": Jsonb(output)},
    )


async def _stream(model: Model, messages: list[ChatMessage], draft: "_Draft") -> Finished:
    """Reads the whole answer into `draft`, which is saved meanwhile at its own pace."""
    try:
        async with asyncio.TaskGroup() as group:
            saving = group.create_task(draft.keep_saved())
            async with aclosing(model.stream(messages)) as events:
                async for event in events:
                    if isinstance(event, Finished):
                        saving.cancel()
                        return event
                    if isinstance(event, Waiting):
                        await draft.wait(event)
                    else:
                        draft.add(event)
    except BaseExceptionGroup as errors:
        # One side failed and the group cancelled the other: only one of them has a reason.
        raise errors.exceptions[0] from None
    raise AssertionError("a model ends with Finished or with ModelError")


class _Draft:
    """The answer so far, as it came and as it was last saved."""

    def __init__(self, job: Job, calling: str) -> None:
        self._job = job
        self._calling = calling
        self._content: list[str] = []
        self._thinking: list[str] = []
        self._changed = asyncio.Event()
        self._waited = False

    def add(self, delta: Delta) -> None:
        """Takes more text."""
        if delta.content:
            self._content.append(delta.content)
        if delta.reasoning:
            self._thinking.append(delta.reasoning)
        self._changed.set()

    async def wait(self, waiting: Waiting) -> None:
        """Says that the model asked to come back later, and when that will be."""
        self._waited = True
        again = f"{waiting.reason} Trying again by itself in {in_words(waiting.seconds)}..."
        await self._job.step("calling_ai", again)

    def text(self) -> tuple[str, str]:
        """Content and thinking, cleaned: whole, because an escape sequence may be cut anywhere."""
        return clean("".join(self._content)).strip("\n"), clean("".join(self._thinking)).strip()

    async def keep_saved(self) -> None:
        """Saves each change, at most ten times a second, and less often where saving is slow."""
        while True:
            await self._changed.wait()
            if self._waited:
                self._waited = False
                await self._job.step("calling_ai", self._calling)
            began = time.monotonic()
            await self.save()
            await asyncio.sleep(max(_SECONDS_BETWEEN_WRITES, 3 * (time.monotonic() - began)))

    async def save(self) -> None:
        """Saves the text so far, if there is any that was not saved."""
        if not self._changed.is_set():
            return
        self._changed.clear()
        content, thinking = self.text()
        try:
            await self._job.query(
                "SELECT public.chat_partial(%(task)s, %(content)s, %(thinking)s)",
                {"content": content, "thinking": thinking},
            )
        except asyncio.CancelledError:
            self._changed.set()
            raise


def _display(name: str) -> str:
    """What the model is called in a sentence: the spec's own words for the spec's own model."""
    return _SPECS_NAME if name == _SPECS_MODEL else clean_line(name)[:80]
