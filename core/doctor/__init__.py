"""`stepline doctor`: everything that can be wrong, each with its fix.

Checks are made one after the other and handed out as they are done; what cannot be checked,
because something before it failed, is left out.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping

from core.doctor.check import Check, Verdict
from core.errors import ConfigError
from core.settings import Settings

__all__ = ["Check", "Verdict", "examine"]


async def examine(
    load: Callable[[], Settings], env: Mapping[str, str] = os.environ
) -> AsyncIterator[Check]:
    """All checks. `load` gives the settings, or raises `ConfigError`: then that is the finding."""
    from core.doctor import machine

    yield machine.python()
    for check in machine.terminal(env):
        yield check
    try:
        settings = load()
    except ConfigError as error:
        yield Check("settings", Verdict.FAIL, str(error), "Correct what the sentence names.")
        return
    for check in machine.files(settings):
        yield check

    # Their imports cost more than everything above.
    from core.doctor import endpoint

    if settings.store == "supabase":
        from core.doctor.supabase import checks
    else:
        from core.doctor.database import checks
    async for check in checks(settings):
        yield check
    if settings.engine == "n8n":
        from core.doctor import n8n

        async for check in n8n.checks(settings):
            yield check
    if settings.demo_answers or not settings.llm.demo:
        yield await endpoint.check(settings.llm)
