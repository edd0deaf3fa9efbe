"""JSON logs of the gateway and its libraries on standard output, one object per line."""

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

NOISY_LIBRARIES = (
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
"""Logged from level `warning` up. Below it they log requests, signed headers or cached values."""

LINES_PER_SECOND = 10
"""Per message, so that a flood of malformed requests does not become a flood of log lines."""


def configure_logs(level: str) -> None:
    """Write structlog's and the standard library's logs from `level` up to standard output."""
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
                _replace_exception,
                structlog.processors.JSONRenderer(serializer=_dumps),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=number, force=True)
    logging.captureWarnings(capture=True)
    # A client that disconnects cancels coroutines that had not started, which Python warns about.
    warnings.filterwarnings("ignore", r"coroutine '.*' was never awaited", RuntimeWarning)
    for name in NOISY_LIBRARIES:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    logging.getLogger("uvicorn.error").filters = [RateLimitFilter()]


class RateLimitFilter(logging.Filter):
    """Passes LINES_PER_SECOND of each message; its next line says how many were dropped."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[str, tuple[int, int]] = {}  # message -> second, lines in it

    def filter(self, record: logging.LogRecord) -> bool:
        message, now = str(record.msg), int(self._clock())
        second, lines = self._seen.get(message, (now, 0))
        if second != now:
            if lines > LINES_PER_SECOND:
                record.msg = f"{message} ({lines - LINES_PER_SECOND} similar lines dropped)"
            lines = 0
        self._seen[message] = (now, lines + 1)
        return lines < LINES_PER_SECOND


def exception_fields(error: BaseException) -> dict[str, Any]:
    """Return an exception's type and innermost frames, for a log line.

    Its text is left out: it may hold what must not be logged.
    """
    frames = traceback.extract_tb(error.__traceback__)[-INNERMOST_FRAMES:]
    return {
        "exception": type(error).__qualname__,
        "where": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }


def _replace_exception(
    _: Any, __: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    exc_info = event.pop("exc_info", None)
    error = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if isinstance(error, BaseException):
        # After the first line, asyncio prints the failed task with its exception.
        event["event"] = str(event["event"]).partition("\n")[0]
        event.update(exception_fields(error))
    return event


def _dumps(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()
