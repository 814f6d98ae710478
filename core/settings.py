"""Settings: file < environment < command line, and where each value came from.

Weaker than all three is what `stepline n8n push` wrote.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import platformdirs
from platformdirs.unix import Unix
from pydantic import SecretStr

from core.engine.n8n.pushed import Pushed, pushed_file, store_name
from core.errors import ConfigError
from core.layers import (
    FileValues,
    Layer,
    Values,
    command_line_layer,
    environment_layer,
    file_layers,
)
from core.locate import Key
from core.suggest import did_you_mean
from core.tomlfile import Document, dotted, read_toml

OPENROUTER = "https://openrouter.ai/api/v1"
EMBEDDED = "embedded"
"""The profile that needs nothing but this program; it is there without being declared."""

_APP = "stepline"
_MASK = "********"
_URL: Key = ("llm", "base_url")
_API_KEY: Key = ("llm", "api_key")
_N8N: Key = ("n8n", "base_url")
_SECRETS: dict[Key, Key] = {
    ("n8n", "token"): _N8N,
    ("n8n", "api_key"): _N8N,
    ("n8n", "basic_auth_password"): _N8N,
    ("supabase", "anon_key"): ("supabase", "url"),
    ("supabase", "access_token"): ("supabase", "url"),
    ("supabase", "refresh_token"): ("supabase", "url"),
}
"""A secret -> the address that it belongs to."""


@dataclass(frozen=True, kw_only=True)
class LlmSettings:
    """Which model answers in a chat."""

    base_url: str = OPENROUTER
    """Where the OpenAI-compatible API is, without `/chat/completions` and without a last slash."""
    model: str = "openai/gpt-4o"
    """The model's name, as that API knows it."""
    api_key: SecretStr | None = None
    """Sent as a bearer token, and never to another base URL than the one it was given for."""
    temperature: float = 0.7
    """0 to 2; higher is more varied."""
    max_tokens: int = 2000
    """The longest answer, in tokens."""

    @property
    def demo(self) -> bool:
        """Whether the built-in demo model answers: no key, and the API is one that needs it."""
        return self.api_key is None and self.base_url == OPENROUTER


@dataclass(frozen=True, kw_only=True)
class N8nSettings:
    """Which n8n runs the tasks, with the engine `n8n`."""

    base_url: str | None = None
    """Where its editor and its webhooks are, without a last slash; never None with that engine."""
    token: SecretStr | None = None
    """Sent to the webhooks in the header `X-Stepline-Token`."""
    api_key: SecretStr | None = None
    """For its public API: `stepline n8n` needs it, and stopping an execution at once."""
    basic_auth_user: str | None = None
    """Where a proxy before it asks for one."""
    basic_auth_password: SecretStr | None = None
    """See `basic_auth_user`."""
    database_url: SecretStr | None = None
    """URL of the database as n8n reaches it, for a role with the rights of `stepline_worker`."""
    workflow_ids: Mapping[str, str] = field(default_factory=dict[str, str])
    """What `stepline n8n push` wrote: environment variable of `workflows.toml` -> workflow id."""


@dataclass(frozen=True, kw_only=True)
class SupabaseSettings:
    """Which Supabase project the store `supabase` is in."""

    url: str | None = None
    """The project's address, without a last slash; never None with that store."""
    anon_key: SecretStr | None = None
    """Its anon (publishable) key; never None with that store, never a service key."""
    access_token: SecretStr | None = None
    """A signed-in user's token, for a machine on which nobody signs in; else the session that
    `stepline login` began."""
    refresh_token: SecretStr | None = None
    """That session's refresh token; with it the session goes on when the other has expired."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set, after file, environment and command line were put together."""

    profile: str = EMBEDDED
    """The profile in use: a `[profiles.NAME]` table of the file, or `embedded`."""
    store: Literal["embedded", "postgres", "supabase"] = "embedded"
    """Where the data is: in the bundled PostgreSQL, in the one at `database_url`, or in a Supabase
    project.

    Where it is not set, the address of a project makes it `supabase`, a database URL `postgres`."""
    engine: Literal["local", "n8n"] = "local"
    """What runs the tasks; where it is not set, the address of an n8n makes it `n8n`."""
    database_url: SecretStr | None = None
    """URL or conninfo of the PostgreSQL that the store `postgres` uses; never None with it."""
    data_dir: Path
    """Where the bundled PostgreSQL keeps its data."""
    state_dir: Path
    """Where the logs are; inside `data_dir` where that was chosen."""
    config_file: Path
    """The settings file; it need not exist."""
    workflows_file: Path
    """The registry of automations."""
    user: str | None = None
    """Whom to act as in the database; None: the store's own default."""
    llm: LlmSettings = LlmSettings()
    """Which model answers, where the local worker is what calls it."""
    n8n: N8nSettings = N8nSettings()
    """Which n8n, with the engine `n8n`."""
    supabase: SupabaseSettings = SupabaseSettings()
    """Which project, with the store `supabase`."""
    animation: Literal["full", "reduced", "none"] = "full"
    """How much moves on the screen."""
    mouse: bool = True
    """Whether the app takes the mouse (selecting text then needs shift); never in GNU screen."""
    linear: bool = False
    """Whether plain lines take the place of the full screen."""
    theme: str = "stepline"
    """The screen's colours, by name; all but the terminal's own need 256."""
    ascii: bool | None = None
    """Whether only ASCII symbols are drawn; None: whatever the terminal's locale can show."""
    keys: dict[str, str] = field(default_factory=dict[str, str])
    """Action id -> key, where it is not the default one."""
    sources: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    """Dotted key -> where it was set; ask `source`."""
    warnings: tuple[str, ...] = ()
    """Sentences about settings that work but should be changed."""

    @property
    def demo_answers(self) -> bool:
        """Whether the built-in demo model answers what is sent: only the bundled database has a
        worker that goes by these settings."""
        return self.store == "embedded" and self.engine == "local" and self.llm.demo

    @property
    def first_start(self) -> bool:
        """Whether the embedded database has yet to be made, which takes seconds."""
        from core.store.embedded.layout import Layout

        return self.store == "embedded" and not Layout(self.data_dir).cluster.exists()

    def source(self, key: str) -> str:
        """Where `key` (`llm.model`, `keys.ACTION`) was set, in words for people and for errors.

        File and line, the name of a variable, `command line`, or `default`.
        """
        return self.sources.get(key, "default")


class Shown(NamedTuple):
    """A line of `stepline config show`."""

    key: str
    value: str
    """As people may see it: secrets are masked."""
    source: str
    """See `Settings.source`."""


def load_settings(
    *,
    profile: str | None = None,
    data_dir: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    env: Mapping[str, str] = os.environ,
) -> Settings:
    """The settings from file, environment (`env`) and command line (the other arguments).

    `overrides` maps dotted keys to values as a settings file would have them; None: not given.
    Raises `ConfigError`, naming file and line, variable or option, and the nearest valid name.
    """
    document = _read(env)
    declared = document.parse(FileValues)
    name, profile_source = _profile(declared, document, profile, env)
    layers = [
        *file_layers(declared, document, name),
        environment_layer(env),
        command_line_layer({"data_dir": data_dir, **(overrides or {})}),
    ]
    if pushed := _pushed_layer(layers, document.path, name):
        layers.insert(0, pushed)
    values: dict[Key, Any] = {}
    sources = {"profile": profile_source}
    for layer in layers:
        values |= layer.values
        sources |= {dotted(key): layer.source(key) for key in layer.values}
    _choose_api_key(layers, env, values, sources)
    _drop_strange_secrets(layers, values, sources)
    settings = _settings(name, document.path, values, sources)
    if settings.store == "postgres" and settings.database_url is None:
        raise ConfigError(
            f'store is "postgres" ({settings.source("store")}) but there is no database URL; '
            "put database_url beside it, or set STEPLINE_DB_URL."
        )
    if settings.engine == "n8n" and settings.n8n.base_url is None:
        raise ConfigError(
            f'engine is "n8n" ({settings.source("engine")}) but there is no address of one; '
            "put base_url into [n8n], or set N8N_BASE_URL."
        )
    if settings.store == "supabase" and (
        settings.supabase.url is None or settings.supabase.anon_key is None
    ):
        raise ConfigError(
            f'store is "supabase" ({settings.source("store")}) but its url or its anon key is '
            "missing; put both into [supabase], or set SUPABASE_URL and SUPABASE_ANON_KEY."
        )
    return replace(settings, warnings=tuple(_warnings(settings, declared)))


def describe(settings: Settings) -> list[Shown]:
    """Every setting, what it is, and where that came from."""
    flat: dict[str, object] = {}
    for name in (each.name for each in fields(Settings)):
        value: object = getattr(settings, name)
        if is_dataclass(value):
            flat |= {f"{name}.{key.name}": getattr(value, key.name) for key in fields(value)}
        elif name == "keys":
            flat |= {f"{name}.{key}": each for key, each in settings.keys.items()}
        elif name not in ("sources", "warnings"):
            flat[name] = value
    return [Shown(key, _shown(value), settings.source(key)) for key, value in flat.items()]


def template() -> str:
    """A settings file in which everything is explained and commented out."""
    return Path(__file__).with_name("config.template.toml").read_text(encoding="utf-8")


def default_config_file() -> Path:
    """`~/.config/stepline/config.toml`, on a Mac too, or below `$XDG_CONFIG_HOME`."""
    return Unix(_APP).user_config_path / "config.toml"


def default_workflows_file() -> Path:
    """The `workflows.toml` that came with the program."""
    # A wheel has it beside this module, a checkout (also one installed as editable) on top.
    packaged = Path(__file__).with_name("workflows.toml")
    return packaged if packaged.exists() else Path(__file__).parents[1] / "workflows.toml"


def _read(env: Mapping[str, str]) -> Document:
    chosen = env.get("STEPLINE_CONFIG")
    if not chosen:
        return read_toml(default_config_file(), missing_ok=True)
    path = Path(chosen).expanduser().absolute()
    if not path.exists():
        raise ConfigError(
            f"STEPLINE_CONFIG names {path}, which does not exist; "
            "`stepline config init` writes one to start from."
        )
    return read_toml(path)


def _profile(
    declared: FileValues, document: Document, option: str | None, env: Mapping[str, str]
) -> tuple[str, str]:
    """The profile's name, and where it was chosen."""
    if option:
        name, source = option, "command line"
    elif env.get("STEPLINE_PROFILE"):
        name, source = env["STEPLINE_PROFILE"], "STEPLINE_PROFILE"
    elif declared.profile:
        name, source = declared.profile, document.place(("profile",))
    else:
        return EMBEDDED, "default"
    known = [*dict.fromkeys([EMBEDDED, *declared.profiles])]
    if name not in known:
        hint = did_you_mean(name, known) or f"; add [profiles.{name}] to {document.path}."
        raise ConfigError(
            f'There is no profile "{name}" ({source}){hint} Known: {", ".join(known)}.'
        )
    return name, source


def _pushed_layer(layers: list[Layer], config_file: Path, profile: str) -> Layer | None:
    """What was pushed for the store in force; None where another n8n is in force."""
    values: dict[Key, Any] = {}
    for layer in layers:
        values |= layer.values
    store = _store(values)
    data_dir = values.get(("data_dir",)) or platformdirs.user_data_path(_APP)
    path = pushed_file(store, data_dir=data_dir, config_file=config_file, profile=profile)
    if not path.exists():
        return None
    project = values.get(("supabase", "url"))
    found = Pushed.read(path, store_name(store, values.get(("database_url",)), project))
    if found is None or values.get(_N8N, found.base_url) != found.base_url:
        return None
    wrote: dict[Key, Any] = {
        _N8N: found.base_url,
        ("n8n", "token"): found.token,
        ("n8n", "workflow_ids"): found.workflow_ids,
    }
    return Layer(wrote, lambda _: str(path), from_file=True)


def _store(values: Mapping[Key, Any]) -> Literal["embedded", "postgres", "supabase"]:
    """The store that is set, or that follows from what is set."""
    if chosen := values.get(("store",)):
        return chosen
    if ("supabase", "url") in values:
        return "supabase"
    return "postgres" if ("database_url",) in values else "embedded"


def _choose_api_key(
    layers: list[Layer],
    env: Mapping[str, str],
    values: dict[Key, Any],
    sources: dict[str, str],
) -> None:
    """Sees to it that a key only ever goes to the base URL it was given for.

    A key in the file belongs to the base URL in force where it stands; one in `OPENROUTER_API_KEY`
    to OpenRouter; one in `STEPLINE_LLM_API_KEY` to whatever is used now.
    """
    url, key_url, in_file = OPENROUTER, None, False
    for layer in layers:
        url = layer.values.get(_URL, url)
        if _API_KEY in layer.values:
            key_url, in_file = url, layer.from_file
    general = env.get("OPENROUTER_API_KEY")
    if url == OPENROUTER and general and (key_url is None or in_file):
        values[_API_KEY] = SecretStr(general)
        sources[dotted(_API_KEY)] = "OPENROUTER_API_KEY"
    elif in_file and key_url != url:
        del values[_API_KEY]
        sources[dotted(_API_KEY)] += f" is not used: it was given for {key_url}"


def _drop_strange_secrets(
    layers: list[Layer], values: dict[Key, Any], sources: dict[str, str]
) -> None:
    """Sees to it that a secret of the file goes to the address in force where it stands only."""
    for secret, address in _SECRETS.items():
        at, given_for, in_file = None, None, False
        for layer in layers:
            at = layer.values.get(address, at)
            if secret in layer.values:
                given_for, in_file = at, layer.from_file
        if in_file and given_for != at:
            del values[secret]
            sources[dotted(secret)] += f" is not used: it was given for {given_for}"


def _settings(
    profile: str, config_file: Path, values: Mapping[Key, Any], sources: dict[str, str]
) -> Settings:
    own_workflows = config_file.with_name("workflows.toml")
    workflows = own_workflows if own_workflows.exists() else default_workflows_file()
    chosen = cast("Path | None", values.get(("data_dir",)))
    store, engine = _store(values), "local"
    if ("supabase", "url") in values:
        sources.setdefault("store", f"because of the project ({sources['supabase.url']})")
    elif ("database_url",) in values:
        sources.setdefault("store", f"because of the database URL ({sources['database_url']})")
    if _N8N in values:
        engine = "n8n"
        sources.setdefault("engine", f"because of the n8n ({sources['n8n.base_url']})")
    own: dict[str, Any] = {
        "store": store,
        "engine": engine,
        "data_dir": platformdirs.user_data_path(_APP),
        "workflows_file": workflows,
        **{str(key[0]): value for key, value in values.items() if len(key) == 1},
    }

    def table(name: str) -> dict[str, Any]:
        return {str(key[1]): value for key, value in values.items() if key[0] == name}

    # Each value was checked where it was read; see `core.layers`.
    return Settings(
        **own,
        llm=LlmSettings(**table("llm")),
        n8n=N8nSettings(**table("n8n")),
        supabase=SupabaseSettings(**table("supabase")),
        keys=table("keys"),
        profile=profile,
        state_dir=chosen / "state" if chosen else platformdirs.user_state_path(_APP),
        config_file=config_file,
        sources=sources,
    )


def _warnings(settings: Settings, declared: FileValues) -> Iterator[str]:
    tables = [declared, *declared.profiles.values()]
    if any(_secrets_of(table) for table in tables):
        mode = settings.config_file.stat().st_mode
        if mode & (stat.S_IRGRP | stat.S_IROTH):
            path = settings.config_file
            yield f"Others can read the secrets in {path}; run `chmod 600 {path}`."
    url_source = settings.source("database_url")
    if settings.store == "embedded" and url_source in ("STEPLINE_DB_URL", "command line"):
        yield (
            f"The database URL ({url_source}) is not used: "
            f'store is "embedded" ({settings.source("store")}).'
        )


def _secrets_of(table: Values) -> bool:
    given = (table.database_url, table.llm.api_key, table.n8n.token, table.n8n.api_key)
    tokens = (table.supabase.access_token, table.supabase.refresh_token)
    return any((*given, *tokens)) or bool(table.n8n.basic_auth_password or table.n8n.database_url)


def _shown(value: object) -> str:
    match value:
        case None:
            return "not set"
        case SecretStr():
            return _MASK
        case bool():
            return "true" if value else "false"
        case dict() if not value:
            return "none"
        case _:
            return str(value)
