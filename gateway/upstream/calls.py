"""The way of each call to AWS: within the caller's share, past a breaker, in a few attempts."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from gateway.caller import Caller
from gateway.errors import (
    GatewayError,
    ThrottledError,
    UpstreamError,
    UpstreamInvalidResponseError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from gateway.metrics import BREAKER_OPEN
from gateway.upstream.audit import audited
from gateway.upstream.aws import Aws
from gateway.upstream.breaker import Breaker
from gateway.upstream.retries import ATTEMPTS, Retries
from gateway.upstream.shares import Shares
from gateway.upstream.slots import Slots
from gateway.upstream.turns import Turns

log = structlog.get_logger()

CALLER_SLOTS = 25
"""Calls that one caller has under way in a region at once: a quarter of its connections."""

FAILURES = 10
REST_SECONDS = 2.0
"""A region that failed FAILURES times in a row is left alone for so long, but for one probe."""

LEFT_ALONE = (
    "Clean Rooms ML has failed again and again in this region, and is left alone for a moment. "
    "Ask again later."
)


class Calls:
    """Makes the calls of all callers. Knows of each region how it does."""

    def __init__(
        self,
        aws: Aws,
        shares: Shares,
        *,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`jitter` draws from 0 to 1."""
        self._aws = aws
        self._shares = shares
        self._sleep = sleep
        self._retries = Retries(jitter)
        self._slots: Slots[tuple[bytes, str]] = Slots(CALLER_SLOTS)
        self._turns = Turns()
        self.breakers: dict[str, Breaker] = {}

    async def call(
        self, caller: Caller, region: str, operation: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Make one call as the caller and return the parsed answer.

        Raises a GatewayError for whatever goes wrong.
        """
        await self._shares.take(caller)
        async with self._slots.one_of((caller.fingerprint, region)):
            failure: UpstreamError | None = None
            for retries in range(ATTEMPTS):
                try:
                    answer = await self._attempt(caller, region, operation, parameters)
                except (ThrottledError, UpstreamTimeoutError, UpstreamUnavailableError) as error:
                    if self._breaker(region).open:
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
        self, caller: Caller, region: str, operation: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        breaker = self._breaker(region)
        if not breaker.allows():
            raise UpstreamUnavailableError(LEFT_ALONE)
        try:
            with audited(operation, caller.digest, region) as audit:
                answer = await self._aws.call(caller, region, operation, parameters)
                audit.answered(answer.get("ResponseMetadata", {}).get("RequestId"))
        except (UpstreamTimeoutError, UpstreamUnavailableError):
            if breaker.failed():
                BREAKER_OPEN.labels(region).set(1)
                log.warning("region left alone", region=region, seconds=REST_SECONDS)
            raise
        except UpstreamInvalidResponseError:
            raise  # it may be a proxy's: no sign of health, nor of illness
        except GatewayError:
            self._works(breaker, region)  # it answers, though not what this caller would like
            raise
        self._works(breaker, region)
        return answer

    def _works(self, breaker: Breaker, region: str) -> None:
        if breaker.succeeded():
            BREAKER_OPEN.labels(region).set(0)
            log.info("region works again", region=region)

    def _breaker(self, region: str) -> Breaker:
        return self.breakers.setdefault(region, Breaker(FAILURES, REST_SECONDS))
