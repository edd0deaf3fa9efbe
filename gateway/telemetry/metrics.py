"""Prometheus metrics. Labels take values from fixed sets only, which bounds the series."""

import asyncio
import math
import os
import platform
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    multiprocess,
)

from gateway import __version__
from gateway.telemetry.processes import WorkerCollector

# Prometheus does not read their `_created` series, which double the counters.
disable_created_metrics()  # type: ignore[no-untyped-call]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)

OPERATION_SECONDS_BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 20.0)
"""Some of SECONDS, as each operation has all of them."""

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
OPERATION_SECONDS = Histogram(
    "gateway_operation_duration_seconds",
    "Duration of GraphQL requests by the name of the operation: the first 50 names in each process "
    "that a caller has read data with; `(other)` names; `(none)` if unnamed, or invalid.",
    ["operation"],
    buckets=OPERATION_SECONDS_BUCKETS,
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
    "Attempts to call AWS, by operation, region and outcome: OK, or the code of the error.",
    ["operation", "region", "outcome"],
)
UPSTREAM_SECONDS = Histogram(
    "gateway_upstream_call_duration_seconds",
    "Duration of attempts to call AWS, by operation and region.",
    ["operation", "region"],
    buckets=SECONDS,
)
CACHE_LOOKUPS = Counter(
    "gateway_cache_lookups",
    "Lookups of upstream responses, by their source: `cache`, `flight` (a call already in "
    "progress), `upstream`, or `stale` (an expired response, because the upstream failed); and "
    "`answer`, requests that were answered with a whole response from the cache.",
    ["result"],
)
PERSISTED_DOCUMENTS = Counter(
    "gateway_persisted_documents",
    "Requests by persisted document, by result: `manifest` (in the file), `remembered` (sent by a "
    "client before), `new` (sent with its hash), `not_found` (an unknown id), `refused` (not in "
    "the file, as `GATEWAY_PERSISTED_ONLY` requires, or a wrong hash); and where there is a file, "
    "`unlisted` (sent in full, and not in the file).",
    ["result"],
)
REJECTIONS = Counter(
    "gateway_rejections",
    "Requests, connections and calls rejected, by the limit that they exceed.",
    ["limit"],
)
SUBSCRIPTIONS = Gauge("gateway_subscriptions", "Open subscriptions.", multiprocess_mode="livesum")
SUBSCRIPTION_EVENTS = Counter("gateway_subscription_events", "Events sent to subscriptions.")
WATCHES = Gauge(
    "gateway_watches",
    "Objects and lists that are polled for subscriptions.",
    multiprocess_mode="livesum",
)
POLLS = Counter(
    "gateway_polls",
    "Readings of what is watched, by what was found: `changed`, `unchanged`, or `failed`.",
    ["result"],
)
WATCHED_BYTES = Gauge(
    "gateway_watched_bytes",
    "Bytes of the lists and objects that are watched.",
    multiprocess_mode="livesum",
)
CIRCUIT_BREAKER_OPEN = Gauge(
    "gateway_circuit_breaker_open",
    "1 while the circuit breaker of an AWS region, of `sts`, of an issuer, or of `redis` is open.",
    ["target"],
    multiprocess_mode="livemax",
)
REDIS_REJECTED_COMMANDS = Counter(
    "gateway_redis_rejected_commands",
    "Commands that Redis has rejected: it has no memory left, is a replica, or lacks permissions.",
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
BUILD_INFO = Gauge(
    "gateway_build_info",
    "1, labelled with the versions of the gateway and of Python.",
    ["version", "python"],
    multiprocess_mode="livemax",
)
BUILD_INFO.labels(__version__, platform.python_version()).set(1)

CONTENT_TYPE = CONTENT_TYPE_LATEST

SHARED_MEMORY = "/dev/shm"  # noqa: S108  only random names are created in it

SHARED_BYTES_PER_WORKER = 2 * 1024 * 1024
"""Free space for the metrics of a worker process that serves up to 16 regions, or of some that
replace each other and serve fewer. The files are mapped into memory: the kernel kills a process
that writes to one for which there is no space."""

INTERVAL_SECONDS = 0.5
"""Between measurements of the event loop, and between writes of what is counted in each request."""

MAX_OPERATION_NAMES = 50
UNNAMED = "(none)"
OTHER_NAMES = "(other)"
"""Neither is a name in GraphQL."""

_operation_names: set[str] = set()
"""Those with a label of their own: clients choose names, and series are never removed."""

_pending_counts: dict[Counter | Gauge, float] = {}
"""Metric -> what is to be added to it."""

_pending_requests: dict[tuple[int, str, str, int], list[float]] = {}
"""(status, outcome, operation's label, index in SECONDS) -> the durations of requests."""


def count(metric: Counter | Gauge, amount: float = 1) -> None:
    """Add to a metric at the next `write_counts`.

    For what each request changes: in the memory that workers share, an addition takes a
    microsecond and more. Only the thread of the event loop may call this.
    """
    _pending_counts[metric] = _pending_counts.get(metric, 0) + amount


def count_request(status: int, outcome: str, operation: str, seconds: float | None) -> None:
    """Count a request at the next `write_counts`; `operation` is from `operation_label`.

    Without `seconds`, its duration is not recorded.
    """
    if seconds is None:
        REQUESTS.labels(status, outcome).inc()
        return
    key = (status, outcome, operation, bisect_left(SECONDS, seconds))
    durations = _pending_requests.get(key)
    if durations is None:
        _pending_requests[key] = [seconds]
    else:
        durations.append(seconds)


def operation_label(name: str | None, has_read_data: Callable[[], bool]) -> str:
    """Return the label of an operation's name.

    A name gets one of its own, while there are some left, if the request has read data of AWS: only
    callers whose credentials are good can use them up.
    """
    if name is None:
        return UNNAMED
    if name in _operation_names:
        return name
    if len(_operation_names) == MAX_OPERATION_NAMES or not has_read_data():
        return OTHER_NAMES
    _operation_names.add(name)
    return name


def write_counts() -> None:
    while _pending_counts:
        metric, amount = _pending_counts.popitem()
        metric.inc(amount)
    while _pending_requests:
        (status, outcome, operation, index), durations = _pending_requests.popitem()
        REQUESTS.labels(status, outcome).inc(len(durations))
        _add(REQUEST_SECONDS, index, durations)
        longest = SECONDS[index] if index < len(SECONDS) else math.inf
        bucket = bisect_left(OPERATION_SECONDS_BUCKETS, longest)
        _add(OPERATION_SECONDS.labels(operation), bucket, durations)


def _add(histogram: Histogram, bucket: int, durations: Sequence[float]) -> None:
    # The library adds to a histogram one by one only.
    histogram._sum.inc(sum(durations))  # noqa: SLF001
    histogram._buckets[bucket].inc(len(durations))  # noqa: SLF001


def exposition() -> bytes:
    """Return all metrics in Prometheus's text format, summed over the worker processes.

    What requests of other workers have counted may be INTERVAL_SECONDS old.
    """
    write_counts()
    folder = os.environ.get(MULTIPROCESS_DIR)  # noqa: TID251  the library's variable, not a setting
    if folder is None:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    registry.register(WorkerCollector(_live_workers(folder)))
    return generate_latest(registry)


def _live_workers(folder: str) -> list[int]:
    """Return the ids of the processes that have a file for gauges of live workers."""
    files = Path(folder).glob("gauge_livesum_*.db")
    return sorted(int(file.stem.rpartition("_")[2]) for file in files)


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
