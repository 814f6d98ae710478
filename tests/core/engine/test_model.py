"""The streaming client against a real socket, and every way it can fail."""

import asyncio
import json
import socket
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from core.engine.local.chunks import parse_chunk
from core.engine.local.events import ChatMessage, Delta, Finished, ModelEvent, Waiting
from core.engine.local.failures import ModelError
from core.engine.local.model import OpenAiModel, Patience
from core.engine.local.think import ThinkSplitter
from core.engine.local.waits import in_words, retry_after
from core.settings import LlmSettings
from tests.support.openai_server import (
    Break,
    Hang,
    OpenAiServer,
    Part,
    Reasoning,
    Reply,
    answer,
    ending,
    failure,
    pieces,
)

KEY = "sk-or-v1-0123456789abcdef"
QUICK = Patience(connect=5, silence=5, retry_budget=2, backoff=0.001)
ASK = [ChatMessage("user", "Hello?")]


def llm(base_url: str, *, model: str = "test/model", key: str | None = KEY) -> LlmSettings:
    return LlmSettings(
        base_url=base_url,
        model=model,
        api_key=SecretStr(key) if key else None,
        temperature=0.7,
        max_tokens=2000,
    )


async def ask(
    server: OpenAiServer, *, patience: Patience = QUICK, messages: Sequence[ChatMessage] = ASK
) -> list[ModelEvent]:
    return await ask_url(server.url, patience=patience, messages=messages)


async def ask_url(
    url: str,
    *,
    patience: Patience = QUICK,
    messages: Sequence[ChatMessage] = ASK,
    key: str | None = KEY,
) -> list[ModelEvent]:
    model = OpenAiModel(llm(url, key=key), patience)
    seen: list[ModelEvent] = []
    try:
        async with aclosing(model.stream(messages)) as events:
            async for event in events:
                seen.append(event)
    except ModelError as error:
        error.add_note(json.dumps([text(seen), thinking(seen)]))
        raise
    finally:
        await model.close()
    return seen


async def fails(server: OpenAiServer, *replies: Reply, patience: Patience = QUICK) -> ModelError:
    """The error after these replies; checks what holds for every error."""
    server.say(*replies)
    with pytest.raises(ModelError) as caught:
        await ask(server, patience=patience)
    return checked(caught.value)


def checked(error: ModelError) -> ModelError:
    assert error.details["error"] == str(error)
    assert KEY not in json.dumps(error.details)
    assert KEY not in str(error)
    assert "\n" not in str(error)
    assert str(error).isprintable()
    assert error.__cause__ is None
    assert len(str(error)) < 700
    return error


def text(events: Sequence[ModelEvent]) -> str:
    return "".join(event.content for event in events if isinstance(event, Delta))


def thinking(events: Sequence[ModelEvent]) -> str:
    return "".join(event.reasoning for event in events if isinstance(event, Delta))


def waits(events: Sequence[ModelEvent]) -> list[Waiting]:
    return [event for event in events if isinstance(event, Waiting)]


# What comes when all is well.


async def test_streams_text_thinking_usage_and_the_real_model(server: OpenAiServer) -> None:
    server.say(answer("Hello, *world*! 漢字 🎉", thinking="Let me see…", size=2))
    events = await ask(server)
    assert text(events) == "Hello, *world*! 漢字 🎉"
    assert thinking(events) == "Let me see…"
    assert events[-1] == Finished("test/model-1", 7)
    assert sum(isinstance(event, Delta) for event in events) > 10


async def test_sends_what_the_settings_and_the_conversation_say(server: OpenAiServer) -> None:
    history = [ChatMessage("user", "a"), ChatMessage("assistant", "b"), ChatMessage("user", "ü\n'")]
    await ask(server, messages=history)
    request = server.requests[0]
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.json == {
        "model": "test/model",
        "temperature": 0.7,
        "max_tokens": 2000,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "ü\n'"},
        ],
    }
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["x-title"] == "stepline"


async def test_without_a_key_no_authorization_is_sent(server: OpenAiServer) -> None:
    await ask_url(server.url, key=None)
    assert "authorization" not in server.requests[0].headers


async def test_deltas_come_while_the_server_still_writes(server: OpenAiServer) -> None:
    gate = asyncio.Event()
    server.say(Reply(["first", gate, "second", *ending()]))
    model = OpenAiModel(llm(server.url), QUICK)
    async with aclosing(model.stream(ASK)) as events:
        assert await anext(events) == Delta("first")
        gate.set()
        assert await anext(events) == Delta("second")
    await model.close()


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
async def test_both_names_of_reasoning(server: OpenAiServer, name: str) -> None:
    server.say(Reply([Reasoning("hm ", name), Reasoning("ok", name), "yes", *ending()]))
    events = await ask(server)
    assert (thinking(events), text(events)) == ("hm ok", "yes")


def test_reasoning_under_two_names_is_counted_once() -> None:
    delta = {"content": None, "reasoning": "hm", "reasoning_content": "hm"}
    assert parse_chunk(json.dumps({"choices": [{"delta": delta}]})).reasoning == "hm"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 100])
async def test_think_tags_however_they_are_cut(server: OpenAiServer, size: int) -> None:
    whole = "<think>\nThe user says < hello </thin.\n</think>\n\nHi </think> there"
    server.say(Reply([*pieces(whole, size), *ending()]))
    events = await ask(server)
    assert thinking(events).strip() == "The user says < hello </thin."
    assert text(events) == "Hi </think> there"


@given(st.text("<think>/ \nab", max_size=40), st.lists(st.integers(1, 40), max_size=8))
def test_think_splitter_does_not_depend_on_where_it_is_cut(whole: str, cuts: list[int]) -> None:
    def run(parts: list[str]) -> tuple[str, str]:
        splitter = ThinkSplitter()
        deltas = [*map(splitter.feed, parts), splitter.end()]
        return "".join(d.content for d in deltas), "".join(d.reasoning for d in deltas)

    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    parts = [whole[a:b] for a, b in pairwise(edges)]
    assert run(parts) == run(list(whole))
    if not whole.lstrip().startswith("<think>"):
        assert run(parts) == (whole, "")


async def test_no_usage_and_no_done_is_fine_after_a_finish_reason(server: OpenAiServer) -> None:
    server.say(Reply(["Hi", *ending(tokens=None)[:-1]]))
    assert (await ask(server))[-1] == Finished("test/model-1", None)


async def test_done_without_a_finish_reason_is_fine(server: OpenAiServer) -> None:
    server.say(Reply(["Hi", *ending(finish=None)]))
    assert (await ask(server))[-1] == Finished("test/model-1", 7)


async def test_a_server_that_does_not_stream(server: OpenAiServer) -> None:
    body = {
        "model": "m",
        "choices": [{"message": {"content": "Whole."}, "finish_reason": "stop"}],
        "usage": {"completion_tokens": 2},
    }
    server.say(Reply(body=body))
    assert await ask(server) == [Delta("Whole."), Finished("m", 2)]


async def test_length_is_complete_but_says_that_it_was_cut(server: OpenAiServer) -> None:
    server.say(Reply(["Half", *ending("length")]))
    events = await ask(server)
    assert text(events) == "Half"
    assert isinstance(events[-1], Finished)
    assert "max_tokens (2000)" in events[-1].cut


@pytest.mark.parametrize("status", [400, 422])
async def test_a_server_without_stream_options_is_asked_without(
    server: OpenAiServer, status: int
) -> None:
    server.say(failure(status, "unknown field"), answer("Hi"), answer("Hi again"))
    model = OpenAiModel(llm(server.url), QUICK)
    for _ in range(2):
        assert [event async for event in model.stream(ASK)]
    await model.close()
    assert [("stream_options" in r.json) for r in server.requests] == [True, False, False]


async def test_openai_reasoning_models_get_their_own_parameters(server: OpenAiServer) -> None:
    server.say(
        failure(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        failure(400, "Unsupported value: 'temperature' does not support 0.7"),
        answer("Hi"),
    )
    assert text(await ask(server)) == "Hi"
    sent = server.requests[-1].json
    assert sent["max_completion_tokens"] == 2000
    assert {"max_tokens", "temperature"}.isdisjoint(sent)


async def test_unknown_chunks_and_odd_types_are_ignored(server: OpenAiServer) -> None:
    odd: list[Part] = [
        {},
        {"choices": []},
        {"choices": [None]},
        {"choices": [{"delta": None}]},
        {"choices": [{"delta": {"content": ["x"], "reasoning": 3}}], "usage": None},
        b"event: ping\nid: 3\n\n",
        b"retry: 10\n\n",
        b"data:\n\n",
    ]
    server.say(Reply([*odd, "fine", *ending()]))
    assert text(await ask(server)) == "fine"


# Asking again.


async def test_429_with_a_short_wait_is_asked_again(server: OpenAiServer) -> None:
    server.say(failure(429, "slow down", retry_after="0"), answer("Hi"))
    events = await ask(server)
    assert [wait.seconds for wait in waits(events)] == [0]
    assert "slow down" in waits(events)[0].reason
    assert text(events) == "Hi"


async def test_429_with_a_long_wait_says_how_long(server: OpenAiServer) -> None:
    error = await fails(server, failure(429, "Rate limited", retry_after="90"))
    assert len(server.requests) == 1
    assert "Rate limited; try again in 90 seconds." in str(error)
    assert error.details == {
        "error": str(error),
        "code": "limit",
        "status": 429,
        "retry_after": 90.0,
        "said": "Rate limited",
    }


async def test_429_without_retry_after_is_tried_three_times(server: OpenAiServer) -> None:
    error = await fails(server, *[failure(429)] * 3)
    assert len(server.requests) == 3
    assert error.code == "limit"


async def test_openrouters_own_wait_and_the_providers_words_are_used(server: OpenAiServer) -> None:
    metadata = {"raw": "llama is rate-limited upstream", "retry_after_seconds": 31.5}
    error = await fails(server, failure(429, "Provider returned error", metadata=metadata))
    assert "Provider returned error: llama is rate-limited upstream" in str(error)
    assert "in 32 seconds" in str(error)


@pytest.mark.parametrize("status", [408, 500, 502, 503, 529])
async def test_5xx_is_asked_again_twice(server: OpenAiServer, status: int) -> None:
    server.say(failure(status), failure(status), answer("Hi"))
    events = await ask(server)
    assert text(events) == "Hi"
    assert len(waits(events)) == 2


async def test_5xx_for_good(server: OpenAiServer) -> None:
    error = await fails(server, *[failure(503, "No provider available")] * 3)
    assert len(server.requests) == 3
    assert error.details["status"] == 503
    assert "HTTP 503): No provider available" in str(error)


async def test_an_error_object_before_any_text_is_asked_again(server: OpenAiServer) -> None:
    chunk: Part = {"error": {"code": 502, "message": "Provider down"}, "choices": []}
    server.say(Reply([chunk]), answer("Hi"))
    events = await ask(server)
    assert (text(events), len(waits(events))) == ("Hi", 1)


async def test_a_connection_closed_before_any_text_is_asked_again(server: OpenAiServer) -> None:
    server.say(Reply([Break()]), answer("Hi"))
    assert text(await ask(server)) == "Hi"


# Failing.


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (failure(400, "max_tokens is too large"), "rejected", "max_tokens is too large"),
        (failure(401, "bad key"), "unauthorized", "STEPLINE_LLM_API_KEY"),
        (failure(402, "Insufficient credits"), "no_credit", "add credit"),
        (failure(403, "flagged"), "forbidden", "flagged"),
        (failure(404, "model 'x' not found, try pulling it"), "not_found", "ollama pull test/mo"),
        (failure(404, "model x does not exist"), "not_found", "STEPLINE_LLM_MODEL"),
        (Reply(status=404, body="404 page not found"), "not_found", "ends in /v1"),
        (failure(413, "too big"), "too_long", "new conversation"),
        (failure(418, "teapot"), "rejected", "HTTP 418): teapot"),
        (Reply(status=308, headers={"Location": "https://x/v1"}, body=""), "moved", "https://x/v1"),
        (Reply(body="<html>Hi</html>", content_type="text/html"), "protocol", "a web page"),
        (Reply(body="hm", content_type="text/plain"), "protocol", "text/plain"),
        (Reply(body="hm", content_type="application/json"), "protocol", "unreadable"),
        (Reply(body={"error": {"message": "no", "code": 402}}), "no_credit", "payment: no"),
        (Reply([b"data: {oops\n\n", *ending()]), "protocol", "unreadable"),
        (Reply([b"data: [1]\n\n", *ending()]), "protocol", "unreadable"),
        (Reply([b"data: " + b"[" * 100_000 + b"\n\n"]), "protocol", "unreadable"),
        (Reply(ending()), "empty", "empty answer"),
        (Reply(["  \n", *ending()]), "empty", "empty answer"),
        (Reply([Reasoning("hm"), *ending("length")]), "empty", "max_tokens (2000)"),
    ],
)
async def test_failures_that_are_not_asked_again(
    server: OpenAiServer, reply: Reply, code: str, words: str
) -> None:
    asked = 2 if reply.status == 400 else 1  # 400: once more without stream_options
    error = await fails(server, *[reply] * asked)
    assert error.code == code
    assert words in str(error)
    assert len(server.requests) == asked


async def test_vllm_and_ollama_error_shapes(server: OpenAiServer) -> None:
    vllm = Reply(status=404, body={"object": "error", "message": "The model `x` does not exist."})
    ollama = Reply(status=404, body={"error": "model 'x' not found"})
    fastapi = Reply(status=418, body={"detail": "Not here"})
    for reply, words in [(vllm, "`x` does not"), (ollama, "'x' not found"), (fastapi, "Not here")]:
        assert words in str(await fails(server, reply))


async def test_a_break_in_the_middle_keeps_what_came(server: OpenAiServer) -> None:
    error = await fails(server, Reply([Reasoning("hm"), "Half an ", "answer", Break()]))
    assert error.code == "broken_stream"
    assert json.loads(error.__notes__[0]) == ["Half an answer", "hm"]
    assert len(server.requests) == 1


async def test_an_end_without_finish_reason_or_done_is_a_break(server: OpenAiServer) -> None:
    error = await fails(server, Reply(["Half"]))
    assert (error.code, "kept" in str(error)) == ("broken_stream", True)


async def test_garbage_in_the_middle_is_a_break(server: OpenAiServer) -> None:
    error = await fails(server, Reply(["Half", b"data: <oops>\n\n", *ending()]))
    assert error.code == "broken_stream"


async def test_an_error_object_in_the_middle(server: OpenAiServer) -> None:
    chunk: Part = {
        "error": {"code": "server_error", "message": "Provider disconnected"},
        "choices": [{"delta": {"content": ""}, "finish_reason": "error"}],
    }
    error = await fails(server, Reply(["Half", chunk, *ending()]))
    assert "Provider disconnected" in str(error)
    assert json.loads(error.__notes__[0])[0] == "Half"
    assert len(server.requests) == 1


async def test_content_filter(server: OpenAiServer) -> None:
    error = await fails(server, Reply(["Half", *ending("content_filter")]))
    assert (error.code, "rephrase" in str(error)) == ("content_filter", True)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(["x"], before=asyncio.Event()), "sent nothing for 1 second;"),
        (Reply([Hang()]), "sent nothing for 1 second;"),
        (Reply(["Half", Hang()]), "the answer so far is kept"),
    ],
)
async def test_silence(server: OpenAiServer, reply: Reply, words: str) -> None:
    error = await fails(server, reply, patience=Patience(silence=0.2))
    assert error.code == "silent"
    assert words in str(error)
    await asyncio.wait_for(server.requests[0].disconnected.wait(), 5)


async def test_connection_refused() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        with pytest.raises(ModelError, match=r"is Ollama .* running there") as caught:
            await ask_url(url)
    assert url in str(checked(caught.value))


async def test_tls_where_there_is_none() -> None:
    def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server:
        with pytest.raises(ModelError, match="TLS") as caught:
            await ask_url(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    assert checked(caught.value).code == "tls"


async def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(ModelError, match=r"no-such-host\.invalid cannot be found") as caught:
        await ask_url("http://no-such-host.invalid/v1")
    assert checked(caught.value).code == "dns"


@pytest.mark.parametrize("url", ["localhost:11434/v1", "ftp://x/v1", "http://[::1/v1", "nonsense"])
async def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ModelError, match="STEPLINE_LLM_BASE_URL") as caught:
        await ask_url(url)
    assert checked(caught.value).code == "settings"


@pytest.mark.parametrize("key", [KEY + "\n", KEY + "ü", KEY + "\r\nX: y"])
async def test_a_key_that_cannot_be_sent(server: OpenAiServer, key: str) -> None:
    with pytest.raises(ModelError, match="illegal characters") as caught:
        await ask_url(server.url, key=key)
    checked(caught.value)
    assert not server.requests


async def test_what_a_server_says_is_cleaned_trimmed_and_without_the_key(
    server: OpenAiServer,
) -> None:
    rude = f"\x1b]0;title\x07\x1b[31mInvalid key {KEY}\x00\n\n{'very ' * 500}long"
    error = await fails(server, failure(418, rude))
    said = error.details["said"]
    assert isinstance(said, str)
    assert said.startswith("Invalid key [key] very very")
    assert len(said) <= 300


async def test_a_huge_error_body_is_not_read_to_its_end(server: OpenAiServer) -> None:
    error = await fails(server, Reply(status=418, body="x" * 5_000_000))
    assert len(str(error)) < 700


async def test_closing_the_stream_closes_the_connection(server: OpenAiServer) -> None:
    server.say(Reply(["Half", Hang()]))
    model = OpenAiModel(llm(server.url), QUICK)
    events = model.stream(ASK)
    assert await anext(events) == Delta("Half")
    await events.aclose()
    await asyncio.wait_for(server.requests[0].disconnected.wait(), 2)
    await model.close()


async def test_cancelling_closes_the_connection(server: OpenAiServer) -> None:
    server.say(Reply(["x"], before=asyncio.Event()))
    asking = asyncio.create_task(ask(server))
    request = await server.next_request()
    asking.cancel()
    await asyncio.wait_for(request.disconnected.wait(), 2)


async def test_an_endless_answer_is_cut(server: OpenAiServer) -> None:
    server.say(Reply(["x" * 1_000_000] * 6))
    events = await ask(server)
    assert 4_000_000 <= len(text(events)) <= 5_000_000
    assert isinstance(events[-1], Finished)
    assert "cut at" in events[-1].cut


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "OPENROUTER_API_KEY"),
        (402, "https://openrouter.ai/credits"),
        (404, "https://openrouter.ai/models"),
        (429, "OpenRouter is limiting"),
    ],
)
def test_openrouters_advice(status: int, words: str) -> None:
    from core.engine.local.chunks import ServerError
    from core.engine.local.failures import Failures

    failures = Failures(llm("https://openrouter.ai/api/v1"))
    assert words in str(failures.refused(ServerError("no", status)))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        ("0.5", 0.5),
        ("Tue, 24 Nov 2026 07:00:30 GMT", 30),
        ("Tue, 24 Nov 2026 06:00:00 GMT", 0),
        ("soon", None),
        ("-3", None),
        ("", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    now = datetime(2026, 11, 24, 7, tzinfo=UTC)
    assert retry_after({"retry-after": value}, now) == seconds


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "1 second"),
        (6.2, "7 seconds"),
        (119, "119 seconds"),
        (150, "3 minutes"),
        (9000, "3 hours"),
    ],
)
def test_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
