"""Keys typed ahead reach what the keys before them brought up.

Over a slow link several keys arrive at once. Textual hands each to the widget that has the focus
at that moment, before the first of them could move it: "i" and a sentence would run the sentence's
letters as commands.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

from textual import events
from textual.app import App
from textual.dom import DOMNode
from textual.widgets import Input, TextArea

_PATIENCE = 0.25
"""Seconds that a key may take to have its effect before the next one goes on without it."""


class KeysInOrder(App[None]):
    """An app that gives a key out only once the one before it has had its effect."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._held: deque[events.Key] = deque()
        self._settling: asyncio.Task[None] | None = None

    async def on_event(self, event: events.Event) -> None:
        """Holds keys back while an earlier one is still at work."""
        if not isinstance(event, events.Key) or event.is_forwarded:
            await super().on_event(event)
        elif self._settling is not None or self._held:
            self._held.append(event)
        else:
            await self._give(event)

    async def _give(self, key: events.Key) -> None:
        target = self.focused or self.screen
        await super().on_event(key)
        # A letter that is typed into a text moves no focus; a paste need not wait for itself.
        if not (key.is_printable and isinstance(target, Input | TextArea)):
            self._settling = asyncio.create_task(self._settle(target))

    async def _settle(self, target: DOMNode) -> None:
        """Waits until the widget, and all who were told by it, have done what they do."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                # Twice: the message that a key causes stands in the queue behind the first mark.
                for node in [*target.ancestors_with_self] * 2:
                    reached = asyncio.Event()
                    if node.call_later(reached.set):
                        await reached.wait()
        self._settling = None
        if self._held:
            self.call_later(self._give_held)

    async def _give_held(self) -> None:
        while self._held and self._settling is None:
            await self._give(self._held.popleft())
