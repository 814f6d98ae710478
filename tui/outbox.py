"""Sends messages one after the other, waits for the session first, and never sends one twice."""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from core.errors import SteplineError
from tui.drafts import Drafts, Letter

if TYPE_CHECKING:
    from core.models import Sent
    from core.session import Session

log = logging.getLogger(__name__)


class Outbox:
    """The letters that are not confirmed yet, in the order they were written.

    A letter that fails holds up those behind it: an answer to the second message without the
    first would be an answer to something else.
    """

    def __init__(
        self,
        drafts: Drafts,
        *,
        changed: Callable[[], None],
        sent: "Callable[[Letter, Sent], None]",
    ) -> None:
        self._drafts = drafts
        self._changed = changed
        self._sent = sent
        self._wake = asyncio.Event()
        self.letters: list[Letter] = drafts.undelivered()
        if self.letters:
            self._wake.set()

    def hand_over(self, drafts: Drafts) -> None:
        """Goes on as another user, before anything is sent.

        Those that nobody wrote, as it was not known who writes, go along and are sent; those of
        somebody stay theirs.
        """
        before, self._drafts = self._drafts, drafts
        along = self.letters if before.nobodys else []
        self.letters = [*drafts.undelivered(), *along]
        for letter in along:
            drafts.post(letter)
            before.delivered(letter)
        if self.letters:
            self._wake.set()

    def post(self, conversation_id: int | None, text: str, request: UUID | None = None) -> None:
        """Takes a message; those that failed before it are tried again first.

        `request`: the one it was sent under before, if it is not known whether that arrived.
        """
        letter = Letter(request or uuid4(), conversation_id, text)
        self._drafts.post(letter)
        self.letters.append(letter)
        self.retry()

    def retry(self) -> None:
        """Tries again what failed."""
        for letter in self.letters:
            letter.error = ""
        self._wake.set()
        self._changed()

    def withdraw(self, letter: Letter) -> None:
        """Takes a failed letter back."""
        self.letters.remove(letter)
        self._drafts.delivered(letter)
        self._changed()

    def of(self, conversation_id: int | None) -> list[Letter]:
        """The letters to one conversation."""
        return [each for each in self.letters if each.conversation_id == conversation_id]

    async def run(self, session: "Session") -> None:
        """Sends for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self.letters and not self.letters[0].error:
                await self._send(session, self.letters[0])

    async def _send(self, session: "Session", letter: Letter) -> None:
        try:
            sent = await session.chat.send(
                letter.conversation_id, letter.text, request=letter.request
            )
        except SteplineError as error:
            letter.error = str(error)
            log.warning("message %s not sent: %s", letter.request, error)
            self._changed()
            return
        self.letters.remove(letter)
        if letter.conversation_id is None:
            # What was written to the same new conversation meanwhile belongs to it too.
            for other in self.letters:
                if other.conversation_id is None:
                    other.conversation_id = sent.conversation_id
                    self._drafts.post(other)
        self._drafts.delivered(letter)
        self._sent(letter, sent)
        self._changed()
