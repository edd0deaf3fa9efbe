"""Runs the benchmarks and prints one table.

    python benchmarks/run.py [--only NAME]

Everything runs as real processes on this machine's loopback, and ends with this one.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence

import uvloop

from benchmarks.hostile import (
    aborts,
    failing,
    fragments,
    fuzz,
    halfopen,
    hung,
    maximal,
    neighbour,
    overload,
)
from benchmarks.measures import (
    call,
    cold,
    flight,
    identity,
    latency,
    memory,
    replicas,
    start,
    telemetry,
    walk,
    warm,
)
from benchmarks.table import Row, text

Measure = Callable[[], Awaitable[list[Row]]]

SPEED: dict[str, Measure] = {
    "call": call.measure,
    "cold": cold.measure,
    "few": cold.measure_few,
    "warm": warm.measure,
    "latency": latency.measure,
    "start": start.measure,
    "memory": memory.measure,
    "flight": flight.measure,
    "walk": walk.measure,
    "identity": identity.measure,
    "telemetry": telemetry.measure,
    "replicas": replicas.measure,
}
HOSTILE: dict[str, Measure] = {
    "fragments": fragments.measure,
    "fuzz": fuzz.measure,
    "overload": overload.measure,
    "halfopen": halfopen.measure,
    "hung": hung.measure,
    "failing": failing.measure,
    "neighbour": neighbour.measure,
    "aborts": aborts.measure,
    "maximal": maximal.measure,
}
MEASURES = SPEED | HOSTILE
GROUPS = {"speed": SPEED, "hostile": HOSTILE} | {name: (name,) for name in MEASURES}
"""What `--only` takes."""


async def measured(names: Sequence[str]) -> list[Row]:
    """Run these one after the other; SIGTERM ends them like Ctrl-C."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    rows: list[Row] = []
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)
        rows += await MEASURES[name]()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=GROUPS, help="run this benchmark or group alone")
    only = parser.parse_args().only
    for name in [name for name in os.environ if name.upper().startswith("AWS_")]:
        del os.environ[name]  # the stock client would read it
    try:
        rows = uvloop.run(measured(list(GROUPS[only] if only else MEASURES)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("ended early")
    print(text(rows))


if __name__ == "__main__":
    main()
