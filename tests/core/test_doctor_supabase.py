"""`stepline doctor` in a Supabase project: each thing that can be wrong is found and named."""

from pathlib import Path

import pytest

from core.doctor import examine, supabase
from core.doctor.check import Check, Verdict
from core.settings import Settings
from tests.schema.scenes import one
from tests.support.supabase import Supabase
from tests.support.supabase.realtime import Realtime
from tests.support.supabase.target import Target


@pytest.fixture
def project(target: Target) -> Supabase:
    """To be made ill."""
    if target.stand_in is None:
        pytest.skip("a real project is not made ill")
    return target.stand_in


@pytest.fixture
def settings(target: Target, tmp_path: Path) -> Settings:
    return target.settings(tmp_path, target.sign_in())


async def found(settings: Settings) -> dict[str, Check]:
    return {check.name: check async for check in supabase.checks(settings)}


async def test_a_healthy_project(settings: Settings, target: Target) -> None:
    checks = {check.name: check async for check in examine(lambda: settings)}
    for name in ("session", "project", "schema", "row security", "publication", "clock",
                 "realtime"):  # fmt: skip
        assert checks[name].verdict is Verdict.OK, checks[name]
    with target.database.owner() as owner:
        # What the round trip has written is gone.
        count = "SELECT count(*) AS n FROM chat_conversations WHERE title = 'stepline doctor'"
        assert one(owner, count)["n"] == 0


@pytest.mark.parametrize(
    ("ill", "name", "said"),
    [
        ("ALTER TABLE task_events DISABLE ROW LEVEL SECURITY", "row security", "task_events"),
        ("GRANT SELECT ON chat_messages TO anon", "row security", "chat_messages"),
        (
            "ALTER PUBLICATION supabase_realtime DROP TABLE async_tasks",
            "publication",
            "async_tasks",
        ),
        ("ALTER TABLE async_tasks REPLICA IDENTITY FULL", "replica identity", "async_tasks"),
        (
            "GRANT EXECUTE ON FUNCTION task_claim TO authenticated",
            "engine's rights",
            "task_claim",
        ),
        (
            "REVOKE EXECUTE ON FUNCTION task_step FROM stepline_worker",
            "engine's rights",
            "task_step",
        ),
        ("DELETE FROM stepline.migrations WHERE version > 6", "schema", "stepline migrate"),
    ],
)
async def test_what_is_ill_in_the_database(
    settings: Settings, target: Target, project: Supabase, ill: str, name: str, said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(supabase, "_LIVE", 1.0)
    with target.database.owner() as owner:
        owner.execute(ill.encode())
    check = (await found(settings))[name]
    assert check.verdict is not Verdict.OK
    assert said in check.sentence
    assert check.fix


async def test_an_engine_that_cannot_log_in_is_worth_a_warning(
    settings: Settings, target: Target, project: Supabase
) -> None:
    assert (await found(settings))["engine's rights"].verdict is Verdict.WARN
    with target.database.owner() as owner:
        owner.execute("CREATE ROLE n8n_of_this_test LOGIN IN ROLE stepline_worker")
    try:
        assert (await found(settings))["engine's rights"].verdict is Verdict.OK
    finally:
        with target.database.owner() as owner:
            owner.execute("DROP ROLE n8n_of_this_test")


@pytest.mark.parametrize("fault", ["silent", "refuse_joins"])
async def test_a_realtime_that_delivers_nothing(
    settings: Settings, project: Supabase, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supabase, "_LIVE", 1.0)
    faults = Realtime.of(project.project).faults
    setattr(faults, fault, "no entry" if fault == "refuse_joins" else True)
    check = (await found(settings))["realtime"]
    assert check.verdict is Verdict.FAIL
    assert ("delivers nothing" if fault == "silent" else "no entry") in check.sentence


async def test_nobody_is_signed_in(target: Target, tmp_path: Path) -> None:
    checks = await found(target.settings(tmp_path))
    assert list(checks) == ["session"]
    assert (checks["session"].verdict, checks["session"].fix) == (Verdict.FAIL, "stepline login")


async def test_no_project_answers(settings: Settings, project: Supabase) -> None:
    project.pause()
    checks = await found(settings)
    assert checks["project"].verdict is Verdict.FAIL
