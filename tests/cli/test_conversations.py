"""`stepline conversations`."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Stepline


@pytest.fixture
def talk(stepline: Stepline) -> dict[str, Any]:
    """A conversation of two exchanges."""
    first = json.loads(stepline.run("send", "--json", "say:the **first** answer").stdout)
    again = stepline.run("send", "--json", "-c", first["conversation_id"], "say:the second")
    return json.loads(again.stdout)


def test_list_has_the_latest_used_first(stepline: Stepline, talk: dict[str, Any]):
    found = json.loads(stepline.run("conversations", "list", "--json").stdout)
    assert found[0]["id"] == talk["conversation_id"]
    people = stepline.run("conversations", "list").stdout.splitlines()
    assert people[1].split()[0] == str(talk["conversation_id"])


def test_list_looks_for_text(stepline: Stepline, talk: dict[str, Any]):
    found = json.loads(
        stepline.run("conversations", "list", "--text", "**first**", "--json").stdout
    )
    assert talk["conversation_id"] in [conversation["id"] for conversation in found]
    none = stepline.run("conversations", "list", "--text", "nobody said this")
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "No conversations.\n")


def test_show(stepline: Stepline, talk: dict[str, Any]):
    done = stepline.run("conversations", "show", talk["conversation_id"])
    assert done.returncode == 0
    assert re.search(
        r"\[user, .*\]\nsay:the second\n\n\[assistant, .*\]\nthe second\n", done.stdout
    )


def test_export_markdown_and_json(stepline: Stepline, talk: dict[str, Any], tmp_path: Path):
    markdown = stepline.run("conversations", "export", talk["conversation_id"])
    assert markdown.stdout.startswith("# say:the **first** answer")
    target = tmp_path / "talk.json"
    done = stepline.run(
        "conversations", "export", talk["conversation_id"], "--format", "json", "-o", target
    )
    assert (done.returncode, done.stdout) == (0, "")
    document = json.loads(target.read_text())
    assert [message["role"] for message in document["messages"]] == ["user", "assistant"] * 2


def test_export_to_nowhere(stepline: Stepline, talk: dict[str, Any]):
    done = stepline.run("conversations", "export", talk["conversation_id"], "-o", "/no/dir/x")
    assert done.returncode == 2
    assert re.fullmatch(r"stepline: /no/dir/x cannot be written.*\n", done.stderr)


@pytest.mark.parametrize("command", ["show", "export"])
def test_unknown_conversation_is_2(stepline: Stepline, command: str):
    done = stepline.run("conversations", command, 999_999)
    assert done.returncode == 2
    assert re.fullmatch(r"stepline: .*999999.*\n", done.stderr)
