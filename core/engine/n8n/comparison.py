"""What is in n8n, compared with what should be there.

Ours is a workflow that has both the tag `stepline` and one of our names, or an id that was noted;
and a credential of one of our names. Nothing else is ever touched.
"""

import difflib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import SecretStr

from core.engine.n8n.api import Api
from core.engine.n8n.credentials import Wanted, wanted_credentials
from core.engine.n8n.exports import Export, load_exports, normal, prepare
from core.engine.n8n.pushed import Note, Pushed, read_pushed, store_name
from core.errors import InputError
from core.models import JsonObject
from core.text import clean_line

if TYPE_CHECKING:
    from core.settings import Settings

TAG = "stepline"
_PREFIX = "stepline: "


class State(StrEnum):
    """How what is in n8n compares with what should be."""

    UNCHANGED = "unchanged"
    MISSING = "missing"
    CHANGED = "changed"
    INACTIVE = "inactive"
    """There, but not in production, or not in its latest form."""
    EXTRA = "extra"
    """Ours, and no longer needed."""
    FOREIGN = "foreign"
    """Somebody else's, under our name."""


@dataclass(frozen=True)
class Finding:
    """One thing that is or should be in n8n."""

    kind: str
    """`credential` or `workflow`"""
    name: str
    state: State
    id: str | None = None
    before: JsonObject | None = None
    after: JsonObject | None = None

    def diff(self) -> Iterator[str]:
        """From what is there to what should be, as a unified diff without line ends."""
        if self.before is not None and self.after is not None:
            there, here = (_lines(each) for each in (self.before, self.after))
            yield from difflib.unified_diff(
                there, here, f"n8n: {self.name}", f"stepline: {self.name}", lineterm=""
            )


async def status(settings: "Settings") -> list[Finding]:
    """What is there, compared with what should be. Raises `SteplineError`."""
    async with Api(settings.n8n) as api:
        await api.check()
        view = await look(api, settings)
        found = [view.credential(each) for each in view.wanted]
        for export in view.exports:
            found.append(view.workflow(export))
        return [*found, *view.extras()]


@dataclass
class View:
    """What is in n8n, what should be, and what has been settled of it so far."""

    api: Api
    settings: "Settings"
    pushed: Pushed | None
    token: SecretStr
    exports: list[Export]
    wanted: list[Wanted]
    tag_id: str | None
    tagged: list[JsonObject]
    untagged: dict[str, JsonObject]
    """By name, those that have one of our names but not our tag."""
    there: list[JsonObject]
    """All credentials."""
    ids: dict[str, str] = field(default_factory=dict[str, str])
    """Key of an export -> id."""
    notes: dict[str, Note] = field(default_factory=dict[str, Note])

    def note_of(self, part: str) -> Note | None:
        """How a credential was left by the last push."""
        return self.pushed.credentials.get(part) if self.pushed else None

    def credential(self, wanted: Wanted) -> Finding:
        """What there is of a credential."""
        found = wanted.find(self.there, self.note_of(wanted.part))
        if found is None:
            return Finding("credential", wanted.name, State.MISSING)
        same = wanted.as_noted(found, self.note_of(wanted.part), self.token)
        state = State.UNCHANGED if same else State.CHANGED
        return Finding("credential", wanted.name, state, str(found["id"]))

    def find(self, export: Export) -> JsonObject | None:
        """Our workflow for an export: the one that was noted, else the one of its name."""
        noted = self.pushed.workflow_ids.get(export.variable) if self.pushed else None
        same = [each for each in self.tagged if each.get("id") == noted]
        same += [each for each in self.tagged if each.get("name") == export.name]
        return same[0] if same else None

    def body(self, export: Export) -> JsonObject:
        """What n8n should have, with the ids that are known by now."""
        credentials = {
            (str(each.get("type")), str(each.get("name"))): str(each.get("id"))
            for each in reversed(self.there)
        }
        for wanted in self.wanted:
            if found := wanted.find(self.there, self.note_of(wanted.part)):
                credentials[wanted.kind, wanted.name] = str(found["id"])
        return prepare(export, credentials, self.ids, self.settings.llm)

    def workflow(self, export: Export) -> Finding:
        """What there is of a workflow."""
        found = self.find(export)
        if found is None:
            other = self.untagged.get(export.name)
            state = State.FOREIGN if other else State.MISSING
            return Finding("workflow", export.name, state, str(other["id"]) if other else None)
        body = self.body(export)
        before, after = normal(found, body), normal(body, body)
        state = State.UNCHANGED
        if before != after or found.get("isArchived"):
            state = State.CHANGED
        elif not _live(found):
            state = State.INACTIVE
        return Finding("workflow", export.name, state, str(found["id"]), before, after)

    def extras(self) -> list[Finding]:
        """What is ours and no longer needed, such as that of a type that is gone."""
        needed = [str(each["id"]) for each in map(self.find, self.exports) if each]
        noted = self.pushed.workflow_ids.values() if self.pushed else ()
        return [
            Finding("workflow", clean_line(str(each["name"])), State.EXTRA, str(each["id"]))
            for each in self.tagged
            if each["id"] not in needed
            and (str(each["name"]).startswith(_PREFIX) or each["id"] in noted)
        ]

    def note(self) -> Pushed:
        """What to remember of it all."""
        settings = self.settings
        return Pushed(
            store_name(settings.store, settings.database_url, settings.supabase.url),
            self.api.url,
            self.token,
            {each.variable: self.ids[each.key] for each in self.exports},
            self.notes,
        )


async def look(api: Api, settings: "Settings") -> View:
    """All of it. Raises `SteplineError`, and `InputError` where an export cannot be put there."""
    pushed = read_pushed(settings)
    token = settings.n8n.token or (pushed.token if pushed else SecretStr(secrets.token_urlsafe(32)))
    exports = load_exports(settings)
    wanted = wanted_credentials(settings, token)
    tag_id = await api.find_tag(TAG)
    tagged = await api.workflows(tag=TAG) if tag_id else []
    there = await api.credentials()
    view = View(api, settings, pushed, token, exports, wanted, tag_id, tagged, {}, there)
    ours = {each.name for each in wanted}
    for export in exports:
        if found := view.find(export):
            view.ids[export.key] = str(found["id"])
        elif same := await api.workflows(name=export.name):
            view.untagged[export.name] = same[0]
        known = {(each.get("type"), each.get("name")) for each in there}
        for kind, reference in export.credentials():
            name = reference.get("name")
            if name not in ours and (kind, name) not in known:
                raise InputError(
                    f'{export.path} uses a credential "{name}" ({kind}) that n8n does not have; '
                    "make it there first."
                )
    return view


def _live(workflow: JsonObject) -> bool:
    """Whether it is in production in its latest form."""
    active = workflow.get("activeVersionId")
    return bool(workflow.get("active")) and active in (None, workflow.get("versionId"))


def _lines(value: JsonObject) -> list[str]:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).splitlines()
