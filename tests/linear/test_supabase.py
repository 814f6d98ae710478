"""The linear mode in a Supabase project: the messages of the open conversation are followed."""

import time
from pathlib import Path
from uuid import uuid4

import pytest

from core.settings import load_settings
from tests.linear.lines import linear
from tests.schema.scenes import send
from tests.support.command import Stepline, isolated
from tests.support.supabase.realtime import Realtime
from tests.support.supabase.target import Signed, Target
from tui.drafts import Letter, drafts_of


def test_the_open_conversations_messages_are_followed(target: Target, tmp_path: Path) -> None:
    if target.stand_in is None:
        pytest.skip("a real project does not tell what is followed")
    realtime = Realtime.of(target.stand_in.project)
    signed = target.sign_in()
    with target.database.user(signed.user_id) as user:
        sent = [send(user) for _ in range(2)]
        for row in sent:
            user.execute("SELECT task_cancel(%s)", (row["task_id"],))
    first, second = (row["conversation_id"] for row in sent)
    stepline = isolated(
        tmp_path / "home",
        SUPABASE_URL=target.url,
        SUPABASE_ANON_KEY=target.anon_key,
        STEPLINE_ACCESS_TOKEN=signed.access,
        STEPLINE_REFRESH_TOKEN=signed.refresh,
    )

    def followed() -> set[str | None]:
        return {
            binding.value
            for channel in realtime.channels()
            if channel.since is not None
            for binding in channel.bindings
            if binding.table == "chat_messages"
        }

    def wait_for(*conversations: int) -> None:
        until = time.monotonic() + 15
        wanted = {str(number) for number in conversations}
        while followed() != wanted:
            assert time.monotonic() < until, followed()
            time.sleep(0.02)

    with linear(stepline) as page:
        wait_for(second)
        page.say(f"/open {first}")
        page.wait(rf"^Conversation {first}:")
        wait_for(first)
        page.say("/open 4711")
        page.wait(r"There is no conversation 4711")
        wait_for(first)
        page.say("/new")
        page.wait(r"^New conversation\.")
        wait_for()
        page.say("hello")
        page.wait(r"^Sent; task #3, conversation 3\.")
        wait_for(3)
        page.say("/quit")
        assert page.terminal.wait_exit() == 0


def test_the_letter_of_one_is_not_sent_as_another(target: Target, tmp_path: Path) -> None:
    ada, eve = target.sign_in(), target.sign_in()
    home = tmp_path / "home"

    def stepline_of(signed: Signed) -> Stepline:
        return isolated(
            home,
            SUPABASE_URL=target.url,
            SUPABASE_ANON_KEY=target.anon_key,
            STEPLINE_ACCESS_TOKEN=signed.access,
        )

    env = {**stepline_of(ada).env, "XDG_CONFIG_HOME": "/nonexistent"}
    hers = drafts_of(load_settings(env=env), ada.user_id)
    hers.post(Letter(uuid4(), None, "ada's letter"))
    hers.save(None, "ada's draft")

    with linear(stepline_of(eve)) as page:
        page.say("/draft")
        page.wait(r"^There is no draft here\.")
        page.say("/quit")
        assert page.terminal.wait_exit() == 0
        assert "ada's" not in page.text
        assert "not sent" not in page.text
    assert [each.text for each in hers.undelivered()] == ["ada's letter"]
    with linear(stepline_of(ada), ready=False) as page:
        page.wait(r"^1 message not sent the last time; sending now\.")
        page.wait(r"^A draft is kept here: ada's draft")
        page.wait(r"^Sent; task #1")
        page.say("/quit")
        assert page.terminal.wait_exit() == 0
    assert hers.undelivered() == []
