"""Many callers, all kinds of requests, subscriptions and faults at once.

SOAK_SECONDS sets the duration.
"""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.hostile.soak import ResourceMonitor, Soak, inject_faults, move_jobs
from tests.hostile.workload import LoadCaller, all_callers, oidc_file
from tests.processes import Process, gateway_process, sandbox_process, until
from tests.redis_servers import running_redis
from tests.telemetry.programs import metric

SOAK_SECONDS = float(os.environ.get("SOAK_SECONDS", "20"))
LIFETIME_SECONDS = SOAK_SECONDS + 600
SEED = 20260102
SPARE_FILES = 100
SPARE_TASKS = 20
SESSION_TOKEN = "IQoJb3JpZ2luX2VjE"
"""The beginning of each session token that the sandbox's STS issues."""
GAUGES = (
    "gateway_in_flight_requests",
    "gateway_subscriptions",
    "gateway_watches",
    "gateway_watched_bytes",
)
"""Gauges that are 0 when all clients have left."""
STATUSES = {200, 400, 401, 413, 503}


@dataclass(frozen=True)
class Stack:
    gateway: Process
    sandbox: Process
    callers: list[LoadCaller]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Run a sandbox, a Redis, and a gateway over both."""
    with (
        running_redis() as redis,
        sandbox_process(lifetime_seconds=LIFETIME_SECONDS) as sandbox,
        gateway_process(
            sandbox.url,
            lifetime_seconds=LIFETIME_SECONDS,
            callers="aws-headers,oidc",
            oidc_file=oidc_file(tmp_path, sandbox.url),
            sts_url=sandbox.url,
            cache_url=redis.url,
            cache_seconds=1,
            stale_seconds=10,
            deadline_seconds=2,
            watch_seconds=0.3,
        ) as gateway,
    ):
        yield Stack(gateway, sandbox, all_callers(sandbox.url))


async def soak_with_faults(stack: Stack, monitor: ResourceMonitor) -> Soak:
    soak = Soak(stack.gateway.url, stack.callers, Random(SEED))  # noqa: S311 - moments
    # Without faults first: the circuit of an issuer that has never answered opens for a while.
    await soak.run(0)
    async with asyncio.timeout(LIFETIME_SECONDS):
        background = [
            asyncio.create_task(inject_faults(stack.sandbox.url, Random(SEED))),  # noqa: S311
            asyncio.create_task(move_jobs(stack.sandbox.url, Random(SEED), soak.jobs)),  # noqa: S311
            asyncio.create_task(monitor.run()),
        ]
        try:
            await soak.run(SOAK_SECONDS)
        finally:
            for task in background:
                task.cancel()
            ends = await asyncio.gather(*background, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError] * len(background)
    return soak


async def test_a_gateway_survives_load_and_faults(stack: Stack) -> None:
    """It neither grows nor mixes callers up, and each of its errors is a documented one."""
    monitor = ResourceMonitor(stack.gateway)
    files = stack.gateway.open_files()
    soak = await soak_with_faults(stack, monitor)
    until(lambda: stack.gateway.open_files() <= files + SPARE_FILES)
    until(lambda: [metric(stack.gateway.url, each) for each in GAUGES] == [0] * len(GAUGES))
    until(lambda: metric(stack.gateway.url, "gateway_tasks") <= SPARE_TASKS)
    stack.gateway.terminate()
    output = "".join(stack.gateway.output)

    assert soak.leaks == []
    readers = {each.name for each in stack.callers if each.may_read}
    assert soak.responses_with_rows.keys() == readers
    assert soak.events
    assert soak.events.keys() <= readers
    assert soak.statuses.keys() <= STATUSES
    assert "INTERNAL" not in soak.codes
    assert soak.disconnects > 0
    assert monitor.growth() == {}
    assert "crash" not in output
    assert SESSION_TOKEN not in output
    assert [each.name for each in stack.callers if any(it in output for it in each.secrets)] == []
