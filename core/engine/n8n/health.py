"""Whether n8n is there: looked at while tasks are open and, once it is gone, until it is back."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from core.changes import EngineChanged
from core.engine.n8n.webhook import CallFailedError, Webhook

_LOOK, _MOST_LOOK = 1.0, 10.0
"""Seconds between two looks whether n8n is back; doubled."""
_WATCH = 5.0
"""Seconds between two looks while tasks are open: it may die without being called."""


class Health:
    """What is known of n8n."""

    def __init__(self, webhook: Webhook) -> None:
        self.state = EngineChanged(up=True)
        self.on_change: Callable[[EngineChanged], None] = lambda _: None
        self.needed = asyncio.Event()
        """Set while tasks are open."""
        self._webhook = webhook
        self._back, self._gone = asyncio.Event(), asyncio.Event()
        self._back.set()

    @property
    def gone(self) -> bool:
        """Whether calls are of no use for now."""
        return self._gone.is_set()

    async def back(self) -> None:
        """Waits until it is not gone."""
        await self._back.wait()

    def seen(self) -> None:
        """It has answered."""
        self._set(EngineChanged(up=True))

    def lost(self, error: CallFailedError) -> None:
        """It has not."""
        self._set(EngineChanged(up=False, detail=str(error)))
        self._back.clear()
        self._gone.set()

    async def watch(self) -> None:
        """Looks for ever, at once to begin with."""
        pause = _LOOK
        while True:
            try:
                await self._webhook.check()
            except CallFailedError as error:
                self.lost(error)
            else:
                self.seen()
                self._gone.clear()
                self._back.set()
                pause = _LOOK
                await self.needed.wait()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_WATCH):
                        await self._gone.wait()
            if self.gone:
                await asyncio.sleep(pause)
                pause = min(_MOST_LOOK, 2 * pause)

    def _set(self, state: EngineChanged) -> None:
        if state != self.state:
            self.state = state
            self.on_change(state)
