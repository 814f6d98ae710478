"""Puts into n8n what stepline needs there, and takes it out again; see `comparison`."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

from pydantic import SecretStr

from core.engine.n8n.api import Api
from core.engine.n8n.comparison import TAG, Finding, State, View, look
from core.engine.n8n.credentials import (
    Wanted,
    put,
    put_database,
    unreachable,
)
from core.engine.n8n.pushed import Note, file_of
from core.engine.n8n.target import give_password, target_of
from core.engine.n8n.webhook import CallFailedError, Webhook
from core.errors import ConfigError, InputError, SteplineError
from core.models import JsonObject
from core.workflows import Workflow

if TYPE_CHECKING:
    from core.settings import Settings

_WEBHOOK_SECONDS = 30.0

Say = Callable[[str], None]


async def push(
    settings: "Settings", say: Say, *, new_password: bool = False
) -> list[tuple[str, Finding]]:
    """Makes n8n as it should be, and notes it; returns what was done to each.

    Can be repeated: what is as it should be is left alone. Raises `SteplineError`; what was done
    until then stays, and the next push goes on from there.
    """
    async with Api(settings.n8n) as api:
        await api.check()
        view = await look(api, settings)
        for export in view.exports:
            if view.workflow(export).state is State.FOREIGN:
                raise InputError(
                    f'n8n has a workflow "{export.name}" that stepline did not make: rename it '
                    f'there, or give it the tag "{TAG}" to have it replaced.'
                )
        if settings.llm.demo:
            say(
                "No API key for the model is set, so chats in n8n will fail: set "
                "OPENROUTER_API_KEY and push again."
            )
        say(f"Pushing to {api.url} ...")
        done: list[tuple[str, Finding]] = []
        async with _owner(settings) as conninfo:
            for wanted in view.wanted:
                done.append(await _push_credential(view, wanted, conninfo, say, new_password))
        done += await _push_workflows(view)
        await _until_they_listen(
            settings, [each.workflow for each in view.exports if each.workflow is not None], say
        )
        view.note().write(file_of(settings))
        return done


async def _until_they_listen(settings: "Settings", workflows: Sequence[Workflow], say: Say) -> None:
    """Raises `SteplineError` for a webhook that does not come up."""
    webhook = Webhook(settings.n8n)
    try:
        for workflow in workflows:
            path = workflow.webhook_path
            say(f"Waiting for the webhook {path} ...")
            try:
                async with asyncio.timeout(_WEBHOOK_SECONDS):
                    while not await _listens(webhook, workflow):  # noqa: ASYNC110
                        await asyncio.sleep(0.3)
            except TimeoutError:
                raise SteplineError(
                    f"The webhook {path} did not come up at {webhook.base_url} within "
                    f"{_WEBHOOK_SECONDS:.0f} s: is N8N_BASE_URL the address for webhooks too? "
                    "Look at n8n's log, and push again."
                ) from None
    finally:
        await webhook.close()


async def _listens(webhook: Webhook, workflow: Workflow) -> bool:
    try:
        status = await webhook.status(workflow)
    except CallFailedError:
        return False
    if status < 300:
        raise ConfigError(
            f"The webhook {workflow.webhook_path} takes calls without the token: give the Webhook "
            'node of its workflow header authentication with the credential "stepline webhook", '
            "and push again."
        )
    return status == 403


async def remove(settings: "Settings", say: Say) -> list[Finding]:
    """Takes out of n8n what is ours there, and deletes the note of it; returns what was there."""
    async with Api(settings.n8n) as api:
        await api.check()
        view = await look(api, settings)
        gone = [view.workflow(export) for export in view.exports] + view.extras()
        gone = [each for each in gone if each.id and each.state is not State.FOREIGN]
        gone += [each for each in map(view.credential, view.wanted) if each.id]
        for each in gone:
            if each.kind == "workflow":
                await api.delete_workflow(str(each.id))
            else:
                await api.delete_credential(str(each.id))
        # Somebody else's workflows may have been given our tag: it stays with them.
        if view.tag_id is not None and not await api.workflows(tag=TAG):
            await api.delete_tag(view.tag_id)
    file_of(settings).unlink(missing_ok=True)
    say("stepline runs its tasks without this n8n again.")
    return gone


async def _push_credential(
    view: View, wanted: Wanted, conninfo: str | None, say: Say, new_password: bool
) -> tuple[str, Finding]:
    api, finding = view.api, view.credential(wanted)
    note = view.note_of(wanted.part)
    found = wanted.find(view.there, note)
    database = wanted.part == Wanted.DATABASE
    target = target_of(view.settings)
    made_elsewhere = found is not None and note is None
    if finding.state is State.UNCHANGED and database and not new_password:
        if trouble := await api.test_credential(str(finding.id)):
            # As we left it, but no longer good: the password was changed, or the server is gone.
            say(f"n8n cannot use the database ({trouble}): trying again with what is set now.")
            finding = Finding("credential", wanted.name, State.CHANGED, finding.id)
    elif database and new_password and target.password is None:
        finding = Finding("credential", wanted.name, State.CHANGED, finding.id)
    if finding.state is State.UNCHANGED and found is not None:
        view.notes[wanted.part] = cast("Note", note)
        return "unchanged", finding
    if made_elsewhere and wanted.part == "WEBHOOK" and view.settings.n8n.token is None:
        say(
            "The webhooks get a new token: whoever else uses this n8n must push too, or set "
            "N8N_WEBHOOK_TOKEN to the same."
        )
    if not database:
        now = await put(api, wanted, found)
    else:

        async def password() -> SecretStr:
            if conninfo is None:
                raise unreachable(target, "there is no password for it")
            say(
                f"The role {target.user} gets a new password: another n8n that uses it must be "
                "pushed to again."
            )
            return await asyncio.to_thread(give_password, conninfo)

        now = await put_database(
            api, wanted, found, target, new_password=password, keep=not new_password
        )
    view.notes[wanted.part] = Note(
        str(now["id"]), str(now["updatedAt"]), wanted.fingerprint(view.token)
    )
    if found is None:
        view.there.insert(0, {**now})
    return "created" if found is None else "updated", finding


async def _push_workflows(view: View) -> list[tuple[str, Finding]]:
    api = view.api
    done: list[tuple[str, Finding]] = []
    # First what is in the way: two active workflows cannot have the same webhook.
    for extra in view.extras():
        await api.delete_workflow(str(extra.id))
        done.append(("deleted", extra))
    if view.tag_id is None:
        view.tag_id = await api.create_tag(TAG)
    for export in view.exports:
        finding = view.workflow(export)
        found = view.find(export)
        body = view.body(export)
        match finding.state:
            case State.UNCHANGED:
                what = "unchanged"
            case State.INACTIVE:
                await api.activate(str(finding.id))
                what = "activated"
            case _:
                what = "updated" if found else "created"
                view.ids[export.key] = await _put_workflow(view, found, body)
        done.append((what, finding))
    return done


async def _put_workflow(view: View, found: JsonObject | None, body: JsonObject) -> str:
    api = view.api
    if found is not None:
        workflow_id = str(found["id"])
        if found.get("isArchived"):
            await api.unarchive(workflow_id)
        await api.update_workflow(workflow_id, body)
    else:
        workflow_id = str((await api.create_workflow(body))["id"])
        try:
            await api.tag_workflow(workflow_id, [str(view.tag_id)])
        except BaseException:
            # Without the tag it would count as somebody else's from now on.
            await api.delete_workflow(workflow_id)
            raise
    await api.activate(workflow_id)
    return workflow_id


@asynccontextmanager
async def _owner(settings: "Settings") -> AsyncGenerator[str | None]:
    """How to connect as the database's owner; a bundled server is up meanwhile."""
    if settings.store == "postgres" and settings.database_url is not None:
        yield settings.database_url.get_secret_value()
    elif settings.store != "embedded":
        yield None
    else:
        from core.store.embedded import EmbeddedServer
        from core.store.upgrade import upgrade

        server = EmbeddedServer(settings.data_dir)
        try:
            conninfo = await asyncio.to_thread(server.start)
            await asyncio.to_thread(upgrade, conninfo)
            yield conninfo
        finally:
            await asyncio.to_thread(server.release)
