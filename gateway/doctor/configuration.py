"""Checks of the configuration: the files it names, unsafe choices, limits, and credentials."""

import ipaddress
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from gateway.auth.authenticator import RouterSecrets, caller_from_aws_headers
from gateway.auth.credentials import Caller
from gateway.auth.oidc import Issuer, read_oidc_file
from gateway.doctor.diagnosis import Problem, Row, State, row_of, skipped
from gateway.errors import UnauthenticatedError
from gateway.http.graphiql import GraphiQL
from gateway.server.protocol import MAX_CONNECTIONS, RESERVED_FILES, connection_limit
from gateway.settings import Settings, SettingsError

_CORRECT = "Correct it; docs/reference.md lists the accepted values."


def settings_rows(error: SettingsError) -> list[Row]:
    return [Row("settings", State.FAIL, line, _CORRECT) for line in str(error).splitlines()]


def check_files(settings: Settings) -> tuple[Mapping[str, Issuer], list[Row]]:
    """Read the files that the settings name; return the trusted issuers, and a row per file."""
    issuers: dict[str, Issuer] = {}
    rows: list[Row] = []

    def check(what: str, read: Callable[[], str]) -> None:
        try:
            rows.append(row_of(what, read()))
        except SettingsError as error:
            rows.append(Row(what, State.FAIL, str(error), _CORRECT))

    if (oidc_file := settings.oidc_file) is not None:
        check("OIDC file", lambda: _read_issuers(oidc_file, issuers))
    if (secrets := settings.router_secret_file) is not None:
        check("router secrets", lambda: f"secrets: {len(RouterSecrets.read(secrets).accepted)}")
    if settings.graphiql:
        check("explorer", _load_graphiql)
    return issuers, rows


def _read_issuers(path: Path, issuers: dict[str, Issuer]) -> str:
    issuers.update(read_oidc_file(path))
    return f"issuers: {len(issuers)}; roles: {sum(len(each.role) for each in issuers.values())}"


def _load_graphiql() -> str:
    GraphiQL.load()
    return "the GraphiQL page is built"


def unsafe_choices(settings: Settings) -> Iterator[Row]:
    """Yield a warning for each setting that is unsafe in production."""
    public, plain_text = "Unset it in production.", "Traffic to another host is not encrypted."
    unlimited, long_term = not settings.caller_calls_per_second, settings.allow_long_term_keys
    for name, is_unsafe, detail, remedy in (
        ("GRAPHIQL", settings.graphiql, "GraphiQL is open to everyone.", public),
        ("INTROSPECTION", settings.introspection, "Everyone can read the schema.", public),
        ("ALLOW_LONG_TERM_KEYS", long_term, "Callers may use keys that never expire.", public),
        ("CALLER_CALLS_PER_SECOND", unlimited, "One caller can use up AWS quotas.", "Set a limit."),
        ("UPSTREAM_URL", _is_plain_text(settings.upstream_url), plain_text, "Use https://."),
        ("STS_URL", _is_plain_text(settings.sts_url), plain_text, "Use https://."),
        ("CACHE_URL", _is_plain_text(settings.cache_url), plain_text, "Use rediss://."),
    ):
        if is_unsafe:
            yield Row(f"GATEWAY_{name}", State.WARN, detail, remedy)


def _is_plain_text(url: str | None) -> bool:
    parts = urlsplit(url or "")
    return parts.scheme in {"http", "redis"} and not is_loopback(parts.hostname or "")


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, without a DNS lookup."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def open_files() -> Row:
    """Check how many connections the limit on open files allows a worker."""
    connections = connection_limit()
    if connections == MAX_CONNECTIONS:
        return row_of("open files", f"enough for {connections} connections per worker")
    cause = f"the limit (`ulimit -n`) allows {connections} connections per worker"
    remedy = f"For {MAX_CONNECTIONS} connections raise it to {MAX_CONNECTIONS + RESERVED_FILES}."
    return row_of("open files", Problem(cause, remedy, State.WARN))


_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_NAMES = ", ".join(_VARIABLES)
_CHECK_ONLY = "for this check only: the gateway itself never reads them"


def environment_credentials() -> tuple[Caller | None, Row]:
    """Return the caller in the variables from which AWS's own tools read credentials."""
    found = {
        f"x-{name.lower().replace('_', '-')}": value
        for name in _VARIABLES
        # No settings: they belong to the user of the check.
        if (value := os.environ.get(name))  # noqa: TID251
    }
    if not found:
        cause = f"to check your access, set {_NAMES}, {_CHECK_ONLY}"
        return None, row_of("credentials", skipped(cause))
    try:
        caller = caller_from_aws_headers(found, allow_long_term_keys=True)
    except UnauthenticatedError:
        remedy = "Set all three, of one session; for long-term keys set the first two."
        problem = Problem(f"{_NAMES} are incomplete or malformed", remedy)
        return None, row_of("credentials", problem)
    return caller, row_of("credentials", f"read from {_NAMES}, {_CHECK_ONLY}")
