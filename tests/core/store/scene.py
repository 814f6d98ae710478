"""What the tests of stores share."""

from collections.abc import Awaitable, Callable

from core.models import Task
from core.store.base import Store

OpenUser = Callable[..., Awaitable[Store]]
"""Opens a store for a new user, or for the one given."""


async def create(store: Store, task_type: str = "email", **data: str | int) -> Task:
    """A new task of that store's user."""
    return await store.task_create(task_type, {**data}, 180, None)
