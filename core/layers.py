"""What may be set, and the three places that set it: file, environment and command line."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    TypeAdapter,
    ValidationError,
)

from core.auth.tokens import is_service_key
from core.errors import ConfigError
from core.locate import Key
from core.tomlfile import Document, Table, bad_value, dotted, first_mistake, sentence

_ENVIRONMENT: dict[Key, str] = {
    ("data_dir",): "STEPLINE_DATA_DIR",
    ("workflows_file",): "STEPLINE_WORKFLOWS",
    ("database_url",): "STEPLINE_DB_URL",
    ("user",): "STEPLINE_USER",
    ("llm", "base_url"): "STEPLINE_LLM_BASE_URL",
    ("llm", "model"): "STEPLINE_LLM_MODEL",
    ("llm", "api_key"): "STEPLINE_LLM_API_KEY",
    ("llm", "temperature"): "STEPLINE_LLM_TEMPERATURE",
    ("llm", "max_tokens"): "STEPLINE_LLM_MAX_TOKENS",
    ("engine",): "STEPLINE_ENGINE",
    # The names of spec.md, section 5.1, and what it leaves open in their manner.
    ("n8n", "base_url"): "N8N_BASE_URL",
    ("n8n", "token"): "N8N_WEBHOOK_TOKEN",
    ("n8n", "api_key"): "N8N_API_KEY",
    ("n8n", "basic_auth_user"): "N8N_BASIC_AUTH_USER",
    ("n8n", "basic_auth_password"): "N8N_BASIC_AUTH_PASSWORD",
    ("n8n", "database_url"): "N8N_DATABASE_URL",
    ("supabase", "url"): "SUPABASE_URL",
    ("supabase", "anon_key"): "SUPABASE_ANON_KEY",
    ("supabase", "access_token"): "STEPLINE_ACCESS_TOKEN",
    ("supabase", "refresh_token"): "STEPLINE_REFRESH_TOKEN",
    ("animation",): "STEPLINE_ANIMATION",
    ("theme",): "STEPLINE_THEME",
    ("ascii",): "STEPLINE_ASCII",
    ("mouse",): "STEPLINE_MOUSE",
    ("linear",): "STEPLINE_LINEAR",
}
# The web app's names for the same, as spec.md has them: what an .env file of it sets is enough.
_SECOND_NAMES: dict[Key, str] = {
    ("supabase", "url"): "NEXT_PUBLIC_SUPABASE_URL",
    ("supabase", "anon_key"): "NEXT_PUBLIC_SUPABASE_ANON_KEY",
}
# Variables are text; these are what else they are read as.
_KINDS: dict[Key, TypeAdapter[bool] | TypeAdapter[float] | TypeAdapter[int]] = {
    ("llm", "temperature"): TypeAdapter(float),
    ("llm", "max_tokens"): TypeAdapter(int),
    ("ascii",): TypeAdapter(bool),
    ("mouse",): TypeAdapter(bool),
    ("linear",): TypeAdapter(bool),
}
_PATHS: tuple[Key, ...] = (("data_dir",), ("workflows_file",))


@dataclass(frozen=True)
class Layer:
    """What one place sets, and where exactly it does so, in words for people."""

    values: dict[Key, Any]
    source: Callable[[Key], str]
    from_file: bool = False


def file_layers(declared: "FileValues", document: Document, profile: str) -> Iterator[Layer]:
    """What the file's top level sets, then what the profile sets on top of that."""
    yield _file_layer(declared, document, ())
    if profile in declared.profiles:
        yield _file_layer(declared.profiles[profile], document, ("profiles", profile))


def environment_layer(env: Mapping[str, str]) -> Layer:
    """What the `STEPLINE_*` variables set. One that is empty is as good as not set."""
    names = _ENVIRONMENT | {
        key: name
        for key, name in _SECOND_NAMES.items()
        if env.get(name) and not env.get(_ENVIRONMENT[key])
    }
    given = {key: _typed(key, env[name]) for key, name in names.items() if env.get(name)}
    try:
        values = _given(Values.model_validate(_nested(given)))
    except ValidationError as error:
        key, reason = first_mistake(error)
        raise ConfigError(sentence(f"{names[key[:2]]} {reason}")) from None
    return Layer(_below(Path.cwd(), values), names.__getitem__)


def command_line_layer(options: Mapping[str, object]) -> Layer:
    """What the command line sets; `options` has dotted keys. None: not given."""
    given = {
        tuple(key.split(".", 1)): str(value) if isinstance(value, Path) else value
        for key, value in options.items()
        if value is not None
    }
    try:
        values = _given(Values.model_validate(_nested(given)))
    except ValidationError as error:
        key, reason = first_mistake(error)
        raise ConfigError(sentence(f"{dotted(key)} on the command line {reason}")) from None
    return Layer(_below(Path.cwd(), values), lambda _: "command line")


def _typed(key: Key, text: str) -> object:
    try:
        return _KINDS[key].validate_python(text) if key in _KINDS else text
    except ValidationError:
        return text  # and `Values` says what it should have been


def _file_layer(declared: "Values", document: Document, table: Key) -> Layer:
    return Layer(
        _below(document.path.parent, _given(declared)),
        lambda key: document.place((*table, *key)),
        from_file=True,
    )


def _given(values: BaseModel) -> dict[Key, Any]:
    """The values that were given, each by its key."""
    given: dict[Key, Any] = {}
    # `FileValues` has two more fields, which are no settings.
    for name in values.model_fields_set - {"profile", "profiles"}:
        value: object = getattr(values, name)
        if isinstance(value, BaseModel):
            given |= {(name, *key): each for key, each in _given(value).items()}
        elif isinstance(value, dict):
            table = cast("dict[str, object]", value)
            given |= {(name, key): each for key, each in table.items()}
        else:
            given[(name,)] = value
    return given


def _nested(given: Mapping[Any, object]) -> dict[str, Any]:
    """The tables that `given`, with keys of one or two parts, would be in a file."""
    tables: dict[str, Any] = {}
    for (first, *rest), value in given.items():
        if rest:
            tables.setdefault(first, {})[rest[0]] = value
        else:
            tables[first] = value
    return tables


def _below(directory: Path, values: dict[Key, Any]) -> dict[Key, Any]:
    """`values` with paths made absolute, as seen from `directory`."""
    paths = {key: directory / values[key] for key in _PATHS if key in values}
    return {**values, **paths}


def _web_address(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise bad_value("should begin with http:// or https://")
    if "@" in url.split("/")[2]:
        # It is shown in errors and in `config show`.
        raise bad_value("should not hold a user or a password; give a key as api_key")
    return url.rstrip("/")


def _no_service_key(key: SecretStr) -> SecretStr:
    if is_service_key(key.get_secret_value()):
        raise bad_value(
            "is a service key, which sees and changes everybody's rows and must not leave the "
            "server; set the project's anon (publishable) key, or a user's token"
        )
    return key


def _database_address(url: SecretStr) -> SecretStr:
    text = url.get_secret_value()
    if not text.startswith(("postgresql://", "postgres://")) and "=" not in text:
        raise bad_value("should begin with postgresql://")
    return url


def _expanded(path: str) -> str:
    try:
        return str(Path(path).expanduser())
    except RuntimeError:
        raise bad_value("names the home of a user who is not known here") from None


def _action_ids(value: object) -> object:
    """`task.retry = "r"` is a table in a table to TOML; here it is the key of an action."""
    if not isinstance(value, dict):
        return value
    flat: dict[str, object] = {}
    for name, inner in cast("dict[str, object]", value).items():
        below = _action_ids(inner)
        if isinstance(below, dict):
            table = cast("dict[str, object]", below)
            flat |= {f"{name}.{key}": each for key, each in table.items()}
        else:
            flat[name] = below
    return flat


_Text = Annotated[StrictStr, Field(min_length=1)]
_PathText = Annotated[_Text, AfterValidator(_expanded)]
_Secret = Annotated[SecretStr, Field(min_length=1)]


class LlmValues(Table):
    """The `[llm]` table; what each key means is told in `core.settings.LlmSettings`."""

    base_url: Annotated[_Text, AfterValidator(_web_address)] | None = None
    model: _Text | None = None
    api_key: _Secret | None = None
    temperature: Annotated[StrictFloat, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[StrictInt, Field(ge=1)] | None = None


class N8nValues(Table):
    """The `[n8n]` table; what each key means is told in `core.settings.N8nSettings`."""

    base_url: Annotated[_Text, AfterValidator(_web_address)] | None = None
    token: _Secret | None = None
    api_key: _Secret | None = None
    basic_auth_user: _Text | None = None
    basic_auth_password: _Secret | None = None
    database_url: Annotated[_Secret, AfterValidator(_database_address)] | None = None


class SupabaseValues(Table):
    """The `[supabase]` table; what each key means is told in `core.settings.SupabaseSettings`."""

    url: Annotated[_Text, AfterValidator(_web_address)] | None = None
    anon_key: Annotated[_Secret, AfterValidator(_no_service_key)] | None = None
    access_token: Annotated[_Secret, AfterValidator(_no_service_key)] | None = None
    refresh_token: _Secret | None = None


class Values(Table):
    """What each of the three places can set; the meanings are told in `core.settings.Settings`."""

    store: Literal["embedded", "postgres", "supabase"] | None = None
    engine: Literal["local", "n8n"] | None = None
    database_url: Annotated[_Secret, AfterValidator(_database_address)] | None = None
    data_dir: _PathText | None = None
    workflows_file: _PathText | None = None
    user: _Text | None = None
    animation: Literal["full", "reduced", "none"] | None = None
    mouse: StrictBool | None = None
    linear: StrictBool | None = None
    theme: _Text | None = None
    ascii: StrictBool | None = None
    llm: LlmValues = LlmValues()
    n8n: N8nValues = N8nValues()
    supabase: SupabaseValues = SupabaseValues()
    keys: Annotated[dict[str, _Text], BeforeValidator(_action_ids)] = Field(default_factory=dict)


class FileValues(Values):
    """A whole settings file."""

    profile: _Text | None = None
    profiles: dict[str, Values] = Field(default_factory=dict)
