"""Many callers, all kinds of questions and all kinds of faults at once, for a while.

SOAK_SECONDS says for how long; a minute if it is not set.
"""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx
import pytest

from tests.hostile.gauge import Gauge
from tests.hostile.people import Asker, everybody, oidc_file
from tests.hostile.process import Program, gateway_process, sandbox_process
from tests.hostile.soak import Soak
from tests.hostile.weather import Weather
from tests.redis_servers import running_redis, until

SOAK_SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
WATCHDOG_SECONDS = SOAK_SECONDS + 120
SEED = 20260102
SPARE_FILES = 100
SPARE_TASKS = 20
SESSION_TOKEN = "IQoJb3JpZ2luX2VjE"
"""How the token of each session begins that the sandbox's STS gives."""
STATUSES = {200, 400, 401, 413, 503}


@dataclass(frozen=True)
class Stage:
    """The programs that take part."""

    gateway: Program
    sandbox: Program
    askers: list[Asker]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Run a sandbox, a Redis, and a gateway over both."""
    with (
        running_redis() as redis,
        sandbox_process(watchdog_seconds=WATCHDOG_SECONDS) as sandbox,
        gateway_process(
            sandbox.url,
            watchdog_seconds=WATCHDOG_SECONDS,
            callers="aws-headers,oidc",
            oidc_file=oidc_file(tmp_path, sandbox.url),
            sts_url=sandbox.url,
            cache_url=redis.url,
            cache_seconds=1,
            stale_seconds=10,
            deadline_seconds=2,
        ) as gateway,
    ):
        yield Stage(gateway, sandbox, everybody(sandbox.url))


def figure(program: Program, name: str) -> float:
    """Read one of the program's own metrics."""
    lines = httpx.get(f"{program.url}/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


async def soaked(stage: Stage, gauge: Gauge) -> Soak:
    """Let everybody ask while faults come and go."""
    soak = Soak(stage.gateway.url, stage.askers, Random(SEED))  # noqa: S311 - moments
    weather = Weather(stage.sandbox.url, Random(SEED))  # noqa: S311 - moments
    # In calm weather first: an issuer that has never answered is left alone for a while.
    await soak.run(0)
    async with asyncio.timeout(WATCHDOG_SECONDS):
        beside = [asyncio.create_task(weather.rage()), asyncio.create_task(gauge.read())]
        try:
            await soak.run(SOAK_SECONDS)
        finally:
            for task in beside:
                task.cancel()
            ends = await asyncio.gather(*beside, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError] * len(beside)
    return soak


async def test_a_gateway_stays_well_in_bad_weather(stage: Stage) -> None:
    """It neither grows nor mixes anybody up, and fails in no way that it does not name."""
    gauge = Gauge(stage.gateway)
    files = stage.gateway.files()
    soak = await soaked(stage, gauge)
    until(lambda: stage.gateway.files() <= files + SPARE_FILES)
    until(lambda: figure(stage.gateway, "gateway_in_flight_requests") == 0)
    until(lambda: figure(stage.gateway, "gateway_tasks") <= SPARE_TASKS)
    stage.gateway.end()
    said = "".join(stage.gateway.said)

    assert soak.mixed_up == []
    assert soak.seen.keys() == {asker.name for asker in stage.askers if asker.may_see}
    assert soak.statuses.keys() <= STATUSES
    assert "INTERNAL" not in soak.codes
    assert soak.left > 0
    assert gauge.grown() == {}
    assert "crash" not in said
    assert SESSION_TOKEN not in said
    assert [each.name for each in stage.askers if any(it in said for it in each.secrets)] == []
