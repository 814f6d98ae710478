"""Settings: strength of the three places, profiles, secrets, and mistakes."""

import os
import re
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from core.errors import ConfigError, ExitCode
from core.settings import (
    OPENROUTER,
    LlmSettings,
    Settings,
    default_workflows_file,
    describe,
    load_settings,
    template,
)

SECRET = "s3cret-value"


class Home:
    """A config directory of its own for one test."""

    def __init__(self, root: Path) -> None:
        self.file = root / "config" / "stepline" / "config.toml"
        self.root = root

    def write(self, text: str, mode: int = 0o600) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(text, encoding="utf-8")
        self.file.chmod(mode)

    def error(self, text: str, **env: str) -> str:
        self.write(text)
        with pytest.raises(ConfigError) as caught:
            load_settings(env=env)
        assert caught.value.exit_code is ExitCode.USAGE
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for kind in ("CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    return Home(tmp_path)


def test_defaults(home: Home) -> None:
    settings = load_settings(env={})
    assert (settings.profile, settings.store, settings.engine) == ("embedded", "embedded", "local")
    assert settings.config_file == home.file
    assert settings.data_dir == home.root / "data" / "stepline"
    assert settings.state_dir == home.root / "state" / "stepline"
    assert settings.workflows_file == default_workflows_file()
    assert settings.llm.base_url == "https://openrouter.ai/api/v1"
    assert settings.llm.model == "openai/gpt-4o"
    assert (settings.llm.temperature, settings.llm.max_tokens) == (0.7, 2000)
    assert settings.llm.demo
    assert settings.warnings == ()
    assert {line.source for line in describe(settings)} == {"default"}


def test_the_command_line_beats_the_environment_beats_the_profile_beats_the_file(
    home: Home,
) -> None:
    home.write('theme = "file"\n\n[profiles.mine]\ntheme = "profile"\n')
    env = {"STEPLINE_THEME": "environment"}
    given = {"theme": "option"}

    def theme(settings: Settings) -> tuple[str, str]:
        return settings.theme, settings.source("theme")

    assert theme(load_settings(env={})) == ("file", f"{home.file}, line 1")
    assert theme(load_settings(profile="mine", env={})) == ("profile", f"{home.file}, line 4")
    assert theme(load_settings(profile="mine", env=env)) == ("environment", "STEPLINE_THEME")
    everything = load_settings(profile="mine", env=env, overrides=given)
    assert theme(everything) == ("option", "command line")
    not_given = load_settings(env={}, overrides={"theme": None})
    assert theme(not_given) == ("file", f"{home.file}, line 1")


def test_a_profile_keeps_what_it_does_not_set(home: Home) -> None:
    home.write(
        'animation = "none"\n[llm]\nmodel = "a"\ntemperature = 1\n[keys]\nhelp = "f1"\nquit = "x"\n'
        '[profiles.p.llm]\nmodel = "b"\n[profiles.p.keys]\nquit = "y"\n'
    )
    settings = load_settings(profile="p", env={})
    assert settings.animation == "none"
    assert (settings.llm.model, settings.llm.temperature) == ("b", 1.0)
    assert settings.keys == {"help": "f1", "quit": "y"}


def test_how_the_profile_is_chosen(home: Home) -> None:
    home.write('profile = "a"\n[profiles.a]\n[profiles.b]\n[profiles.c]\n')
    env = {"STEPLINE_PROFILE": "b"}
    assert load_settings(env={}).profile == "a"
    assert load_settings(env=env).profile == "b"
    assert load_settings(profile="c", env=env).profile == "c"
    assert load_settings(profile="embedded", env=env).profile == "embedded"


def test_an_unknown_profile(home: Home) -> None:
    assert home.error('profile = "wrok"\n[profiles.work]\n') == (
        f'There is no profile "wrok" ({home.file}, line 1); did you mean "work"? '
        "Known: embedded, work."
    )
    assert home.error("", STEPLINE_PROFILE="zzz") == (
        f'There is no profile "zzz" (STEPLINE_PROFILE); add [profiles.zzz] to {home.file}. '
        "Known: embedded."
    )


def test_every_variable(home: Home) -> None:
    settings = load_settings(
        env={
            "STEPLINE_DATA_DIR": "/tmp/d",
            "STEPLINE_WORKFLOWS": "/tmp/w.toml",
            "STEPLINE_DB_URL": "postgresql://u:p@h/d",
            "STEPLINE_USER": "me",
            "STEPLINE_LLM_BASE_URL": "http://localhost:11434/v1/",
            "STEPLINE_LLM_MODEL": "m",
            "STEPLINE_LLM_API_KEY": SECRET,
            "STEPLINE_LLM_TEMPERATURE": "0",
            "STEPLINE_LLM_MAX_TOKENS": "17",
            "STEPLINE_ANIMATION": "reduced",
            "STEPLINE_THEME": "t",
            "STEPLINE_ASCII": "1",
            "STEPLINE_MOUSE": "off",
            "STEPLINE_LINEAR": "yes",
        }
    )
    assert (settings.data_dir, settings.state_dir) == (Path("/tmp/d"), Path("/tmp/d/state"))
    assert settings.workflows_file == Path("/tmp/w.toml")
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://u:p@h/d"
    assert settings.store == "postgres"
    assert settings.llm.api_key is not None
    assert replace(settings.llm, api_key=None) == LlmSettings(
        base_url="http://localhost:11434/v1", model="m", temperature=0.0, max_tokens=17
    )
    assert (settings.user, settings.animation, settings.theme) == ("me", "reduced", "t")
    assert (settings.ascii, settings.mouse, settings.linear) == (True, False, True)


def test_an_empty_variable_is_not_set(home: Home) -> None:
    home.write('theme = "file"')
    settings = load_settings(
        env={"STEPLINE_THEME": "", "STEPLINE_CONFIG": "", "STEPLINE_PROFILE": ""}
    )
    assert settings.theme == "file"


def test_another_settings_file(home: Home, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text('theme = "other"')
    settings = load_settings(env={"STEPLINE_CONFIG": str(other)})
    assert (settings.theme, settings.config_file) == ("other", other)
    with pytest.raises(ConfigError, match=r"STEPLINE_CONFIG names .*missing.* config init"):
        load_settings(env={"STEPLINE_CONFIG": str(tmp_path / "missing")})


def test_data_and_state_stay_together_where_the_place_was_chosen(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home.root)
    settings = load_settings(data_dir=Path("here"), env={"STEPLINE_DATA_DIR": "/elsewhere"})
    assert (settings.data_dir, settings.state_dir) == (home.root / "here", home.root / "here/state")
    home.write('data_dir = "data"')
    assert load_settings(env={}).data_dir == home.file.parent / "data"
    home.write('data_dir = "~/data"')
    assert load_settings(env={}).data_dir == Path.home() / "data"


def test_which_workflows_file(home: Home) -> None:
    home.write("")
    own = home.file.with_name("workflows.toml")
    own.write_text("")
    assert load_settings(env={}).workflows_file == own
    home.write('workflows_file = "mine.toml"')
    assert load_settings(env={}).workflows_file == home.file.with_name("mine.toml")
    env = {"STEPLINE_WORKFLOWS": "/env.toml"}
    assert load_settings(env=env).workflows_file == Path("/env.toml")
    given = {"workflows_file": Path("/option.toml")}
    assert load_settings(env=env, overrides=given).workflows_file == Path("/option.toml")


def test_a_database_url_chooses_the_store_unless_that_is_set(home: Home) -> None:
    env = {"STEPLINE_DB_URL": "postgresql://h/d"}
    settings = load_settings(env=env)
    assert (settings.store, settings.warnings) == ("postgres", ())
    assert settings.source("store") == "because of the database URL (STEPLINE_DB_URL)"
    home.write('store = "embedded"')
    settings = load_settings(env=env)
    assert settings.store == "embedded"
    assert settings.warnings == (
        "The database URL (STEPLINE_DB_URL) is not used: "
        f'store is "embedded" ({home.file}, line 1).',
    )


def test_the_store_postgres_needs_a_url(home: Home) -> None:
    assert home.error('store = "postgres"') == (
        f'store is "postgres" ({home.file}, line 1) but there is no database URL; '
        "put database_url beside it, or set STEPLINE_DB_URL."
    )


def api_key(settings: Settings) -> str | None:
    return settings.llm.api_key.get_secret_value() if settings.llm.api_key else None


@pytest.mark.parametrize(
    ("env", "key", "demo"),
    [
        ({}, None, True),
        ({"OPENROUTER_API_KEY": "general"}, "general", False),
        ({"OPENROUTER_API_KEY": "general", "STEPLINE_LLM_API_KEY": "own"}, "own", False),
        ({"OPENROUTER_API_KEY": "general", "STEPLINE_LLM_BASE_URL": "http://other"}, None, False),
        (
            {"OPENROUTER_API_KEY": "general", "STEPLINE_LLM_BASE_URL": OPENROUTER + "/"},
            "general",
            False,
        ),
        ({"STEPLINE_LLM_API_KEY": "own", "STEPLINE_LLM_BASE_URL": "http://other"}, "own", False),
    ],
)
def test_the_openrouter_key_goes_to_openrouter_only(
    home: Home, env: dict[str, str], key: str | None, *, demo: bool
) -> None:
    settings = load_settings(env=env)
    assert (api_key(settings), settings.llm.demo) == (key, demo)


def test_a_key_in_the_file_goes_only_where_it_was_given_for(home: Home) -> None:
    home.write(
        '[llm]\napi_key = "for-openrouter"\n'
        '[profiles.local.llm]\nbase_url = "http://localhost/v1"\n'
        '[profiles.paid.llm]\nbase_url = "https://paid"\napi_key = "for-paid"\n'
        '[profiles.same.llm]\nbase_url = "https://openrouter.ai/api/v1"\n'
    )
    assert api_key(load_settings(env={})) == "for-openrouter"
    assert api_key(load_settings(profile="same", env={})) == "for-openrouter"
    assert api_key(load_settings(profile="paid", env={})) == "for-paid"
    local = load_settings(profile="local", env={})
    assert api_key(local) is None
    assert local.source("llm.api_key") == (
        f"{home.file}, line 2 is not used: it was given for {OPENROUTER}"
    )
    moved = load_settings(profile="paid", env={"STEPLINE_LLM_BASE_URL": "https://evil"})
    assert api_key(moved) is None
    own = {"STEPLINE_LLM_BASE_URL": "https://new", "STEPLINE_LLM_API_KEY": "for-new"}
    assert api_key(load_settings(profile="paid", env=own)) == "for-new"
    general = {"OPENROUTER_API_KEY": "general"}
    assert api_key(load_settings(env=general)) == "general"
    assert api_key(load_settings(profile="paid", env=general)) == "for-paid"


def test_secrets_are_never_shown(home: Home) -> None:
    home.write(f'database_url = "postgresql://u:{SECRET}@h/d"\n[llm]\napi_key = "{SECRET}"\n')
    settings = load_settings(env={})
    shown = {line.key: line for line in describe(settings)}
    assert shown["llm.api_key"].value == "********"
    assert shown["database_url"].value == "********"
    assert shown["llm.api_key"].source == f"{home.file}, line 3"
    assert SECRET not in repr(settings) + str(settings) + repr(describe(settings))


@pytest.mark.parametrize(
    "text",
    [
        f'database_url = "{SECRET}"',
        f'[llm]\napi_key = ["{SECRET}"]',
        f'database_url = {{ url = "{SECRET}" }}',
        f'[llm]\nbase_url = "{SECRET}"',
    ],
)
def test_secrets_are_not_in_errors_either(home: Home, text: str) -> None:
    home.write(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(env={})
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("text", "mode", "warned"),
    [
        ('[llm]\napi_key = "k"', 0o644, True),
        ('[llm]\napi_key = "k"', 0o640, True),
        ('[profiles.p.llm]\napi_key = "k"', 0o644, True),
        ('database_url = "postgresql://u:p@h/d"', 0o644, True),
        ('[llm]\napi_key = "k"', 0o600, False),
        ('[llm]\nmodel = "m"', 0o644, False),
    ],
)
def test_a_file_with_secrets_that_others_can_read(
    home: Home, text: str, mode: int, *, warned: bool
) -> None:
    home.write(text, mode)
    expected = (f"Others can read the secrets in {home.file}; run `chmod 600 {home.file}`.",)
    assert load_settings(env={}).warnings == (expected if warned else ())


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('\nthme = "x"', 2, 'thme is not a known key; did you mean "theme"?'),
        ('[llm]\nmodle = "x"', 2, 'llm.modle is not a known key; did you mean "model"?'),
        ('[lm]\nmodel = "x"', 1, 'lm is not a known key; did you mean "llm"?'),
        (
            '[profiles.a.llm]\n\ntemperature = "x"',
            3,
            "profiles.a.llm.temperature should be a number.",
        ),
        ("[llm]\ntemperature = 2.5", 2, "llm.temperature should be less than"),
        ("[llm]\ntemperature = nan", 2, "llm.temperature should be less than"),
        ("[llm]\nmax_tokens = 1.5", 2, "llm.max_tokens should be a whole number."),
        (
            '[llm]\nbase_url = "localhost:11434"',
            2,
            "llm.base_url should begin with http:// or https://.",
        ),
        ('[llm]\napi_key = ""', 2, "llm.api_key should not be empty."),
        (
            'animation = "ful"',
            1,
            'animation should be "full", "reduced" or "none"; did you mean "full"?',
        ),
        ('mouse = "on"', 1, "mouse should be true or false."),
        ("llm = 3", 1, "llm should be a table."),
        ("[keys]\nhelp = 1", 2, "keys.help should be text in quotes."),
        (
            'data_dir = "~no-such-user/x"',
            1,
            "data_dir names the home of a user who is not known here.",
        ),
        (
            '[profiles.a]\nprofile = "b"',
            2,
            "profiles.a.profile is not a known key (known here: store, ",
        ),
    ],
)
def test_a_mistake_in_the_file(home: Home, text: str, line: int, said: str) -> None:
    assert home.error(text).startswith(f"{home.file}, line {line}: {said}")


def test_a_file_that_is_not_toml(home: Home) -> None:
    assert home.error('a = "b"\nx = [').startswith(f"{home.file}, line 2 is not valid TOML: ")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        (
            "STEPLINE_ANIMATION",
            "nne",
            'should be "full", "reduced" or "none"; did you mean "none"?',
        ),
        ("STEPLINE_LLM_TEMPERATURE", "hot", "should be a number."),
        ("STEPLINE_LLM_MAX_TOKENS", "many", "should be a whole number."),
        ("STEPLINE_LLM_MAX_TOKENS", "0", "should be greater than or equal to 1."),
        ("STEPLINE_MOUSE", "maybe", "should be true or false."),
        ("STEPLINE_DB_URL", "mysql", "should begin with postgresql://."),
        ("STEPLINE_LLM_BASE_URL", "ollama", "should begin with http:// or https://."),
    ],
)
def test_a_mistake_in_the_environment(home: Home, variable: str, value: str, said: str) -> None:
    assert home.error("", **{variable: value}) == f"{variable} {said}"


def test_a_mistake_on_the_command_line(home: Home) -> None:
    with pytest.raises(ConfigError, match="animation on the command line should be"):
        load_settings(env={}, overrides={"animation": "x"})


def test_action_ids_with_dots_need_no_quotes(home: Home) -> None:
    home.write('[keys]\ntask.retry = "r"\n"task.cancel" = "c"\n')
    settings = load_settings(env={})
    assert settings.keys == {"task.retry": "r", "task.cancel": "c"}
    assert settings.source("keys.task.cancel") == f"{home.file}, line 3"
    assert settings.source("keys.task.retry").startswith(str(home.file))


def test_the_template_says_nothing_by_itself_and_is_right_when_uncommented(home: Home) -> None:
    home.write(template())
    silent = load_settings(env={})
    assert {line.source for line in describe(silent)} == {"default"}
    loud = re.sub(r"^#(?=[\w\"\[])", "", template(), flags=re.MULTILINE)
    # What has no default is an example there; everything else is the default.
    home.write(loud)
    examples = {"database_url", "store", "engine", "user", "ascii", "llm.api_key", "data_dir"}
    examples |= {
        key for key in (line.key for line in describe(silent)) if key[:3] in ("n8n", "sup")
    }
    before = {line.key: line.value for line in describe(silent)}
    after = {line.key: line.value for line in describe(load_settings(env={}))}
    changed = {key for key in before if after[key] != before[key]}
    assert {"database_url", "llm.api_key"} <= changed <= examples | {"state_dir", "workflows_file"}
    assert after["keys.help"] == "f1"
    assert load_settings(profile="ollama", env={}).llm.model == "llama3.2"


def test_the_template_names_every_key(home: Home) -> None:
    keys = {line.key.rpartition(".")[2] for line in describe(load_settings(env={}))}
    named = set(re.findall(r"^#(\w+) =", template(), flags=re.MULTILINE))
    assert keys - named == {"state_dir", "config_file", "workflow_ids"}


def test_settings_cannot_be_changed(home: Home) -> None:
    with pytest.raises(FrozenInstanceError):
        load_settings(env={}).theme = "x"  # type: ignore[misc]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(home: Home) -> None:
    home.write("", 0o000)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        load_settings(env={})
