"""The checks of n8n: is it there, do the webhooks listen, is what is in it what should be?"""

import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from core.doctor.check import Check, fail, ok, warn
from core.engine.n8n.comparison import State, status
from core.engine.n8n.webhook import CallFailedError, Webhook
from core.errors import SteplineError
from core.workflows import Workflow, load_workflows

if TYPE_CHECKING:
    from core.settings import Settings

_NAME = "n8n"


async def checks(settings: "Settings") -> AsyncIterator[Check]:
    """Those that can be made with what is set; nothing is started or changed in n8n."""
    webhook = Webhook(settings.n8n)
    try:
        await webhook.check()
        yield ok(_NAME, f"n8n answers at {settings.n8n.base_url}.")
        ids = settings.n8n.workflow_ids
        workflows = load_workflows(settings.workflows_file, {**ids, **os.environ}).all()
        configured = [each for each in workflows if each.workflow_id is not None]
        if settings.n8n.token is None:
            said = "No token for the webhooks is set, so n8n refuses every task."
            yield fail("n8n token", said, "Run `stepline n8n push`, or set N8N_WEBHOOK_TOKEN.")
        for workflow in configured:
            yield _listens(workflow, await webhook.status(workflow))
    except CallFailedError as error:
        yield fail(_NAME, str(error), "Start n8n, or correct N8N_BASE_URL.")
        return
    finally:
        await webhook.close()
    if not configured:
        yield fail("workflows", "No task type has a workflow in n8n.", "Run `stepline n8n push`.")
    if settings.n8n.api_key is None:
        said = "No API key is set, so a cancelled workflow runs on until its next step."
        yield warn("n8n API", said, "Set N8N_API_KEY.")
        return
    try:
        yield await _same(settings)
    except SteplineError as error:
        yield fail("n8n API", str(error), "Do what the sentence says.")


def _listens(workflow: Workflow, answer: int) -> Check:
    name, path = f"webhook {workflow.task_type}", f"webhook/{workflow.webhook_path}"
    if answer in (401, 403):
        return ok(name, f"A workflow listens at {path} and asks for the token.")
    fix = "Run `stepline n8n push`, or activate it."
    if answer < 300:
        said = f"{path} takes calls without the token: anybody can start it."
        return fail(name, said, "Give its Webhook node header authentication in n8n.")
    if answer == 404:
        return fail(name, f"No active workflow listens at {path}.", fix)
    return warn(name, f"{path} answers HTTP {answer} to a call without the token.", fix)


async def _same(settings: "Settings") -> Check:
    others = [each for each in await status(settings) if each.state is not State.UNCHANGED]
    if not others:
        return ok("n8n API", "Workflows and credentials are as `stepline n8n push` makes them.")
    said = ", ".join(f"{each.name} ({each.state.value})" for each in others)
    return warn(
        "n8n API", f"Not as it should be: {said}.", "See `stepline n8n status --diff`, then push."
    )
