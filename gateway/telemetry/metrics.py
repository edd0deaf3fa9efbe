"""Prometheus metrics. Labels take values from fixed sets only, which bounds the series."""

import asyncio
import os
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from tempfile import TemporaryDirectory, gettempdir
from typing import Protocol

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)

MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's variable for the folder in which worker processes share their values."""

OK = "OK"
"""The outcome that is not an error code."""

REQUESTS = Counter(
    "gateway_requests",
    "GraphQL requests, by HTTP status and by outcome: OK, or the code of the first error.",
    ["status", "outcome"],
)
REQUEST_SECONDS = Histogram(
    "gateway_request_duration_seconds",
    "Duration of GraphQL requests, until the client has taken the response.",
    buckets=SECONDS,
)
IN_FLIGHT = Gauge(
    "gateway_in_flight_requests", "Requests being served.", multiprocess_mode="livesum"
)
WAITING = Gauge(
    "gateway_waiting_requests",
    "Requests waiting for a free slot.",
    multiprocess_mode="livesum",
)
UPSTREAM_CALLS = Counter(
    "gateway_upstream_calls",
    "Attempts to call AWS, by operation and by outcome: OK, or the code of the error.",
    ["operation", "outcome"],
)
UPSTREAM_SECONDS = Histogram(
    "gateway_upstream_call_duration_seconds",
    "Duration of attempts to call AWS, by operation.",
    ["operation"],
    buckets=SECONDS,
)
CACHE_LOOKUPS = Counter(
    "gateway_cache_lookups",
    "Lookups of upstream responses, by their source: `cache`, `flight` (a call already in "
    "progress), `upstream`, or `stale` (an expired response, because the upstream failed); and "
    "`answer`, requests that were answered with a whole response from the cache.",
    ["result"],
)
REJECTIONS = Counter(
    "gateway_rejections",
    "Requests, connections and calls rejected, by the limit that they exceed.",
    ["limit"],
)
CIRCUIT_BREAKER_OPEN = Gauge(
    "gateway_circuit_breaker_open",
    "1 while the circuit breaker of an AWS region, of `sts`, of an issuer, or of `redis` is open.",
    ["target"],
    multiprocess_mode="livemax",
)
LOG_LINES_DROPPED = Counter(
    "gateway_log_lines_dropped",
    "Log lines dropped because standard output was slow, full or closed.",
)
LOOP_LAG_SECONDS = Histogram(
    "gateway_loop_lag_seconds",
    "Delay of the event loop, measured twice a second.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
)
TASKS = Gauge("gateway_tasks", "asyncio tasks.", multiprocess_mode="livesum")

CONTENT_TYPE = CONTENT_TYPE_LATEST

SHARED_MEMORY = "/dev/shm"  # noqa: S108  only random names are created in it

SHARED_BYTES_PER_WORKER = 1024 * 1024
"""Free space for the metrics of a worker process, and of some that it replaces. The files are
mapped into memory: the kernel kills a process that writes to one for which there is no space."""

INTERVAL_SECONDS = 0.5
"""Between measurements of the event loop, and between writes of what is counted in each request."""

_pending: "dict[_Number, float]" = {}
"""Number -> what is to be added to it."""


class _Number(Protocol):
    def inc(self, amount: float) -> None: ...


def count(number: _Number, amount: float = 1) -> None:
    """Add to a number of a metric at the next `write_counts`.

    For what each request changes: in the memory that workers share, an addition takes a
    microsecond and more. Only the thread of the event loop may call this.
    """
    _pending[number] = _pending.get(number, 0) + amount


def write_counts() -> None:
    while _pending:
        number, amount = _pending.popitem()
        number.inc(amount)


def count_request(status: int, outcome: str, seconds: float) -> None:
    """Count a request in REQUESTS and REQUEST_SECONDS."""
    count(requests_counter(status, outcome))
    # The library adds to a histogram one by one only.
    count(REQUEST_SECONDS._sum, seconds)  # noqa: SLF001
    count(REQUEST_SECONDS._buckets[bisect_left(SECONDS, seconds)])  # noqa: SLF001


@lru_cache(maxsize=256)
def requests_counter(status: int, outcome: str) -> Counter:
    """Return the counter of REQUESTS with these labels; a lookup by `labels` takes longer."""
    return REQUESTS.labels(status, outcome)


def exposition() -> bytes:
    """Return all metrics in Prometheus's text format, summed over the worker processes.

    What requests of other workers have counted may be INTERVAL_SECONDS old.
    """
    write_counts()
    if MULTIPROCESS_DIR not in os.environ:  # noqa: TID251  the library's variable, not a setting
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def forget_worker(pid: int) -> None:
    """Remove a worker that has ended from the gauges of live workers."""
    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


class NoSpaceError(Exception):
    """No folder has space for the metrics of the worker processes."""


@contextmanager
def shared_by_workers(workers: int) -> Iterator[None]:
    """Let the processes started in this block sum their metrics.

    Raises NoSpaceError if no folder has space for them.
    """
    folder = _folder_with_space(workers * SHARED_BYTES_PER_WORKER)
    with TemporaryDirectory(prefix="audience-gateway-", dir=folder) as folder:
        os.environ[MULTIPROCESS_DIR] = folder  # noqa: TID251  the library's variable
        try:
            yield
        finally:
            del os.environ[MULTIPROCESS_DIR]  # noqa: TID251  the library's variable


def _folder_with_space(size: int) -> str:
    # A container with a read-only file system may have no other writable folder.
    if _has_space(SHARED_MEMORY, size):
        return SHARED_MEMORY
    with suppress(FileNotFoundError):  # no folder for temporary files is writable
        if _has_space(gettempdir(), size):
            return gettempdir()
    raise NoSpaceError(
        f"No folder has space for the metrics of the workers. Accepted: {SHARED_MEMORY}, or the "
        f"folder for temporary files, writable and with {size // 2**20} MiB free."
    )


def _has_space(folder: str, size: int) -> bool:
    if not os.access(folder, os.W_OK):
        return False
    file_system = os.statvfs(folder)
    is_unlimited = file_system.f_blocks == 0
    return is_unlimited or file_system.f_bavail * file_system.f_frsize >= size


@contextmanager
def measure_loop() -> Iterator[None]:
    """Measure the lag and the tasks of the running event loop, and write counts, until the end."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def measure(due: float) -> None:
        nonlocal timer
        LOOP_LAG_SECONDS.observe(max(0.0, loop.time() - due))
        TASKS.set(len(asyncio.all_tasks(loop)))
        write_counts()
        timer = schedule()

    def schedule() -> asyncio.TimerHandle:
        due = loop.time() + INTERVAL_SECONDS
        return loop.call_at(due, measure, due)

    timer = schedule()
    try:
        yield
    finally:
        timer.cancel()
        write_counts()
