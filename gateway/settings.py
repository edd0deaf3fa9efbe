"""Every setting: name, type, bounds, default and meaning.

`environment.py` reads them. `make docs` writes the tables of the documentation and the schema of
the chart's values from this module.
"""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway.setting_files import read_setting_file
from gateway.setting_types import (
    CACHE_URL,
    Limit,
    Origin,
    PathPrefix,
    Region,
    RegionalUrl,
    lower_case,
    split_commas,
)

PREFIX = "GATEWAY_"


class SettingsError(Exception):
    """A setting is invalid; the message names each invalid one and what it accepts."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,  # Compose writes an empty value for what is unset
        frozen=True,
        extra="forbid",
        case_sensitive=False,
    )

    callers: Annotated[
        frozenset[Literal["aws-headers", "oidc"]], BeforeValidator(split_commas), NoDecode
    ] = Field(
        frozenset({"aws-headers"}),
        min_length=1,
        description="Authentication schemes that callers may use.",
    )
    oidc_file: Path | None = Field(
        None,
        description="TOML file of trusted issuers, and of the roles that the claims of their "
        "tokens map to. Required with `oidc`, and only then.",
    )
    region: Region = Field("us-east-1", description="Default AWS region.")
    regions: Annotated[frozenset[Region], BeforeValidator(split_commas), NoDecode] = Field(
        frozenset(), description="AWS regions that may be queried. Unset: `GATEWAY_REGION` alone."
    )
    upstream_url: RegionalUrl | None = Field(
        None,
        description="Clean Rooms ML endpoint. Unset: AWS's own endpoint of each region.",
    )
    sts_url: RegionalUrl | None = Field(
        None,
        description="STS endpoint, of `GATEWAY_REGION`. Unset: AWS's own endpoint of that region.",
    )
    path_prefix: PathPrefix | None = Field(
        None,
        description="Path below which clients see the gateway. Every route is served below it, and "
        "without it, for proxies that strip it.",
    )
    admin_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port for `/metrics`, `/livez` and `/readyz` alone; the main port then has "
        "none of them. Unset: they are on the main port.",
    )
    cache_url: Annotated[str, CACHE_URL] = Field(
        "memory://",
        repr=False,  # it may contain a password
        description="Where responses are cached: in the memory of each process, or in a Redis or "
        "Valkey, or a cluster, that replicas share.",
    )
    cache_url_file: Path | None = Field(
        None,
        description="File that contains the cache URL; for a URL with a password. Excludes "
        "`GATEWAY_CACHE_URL`.",
    )
    cache_seconds: float = Field(
        5,
        ge=0,
        le=3600,
        description="How long a cached response is served, also to a caller who has since lost "
        "the permission. 0 disables the cache.",
    )
    stale_seconds: float = Field(
        0,
        ge=0,
        le=86400,
        description="How much longer an expired response may be served while the upstream fails; "
        "the response says so. 0 disables it.",
    )
    cache_bytes: int = Field(
        64 * 1024**2, ge=0, le=2**40, description="Bytes of the memory cache; a quarter per caller."
    )
    deadline_seconds: float = Field(
        20,
        gt=0,
        le=300,
        description="Time limit of a request.",
        json_schema_extra={"exceeded": "`UPSTREAM_TIMEOUT`, or the part read by then"},
    )
    max_upstream_calls: Limit = Field(
        100,
        ge=1,
        description="List calls to AWS per operation, one after another, for pages of up to 100 "
        "rows.",
        json_schema_extra={"exceeded": "the part read by then; 400 `LIMIT_EXCEEDED` if foreseen"},
    )
    max_detail_calls: Limit = Field(
        500, ge=1, description="Calls to AWS per operation for single objects."
    )
    caller_calls_per_second: int = Field(
        50,
        ge=0,
        le=1_000_000,
        description="Calls to AWS and STS per second per caller, averaged over 12 s (a burst of 12 "
        "times as many). Replicas that share a Redis count together. 0 disables the limit.",
        json_schema_extra={"exceeded": "`THROTTLED` with `retryAfter`"},
    )
    max_in_flight: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="Concurrent requests per process. One caller may have a quarter of them, and "
        "so may all unproved callers together. A quarter more wait briefly for a slot.",
        json_schema_extra={"exceeded": "503 `OVERLOADED` with `Retry-After`"},
    )
    max_subscriptions: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="Open subscriptions per process; 20 of one caller, or 2% if that is more.",
        json_schema_extra={"exceeded": "503 `OVERLOADED` with `Retry-After`"},
    )
    watch_seconds: float = Field(
        5,
        gt=0,
        le=300,
        description="Interval at which AWS is asked for what a caller subscribes to; up to three "
        "times as long while nothing changes, and 2 s per page for a list.",
    )
    drain_seconds: float = Field(
        5,
        ge=0,
        le=3600,
        description="How long requests are still accepted after SIGTERM, while `/readyz` reports "
        "`draining`.",
    )
    cors_origins: Annotated[frozenset[Origin], BeforeValidator(split_commas), NoDecode] = Field(
        frozenset(),
        description="Origins whose pages may call the gateway from a browser. Unset: none.",
    )
    router_secret_file: Path | None = Field(
        None,
        description="File of secrets, one per line. Queries for `_service` and `_entities` must "
        "send one of them in the header `X-Router-Secret`. Unset: no secret is required.",
    )
    persisted_documents_file: Path | None = Field(
        None,
        description="Manifest of persisted documents, from Relay's compiler or "
        "@apollo/generate-persisted-query-manifest. Requests name one by its id, as `documentId` "
        "or in `extensions.persistedQuery`. Unset: there are only those that clients have sent "
        "with their hash.",
    )
    persisted_only: bool = Field(
        default=False,
        description="Whether only the documents of `GATEWAY_PERSISTED_DOCUMENTS_FILE` are "
        "accepted, by id or in full. With the router's secret, the schema can still be read.",
    )
    root_node: bool = Field(
        default=True,
        description="Whether `Query` has `node` and `nodes`. Only one subgraph of a federated "
        "graph may have them.",
    )
    graphiql: bool = Field(
        default=False,
        description="Whether browsers get GraphiQL at `/graphql`. Enabled in `gateway dev`.",
    )
    introspection: bool = Field(
        default=False,
        description="Whether introspection queries are allowed. Enabled in `gateway dev`.",
    )
    allow_long_term_keys: bool = Field(
        default=False,
        description="Whether callers may use long-term AWS keys (`AKIA…`), which never expire.",
    )
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], BeforeValidator(lower_case)
    ] = Field("info", description="Minimum log level.")
    trace_ratio: float = Field(
        0,
        ge=0,
        le=1,
        description="Fraction of requests that are traced. OpenTelemetry's own variables configure "
        "the export. Requires the extra `otel`. 0 disables tracing.",
    )
    limit_tokens: Limit = Field(2000, ge=1, description="Tokens, and lines, in a document.")
    limit_depth: Limit = Field(
        15, ge=1, description="Nesting depth of an operation, except introspection."
    )
    limit_aliases: Limit = Field(
        30, ge=0, le=10**9, description="Aliases in an operation, except those of `_entities`."
    )
    limit_root_fields: Limit = Field(
        10, ge=1, le=10**9, description="Root fields in an operation, except `_entities`."
    )
    limit_directives: Limit = Field(50, ge=0, le=10**9, description="Directives in an operation.")
    limit_selections: Limit = Field(
        10000,
        ge=1,
        le=10**9,
        description="Selections in an operation; those of a fragment count at each spread.",
    )
    limit_fields: Limit = Field(
        50000, ge=1, description="Fields of a response, those of each row and list element too."
    )
    limit_rows: Limit = Field(
        50000, ge=1, description="List rows examined by an operation, also from the cache."
    )
    limit_answer_bytes: Limit = Field(16 * 1024**2, ge=1, description="Bytes of a response.")
    limit_body_bytes: int = Field(
        262144,
        ge=1,
        description="Size of a request body in bytes.",
        json_schema_extra={"exceeded": "413 `LIMIT_EXCEEDED`"},
    )
    limit_ids: int = Field(
        500,
        ge=1,
        description="Ids in one `nodes` field, and representations in all `_entities` fields.",
        json_schema_extra={"exceeded": "`LIMIT_EXCEEDED` at the field"},
    )

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if self.regions and self.region not in self.regions:
            raise ValueError(f"GATEWAY_REGIONS does not include GATEWAY_REGION, {self.region}")
        if ("oidc" in self.callers) != (self.oidc_file is not None):
            raise ValueError("GATEWAY_OIDC_FILE requires `oidc` in GATEWAY_CALLERS, and vice versa")
        if self.cache_url_file is not None and "cache_url" in self.model_fields_set:
            raise ValueError("GATEWAY_CACHE_URL and GATEWAY_CACHE_URL_FILE exclude each other")
        if self.persisted_only and self.persisted_documents_file is None:
            raise ValueError("GATEWAY_PERSISTED_ONLY requires GATEWAY_PERSISTED_DOCUMENTS_FILE")
        if len(self.served_regions) > 1 and not _serves_any_region(self.upstream_url):
            raise ValueError(
                "GATEWAY_UPSTREAM_URL is one endpoint for several regions. "
                "Accepted: `{region}` in the host, or a single region"
            )
        return self

    def endpoint_url(self, region: str) -> str | None:
        """Return the Clean Rooms ML endpoint of a region; None for AWS's own."""
        return self.upstream_url and self.upstream_url.replace("{region}", region)

    def endpoint_urls(self) -> dict[str, str | None]:
        """Return the Clean Rooms ML endpoint of each served region; None for AWS's own."""
        return {region: self.endpoint_url(region) for region in self.served_regions}

    def sts_endpoint_url(self) -> str | None:
        """Return the STS endpoint; None for AWS's own in `region`."""
        return self.sts_url and self.sts_url.replace("{region}", self.region)

    def read_cache_url(self) -> str:
        """Return the cache URL, from `cache_url_file` if it is set.

        Raises SettingsError that names the file, never its content.
        """
        path = self.cache_url_file
        if path is None:
            return self.cache_url
        try:
            return CACHE_URL.validate(read_setting_file(path).decode().rstrip("\r\n"))
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        except UnicodeDecodeError:
            reason = "is not UTF-8 text"
        except ValueError:
            reason = f"is not a single line with a cache URL. Accepted: {CACHE_URL.accepted}"
        raise SettingsError(f"{PREFIX}CACHE_URL_FILE: {path} {reason}.")

    @property
    def served_regions(self) -> frozenset[str]:
        return self.regions or frozenset({self.region})


def _serves_any_region(url: str | None) -> bool:
    """Return whether requests for any region may go to this URL; a loopback host is an emulator."""
    host = urlsplit(url or "").hostname or ""
    return url is None or "{region}" in host or is_loopback(host)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, without a DNS lookup."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"
