"""What is being typed, where it belongs, and keeping it on the disk."""

from uuid import UUID

from tui.drafts import Drafts, Letter, joined


class Writing:
    """The composer's text as the disk and the outbox know it."""

    def __init__(self, drafts: Drafts, conversation_id: int | None) -> None:
        """`conversation_id`: the conversation to begin with; None: the one open last."""
        self._drafts = drafts
        self.conversation_id = conversation_id or drafts.last_conversation()
        """The conversation it is written to; None: a new one."""
        self._unclear: tuple[str, UUID] | None = None
        self.text = ""
        self._load()

    def _load(self) -> None:
        self.text = self._drafts.load(self.conversation_id)
        request = self._drafts.request(self.conversation_id)
        self._unclear = (self.text, request) if request is not None else None

    def move(self, conversation_id: int | None, *, take_along: bool = False) -> bool:
        """To another conversation, whose draft is `text` then; true if that is another text.

        `take_along`: what was typed since the draft was read goes there too.
        """
        if conversation_id == self.conversation_id:
            return False
        typed = self.text not in ("", self._drafts.load(self.conversation_id))
        if not take_along:
            self.save()
        self.conversation_id = conversation_id
        if take_along and typed:
            return False
        self._load()
        return True

    def hand_over(self, drafts: Drafts, conversation_id: int | None) -> None:
        """Goes on as another user, in this conversation.

        What nobody typed, as it was not known who types, goes along; what somebody typed stays
        theirs.
        """
        self.save()
        before, typed = self._drafts, self.text
        self._drafts, self.conversation_id = drafts, conversation_id
        self._load()
        if typed and before.nobodys:
            self.text = joined(self.text, typed)
            self.save()
            if not drafts.problem:
                before.save(None, "")

    def adopt(self, conversation_id: int) -> None:
        """The new conversation that was written to has got its number."""
        self._drafts.save(None, "")
        self.conversation_id = conversation_id
        self.save()

    def take_back(self, letter: Letter) -> None:
        """A letter that failed is the text again."""
        self.text, self._unclear = letter.text, (letter.text, letter.request)
        self.save()

    def sent(self, text: str) -> UUID | None:
        """It is on its way; the request it was sent under before, if it is the same text."""
        request = self._request(text)
        self.text, self._unclear = "", None
        self.save()
        return request

    def save(self) -> None:
        """Keeps the text."""
        self._drafts.save(self.conversation_id, self.text, self._request(self.text))

    def _request(self, text: str) -> UUID | None:
        return self._unclear[1] if self._unclear and self._unclear[0] == text else None
