"""The examination: everything is tried at once, and told in one order."""

import asyncio
from collections.abc import Awaitable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from gateway.auth.sts import StsClient
from gateway.doctor.clock import Clock
from gateway.doctor.configuration import Files
from gateway.doctor.credentials import Credentials
from gateway.doctor.issuers import check_issuer
from gateway.doctor.row import Row, fail, skipped
from gateway.doctor.shared_cache import check_redis
from gateway.doctor.sts import check_sts
from gateway.doctor.token_trial import NOT_SERVED, TOKEN, TokenTrial
from gateway.doctor.upstream import Upstream
from gateway.settings import Settings
from gateway.upstream.client import CleanRoomsClient

ONE_ATTEMPT = 1
"""A second one would hide what the first had met."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What is to be tried, and as whom."""

    settings: Settings
    files: Files
    credentials: Credentials
    token: str | None

    async def rows(self) -> list[Row]:
        """Try everything."""
        async with AsyncExitStack() as parts:
            settings, clock = self.settings, Clock()
            aws = await parts.enter_async_context(
                CleanRoomsClient.open(settings.served_regions, settings.upstream_url)
            )
            sts = await parts.enter_async_context(
                StsClient.open(settings.region, settings.sts_url, attempts=ONE_ATTEMPT)
            )
            upstream = Upstream(aws, clock)
            called, trusted, cached = await asyncio.gather(
                self._called(upstream), self._trusted(sts, upstream, clock), self._cached()
            )
        return [self.credentials.row, *called, clock.row(), *trusted, *cached]

    async def _called(self, upstream: Upstream) -> list[Row]:
        caller = self.credentials.caller
        return await _all(
            (f"upstream {region}", upstream.region(region, caller))
            for region in sorted(self.settings.served_regions)
        )

    async def _trusted(self, sts: StsClient, upstream: Upstream, clock: Clock) -> list[Row]:
        issuers = self.files.issuers
        if not issuers:
            return [] if self.token is None else [self._untried()]
        (role, *_) = next(iter(issuers.values())).role
        tries: list[tuple[str, Awaitable[list[Row]]]] = [
            (f"issuer {name}", _one(check_issuer(issuer))) for name, issuer in issuers.items()
        ]
        tries.append(("STS", _one(check_sts(sts, role, clock))))
        if self.token is not None:
            trial = TokenTrial(issuers, sts, upstream, self.settings.region)
            tries.append(("token", trial.rows(self.token)))
        return await _all(tries)

    def _untried(self) -> Row:
        if self.settings.oidc_file is None:
            return NOT_SERVED
        return skipped(TOKEN, "The OIDC file is not as it must be.")

    async def _cached(self) -> list[Row]:
        url, calls = self.settings.cache_url, self.settings.caller_calls_per_second
        if url == "memory://":
            return [
                skipped("redis", "GATEWAY_CACHE_URL names none: each process has its own cache.")
            ]
        return await _all([("redis", check_redis(url, counts_calls=bool(calls)))])


async def _one(row: Awaitable[Row]) -> list[Row]:
    return [await row]


async def _all(tries: Iterable[tuple[str, Awaitable[list[Row]]]]) -> list[Row]:
    found = await asyncio.gather(*(_guarded(what, rows) for what, rows in tries))
    return [row for rows in found for row in rows]


async def _guarded(what: str, rows: Awaitable[list[Row]]) -> list[Row]:
    """Let a try that fails in a way nobody thought of spoil no other, nor print what it holds."""
    try:
        return await rows
    except Exception as error:  # noqa: BLE001  as it says
        why = f"The check itself failed ({type(error).__qualname__})."
        return [fail(what, why, "Tell whoever maintains the gateway.")]
