"""The checks of services: AWS in each region, issuers and STS, by the code that serves requests."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, get_args

from joserfc.errors import JoseError
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry

from gateway.auth.credentials import Caller
from gateway.auth.jwks import fetch_keys, without_query
from gateway.auth.oidc import TokenVerifier
from gateway.auth.oidc_file import Algorithm, Issuer
from gateway.auth.sts import StsClient, session_name
from gateway.doctor import diagnosis
from gateway.doctor.diagnosis import Problem, Result, Row, State, attempt, row_of, skipped
from gateway.doctor.redis import check_redis
from gateway.errors import GatewayError, UpstreamInvalidResponseError
from gateway.outgoing import proxy_for
from gateway.settings import Settings
from gateway.upstream.client import CleanRoomsClient

OPERATION = "ListAudienceGenerationJobs"
INVALID_TOKEN = "not.a.token"  # noqa: S105  as it says
UNKNOWN_CALLER = Caller.from_keys("ASIAGATEWAYCHECK0000", "unknown", "unknown")
"""Its rejection proves that AWS was reached."""

CLOCK_WARN_SECONDS = 60
CLOCK_FAIL_SECONDS = 300
"""From here on AWS rejects signatures as expired."""


async def check_services(
    settings: Settings,
    issuers: Mapping[str, Issuer],
    cache_url: str | None,
    caller: Caller | None,
    token: str | None,
) -> list[Row]:
    """Check all services at once. Without a caller, AWS need only be reached.

    A `cache_url` of None is invalid.
    """
    regions = settings.served_regions
    uses_scripts = settings.caller_calls_per_second > 0
    async with (
        CleanRoomsClient.open(settings.endpoint_urls()) as aws,
        # A second attempt would hide the error of the first.
        StsClient.open(settings.region, settings.sts_endpoint_url(), attempts=1) as sts,
    ):
        checks = AwsChecks(settings, issuers, aws, sts)
        *upstream, oidc, redis = await asyncio.gather(
            *(checks.check_region(region, caller) for region in sorted(regions)),
            checks.check_oidc(token),
            check_redis(cache_url, uses_scripts=uses_scripts),
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
        rows = [row_of(f"upstream {region}", reached, _reached_by(self.aws.address(region)))]
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
            attempt(
                f"issuer {name}",
                _check_issuer(issuer),
                diagnosis.issuer_problem,
                _reached_by(issuer.jwks_url or issuer.issuer),
            )
            for name, issuer in self.issuers.items()
        ]
        if checks:
            address = _reached_by(self.sts.address)
            checks.append(attempt("STS", self._check_sts(), diagnosis.sts_problem, address))
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
        role = token.role
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


def _reached_by(url: str) -> str:
    """Return a URL with the proxy through which it is reached, if any; neither shows a secret."""
    proxy, shown = proxy_for(url), without_query(url)
    return shown if proxy is None else f"{shown} (through the proxy {proxy.with_user(None)})"


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
