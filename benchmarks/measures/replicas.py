"""Four replicas behind the balancer: what they carry beside one, and who fails meanwhile."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from benchmarks import load
from benchmarks.processes import Process, canned, cpu_of
from benchmarks.questions import EVERY_FIELD, question
from benchmarks.steady import Steady
from benchmarks.table import Row, beside, middle, percentile
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
"""So little of the machine left idle means that it is the limit."""
A_SECOND = 200
DRAIN_SECONDS = 5
P99 = 0.99

QUESTIONS = [question(EVERY_FIELD, caller) for caller in range(CALLERS)]


@dataclass(frozen=True)
class Whole:
    """A fleet as one server."""

    fleet: Fleet

    @property
    def port(self) -> int:
        """Where the balancer answers."""
        return int(self.fleet.balancer.url.rpartition(":")[2])

    def cpu(self) -> float:
        """Return the seconds of CPU that the replicas have used."""
        return sum(cpu_of(replica.process.pid) for replica in self.fleet.replicas.values())


@dataclass(frozen=True)
class Account:
    """Who used the machine's cores during a run, each as a share of all of them."""

    replicas: float
    balancer: float
    load: float
    idle: float


async def measure() -> list[Row]:
    """Ask one and four in turn, at full speed; then let four be replaced, and one be killed."""
    with canned() as upstream:
        return [*await _carried(upstream), *await _rolled(upstream)]


async def _carried(upstream: Process) -> list[Row]:
    with _fleet(upstream, names="A") as one, _fleet(upstream, names=SERVER_NAMES) as four:
        pair = (Whole(one), Whole(four))
        for whole in pair:
            await load.ask(whole, QUESTIONS, seconds=WARM_UP_SECONDS)
        rounds = [[await _accounted(whole) for whole in pair] for _ in range(ROUNDS)]
    ratios = [four.rate / one.rate for (one, _), (four, _) in rounds]
    idle = middle([account.idle for _, (_, account) in rounds])
    ratio = middle(ratios)
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
            for row in _told(what, [each[at] for each in rounds])
        ),
    ]


def _told(what: str, runs: list[tuple[load.Run, Account]]) -> list[Row]:
    shares = {
        name: 100 * middle([getattr(account, name) for _, account in runs])
        for name in ("replicas", "balancer", "load", "idle")
    }
    return [
        beside(f"  {what}: rate, {CALLERS} at a time", middle([r.rate for r, _ in runs]), "/s", 0),
        beside(f"  {what}: CPU of a request", middle([r.cpu_ms for r, _ in runs]), "ms"),
        Row(f"  {what}: the cores", ", ".join(f"{name} {v:.0f} %" for name, v in shares.items())),
    ]


async def _accounted(whole: Whole) -> tuple[load.Run, Account]:
    clocks: list[Callable[[], float]] = [
        whole.cpu,
        lambda: cpu_of(whole.fleet.balancer.pid),
        time.process_time,
        _idle,
    ]
    before = [clock() for clock in clocks]
    run = await load.ask(whole, QUESTIONS, seconds=SECONDS)
    all_cores = run.seconds * (os.cpu_count() or 1)
    used = [clock() - was for clock, was in zip(clocks, before, strict=True)]
    return run, Account(*(seconds / all_cores for seconds in used))


def _idle() -> float:
    with open("/proc/stat", encoding="ascii") as stat:  # noqa: PTH123  read often, at once
        fields = stat.readline().split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


async def _rolled(upstream: Process) -> list[Row]:
    with _fleet(upstream, names=SERVER_NAMES, drain_seconds=DRAIN_SECONDS) as four:
        await load.ask(Whole(four), QUESTIONS, seconds=WARM_UP_SECONDS)
        return [
            *await _meanwhile(four, "All replaced one by one", _roll),
            *await _meanwhile(four, "One killed and replaced", _kill),
        ]


async def _meanwhile(four: Fleet, what: str, happens: Callable[[Fleet], None]) -> list[Row]:
    steady = Steady(Whole(four).port, QUESTIONS, A_SECOND)
    over = asyncio.Event()
    asking = asyncio.create_task(steady.run(over))
    try:
        await asyncio.to_thread(happens, four)
    finally:
        over.set()
        await asking
    for failure in steady.failed[:5]:
        print(failure, file=sys.stderr)
    failed, asked = len(steady.failed), len(steady.failed) + len(steady.latencies)
    p99 = 1000 * percentile(steady.latencies, P99)
    return [
        Row(f"{what}, {A_SECOND} /s: failed", f"{failed} of {asked}", "0", not failed),
        beside("  p99 meanwhile", p99, "ms"),
        beside("  longest", 1000 * max(steady.latencies), "ms", 0),
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
