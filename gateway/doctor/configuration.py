"""What is set: the files that the settings name, and choices that are unsafe in production."""

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from gateway.auth.authenticator import RouterSecrets
from gateway.auth.oidc import Issuer, read_oidc_file
from gateway.doctor.row import Row, State, fail, ok, warn
from gateway.http.graphiql import GraphiQL
from gateway.server.protocol import MAX_CONNECTIONS, RESERVED_FILES, connection_limit
from gateway.settings import Settings, SettingsError

_CORRECT = "Correct it; README says what it takes."


def settings_problems(error: SettingsError) -> list[Row]:
    """Give a row for each problem of the settings."""
    return [fail("settings", line, _CORRECT) for line in str(error).splitlines()]


@dataclass(slots=True)
class Files:
    """The files that the settings name, read as `gateway serve` does."""

    issuers: Mapping[str, Issuer] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    @classmethod
    def read(cls, settings: Settings) -> "Files":
        """Read them all; what is wrong with one is its row."""
        files = cls()
        if settings.oidc_file is not None:
            files._try("OIDC file", lambda: files._trust(settings))
        if (path := settings.router_secret_file) is not None:
            files._try(
                "router secrets", lambda: f"{len(RouterSecrets.read(path).accepted)} of them."
            )
        if settings.graphiql:
            files._try("explorer", _explorer)
        return files

    @property
    def right(self) -> bool:
        """Whether the gateway would start with them."""
        return not any(row.state is State.FAIL for row in self.rows)

    def _try(self, what: str, read: Callable[[], str]) -> None:
        try:
            self.rows.append(ok(what, read()))
        except SettingsError as error:
            self.rows.append(fail(what, str(error), _CORRECT))

    def _trust(self, settings: Settings) -> str:
        assert settings.oidc_file is not None  # noqa: S101  it is read where it is set
        self.issuers = read_oidc_file(settings.oidc_file)
        roles = sum(len(issuer.role) for issuer in self.issuers.values())
        return f"Issuers: {len(self.issuers)}; roles: {roles}."


def _explorer() -> str:
    GraphiQL.load()
    return "It is built."


def unsafe_choices(settings: Settings) -> Iterator[Row]:
    """Warn of what should not be so where strangers come."""
    public = "Unset it where the gateway serves production."
    if settings.graphiql:
        yield warn("GATEWAY_GRAPHIQL", "Whoever opens the gateway gets GraphiQL.", public)
    if settings.introspection:
        yield warn("GATEWAY_INTROSPECTION", "Anybody may ask for the schema.", public)
    if settings.allow_long_term_keys:
        why = "Callers may send keys that never expire."
        yield warn("GATEWAY_ALLOW_LONG_TERM_KEYS", why, "Unset it; callers get temporary ones.")
    if not settings.caller_calls_per_second:
        why = "One caller may take all of the upstream."
        yield warn("GATEWAY_CALLER_CALLS_PER_SECOND", why, "Set it to more than 0.")
    yield from _plain_addresses(settings)


def _plain_addresses(settings: Settings) -> Iterator[Row]:
    for name, url, safe in (
        ("GATEWAY_UPSTREAM_URL", settings.upstream_url, "https://"),
        ("GATEWAY_STS_URL", settings.sts_url, "https://"),
        ("GATEWAY_CACHE_URL", settings.cache_url, "rediss://"),
    ):
        parts = urlsplit(url or "")
        if parts.scheme in {"http", "redis"} and not is_loopback(parts.hostname or ""):
            why = f"{parts.scheme}:// to another machine: what is sent can be read on the way."
            yield warn(name, why, f"Use {safe}.")


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def open_files() -> Row:
    """Say how many connections a worker started here would accept."""
    most = connection_limit()
    if most == MAX_CONNECTIONS:
        return ok("open files", f"Enough for {most} connections a worker.")
    why = f"The limit (`ulimit -n`) is enough for {most} connections a worker; more are refused."
    needed = MAX_CONNECTIONS + RESERVED_FILES
    return warn("open files", why, f"Raise it to {needed} for all {MAX_CONNECTIONS}, where needed.")
