"""`stepline doctor`: the command; its checks are tested in tests/core/test_doctor.py."""

import json
from pathlib import Path

from tests.support.command import Stepline


def test_a_fresh_machine_is_well(bare: Stepline):
    done = bare.run("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert done.returncode == 0
    assert {name for name, check in checks.items() if check["status"] == "fail"} == set()
    for name in ("database", "schema", "live changes", "worker", "clock"):
        assert checks[name]["status"] == "ok"
    assert "demo" in checks["model"]["sentence"]
    assert all(set(check) == {"name", "status", "sentence", "fix"} for check in checks.values())


def test_a_worker_is_looked_for_only_where_one_works(bare: Stepline):
    done = bare.having(N8N_BASE_URL="http://127.0.0.1:1", N8N_CHAT_WORKFLOW_ID="x").run(
        "doctor", "--json"
    )
    checks = {check["name"]: check["status"] for check in json.loads(done.stdout)}
    assert checks["database"] == "ok"
    assert checks["n8n"] == "fail"
    assert "worker" not in checks


def test_for_people_each_fix_is_said(stepline: Stepline):
    done = stepline.having(TERM="dumb").run("doctor")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("warn terminal:"))
    assert lines[at + 1].strip().startswith("Fix: ")


def test_a_failure_is_1(bare: Stepline):
    config = Path(bare.env["HOME"]) / ".config/stepline/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('them = "nord"\n')
    done = bare.run("doctor")
    assert done.returncode == 1
    assert "fail settings:" in done.stdout


def test_the_password_of_an_unreachable_database_stays_secret(bare: Stepline):
    url = "postgresql://me:hunter2secret@127.0.0.1:1/none"
    done = bare.having(STEPLINE_DB_URL=url).run("doctor")
    assert done.returncode == 1
    assert "fail database:" in done.stdout
    assert "hunter2secret" not in done.stdout + done.stderr
