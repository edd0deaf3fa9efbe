"""The checks: of the configuration, and of the services by the code that serves requests."""

import asyncio
import os
import statistics
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, get_args
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry
from limits import RateLimitItemPerSecond
from redis.exceptions import NoPermissionError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.auth.authenticator import RouterSecrets, caller_from_aws_headers
from gateway.auth.credentials import Caller
from gateway.auth.jwks import fetch_keys
from gateway.auth.oidc import Algorithm, Issuer, TokenVerifier, read_oidc_file
from gateway.auth.sts import StsClient, session_name
from gateway.doctor import diagnosis
from gateway.doctor.diagnosis import Problem, Result, Row, State, attempt, row_of, skipped
from gateway.errors import GatewayError, UnauthenticatedError, UpstreamInvalidResponseError
from gateway.http.graphiql import GraphiQL
from gateway.server.protocol import MAX_CONNECTIONS, RESERVED_FILES, connection_limit
from gateway.settings import Settings, SettingsError, is_loopback
from gateway.upstream.cache.redis import PREFIX, RedisClient, decrypt, encrypt
from gateway.upstream.client import CleanRoomsClient
from gateway.upstream.resilience.rate_limit import WINDOW_SECONDS, shared_rate_limiter

CORRECT = "Correct it; docs/reference.md lists the accepted values."

VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
NAMES = ", ".join(VARIABLES)
CHECK_ONLY = "for this check only: the gateway itself never reads them"

OPERATION = "ListAudienceGenerationJobs"
INVALID_TOKEN = "not.a.token"  # noqa: S105  as it says
UNKNOWN_CALLER = Caller.from_keys("ASIAGATEWAYCHECK0000", "unknown", "unknown")
"""Its rejection proves that AWS was reached."""

CLOCK_WARN_SECONDS = 60
CLOCK_FAIL_SECONDS = 300
"""From here on AWS rejects signatures as expired."""


def settings_rows(error: SettingsError) -> list[Row]:
    return [Row("settings", State.FAIL, line, CORRECT) for line in str(error).splitlines()]


def check_files(settings: Settings) -> tuple[Mapping[str, Issuer], list[Row]]:
    """Read the files that the settings name; return the trusted issuers, and a row per file."""
    issuers: dict[str, Issuer] = {}
    rows: list[Row] = []

    def check(what: str, read: Callable[[], str]) -> None:
        try:
            rows.append(row_of(what, read()))
        except SettingsError as error:
            rows.append(Row(what, State.FAIL, str(error), CORRECT))

    if (oidc_file := settings.oidc_file) is not None:
        check("OIDC file", lambda: _read_issuers(oidc_file, issuers))
    if (secrets := settings.router_secret_file) is not None:
        check("router secrets", lambda: f"secrets: {len(RouterSecrets.read(secrets).accepted)}")
    if settings.cache_url_file is not None:
        check("cache URL", lambda: _read_cache_url(settings))
    if settings.graphiql:
        check("explorer", _load_graphiql)
    return issuers, rows


def _read_issuers(path: Path, issuers: dict[str, Issuer]) -> str:
    issuers.update(read_oidc_file(path))
    return f"issuers: {len(issuers)}; roles: {sum(len(each.role) for each in issuers.values())}"


def _read_cache_url(settings: Settings) -> str:
    settings.read_cache_url()
    return "the file has a valid URL"


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


async def check_services(
    settings: Settings, issuers: Mapping[str, Issuer], caller: Caller | None, token: str | None
) -> list[Row]:
    """Check all services at once. Without a caller, AWS need only be reached."""
    regions = settings.served_regions
    async with (
        CleanRoomsClient.open(settings.endpoint_urls()) as aws,
        # A second attempt would hide the error of the first.
        StsClient.open(settings.region, settings.sts_endpoint_url(), attempts=1) as sts,
    ):
        checks = AwsChecks(settings, issuers, aws, sts)
        *upstream, oidc, redis = await asyncio.gather(
            *(checks.check_region(region, caller) for region in sorted(regions)),
            checks.check_oidc(token),
            check_redis(settings),
        )
    clock = row_of("clock", checks.clock_result())
    return [*(row for rows in upstream for row in rows), clock, *oidc, *redis]


@dataclass(frozen=True, slots=True)
class AwsChecks:
    settings: Settings
    issuers: Mapping[str, Issuer]
    aws: CleanRoomsClient
    sts: StsClient
    skews: list[float] = field(default_factory=list)
    """How many seconds our clock is ahead of AWS, by each response."""

    async def check_region(self, region: str, caller: Caller | None) -> list[Row]:
        error = await self._call(region, caller or UNKNOWN_CALLER)
        access = reached = _call_result(error)
        if not diagnosis.is_decision(error):
            access = skipped("the upstream is not reached")
        elif caller is not None:
            reached = "it responds"
        elif error is not None:
            reached = f"it responds, and rejects made-up credentials ({diagnosis.aws_code(error)})"
        else:
            reached = diagnosis.not_aws("made-up credentials", "GATEWAY_UPSTREAM_URL")
        rows = [row_of(f"upstream {region}", reached, self.aws.address(region))]
        return rows + ([row_of(f"credentials {region}", access)] if caller is not None else [])

    async def _call(self, region: str, caller: Caller) -> Exception | None:
        """Make one list call, and return its error."""
        try:
            async with asyncio.timeout(diagnosis.CHECK_SECONDS):
                response = await self.aws.call(caller, region, OPERATION, {"maxResults": 1})
        except Exception as error:  # noqa: BLE001  it is diagnosed
            self._note_time(getattr(error.__cause__, "response", None))
            return error
        self._note_time(response)
        is_valid = isinstance(response.get("audienceGenerationJobs"), list)
        return None if is_valid else UpstreamInvalidResponseError("")

    def _note_time(self, response: Any) -> None:
        with suppress(KeyError, TypeError, ValueError, OverflowError):  # no valid Date header
            date = parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"])
            self.skews.append(time.time() - date.timestamp())

    def clock_result(self) -> Result:
        if not self.skews:
            return skipped("no response had a valid Date header")
        skew, remedy = max(self.skews, key=abs), "Synchronize the clock of this machine by NTP."
        difference = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the clock of AWS"
        if abs(skew) >= CLOCK_FAIL_SECONDS:
            return Problem(f"{difference}, which therefore rejects signatures", remedy)
        if abs(skew) > CLOCK_WARN_SECONDS:
            return Problem(difference, remedy, State.WARN)
        return f"within {CLOCK_WARN_SECONDS} s of the clock of AWS"

    async def check_oidc(self, token: str | None) -> list[Row]:
        checks = [
            attempt(f"issuer {name}", _check_issuer(issuer), diagnosis.issuer_problem)
            for name, issuer in self.issuers.items()
        ]
        if checks:
            sts = attempt("STS", self._check_sts(), diagnosis.sts_problem, self.sts.address)
            checks.append(sts)
        rows, steps = await asyncio.gather(asyncio.gather(*checks), self._check_token(token))
        return [*rows, *steps]

    async def _check_sts(self) -> Result:
        role = next(iter(self.issuers.values())).role[0]
        try:
            await self.sts.assume_role(INVALID_TOKEN, role, "gateway-check")
        except GatewayError as error:
            self._note_time(getattr(error.__cause__, "response", None))
            if (code := diagnosis.aws_code(error)) != "InvalidIdentityToken":
                raise
            return f"it responds, and rejects an invalid token ({code})"
        return diagnosis.not_aws("an invalid token", "GATEWAY_STS_URL")

    async def _check_token(self, text: str | None) -> list[Row]:
        """Check each step from a token to a call, until one fails."""
        if text is None:
            return []
        if self.settings.oidc_file is None:
            remedy = "Add oidc to GATEWAY_CALLERS, and set GATEWAY_OIDC_FILE."
            return [row_of("token", Problem("GATEWAY_CALLERS lacks oidc", remedy))]
        if not self.issuers:
            return [row_of("token", skipped("the OIDC file is invalid"))]
        rows: list[Row] = []
        async with aclosing(self._token_steps(text)) as steps:
            for what in ("token", "token: role", "token: session", "token: call"):
                diagnose = _call_result if what == "token: call" else diagnosis.token_problem
                if rows and rows[-1].state in {State.FAIL, State.SKIPPED}:
                    rows.append(row_of(what, skipped("an earlier step failed")))
                else:
                    rows.append(await attempt(what, anext(steps), diagnose))
        return rows

    async def _token_steps(self, text: str) -> AsyncGenerator[Result, None]:
        token = await TokenVerifier(self.issuers).verify(text)
        expires_in = token.expires_at - time.time()
        yield f"signed by {token.issuer.issuer}; it expires in {expires_in:.0f} s"
        role = token.issuer.role_for(token.claims)
        if role is None:
            remedy = "Add an [[issuer.role]] to GATEWAY_OIDC_FILE whose `match` fits them."
            yield Problem("its claims match no role", remedy)
            return
        yield f"its claims match {role.role_arn}"
        session = await self.sts.assume_role(token.text, role, session_name(token))
        yield f"STS returned a session of {session.expires_at - time.time():.0f} s"
        keys, region, expires_at = session.credentials, self.settings.region, session.expires_at
        caller = Caller.from_token(
            keys, token.text, role.role_arn, region, expires_at, limit_key=token.limit_key
        )
        yield _call_result(await self._call(region, caller))


def _call_result(error: Exception | None) -> Result:
    if error is None:
        return f"AWS allows {OPERATION}"
    if diagnosis.is_decision(error):
        return diagnosis.caller_problem(error)
    return diagnosis.aws_problem(error, "GATEWAY_UPSTREAM_URL")


async def _check_issuer(issuer: Issuer) -> Result:
    keys = (await fetch_keys(issuer.issuer, issuer.jwks_url)).values()
    offered = {name for name in get_args(Algorithm) if any(_fits(key, name) for key in keys)}
    if usable := sorted(issuer.algorithms & offered):
        return f"usable keys: {len(keys)}, for {', '.join(usable)}"
    accepted, names = ", ".join(sorted(issuer.algorithms)), ", ".join(sorted(offered)) or "none"
    remedy = f"Add one of theirs ({names}) to `algorithms` in GATEWAY_OIDC_FILE."
    return Problem(f"no key is for an accepted algorithm ({accepted})", remedy)


def _fits(key: Key, algorithm: str) -> bool:
    with suppress(JoseError):
        JWSRegistry.algorithms[algorithm].check_key(key)
        return True
    return False


async def check_redis(settings: Settings) -> list[Row]:
    try:
        url = settings.read_cache_url()
    except SettingsError:
        return [row_of("redis", skipped("the cache URL is invalid"))]
    if url == "memory://":
        return [row_of("redis", skipped("GATEWAY_CACHE_URL is memory://: no cache is shared"))]
    client, parts = RedisClient(url), urlsplit(url)
    address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"  # no password
    try:
        rows = [await attempt("redis", _check_latency(client), diagnosis.redis_problem, address)]
        for what, check in (
            ("redis: entries", _check_entries),
            ("redis: scripts", _check_scripts),
            ("redis: memory", _check_memory),
        ):
            if rows[0].state is State.FAIL:
                rows.append(row_of(what, skipped("Redis is not reached")))
            else:
                rows.append(await attempt(what, check(client, settings), diagnosis.redis_problem))
    finally:
        await client.close()
    return rows


async def _check_latency(client: RedisClient) -> Result:
    with suppress(RedisTimeoutError):  # the first connection may be slow
        await client.client.ping()
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        await client.client.ping()
        seconds.append(time.perf_counter() - started)
    return latency_result(statistics.median(seconds) * 1000)


def latency_result(milliseconds: float) -> Result:
    limit, remedy = diagnosis.REDIS_LIMIT_MS, "Use a Redis that is nearer."
    detail = f"responds in {milliseconds:.1f} ms (limit: {limit} ms)"
    if milliseconds >= limit:
        return Problem(f"{detail}, so each lookup is a miss", remedy)
    if milliseconds >= limit / 2:
        return Problem(f"{detail}, so many lookups may be misses", remedy, State.WARN)
    return detail


async def _check_entries(client: RedisClient, _: Settings) -> Result:
    key, encryption_key = token_hex(32), os.urandom(32)
    entry = encrypt(encryption_key, key, time.time() + 10, b"check")
    await client.client.set(PREFIX + key, entry, px=10_000)
    found: object = await client.client.get(PREFIX + key)
    # The gateway itself deletes nothing, and may lack the permission; the entry expires.
    with suppress(ResponseError):
        await client.client.delete(PREFIX + key)
    if isinstance(found, bytes) and decrypt(encryption_key, key, found) is not None:
        return "an encrypted entry was written, read and deleted"
    remedy = "Check that the address leads to one Redis only."
    return Problem("an entry that was just written is missing or changed", remedy)


async def _check_scripts(client: RedisClient, settings: Settings) -> Result:
    if not settings.caller_calls_per_second:
        return skipped("GATEWAY_CALLER_CALLS_PER_SECOND=0 needs none")
    limit = RateLimitItemPerSecond(1, WINDOW_SECONDS, namespace="caller")
    if await shared_rate_limiter(client).hit(limit, token_hex(32)):
        return "replicas can share the rate limits of callers (EVALSHA)"
    return Problem("a rate limit rejects the first call", "Use an original Redis or Valkey.")


async def _check_memory(client: RedisClient, _: Settings) -> Result:
    try:
        policy = (await client.client.info("memory")).get("maxmemory_policy")
    except NoPermissionError:
        return skipped("the user may not call INFO")
    if policy is None:
        return skipped("INFO does not report maxmemory-policy")
    if policy == "noeviction":
        cause = "the maxmemory-policy is noeviction: when the memory is full, writes fail"
        return Problem(cause, "Set maxmemory, and maxmemory-policy to allkeys-lru.", State.WARN)
    return f"the maxmemory-policy is {policy}"
