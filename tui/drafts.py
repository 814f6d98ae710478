"""What was typed and not sent, and what was sent and not confirmed: on disk, to outlive us.

Every text is a file of its own, replaced in one step: neither a crash nor two processes at once
can leave half of one. A disk that is full loses nothing that is on the screen.
"""

import json
import logging
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from core.owner import known_user, owner_name

if TYPE_CHECKING:
    from core.settings import Settings

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Letter:
    """A message on its way. The same `request` twice is the same message."""

    request: UUID
    conversation_id: int | None
    text: str
    error: str = ""
    """Why it could not be sent; empty while it is on its way."""


class Drafts:
    """Drafts by conversation, the outbox, and which conversation was open last.

    They are one user's, or `nobodys`: typed before it was known who types. Of nobody there is one
    draft, whatever the conversation, and no letter of an earlier run.
    """

    def __init__(self, directory: Path, *, nobodys: bool = False) -> None:
        self.directory = directory
        self.nobodys = nobodys
        self._outbox = directory / "outbox"
        self.problem = ""
        """Why the last text could not be kept; empty: it was."""

    def load(self, conversation_id: int | None) -> str:
        """What was typed in this conversation (None: a new one)."""
        value = _read(self._draft(conversation_id)).get("text")
        return value if isinstance(value, str) else ""

    def request(self, conversation_id: int | None) -> UUID | None:
        """The request under which the draft was already sent without an answer."""
        value = _read(self._draft(conversation_id)).get("request")
        try:
            return UUID(value) if isinstance(value, str) else None
        except ValueError:
            return None

    def save(self, conversation_id: int | None, text: str, request: UUID | None = None) -> None:
        """Keeps it, with the request it may have been sent under; an empty text is forgotten."""
        path = self._draft(conversation_id)
        if not text:
            _remove(path)
        elif request is None:
            self._write(path, {"text": text})
        else:
            self._write(path, {"text": text, "request": str(request)})

    def last_conversation(self) -> int | None:
        """Which conversation was open last; None: a new one, or the first start."""
        value = _read(self.directory / "last.json").get("conversation")
        return value if isinstance(value, int) else None

    def set_last_conversation(self, conversation_id: int | None) -> None:
        """Remembers it for the next start."""
        self._write(self.directory / "last.json", {"conversation": conversation_id})

    def post(self, letter: Letter) -> None:
        """Keeps a letter until `delivered`."""
        self._write(
            self._outbox / f"{letter.request}.json",
            {"conversation": letter.conversation_id, "text": letter.text},
        )

    def delivered(self, letter: Letter) -> None:
        """Forgets a letter."""
        _remove(self._outbox / f"{letter.request}.json")

    def undelivered(self) -> list[Letter]:
        """The letters that an earlier run left, oldest first."""
        letters: list[Letter] = []
        for path in sorted(self._outbox.glob("*.json"), key=_age):
            value = _read(path)
            text, conversation = value.get("text"), value.get("conversation")
            with suppress(ValueError):
                if isinstance(text, str):
                    known = conversation if isinstance(conversation, int) else None
                    letters.append(Letter(UUID(path.stem), known, text))
        return letters

    def unsend(self) -> None:
        """Makes what was not sent a part of the draft: somebody has to send it again."""
        for letter in self.undelivered():
            where = letter.conversation_id
            self.save(where, joined(self.load(where), letter.text))
            if self.problem:
                return
            self.delivered(letter)

    def absorb(self, other: "Drafts") -> None:
        """Puts nobody's draft behind the one of the conversation that was open last."""
        if text := other.load(None):
            where = self.last_conversation()
            self.save(where, joined(self.load(where), text))
            if not self.problem:
                other.save(None, "")

    def _write(self, path: Path, value: dict[str, object]) -> None:
        try:
            _replace(path, value)
        except OSError as error:
            log.warning("cannot keep %s: %s", path.name, error)
            self.problem = error.strerror or type(error).__name__
        else:
            self.problem = ""

    def _draft(self, conversation_id: int | None) -> Path:
        name = "new" if conversation_id is None or self.nobodys else str(conversation_id)
        return self.directory / f"{name}.json"


def drafts_of(settings: "Settings", user_id: UUID | None) -> Drafts:
    """Those of this user of the store in use; None: of nobody, where the store is a project."""
    nobodys = settings.store == "supabase" and user_id is None
    directory = settings.state_dir / "drafts" / owner_name(settings, user_id)
    return Drafts(directory, nobodys=nobodys)


def drafts_at_start(settings: "Settings", user_id: UUID | None = None) -> Drafts:
    """Those of this user, or of the one that is signed in as far as is known, or else nobody's.

    What nobody typed in an earlier run comes along, but is not sent: who knows who that was.
    """
    drafts = drafts_of(settings, user_id or known_user(settings))
    if settings.store == "supabase":
        nobodys = drafts_of(settings, None)
        nobodys.unsend()
        if not drafts.nobodys:
            drafts.absorb(nobodys)
    return drafts


def joined(*texts: str) -> str:
    """Texts behind one another, each on a line of its own."""
    return "\n".join(text for text in texts if text)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _read(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _replace(path: Path, value: dict[str, object]) -> None:
    part = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Lone surrogates are what a terminal makes of bytes that are not UTF-8.
        part.write_bytes(json.dumps(value).encode("utf-8"))
        part.chmod(0o600)
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("cannot remove %s: %s", path.name, error)
