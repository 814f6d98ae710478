"""Stores of every kind, for new users or the ones given."""

from collections.abc import Awaitable, Callable

import pytest

from core.models import Task
from core.store.base import Store
from tests.support.database import Database
from tests.support.supabase.target import Target

OpenUser = Callable[..., Awaitable[Store]]


@pytest.fixture(params=["postgres", "supabase"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which store a test of the contract runs on."""
    return request.param


@pytest.fixture
def open_user(kind: str, request: pytest.FixtureRequest) -> OpenUser:
    """Opens a store for a new user, or for the one given."""
    return request.getfixturevalue({"postgres": "open_store", "supabase": "open_supabase"}[kind])


@pytest.fixture
def there(kind: str, request: pytest.FixtureRequest) -> Database:
    """The database behind the store: for what workers do meanwhile."""
    if kind == "postgres":
        return request.getfixturevalue("database")
    target: Target = request.getfixturevalue("target")
    return target.database


@pytest.fixture
async def store(open_user: OpenUser) -> Store:
    """The store of a new user."""
    return await open_user()


async def create(store: Store, task_type: str = "email", **data: str | int) -> Task:
    """A new task of that store's user."""
    return await store.task_create(task_type, {**data}, 180, None)
