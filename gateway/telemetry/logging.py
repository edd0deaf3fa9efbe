"""Logs: one JSON object a line on standard output, also of the libraries."""

import logging
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import orjson
import structlog

INNERMOST_FRAMES = 8

QUIET = (
    "botocore",
    "aiobotocore",
    "aioboto3",
    "boto3",
    "aiocache",
    "aiohttp",
    "asyncio",
    "opentelemetry",
    "urllib3",
)
"""Libraries whose lower levels print requests, signed headers or cached values."""

LINES_PER_SECOND = 10
"""Of one kind; a flood of malformed requests must not become one of log lines."""


def configure_logs(level: str) -> None:
    """Send our own log and the standard library's to standard output, from `level` up."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=orjson.dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(allow=())],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _without_texts,
                structlog.processors.JSONRenderer(serializer=_dumps),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=number, force=True)
    logging.captureWarnings(capture=True)
    # A client who leaves ends what had not begun, which Python takes for an oversight.
    warnings.filterwarnings("ignore", r"coroutine '.*' was never awaited", RuntimeWarning)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    logging.getLogger("uvicorn.error").filters = [RateLimitFilter()]


class RateLimitFilter(logging.Filter):
    """Lets few lines of a kind pass in a second; the first of the next says how many did not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[str, tuple[int, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a line is written."""
        kind, now = str(record.msg), int(self._clock())
        second, lines = self._seen.get(kind, (now, 0))
        if second != now:
            if lines > LINES_PER_SECOND:
                record.msg = f"{kind} ({lines - LINES_PER_SECOND} more before were not written.)"
            lines = 0
        self._seen[kind] = (now, lines + 1)
        return lines < LINES_PER_SECOND


def exception_fields(error: BaseException) -> dict[str, Any]:
    """Say what kind a failure of ours is and where it happened: for a log line.

    Its text is left out: it may hold what must not be logged.
    """
    frames = traceback.extract_tb(error.__traceback__)[-INNERMOST_FRAMES:]
    return {
        "exception": type(error).__qualname__,
        "where": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }


def _without_texts(_: Any, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    found = event.pop("exc_info", None)
    if isinstance(found, tuple):
        found = found[1]
    if isinstance(found, BaseException):
        # asyncio prints the failed task, exception and all, behind the first line.
        event["event"] = str(event["event"]).partition("\n")[0]
        event.update(exception_fields(found))
    return event


def _dumps(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()
