"""The checks of the configuration: settings, what they refer to, and this machine."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from gateway.auth.authenticator import RouterSecrets, caller_from_aws_headers
from gateway.auth.credentials import Caller
from gateway.auth.oidc_file import Issuer
from gateway.configuration import PARTS, Configuration
from gateway.doctor.diagnosis import Problem, Row, State, row_of, skipped
from gateway.errors import UnauthenticatedError
from gateway.server.protocol import MAX_CONNECTIONS, RESERVED_FILES, connection_limit
from gateway.settings import Settings, SettingsError, is_loopback

CORRECT = "Correct it; docs/reference.md lists the accepted values."

VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
NAMES = ", ".join(VARIABLES)
CHECK_ONLY = "for this check only: the gateway itself never reads them"


def settings_rows(error: SettingsError) -> list[Row]:
    return [Row("settings", State.FAIL, line, CORRECT) for line in str(error).splitlines()]


def read_parts(configuration: Configuration) -> tuple[Mapping[str, Any], list[Row]]:
    """Return the valid parts by name, and a row for each that a setting refers to."""
    parts: dict[str, Any] = {}
    rows = []
    for part in PARTS:
        name, describe = ROWS[part]
        try:
            value = parts[part] = getattr(configuration, part)
        except SettingsError as error:
            rows.append(Row(name, State.FAIL, str(error), CORRECT))
        else:
            if value and (text := describe(value)):
                rows.append(row_of(name, text))
    return parts, rows


def _describe_issuers(issuers: Mapping[str, Issuer]) -> str:
    return f"issuers: {len(issuers)}; roles: {sum(len(each.role) for each in issuers.values())}"


def _describe_secrets(secrets: RouterSecrets) -> str:
    return f"secrets: {len(secrets.accepted)}"


ROWS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "issuers": ("OIDC file", _describe_issuers),
    "router_secrets": ("router secrets", _describe_secrets),
    "manifest": ("persisted documents", lambda manifest: f"documents: {len(manifest.documents)}"),
    "cache_url": ("cache URL", lambda _: ""),  # a valid one has rows of its own
    "graphiql": ("explorer", lambda _: "the GraphiQL page is built"),
    "trusted_certificates": ("trust and proxies", lambda _: ""),  # each target has a row of its own
    "tracer": ("tracing", lambda _: "OpenTelemetry is installed"),
}
"""Part of the configuration -> the name of its row, and the text for a valid value."""


def unsafe_choices(settings: Settings, cache_url: str | None) -> Iterator[Row]:
    """Yield a warning for each setting that is unsafe in production."""
    cache_setting = "CACHE_URL" if settings.cache_url_file is None else "CACHE_URL_FILE"
    public, plain_text = "Unset it in production.", "Traffic to another host is not encrypted."
    unlimited, long_term = not settings.caller_calls_per_second, settings.allow_long_term_keys
    for name, is_unsafe, detail, remedy in (
        ("GRAPHIQL", settings.graphiql, "GraphiQL is open to everyone.", public),
        ("INTROSPECTION", settings.introspection, "Everyone can read the schema.", public),
        ("ALLOW_LONG_TERM_KEYS", long_term, "Callers may use keys that never expire.", public),
        ("CALLER_CALLS_PER_SECOND", unlimited, "One caller can use up AWS quotas.", "Set a limit."),
        ("UPSTREAM_URL", _is_plain_text(settings.upstream_url), plain_text, "Use https://."),
        ("STS_URL", _is_plain_text(settings.sts_url), plain_text, "Use https://."),
        (cache_setting, _is_plain_text(cache_url), plain_text, "Use rediss://."),
    ):
        if is_unsafe:
            yield Row(f"GATEWAY_{name}", State.WARN, detail, remedy)


def _is_plain_text(url: str | None) -> bool:
    parts = urlsplit(url or "")
    return parts.scheme in {"http", "redis"} and not is_loopback(parts.hostname or "")


def open_files() -> Row:
    """Check how many connections the limit on open files allows a worker."""
    connections = connection_limit()
    if connections == MAX_CONNECTIONS:
        return row_of("open files", f"enough for {connections} connections per worker")
    cause = f"the limit (`ulimit -n`) allows {connections} connections per worker"
    remedy = f"For {MAX_CONNECTIONS} connections raise it to {MAX_CONNECTIONS + RESERVED_FILES}."
    return row_of("open files", Problem(cause, remedy, State.WARN))


def environment_credentials() -> tuple[Caller | None, Row]:
    """Return the caller in the variables from which AWS's own tools read credentials."""
    found = {
        f"x-{name.lower().replace('_', '-')}": value
        for name in VARIABLES
        # No settings: they belong to the user of the check.
        if (value := os.environ.get(name))  # noqa: TID251
    }
    if not found:
        cause = f"to check your access, set {NAMES}, {CHECK_ONLY}"
        return None, row_of("credentials", skipped(cause))
    try:
        caller = caller_from_aws_headers(found, allow_long_term_keys=True)
    except UnauthenticatedError:
        remedy = "Set all three, of one session; for long-term keys set the first two."
        problem = Problem(f"{NAMES} are incomplete or malformed", remedy)
        return None, row_of("credentials", problem)
    return caller, row_of("credentials", f"read from {NAMES}, {CHECK_ONLY}")
