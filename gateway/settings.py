"""Every setting: name, type, default, meaning. Read once, from GATEWAY_* variables, at start."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "GATEWAY_"

REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}")

INJECTED = re.compile(
    r"GATEWAY_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?"
    r"|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
"""What Kubernetes puts into each pod's environment for a Service called `gateway` or
`gateway-…`; and `…_PORT`, told by its value."""

REDIS = re.compile(r"rediss?://(?:[^\s/?#@]*@)?(\[[0-9a-f:]+\]|[^\s/?#@:]+)(?::(\d+))?(/\d{0,5})?")

ORIGIN = re.compile(
    r"(https?)://(\[[0-9a-f:]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::([1-9]\d{0,4}))?"
)

MAX_PORT = 65535

USUAL_PORTS = {("http", "80"), ("https", "443")}
"""Which browsers leave out of an origin."""

INJECTED_PORT = re.compile(r"(tcp|udp|sctp)://.*")


class SettingsError(Exception):
    """The settings are not what they must be; the message names each and what is accepted."""


def _region(value: str) -> str:
    if not REGION.fullmatch(value):
        raise ValueError(f"`{value}` is not the name of an AWS region, such as us-east-1")
    return value


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _web_address(value: str) -> str:
    found = re.fullmatch(r"https?://(\[[0-9a-f:]+\]|[^/?#@:\s]+)(?::(\d+))?/?", value)
    if not found or int(found[2] or 1) not in range(1, 65536):
        raise ValueError("not an address such as https://host or http://host:port, without a path")
    return value.rstrip("/")


def _origin(value: str) -> str:
    found = ORIGIN.fullmatch(value)
    if not found or int(found[3] or 1) > MAX_PORT or (found[1], found[3]) in USUAL_PORTS:
        raise ValueError(
            f"`{value}` is not an origin as browsers send it, such as https://app.example.com or "
            "http://localhost:3000: in lower case, without a path, a slash at the end, a wildcard "
            "or the scheme's usual port"
        )
    return value


def _named(value: Any) -> Any:
    if value == "":
        raise ValueError("it names no file")
    return value


def _cache_address(value: str) -> str:
    if value == "memory://":
        return value
    found = REDIS.fullmatch(value)
    if not found or int(found[2] or 1) not in range(1, 65536):
        raise ValueError(
            "not memory://, redis://host:port/db or rediss://host:port/db, with no more than "
            "user:password@ before the host, percent-encoded"
        )
    return value


Region = Annotated[str, AfterValidator(_region)]
Origin = Annotated[str, AfterValidator(_origin)]
WebAddress = Annotated[str, AfterValidator(_web_address)]


class Settings(BaseSettings):
    """The settings of one gateway."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", case_sensitive=False
    )

    callers: Annotated[
        frozenset[Literal["aws-headers", "oidc"]], BeforeValidator(_listed), NoDecode
    ] = Field(
        frozenset({"aws-headers"}),
        min_length=1,
        description="How callers may prove who they are: a comma list of `aws-headers`, `oidc`.",
    )
    oidc_file: Annotated[Path, BeforeValidator(_named)] | None = Field(
        None,
        description="The TOML file that says whose tokens are trusted and which role their "
        "claims lead to. Needed for `oidc`.",
    )
    region: Region = Field("us-east-1", description="The AWS region that is asked by default.")
    regions: Annotated[frozenset[Region], BeforeValidator(_listed), NoDecode] = Field(
        frozenset(),
        description="The AWS regions that may be asked: a comma list. The default region alone "
        "if not set.",
    )
    upstream_url: WebAddress | None = Field(
        None, description="Where Clean Rooms ML is. AWS's own endpoint of each region if not set."
    )
    sts_url: WebAddress | None = Field(
        None, description="Where STS is. AWS's own endpoint of the default region if not set."
    )
    cache_url: Annotated[str, AfterValidator(_cache_address)] = Field(
        "memory://",
        repr=False,  # it may hold a password
        description="Where answers are cached: `memory://`, in the process, or `redis://…` or "
        "`rediss://…`, shared by replicas.",
    )
    cache_url_file: Annotated[Path, BeforeValidator(_named)] | None = Field(
        None,
        description="The file that holds what `GATEWAY_CACHE_URL` would, which is then not set: "
        "for one with a password.",
    )
    cache_seconds: float = Field(
        5,
        ge=0,
        le=3600,
        description="How long an answer may be served again, also to a caller who has lost "
        "the right to it since. 0: not at all.",
    )
    stale_seconds: float = Field(
        0,
        ge=0,
        le=86400,
        description="For how long an answer that is too old may still be served while the "
        "upstream fails; the answer says so. 0: not at all.",
    )
    cache_bytes: int = Field(
        64 * 1024 * 1024, ge=0, le=2**40, description="How many bytes the memory cache may hold."
    )
    deadline_seconds: float = Field(
        20, gt=0, le=300, description="How long one request may take in all."
    )
    max_upstream_calls: int = Field(
        20, ge=1, description="How many pages one operation may ask the upstream for."
    )
    max_detail_calls: int = Field(
        500, ge=1, description="How many single objects one operation may ask the upstream for."
    )
    caller_calls_per_second: int = Field(
        50,
        ge=0,
        le=1_000_000,
        description="How many calls to AWS one caller may cause in a second, over 12 seconds; "
        "so 600 at once. Counted by all replicas that share a Redis. 0: no limit.",
    )
    max_in_flight: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="How many requests are served at once; a quarter of them of one caller. A "
        "quarter more wait for a moment, the others are OVERLOADED.",
    )
    drain_seconds: float = Field(
        5,
        ge=0,
        le=3600,
        description="For how long after SIGTERM requests are still taken, while `/readyz` says "
        "that they are better sent elsewhere.",
    )
    cors_origins: Annotated[frozenset[Origin], BeforeValidator(_listed), NoDecode] = Field(
        frozenset(),
        description="The origins whose pages may ask from a browser: a comma list, each exactly "
        "as browsers send it. None if not set.",
    )
    router_secret_file: Annotated[Path, BeforeValidator(_named)] | None = Field(
        None,
        description="The file of secrets, one a line, of which a router shows one in "
        "`X-Router-Secret` to ask for `_service` and `_entities`. Anybody may ask for them if "
        "not set.",
    )
    root_node: bool = Field(
        default=True,
        description="Whether the root has `node` and `nodes`. In a federated graph one subgraph "
        "alone may have them.",
    )
    graphiql: bool = Field(
        default=False,
        description="Whether a browser gets GraphiQL at `/graphql`. On in `gateway dev`.",
    )
    introspection: bool = Field(
        default=False,
        description="Whether the schema may be asked for. On in `gateway dev`.",
    )
    allow_long_term_keys: bool = Field(
        default=False,
        description="Whether callers may use long-term keys (`AKIA…`), which never expire.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severe kind of log line that is written."
    )
    trace_ratio: float = Field(
        0,
        ge=0,
        le=1,
        description="The share of requests that are traced, 1 being all; the spans go where "
        "OpenTelemetry's own variables say. Needs the extra `otel`. 0: none.",
    )
    limit_tokens: int = Field(
        2000, ge=1, description="How many tokens a GraphQL document may have."
    )
    limit_depth: int = Field(
        15, ge=1, description="How deep the fields of an operation may nest, introspection apart."
    )
    limit_aliases: int = Field(
        30, ge=0, le=10**9, description="How many aliases an operation may have."
    )
    limit_root_fields: int = Field(
        10, ge=1, le=10**9, description="How many fields the root of an operation may have."
    )
    limit_directives: int = Field(
        50, ge=0, le=10**9, description="How many directives an operation may have."
    )
    limit_selections: int = Field(
        10000,
        ge=1,
        le=10**9,
        description="How many selections an operation may have, those of fragments wherever they "
        "are spread.",
    )
    limit_fields: int = Field(
        50000,
        ge=1,
        description="How many fields an answer may have by what is asked for, those of each row "
        "counted.",
    )
    limit_body_bytes: int = Field(
        262144, ge=1, description="How many bytes the body of a request may have."
    )
    limit_ids: int = Field(500, ge=1, description="How many ids one `nodes` field takes.")

    @model_validator(mode="after")
    def _serve_the_default_region(self) -> Self:
        if self.regions and self.region not in self.regions:
            raise ValueError(f"GATEWAY_REGIONS lacks GATEWAY_REGION, {self.region}")
        return self

    @model_validator(mode="after")
    def _know_whom_to_trust(self) -> Self:
        if ("oidc" in self.callers) != (self.oidc_file is not None):
            raise ValueError(
                "GATEWAY_OIDC_FILE goes with oidc in GATEWAY_CALLERS, and only with it"
            )
        return self

    @model_validator(mode="after")
    def _know_one_cache(self) -> Self:
        if self.cache_url_file is not None and "cache_url" in self.model_fields_set:
            raise ValueError("GATEWAY_CACHE_URL and GATEWAY_CACHE_URL_FILE exclude each other")
        return self

    def read_cache_url(self) -> str:
        """Return where answers are cached, from the file if there is one.

        Raises SettingsError that names the file, never what is in it.
        """
        path = self.cache_url_file
        if path is None:
            return self.cache_url
        try:
            return _cache_address(path.read_text(encoding="utf-8").rstrip("\r\n"))
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        except UnicodeDecodeError:
            reason = "is not text in UTF-8"
        except ValueError as error:
            reason = f"is not one line with an address: {error}"
        raise SettingsError(f"{PREFIX}CACHE_URL_FILE: {path} {reason}.")

    @property
    def served_regions(self) -> frozenset[str]:
        """The regions that may be asked."""
        return self.regions or frozenset({self.region})

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  pydantic passes all five by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read from arguments and the environment, no file."""
        return init_settings, env_settings


def read_settings(**defaults: Any) -> Settings:
    """Read the settings from the environment; what it does not set is as in `defaults`.

    Raises SettingsError that names each variable that is unknown or has a bad value.
    """
    environment = _environment()
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    problems = []
    unknown = sorted(name for name in environment if name not in known)
    if unknown:
        accepted = ", ".join(sorted(known))
        problems.append(f"Unknown: {', '.join(unknown)}. Accepted: {accepted}.")
    doubled = sorted({name for name in environment if environment.count(name) > 1})
    problems += [f"{name} is there twice, in capitals and not. Accepted: once." for name in doubled]
    unset = {
        name: value
        for name, value in defaults.items()
        if f"{PREFIX}{name.upper()}" not in environment
    }
    try:
        settings = Settings(**unset)
    except ValidationError as error:
        problems += dict.fromkeys(map(_in_words, error.errors()))
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def _environment() -> list[str]:
    """List the variables that are meant for us."""
    return [
        name.upper()
        for name, value in os.environ.items()  # noqa: TID251  here it is read
        if name.upper().startswith(PREFIX)
        and not INJECTED.fullmatch(name.upper())
        and not (name.upper().endswith("_PORT") and INJECTED_PORT.fullmatch(value))
    ]


def _in_words(problem: Mapping[str, Any]) -> str:
    reason = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return f"{reason}."
    name = str(problem["loc"][0]).lower()
    field = Settings.model_fields[name]
    if problem["type"].startswith(("bool_", "literal_error", "int_", "float_")):
        reason = "not a value that is accepted"
    return f"{PREFIX}{name.upper()}: {reason}. Accepted: {_accepted(field)}. {field.description}"


def _accepted(field: FieldInfo) -> str:
    """Say what a setting takes."""
    kind = field.annotation
    bounds = {type(each): each for each in field.metadata}
    if kind is bool:
        return "true or false"
    if kind in {int, float}:
        least, most = bounds.get(Ge) or bounds.get(Gt), bounds.get(Le)
        above = "more than " if isinstance(least, Gt) else ""
        lowest = getattr(least, "ge", getattr(least, "gt", None))
        number = "a whole number" if kind is int else "a number"
        return f"{number}, {above}{lowest}" + (f" to {most.le}" if most else " or more")
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    return " or ".join(map(str, choices)) or "see below"
