"""The text that a workflow streams over its webhook's answer (`responseMode: streaming`)."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx

_MAX_LINE = 1_000_000


async def tokens(response: httpx.Response) -> AsyncGenerator[str]:
    """Each piece of text as it comes; ends with the stream, however that ends.

    One JSON object a line, `{"type": "begin" | "item" | "end" | "error", "content": ...}`, was
    seen of n8n 2.41. What is not understood is left out: this is about pace, not about truth.
    """
    try:
        async for line in response.aiter_lines():
            if len(line) > _MAX_LINE:
                continue
            try:
                chunk: Any = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(chunk, dict) and chunk.get("type") == "item":  # pyright: ignore[reportUnknownMemberType]
                content: object = chunk.get("content")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
                if isinstance(content, str) and content:
                    yield content
    except (httpx.HTTPError, httpx.StreamError):
        return
