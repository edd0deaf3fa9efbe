"""Four replicas behind the load balancer: their rate beside one's, and failures in a rollout."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from statistics import median

from benchmarks import load
from benchmarks.load import OpenLoop
from benchmarks.processes import Process, cpu_of, upstream_process
from benchmarks.queries import EVERY_FIELD, graphql_request
from benchmarks.table import Row, percentile, reference
from tests.gateways import Sandbox
from tests.replicas.fleet import Fleet, running_fleet
from tests.replicas.haproxy import SERVER_NAMES

CALLERS = 16
WARM_UP_SECONDS = 3.0
SECONDS = 3.0
ROUNDS = 5
CACHE_SECONDS = 3600
TARGET_RATIO = 1.8
SPARE = 0.05
"""With so little idle time the machine is the limit."""
RATE = 200
DRAIN_SECONDS = 5
P99 = 0.99

REQUESTS = [graphql_request(EVERY_FIELD, caller) for caller in range(CALLERS)]


@dataclass(frozen=True)
class FleetServer:
    """A fleet as one server for the load."""

    fleet: Fleet

    @property
    def port(self) -> int:
        return int(self.fleet.balancer.url.rpartition(":")[2])

    def cpu(self) -> float:
        """Return the seconds of CPU that the replicas have used."""
        return sum(cpu_of(replica.process.pid) for replica in self.fleet.replicas.values())


@dataclass(frozen=True)
class CpuShares:
    """Shares of the machine's cores during a run."""

    replicas: float
    balancer: float
    load: float
    idle: float


async def measure() -> list[Row]:
    """Compare one and four at full load; then replace four, and kill one."""
    with upstream_process() as upstream:
        return [*await _compare_rates(upstream), *await _rollouts(upstream)]


async def _compare_rates(upstream: Process) -> list[Row]:
    with _fleet(upstream, names="A") as one, _fleet(upstream, names=SERVER_NAMES) as four:
        pair = (FleetServer(one), FleetServer(four))
        for whole in pair:
            await load.closed_loop(whole, REQUESTS, seconds=WARM_UP_SECONDS)
        rounds = [[await _measure_cores(whole) for whole in pair] for _ in range(ROUNDS)]
    ratios = [four.rate / one.rate for (one, _), (four, _) in rounds]
    idle = median([account.idle for _, (_, account) in rounds])
    ratio = median(ratios)
    return [
        Row(
            "Four replicas' rate, of one's; or no core is left",
            f"{ratio:.2f} x, {100 * idle:.0f} % idle",
            f">= {TARGET_RATIO:g} x or <= {100 * SPARE:g} %",
            ratio >= TARGET_RATIO or idle <= SPARE,
        ),
        *(
            row
            for at, what in enumerate(("one", "four"))
            for row in _reference_rows(what, [each[at] for each in rounds])
        ),
    ]


def _reference_rows(what: str, runs: list[tuple[load.Run, CpuShares]]) -> list[Row]:
    shares = {
        name: 100 * median([getattr(account, name) for _, account in runs])
        for name in ("replicas", "balancer", "load", "idle")
    }
    return [
        reference(
            f"  {what}: rate, {CALLERS} at a time", median([r.rate for r, _ in runs]), "/s", 0
        ),
        reference(f"  {what}: CPU of a request", median([r.cpu_ms for r, _ in runs]), "ms"),
        Row(f"  {what}: the cores", ", ".join(f"{name} {v:.0f} %" for name, v in shares.items())),
    ]


async def _measure_cores(whole: FleetServer) -> tuple[load.Run, CpuShares]:
    clocks: list[Callable[[], float]] = [
        whole.cpu,
        lambda: cpu_of(whole.fleet.balancer.pid),
        time.process_time,
        _idle,
    ]
    before = [clock() for clock in clocks]
    run = await load.closed_loop(whole, REQUESTS, seconds=SECONDS)
    all_cores = run.seconds * (os.cpu_count() or 1)
    used = [clock() - was for clock, was in zip(clocks, before, strict=True)]
    return run, CpuShares(*(seconds / all_cores for seconds in used))


def _idle() -> float:
    with open("/proc/stat", encoding="ascii") as stat:  # noqa: PTH123  read often, at once
        fields = stat.readline().split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


async def _rollouts(upstream: Process) -> list[Row]:
    with _fleet(upstream, names=SERVER_NAMES, drain_seconds=DRAIN_SECONDS) as four:
        await load.closed_loop(FleetServer(four), REQUESTS, seconds=WARM_UP_SECONDS)
        return [
            *await _failures_during(four, "All replaced one by one", _roll),
            *await _failures_during(four, "One killed and replaced", _kill),
        ]


async def _failures_during(four: Fleet, what: str, action: Callable[[Fleet], None]) -> list[Row]:
    open_loop = OpenLoop(FleetServer(four).port, REQUESTS, RATE)
    stopped = asyncio.Event()
    task = asyncio.create_task(open_loop.run(stopped))
    try:
        await asyncio.to_thread(action, four)
    finally:
        stopped.set()
        await task
    for failure in open_loop.failures[:5]:
        print(failure, file=sys.stderr)
    failed, total = len(open_loop.failures), len(open_loop.failures) + len(open_loop.latencies)
    p99 = 1000 * percentile(open_loop.latencies, P99)
    return [
        Row(f"{what}, {RATE} /s: failed", f"{failed} of {total}", "0", not failed),
        reference("  p99 meanwhile", p99, "ms"),
        reference("  longest", 1000 * max(open_loop.latencies), "ms", 0),
    ]


def _roll(four: Fleet) -> None:
    for replica in four.replicas.values():
        replica.end(signal.SIGTERM)
        replica.start()
        four.wait_until_available()


def _kill(four: Fleet) -> None:
    killed = four.replicas["B"]
    killed.end(signal.SIGKILL)
    killed.start()
    four.wait_until_available()


def _fleet(
    upstream: Process, *, names: str, drain_seconds: float = 0
) -> AbstractContextManager[Fleet]:
    settings = {
        "cache_seconds": CACHE_SECONDS,
        "caller_calls_per_second": 1_000_000,
        "drain_seconds": drain_seconds,
    }
    return running_fleet(Sandbox(upstream.url), dict.fromkeys(names, settings))
