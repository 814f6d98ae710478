"""What one user typed for one store is seen and sent only there and by them."""

import asyncio
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from core.auth.files import SessionFile
from core.settings import Settings, load_settings
from tests.support.tokens import tokens_of
from tui.drafts import Drafts, Letter, drafts_at_start, drafts_of
from tui.outbox import Outbox
from tui.writing import Writing

ADA, EVE = UUID(int=1), UUID(int=2)
HERE, THERE = "https://here.supabase.co", "https://there.supabase.co"


def project(directory: Path, url: str = HERE) -> Settings:
    return load_settings(
        data_dir=directory,
        env={
            "XDG_CONFIG_HOME": str(directory),
            "SUPABASE_URL": url,
            "SUPABASE_ANON_KEY": "anon",
        },
    )


def letter(text: str) -> Letter:
    return Letter(uuid4(), None, text)


def outbox_of(drafts: Drafts) -> Outbox:
    return Outbox(drafts, changed=lambda: None, sent=lambda *_: None)


def texts(outbox: Outbox) -> list[str]:
    return [each.text for each in outbox.letters]


def fill(drafts: Drafts, text: str) -> None:
    drafts.save(None, f"{text}'s draft")
    drafts.post(letter(f"{text}'s letter"))
    drafts.set_last_conversation(7)


def assert_empty(drafts: Drafts) -> None:
    assert drafts.load(None) == ""
    assert drafts.undelivered() == []
    assert drafts.last_conversation() is None


def test_the_embedded_directory_is_the_one_it_always_was(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, env={"XDG_CONFIG_HOME": str(tmp_path)})
    Drafts(settings.state_dir / "drafts" / "embedded").save(None, "as before")
    assert drafts_at_start(settings).load(None) == "as before"
    assert drafts_at_start(settings, ADA).load(None) == "as before"


@pytest.mark.parametrize(("url", "user"), [(HERE, EVE), (THERE, ADA), (THERE, EVE)])
def test_another_user_or_project_sees_nothing(tmp_path: Path, url: str, user: UUID) -> None:
    fill(drafts_at_start(project(tmp_path), ADA), "ada")
    assert_empty(drafts_at_start(project(tmp_path, url), user))
    assert_empty(drafts_at_start(project(tmp_path, url)))
    assert_empty(drafts_at_start(load_settings(data_dir=tmp_path, env={})))
    assert drafts_at_start(project(tmp_path), ADA).load(None) == "ada's draft"


def test_the_kept_session_names_the_user(tmp_path: Path) -> None:
    settings = project(tmp_path)
    fill(drafts_at_start(settings, ADA), "ada")
    kept = SessionFile.of(settings.state_dir, HERE)
    kept.write(tokens_of(ADA))
    assert drafts_at_start(settings).load(None) == "ada's draft"
    kept.remove()  # `stepline logout`
    assert_empty(drafts_at_start(settings))
    kept.write(tokens_of(EVE))
    assert_empty(drafts_at_start(settings))


def test_what_nobody_sent_is_a_draft_at_the_next_start(tmp_path: Path) -> None:
    settings = project(tmp_path)
    nobodys = drafts_at_start(settings)
    nobodys.save(5, "a draft")
    nobodys.post(letter("a letter"))
    assert nobodys.load(None) == "a draft"  # of nobody there is one
    again = drafts_at_start(settings)
    assert (again.load(None), again.undelivered()) == ("a draft\na letter", [])


def test_what_nobody_typed_is_somebodys_once_they_are_known(tmp_path: Path) -> None:
    settings = project(tmp_path)
    nobodys = drafts_at_start(settings)
    nobodys.save(None, "typed")
    nobodys.post(letter("sent"))
    hers = drafts_of(settings, ADA)
    hers.set_last_conversation(7)
    hers.save(7, "before")
    hers = drafts_at_start(settings, ADA)
    assert hers.load(7) == "before\ntyped\nsent"
    assert hers.undelivered() == []
    assert_empty(drafts_at_start(settings))
    assert_empty(drafts_at_start(settings, EVE))


def test_the_disk_is_full_when_somebody_is_known(tmp_path: Path) -> None:
    settings = project(tmp_path)
    nobodys = drafts_at_start(settings)
    nobodys.save(None, "typed")
    drafts_of(settings, ADA).directory.write_text("in the way")
    assert drafts_at_start(settings, ADA).problem
    assert nobodys.load(None) == "typed"
    writing = Writing(nobodys, None)
    writing.hand_over(drafts_of(settings, ADA), None)
    assert writing.text == nobodys.load(None) == "typed"


def test_an_outbox_goes_on_without_the_letters_of_another(tmp_path: Path) -> None:
    hers = drafts_of(project(tmp_path), ADA)
    outbox = outbox_of(hers)
    outbox.post(None, "ada's")
    eves = drafts_of(project(tmp_path), EVE)
    eves.post(letter("eve's"))
    outbox.hand_over(eves)
    assert texts(outbox) == ["eve's"]
    assert [each.text for each in hers.undelivered()] == ["ada's"]
    assert [each.text for each in eves.undelivered()] == ["eve's"]


async def test_an_outbox_takes_nobodys_letters_along(tmp_path: Path) -> None:
    nobodys, hers = drafts_of(project(tmp_path), None), drafts_of(project(tmp_path), ADA)
    hers.post(letter("earlier"))
    outbox = outbox_of(nobodys)
    outbox.post(None, "now")
    outbox.hand_over(hers)
    assert texts(outbox) == ["earlier", "now"]
    assert [each.text for each in hers.undelivered()] == ["earlier", "now"]
    assert nobodys.undelivered() == []
    await asyncio.wait_for(outbox._wake.wait(), 1)


def test_writing_goes_on_without_the_text_of_another(tmp_path: Path) -> None:
    hers, eves = drafts_of(project(tmp_path), ADA), drafts_of(project(tmp_path), EVE)
    eves.save(3, "eve's")
    writing = Writing(hers, None)
    writing.text = "ada's"
    writing.hand_over(eves, 3)
    assert (writing.text, writing.conversation_id) == ("eve's", 3)
    assert hers.load(None) == "ada's"


def test_writing_takes_nobodys_text_along(tmp_path: Path) -> None:
    nobodys, hers = drafts_of(project(tmp_path), None), drafts_of(project(tmp_path), ADA)
    hers.save(None, "before")
    writing = Writing(nobodys, None)
    writing.text = "typed"
    writing.hand_over(hers, None)
    assert writing.text == hers.load(None) == "before\ntyped"
    assert nobodys.load(None) == ""
