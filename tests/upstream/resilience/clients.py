"""A ResilientClient over fakes, without delays, and its callers."""

from collections.abc import Iterable

import pytest

from gateway.auth.credentials import Caller
from gateway.errors import (
    GatewayError,
    UpstreamUnavailableError,
)
from gateway.upstream.client import UpstreamClient
from gateway.upstream.resilience.callers import (
    ProvedCallers,
)
from gateway.upstream.resilience.client import (
    ResilientClient,
)
from gateway.upstream.resilience.rate_limit import (
    CallerRateLimiter,
)
from tests.upstream.clients import (
    LIST,
    REGION,
    caller,
)

UNAVAILABLE = UpstreamUnavailableError("No.")
ADA = caller("ada")


class FakeSleep(list[float]):
    """Records delays instead of sleeping."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


def resilient(
    client: UpstreamClient,
    sleep: FakeSleep | None = None,
    *,
    proved: Iterable[Caller] = (),
    calls_per_second: int = 0,
) -> ResilientClient:
    """Wrap a client without delays, randomness and, by default, a rate limit."""
    proved_callers = ProvedCallers()
    for each in proved:
        proved_callers.add(each)
    return ResilientClient(
        client,
        CallerRateLimiter(calls_per_second),
        proved_callers,
        sleep=FakeSleep() if sleep is None else sleep,
        jitter=lambda: 1.0,
    )


async def fail(client: ResilientClient, caller: Caller, region: str = REGION) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await client.call(caller, region, LIST, {})
    return caught.value


def numbered_caller(number: int) -> Caller:
    return Caller.from_keys(f"ASIA{number:016}", f"secret-{number}", "token")
