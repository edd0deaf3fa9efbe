"""The way of each call to AWS: within the caller's share, past a breaker, in a few attempts."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway.auth.credentials import Caller
from gateway.concurrency import FairScheduler, KeyedSemaphore
from gateway.errors import (
    GatewayError,
    ThrottledError,
    UpstreamError,
    UpstreamInvalidResponseError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from gateway.upstream.client import CleanRoomsClient
from gateway.upstream.observation import observe_call
from gateway.upstream.resilience.rate_limit import CallerRateLimiter
from gateway.upstream.resilience.region import RegionCircuitBreaker
from gateway.upstream.resilience.retries import ATTEMPTS, Retries

CALLER_SLOTS = 25
"""Calls that one caller has under way in a region at once: a quarter of its connections."""

CIRCUIT_OPEN = (
    "Clean Rooms ML has failed again and again in this region, and is left alone for a moment. "
    "Ask again later."
)


class CircuitOpenError(UpstreamUnavailableError):
    """No call was made: the region, or this caller's part of it, fails again and again."""


class ResilientClient:
    """Makes the calls of all callers. Knows of each region how it does."""

    def __init__(
        self,
        aws: CleanRoomsClient,
        shares: CallerRateLimiter,
        *,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`jitter` draws from 0 to 1."""
        self._aws = aws
        self._shares = shares
        self._sleep = sleep
        self._retries = Retries(jitter)
        self._slots: KeyedSemaphore[tuple[bytes, str]] = KeyedSemaphore(CALLER_SLOTS)
        self._turns = FairScheduler()
        self._regions: dict[str, RegionCircuitBreaker] = {}

    async def call(
        self, caller: Caller, region: str, operation: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Make one call as the caller and return the parsed answer.

        Raises a GatewayError for whatever goes wrong.
        """
        asked = self._regions.get(region)
        if asked is None:
            asked = self._regions[region] = RegionCircuitBreaker(region)
        await self._shares.take(caller)
        async with self._slots.one_of((caller.fingerprint, region)):
            failure: UpstreamError | None = None
            for retries in range(ATTEMPTS):
                try:
                    answer = await self._attempt(caller, asked, operation, parameters)
                except (ThrottledError, UpstreamTimeoutError, UpstreamUnavailableError) as error:
                    if asked.open_for(caller.fingerprint):
                        raise  # and pays nothing: what is left is for regions that are asked
                    pause = self._retries.pause_after(error, retries)
                    if pause is None:
                        raise
                    await self._sleep(pause)
                    failure = error
                else:
                    self._retries.succeeded(failure)
                    answer.setdefault("ResponseMetadata", {})["RetryAttempts"] = retries
                    # What is made of a page takes a millisecond, and they may come all at once.
                    await self._turns.take(caller.fingerprint)
                    return answer
        raise AssertionError("the last attempt has no pause after it")

    async def _attempt(
        self,
        caller: Caller,
        region: RegionCircuitBreaker,
        operation: str,
        parameters: Mapping[str, Any],
    ) -> dict[str, Any]:
        who = caller.fingerprint
        if not region.allows(who):
            raise CircuitOpenError(CIRCUIT_OPEN)
        try:
            with observe_call(operation, caller.digest, region.name) as audit:
                answer = await self._aws.call(caller, region.name, operation, parameters)
                audit.answered(answer.get("ResponseMetadata", {}).get("RequestId"))
        except (UpstreamTimeoutError, UpstreamUnavailableError):
            region.failed(who)
            raise
        except UpstreamInvalidResponseError:
            raise  # it may be a proxy's: no sign of health, nor of illness
        except GatewayError:
            region.works(who)  # it answers, though not what this caller would like
            raise
        region.works(who)
        return answer
