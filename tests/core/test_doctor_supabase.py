"""`stepline doctor` in a Supabase project: each thing that can be wrong is found and named."""

from dataclasses import replace
from pathlib import Path

import pytest

from core.doctor import examine, supabase
from core.doctor.check import Check, Verdict
from core.settings import Settings
from tests.schema.scenes import one
from tests.support.supabase import Supabase
from tests.support.supabase.realtime import Realtime
from tests.support.supabase.target import Signed, Target


@pytest.fixture
def project(target: Target) -> Supabase:
    """To be made ill."""
    if target.stand_in is None:
        pytest.skip("a real project is not made ill")
    return target.stand_in


@pytest.fixture
def signed(target: Target) -> Signed:
    return target.sign_in()


@pytest.fixture
def settings(target: Target, tmp_path: Path, signed: Signed) -> Settings:
    return target.settings(tmp_path, signed)


async def found(settings: Settings) -> dict[str, Check]:
    """Each check by its name: a sentence, and what is to be done exactly where it is not well."""
    checks = [check async for check in supabase.checks(settings)]
    for check in checks:
        assert check.sentence.endswith("."), check
        assert bool(check.fix) == (check.verdict is not Verdict.OK), check
    return {check.name: check for check in checks}


async def test_a_healthy_project(settings: Settings, target: Target) -> None:
    checks = {check.name: check async for check in examine(lambda: settings)}
    for name in ("session", "project", "schema", "row security", "publication",
                 "replica identity", "clock", "realtime"):  # fmt: skip
        assert checks[name].verdict is Verdict.OK, checks[name]
    with target.database.owner() as owner:
        # What the round trip has written is gone.
        count = "SELECT count(*) AS n FROM chat_conversations WHERE title = 'stepline doctor'"
        assert one(owner, count)["n"] == 0


@pytest.mark.parametrize(
    ("ill", "name", "said"),
    [
        (
            "ALTER TABLE task_events DISABLE ROW LEVEL SECURITY;"
            "ALTER TABLE async_tasks DISABLE ROW LEVEL SECURITY",
            "row security",
            "every user sees every row of: public.async_tasks, public.task_events",
        ),
        ("GRANT SELECT ON chat_messages TO anon", "row security", "public.chat_messages"),
        (
            "ALTER PUBLICATION supabase_realtime DROP TABLE async_tasks, chat_messages",
            "publication",
            "public.async_tasks, public.chat_messages",
        ),
        ("DROP PUBLICATION supabase_realtime; CREATE PUBLICATION supabase_realtime",
         "publication", "public.async_tasks, "),
        (
            "ALTER TABLE async_tasks REPLICA IDENTITY FULL",
            "replica identity",
            "public.async_tasks",
        ),
        (
            "GRANT EXECUTE ON FUNCTION task_claim TO authenticated",
            "engine's rights",
            "Every user may call what is the engine's alone: task_claim",
        ),
        (
            "REVOKE EXECUTE ON FUNCTION task_step, task_due FROM stepline_worker",
            "engine's rights",
            "may not call: task_due, task_step",
        ),
    ],
)  # fmt: skip
async def test_what_is_ill_in_the_database_is_named_and_mended_by_its_fix(
    settings: Settings, target: Target, project: Supabase, ill: str, name: str, said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(supabase, "_LIVE", 0.3)
    with target.database.owner() as owner:
        owner.execute(ill.encode())
    check = (await found(settings))[name]
    assert check.verdict is not Verdict.OK
    assert said in check.sentence
    with target.database.owner() as owner:
        owner.execute(check.fix.encode())
    # The engine's role has no login here, which is the next thing to be said of it.
    left = (await found(settings))[name]
    assert left.verdict is (Verdict.WARN if name == "engine's rights" else Verdict.OK), left


@pytest.mark.parametrize(
    ("ill", "fix"),
    [
        ("DELETE FROM stepline.migrations WHERE version > 6", "stepline migrate --db-url"),
        ("INSERT INTO stepline.migrations VALUES (999, 'x', 'x')", "update stepline"),
    ],
)
async def test_another_schema(
    settings: Settings, target: Target, project: Supabase, ill: str, fix: str
) -> None:
    with target.database.owner() as owner:
        owner.execute(ill.encode())
    checks = await found(settings)
    assert list(checks) == ["session", "schema"]
    assert checks["schema"].verdict is Verdict.FAIL
    assert fix in checks["schema"].fix


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


async def test_a_worker_is_looked_for(
    settings: Settings, target: Target, project: Supabase
) -> None:
    assert (await found(settings))["worker"].verdict is Verdict.WARN
    with target.database.worker() as worker:
        worker.execute("SELECT worker_heartbeat('local:w')")
    assert (await found(settings))["worker"].verdict is Verdict.OK


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


async def test_a_realtime_that_is_not_there(
    settings: Settings, project: Supabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supabase, "_LIVE", 1.0)
    project.faults.where, project.faults.refuse = "/realtime", 10**6
    checks = await found(settings)
    assert checks["realtime"].verdict is Verdict.FAIL
    assert "HTTP 503" in checks["realtime"].sentence
    assert [check.name for check in checks.values() if check.verdict is Verdict.FAIL] == [
        "realtime"
    ]


async def test_a_clock_that_is_wrong(settings: Settings, project: Supabase, target: Target) -> None:
    with target.database.owner() as owner:
        owner.execute(
            "CREATE OR REPLACE FUNCTION server_clock() RETURNS timestamptz LANGUAGE sql"
            " AS $$ SELECT clock_timestamp() + interval '1 hour' $$"
        )
    check = (await found(settings))["clock"]
    assert (check.verdict, check.fix) == (Verdict.WARN, "Synchronise the clock (NTP).")
    assert "3600 s behind" in check.sentence


async def test_a_session_that_is_over(
    settings: Settings, project: Supabase, signed: Signed
) -> None:
    project.auth.revoke(signed.user_id)
    project.project.expire_tokens()
    checks = await found(settings)
    assert (checks["session"].verdict, checks["session"].fix) == (Verdict.FAIL, "stepline login")
    assert "over" in checks["session"].sentence


async def test_a_token_that_cannot_be_renewed(target: Target, tmp_path: Path) -> None:
    signed = replace(target.sign_in(), refresh="")
    check = (await found(target.settings(tmp_path, signed)))["session"]
    assert check.verdict is Verdict.WARN
    assert "STEPLINE_REFRESH_TOKEN" in check.fix


async def test_another_projects_key(target: Target, tmp_path: Path) -> None:
    strange = replace(target, anon_key="sb_publishable_nonsense")
    checks = await found(strange.settings(tmp_path, target.sign_in()))
    assert checks["project"].verdict is Verdict.FAIL
    assert "anon key" in checks["project"].sentence


async def test_nobody_is_signed_in(target: Target, tmp_path: Path) -> None:
    checks = await found(target.settings(tmp_path))
    assert list(checks) == ["session"]
    assert (checks["session"].verdict, checks["session"].fix) == (Verdict.FAIL, "stepline login")


async def test_no_project_answers(settings: Settings, project: Supabase) -> None:
    project.pause()
    checks = await found(settings)
    assert checks["project"].verdict is Verdict.FAIL
