"""Runs the benchmarks and prints one table.

    python benchmarks/run.py [--only NAME] [--write]

Everything runs as real processes on this machine's loopback, and ends with this one.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import uvloop

from benchmarks import documents
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
    comparison,
    execution,
    flight,
    identity,
    latency,
    memory,
    order,
    replicas,
    start,
    telemetry,
    walk,
    watch,
)
from benchmarks.table import Row, summary, text

Measure = Callable[[], Awaitable[list[Row]]]

PEERS: dict[str, Measure] = {
    **{name: partial(comparison.measure, name) for name in comparison.CASES},
    "latency": latency.measure,
}
SPEED: dict[str, Measure] = {
    "call": call.measure,
    "execution": execution.measure,
    "start": start.measure,
    "memory": memory.measure,
    "flight": flight.measure,
    "walk": walk.measure,
    "order": order.measure,
    "watch": watch.measure,
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
GROUPS = {"peers": PEERS, "speed": SPEED, "hostile": HOSTILE}
MEASURES = PEERS | SPEED | HOSTILE


async def measured(names: Sequence[str]) -> dict[str, list[Row]]:
    """Run these one after the other; SIGTERM ends them like Ctrl-C."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    rows: dict[str, list[Row]] = {}
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)
        rows[name] = await MEASURES[name]()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--only", choices=[*GROUPS, *MEASURES], help="run this benchmark or group alone"
    )
    parser.add_argument(
        "--write", action="store_true", help="put the tables of whole groups into the documents"
    )
    arguments = parser.parse_args()
    for name in [name for name in os.environ if name.upper().startswith("AWS_")]:
        del os.environ[name]  # the stock client would read it
    only = arguments.only
    names = list(GROUPS.get(only, [only] if only else MEASURES))
    try:
        rows = uvloop.run(measured(names))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("ended early")
    everything = [row for each in rows.values() for row in each]
    print(documents.conditions(), text(everything), summary(everything), sep="\n\n")
    if arguments.write:
        documents.write(
            {
                group: [row for name in members for row in rows[name]]
                for group, members in GROUPS.items()
                if set(members) <= set(rows)
            }
        )


if __name__ == "__main__":
    main()
