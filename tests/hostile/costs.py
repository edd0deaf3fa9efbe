"""What a request costs a gateway process: CPU, memory, bytes, and the delay of others."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import httpx

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.gateways import GRAPHQL, TLS
from tests.processes import Process

ADA_HEADERS = aws_headers(CALLERS["ada"])
PROBE_SECONDS = 0.03
"""Between two probes, which cost the process CPU time themselves."""

UNIT_SECONDS = 0.006
"""The CPU time that a unit of work takes on the machine for which the limits are set."""


@dataclass(slots=True)
class Cost:
    """What the process spent; CPU time in seconds of the machine for which the limits are set.

    `livez_seconds` is the most CPU time that it spent during a request for /livez: how late the
    answer is on a machine that does nothing else.
    """

    cpu_seconds: float = 0.0
    grown_bytes: int = 0
    livez_seconds: float = 0.0


@contextmanager
def measured(process: Process) -> Iterator[Cost]:
    """Measure the block; the cost is complete when it ends. The gateway should be warm."""
    cost = Cost()
    cpu, resident, done = process.cpu_seconds(), process.resident_bytes(), threading.Event()
    highest = resident
    slowest = 0.0

    def probe() -> None:
        nonlocal highest, slowest
        with httpx.Client(verify=TLS, timeout=30) as client:
            while not done.wait(PROBE_SECONDS):
                started = process.cpu_seconds()
                client.get(f"{process.url}/livez")
                slowest = max(slowest, process.cpu_seconds() - started)
                highest = max(highest, process.resident_bytes())

    prober = threading.Thread(target=probe)
    prober.start()
    try:
        yield cost
    finally:
        done.set()
        prober.join()
        slower = slowness()
        cost.cpu_seconds = (process.cpu_seconds() - cpu) / slower
        cost.grown_bytes = highest - resident
        cost.livez_seconds = slowest / slower


@contextmanager
def cpu_measured(process: Process) -> Iterator[Cost]:
    """Measure the CPU time of the block, without probes."""
    cost, before = Cost(), process.cpu_seconds()
    yield cost
    cost.cpu_seconds = (process.cpu_seconds() - before) / slowness()


def slowness() -> float:
    """Return the factor by which the same work takes more CPU time here and now; at least 1.

    The machine may be another one, or busy: programs that share a core slow each other down.
    """
    return max(1.0, median(_unit_of_work() for _ in range(5)) / UNIT_SECONDS)


def _unit_of_work() -> float:
    """Return the CPU time of some work that is similar to the gateway's."""
    began = time.thread_time()
    for number in range(30):
        rows = [{"name": f"row {number}.{each}", "tags": [each] * 9} for each in range(100)]
        assert json.loads(json.dumps(rows)) == rows
    return time.thread_time() - began


def post(
    url: str,
    query: str,
    variables: Mapping[str, object] | None = None,
    headers: Mapping[str, str] = ADA_HEADERS,
) -> httpx.Response:
    """Send a query, and read all of the response."""
    return httpx.post(
        f"{url}/graphql",
        content=json.dumps({"query": query, "variables": variables or {}}),
        headers={"Accept": GRAPHQL, "Content-Type": "application/json", **headers},
        verify=TLS,
        timeout=60,
    )


def invented_headers(number: int) -> dict[str, str]:
    """Return well-formed credentials that no caller has."""
    return {
        "X-Aws-Access-Key-Id": f"ASIA{number:016}",
        "X-Aws-Secret-Access-Key": f"invented-{number}",
        "X-Aws-Session-Token": f"invented-token-{number}",
    }


def warm(url: str) -> None:
    """Let the gateway do once what only its first requests do."""
    for _ in range(3):
        post(url, "{ audienceModels(first: 1) { nodes { name } } }")
