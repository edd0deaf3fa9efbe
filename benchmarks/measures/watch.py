"""Subscriptions to jobs: their memory, their upstream calls, and how soon events arrive."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.client import Connection, get
from benchmarks.processes import Process, gateway, jobs_upstream, probe
from benchmarks.subscriber import Subscriber, Target, subscribe
from benchmarks.table import Row, at_most, reference
from benchmarks.timing import seconds_until

CALLERS = 100
EACH = 10
"""Subscriptions of each caller."""
CROWD = 500
ROOM_FOR_CROWD = 25_000
"""One caller gets a fiftieth of all subscriptions."""
WARM_UP = 100
INTERVALS = 10
ROUNDS = 5
LIMIT_SECONDS = 60.0
CALLS_AT_ONCE = 100
"""The gateway's connections to a region: no more calls can be held."""
MAX_KB = 30.0
MAX_MS = 200.0
LATE_MS = 50.0
KB = 1024


@dataclass(frozen=True, slots=True)
class Case:
    title: str
    targets: Sequence[Target]
    watch_seconds: float
    room: int = 1000

    @property
    def watched(self) -> int:
        """How many jobs of callers are watched."""
        return len(set(self.targets))


TOGETHER = Case(
    f"{CALLERS} callers watch a job each, in {EACH} windows",
    [Target(caller, caller) for caller in range(CALLERS) for _ in range(EACH)],
    watch_seconds=1,
)
APART = Case(
    f"{CALLERS} callers watch {EACH} jobs each",
    [Target(each % CALLERS, (each + each // CALLERS) % CALLERS) for each in range(CALLERS * EACH)],
    watch_seconds=5,
)
CROWDED = Case(
    f"1 caller watches 1 job in {CROWD} windows",
    [Target(0, 0)] * CROWD,
    watch_seconds=1,
    room=ROOM_FOR_CROWD,
)


async def measure() -> list[Row]:
    """Measure many callers who watch one job each, and ten; then many clients of one caller."""
    return [row for case in (TOGETHER, APART, CROWDED) for row in await _measure(case)]


async def _measure(case: Case) -> list[Row]:
    with (
        jobs_upstream() as upstream,
        gateway(upstream, watch_seconds=case.watch_seconds, max_subscriptions=case.room) as ours,
    ):
        jobs = Jobs(await Connection.to(upstream.port))
        await _warm_up(ours)
        before = ours.resident_bytes()
        subscribers = await subscribe(ours, case.targets)
        kilobytes = (ours.resident_bytes() - before) / len(case.targets) / KB
        with probe(ours) as livez:
            calls = await _calls_in_interval(jobs, case.watch_seconds)
            one = [await _move(jobs, subscribers, case, 1) for _ in range(ROUNDS)]
            every = [await _move(jobs, subscribers, case, CALLERS) for _ in range(ROUNDS)]
            livez.write_line("")
            late = float(livez.read_line())
        settled = await _calls_when_settled(jobs, subscribers, case.watch_seconds)
        return [
            at_most(f"{case.title}: memory of a window", kilobytes, MAX_KB, "KB"),
            Row(
                f"  calls in {case.watch_seconds:g} s",
                f"{calls:.0f} for {case.watched}",
                f"<= {case.watched}",
                calls <= case.watched,
            ),
            at_most(
                "  a job moves: last event after its poll", max(map(max, one)), MAX_MS, "ms", 0
            ),
            at_most("  all move: last event after its poll", max(map(max, every)), MAX_MS, "ms", 0),
            reference("  its median", median([each for took in every for each in took]), "ms", 0),
            at_most("  /livez meanwhile: slowest", late, LATE_MS, "ms"),
            Row("  calls once all are settled", f"{settled:.0f}", "0", settled == 0),
        ]


async def _warm_up(ours: Process) -> None:
    """Let the gateway import and allocate what it needs once."""
    targets = [Target(CALLERS + each, each) for each in range(WARM_UP)]
    files = ours.open_files()
    for subscriber in await subscribe(ours, targets):
        subscriber.close()
    await seconds_until(lambda: ours.open_files() < files + WARM_UP, limit=LIMIT_SECONDS)


class Jobs:
    """The jobs of benchmarks/jobs_upstream.py, which has the commands."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def command(self, name: str, *numbers: int) -> Any:
        path = "/".join([f"/_{name}", *map(str, numbers)])
        return json.loads(await self._connection.ask(get(path)))


async def _calls_in_interval(jobs: Jobs, seconds: float) -> float:
    before = await jobs.command("calls")
    await asyncio.sleep(INTERVALS * seconds)
    calls: int = await jobs.command("calls") - before
    return calls / INTERVALS


async def _calls_when_settled(
    jobs: Jobs, subscribers: Sequence[Subscriber], seconds: float
) -> float:
    await jobs.command("settle")
    await seconds_until(lambda: all(each.complete for each in subscribers), limit=LIMIT_SECONDS)
    return await _calls_in_interval(jobs, seconds)


async def _move(jobs: Jobs, subscribers: Sequence[Subscriber], case: Case, end: int) -> list[float]:
    """Move the jobs up to a number.

    Returns the milliseconds from the answer to the poll to each client's event. If no more than
    CALLS_AT_ONCE are polled, these all get their answers at the same moment.
    """
    watching = [each for each in subscribers if each.target.job < end]
    if case.watched <= CALLS_AT_ONCE:
        await jobs.command("hold", case.watched)
    version = await jobs.command("move", 0, end)
    await seconds_until(lambda: all(version in each.told for each in watching), limit=LIMIT_SECONDS)
    polled = {(key, number): at for key, number, at in await jobs.command("told", version)}
    return [
        1000 * (each.told[version] - polled[each.target.access_key, each.target.job])
        for each in watching
    ]
