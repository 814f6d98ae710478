"""The writing half of the main screen: typing, drafts, sending, and what could not be sent."""

from time import monotonic

from textual import on, work
from textual.timer import Timer
from textual.widgets import Static

from core.models import Sent
from tui.context import context
from tui.drafts import Drafts, Letter
from tui.outbox import Outbox
from tui.screens.live import tell
from tui.screens.task_screen import TaskScreen
from tui.widgets.composer import Composer
from tui.widgets.conversation import ConversationPane
from tui.writing import Writing

_SAVE_AFTER = 0.4
"""Seconds after a key press until the draft is on the disk."""


class WritingScreen(TaskScreen, inherit_bindings=False):
    """Knows the composer and the conversation pane; says what goes wrong in the line between."""

    def __init__(self, drafts: Drafts, conversation_id: int | None) -> None:
        super().__init__()
        self._asked_for = conversation_id
        self._drafts = drafts
        self._writing = Writing(drafts, conversation_id)
        self._save_timer: Timer | None = None
        self._told = ""
        self.typed_at = 0.0
        """When something was typed last, by the monotonic clock."""
        self._outbox = Outbox(drafts, changed=self._letters_changed, sent=self._letter_sent)

    @property
    def conversation(self) -> ConversationPane:
        """The conversation pane."""
        return self.query_one(ConversationPane)

    @property
    def composer(self) -> Composer:
        """Where is typed."""
        return self.query_one(Composer)

    def open_conversation(self, conversation_id: int | None, *, take_along: bool = False) -> None:
        """Shows another conversation (None: a new one), with what was typed in it.

        `take_along`: what is being typed goes along, as at the start, when one types before it is
        known which conversation that is.
        """
        if self._writing.move(conversation_id, take_along=take_along):
            self.composer.set_text(self._writing.text)
        self._drafts.set_last_conversation(conversation_id)
        self.conversation.open(conversation_id)
        self._letters_changed()

    def belong_to(self, drafts: Drafts) -> None:
        """It is known now whose session this is: from here on only their texts are shown and sent.

        Nothing changes where they are who they were thought to be.
        """
        if drafts.directory == self._drafts.directory:
            return
        self._writing.text = self.composer.whole_text  # the last key too
        self._save_draft()
        where = self._asked_for or drafts.last_conversation()
        if self._drafts.nobodys and (self._writing.text or self._outbox.letters):
            where = self._writing.conversation_id  # that is what they see, and write to
        self._drafts = drafts
        self._writing.hand_over(drafts, where)
        self._outbox.hand_over(drafts)
        self.composer.set_text(self._writing.text)
        self._letters_changed()

    @work(group="outbox")
    async def _send_letters(self) -> None:
        await self._outbox.run(context(self).session)

    @on(Composer.Submitted)
    def _submitted(self, event: Composer.Submitted) -> None:
        if not event.text.strip():
            if any(letter.error for letter in self._outbox.letters):
                self._outbox.retry()
            return
        self.composer.sent_before.append(event.text)
        request = self._writing.sent(event.text)
        self._outbox.post(self._writing.conversation_id, event.text, request)
        self._tell_unkept()
        self.conversation.transcript.scroll_to_end()

    def _letters_changed(self) -> None:
        if not self.is_mounted:
            return
        letters = self._outbox.of(self._writing.conversation_id)
        failed = next((letter for letter in letters if letter.error), None)
        if failed is not None and not self.composer.text and len(letters) == 1:
            # Back into the composer; if something else is being typed there, it waits in the
            # conversation.
            self._tell_problem(f"Not sent: {failed.error}")
            self._take_back(failed)
            return
        self.conversation.set_letters(letters)
        if failed is not None:
            self._tell_problem(f"Not sent: {failed.error}")

    def _take_back(self, letter: Letter) -> None:
        self._writing.take_back(letter)
        self.composer.set_text(letter.text)
        self._outbox.withdraw(letter)

    def _letter_sent(self, letter: Letter, sent: Sent) -> None:
        self._tell_problem("")
        if letter.conversation_id is None and self._writing.conversation_id is None:
            self._writing.adopt(sent.conversation_id)
            self.open_conversation(sent.conversation_id)

    @on(ConversationPane.ResendWanted)
    def _resend(self) -> None:
        self._outbox.retry()

    def signed_in(self) -> None:
        """What could not be sent for want of a session is sent now.

        The session is open, and goes on as the same user only: whose the texts are is settled.
        """
        self._tell_problem("")
        if any(letter.error for letter in self._outbox.letters):
            self._outbox.retry()

    @on(ConversationPane.LetterWanted)
    def _edit_letter(self, event: ConversationPane.LetterWanted) -> None:
        if self.composer.text:
            tell(self, "Something is being typed; send or delete it first.")
        elif event.letter in self._outbox.letters:
            self._take_back(event.letter)
            self.composer.focus()

    @on(ConversationPane.TypeWanted)
    def _type(self, event: ConversationPane.TypeWanted) -> None:
        if event.text is not None and self.composer.whole_text not in ("", event.text):
            tell(self, "Something is being typed; send or delete it first.")
        elif event.text is not None:
            self.composer.set_text(event.text)
        self.composer.focus()

    @on(Composer.Edited)
    def _edited(self, event: Composer.Edited) -> None:
        self._writing.text = event.text
        self.typed_at = monotonic()
        if self._save_timer is None:
            self._save_timer = self.set_timer(_SAVE_AFTER, self._save_draft)

    def _save_draft(self) -> None:
        if self._save_timer is not None:
            self._save_timer.stop()
            self._save_timer = None
        self._writing.save()
        self._tell_unkept()

    def _tell_unkept(self) -> None:
        """Says once that what is typed outlives neither this screen nor this process."""
        problem = self._drafts.problem
        if problem and problem != self._told:
            tell(self, f"What you type cannot be kept on the disk ({problem}).", bad=True)
        self._told = problem

    def on_unmount(self) -> None:
        """The draft outlives the app."""
        self._save_draft()

    def _tell_problem(self, sentence: str) -> None:
        problem = self.query_one("#problem", Static)
        problem.update(sentence)
        problem.display = bool(sentence)
