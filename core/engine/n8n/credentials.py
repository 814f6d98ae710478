"""The three credentials that the workflows refer to by name."""

import hashlib
import hmac
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import SecretStr

from core.engine.n8n.api import Api
from core.engine.n8n.pushed import Note
from core.engine.n8n.target import Target, target_of
from core.engine.n8n.webhook import TOKEN_HEADER
from core.errors import SteplineError
from core.models import JsonObject

if TYPE_CHECKING:
    from core.settings import Settings

# No answer at all: a password was not looked at.
_NO_WAY = re.compile(
    r"ECONN|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOENT|EACCES"
    r"|getaddrinfo|time(d )?out|SSL|certificate",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Wanted:
    """A credential as it should be."""

    part: str
    """Its name in the pushed file."""
    name: str
    kind: str
    """n8n's name of the credential type."""
    content: JsonObject
    """All that n8n is given, or for the database what it follows from."""

    DATABASE: ClassVar = "DATABASE"

    def fingerprint(self, token: SecretStr) -> str:
        """Tells a change of the content without giving anything of it away."""
        text = json.dumps(self.content, sort_keys=True).encode()
        return hmac.new(token.get_secret_value().encode(), text, hashlib.sha256).hexdigest()

    def find(self, there: list[JsonObject], note: Note | None) -> JsonObject | None:
        """The one n8n has, if it has it: the one that was noted, else the newest of that name."""
        same = [
            each for each in there if (each.get("name"), each.get("type")) == (self.name, self.kind)
        ]
        noted = (each for each in same if note and each.get("id") == note.id)
        return next(noted, same[0] if same else None)

    def as_noted(self, found: JsonObject, note: Note | None, token: SecretStr) -> bool:
        """Whether it is as it was left, and was left as it should be."""
        as_left = (str(found.get("id")), str(found.get("updatedAt")), self.fingerprint(token))
        return note is not None and as_left == tuple(note)


def wanted_credentials(settings: "Settings", token: SecretStr) -> list[Wanted]:
    """What should be in n8n; raises `ConfigError` where the way to the database is not known."""
    target, llm = target_of(settings), settings.llm
    database: JsonObject = {**target.credential(tls=target.ways[0]), "sslmode": target.sslmode}
    if target.password is not None:
        database["password"] = target.password.get_secret_value()
    webhook: JsonObject = {"name": TOKEN_HEADER, "value": token.get_secret_value()}
    # Not every model server asks for a key, but n8n does.
    key = llm.api_key.get_secret_value() if llm.api_key else "none"
    model: JsonObject = {"apiKey": key, "url": llm.base_url, "header": False}
    return [
        Wanted(Wanted.DATABASE, "stepline database", "postgres", database),
        Wanted("WEBHOOK", "stepline webhook", "httpHeaderAuth", webhook),
        Wanted("MODEL", "stepline model", "openAiApi", model),
    ]


async def put(api: Api, wanted: Wanted, found: JsonObject | None) -> JsonObject:
    """Creates or replaces one whose whole content is known."""
    if found is None:
        return await api.create_credential(wanted.name, wanted.kind, wanted.content)
    return await api.update_credential(str(found["id"]), wanted.content)


async def put_database(
    api: Api,
    wanted: Wanted,
    found: JsonObject | None,
    target: Target,
    *,
    new_password: Callable[[], Awaitable[SecretStr]],
    keep: bool,
) -> JsonObject:
    """Creates or changes the database's credential until n8n says that it works.

    With `keep` the password in it stays while it works: another n8n may use the same. Raises
    `SteplineError` with n8n's reason where it cannot be made to work.
    """
    password = target.password
    if password is None and (found is None or not keep):
        password = await new_password()
    trouble: str | None = None
    while True:
        for tls in target.ways:
            content = target.credential(tls=tls)
            if password is not None:
                content["password"] = password.get_secret_value()
            if found is None:
                found = await api.create_credential(wanted.name, wanted.kind, content)
            else:
                found = await api.update_credential(
                    str(found["id"]), content, merge=password is None
                )
            trouble = await api.test_credential(str(found["id"]))
            if trouble is None:
                return found
            if "does not support SSL" not in trouble:
                break
        if password is not None or _NO_WAY.search(trouble or ""):
            raise unreachable(target, trouble or "")
        password = await new_password()


def unreachable(target: Target, trouble: str) -> SteplineError:
    """What to say when n8n cannot use the database."""
    where = target.host if target.host.startswith("/") else f"{target.host}:{target.port}"
    return SteplineError(
        f"n8n cannot reach the database at {where}: {trouble}; set N8N_DATABASE_URL to the "
        "database as n8n reaches it, for a role with the rights of stepline_worker."
    )
