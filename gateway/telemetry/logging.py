"""Logs of the gateway and its libraries on standard output, one JSON object per line.

On a developer's terminal the lines are text.
"""

import atexit
import logging
import os
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from queue import SimpleQueue
from select import PIPE_BUF
from types import MappingProxyType
from typing import Any

import orjson
import structlog
from structlog.dev import ConsoleRenderer, plain_traceback

from gateway.telemetry.metrics import LOG_LINES_DROPPED

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


MAX_QUEUED_LINES = 10_000
"""Some 5 MB."""

BATCH_SECONDS = 0.02
"""How long lines wait for others to be written with."""

FLUSH_SECONDS = 1.0
"""How long the end of the process waits for the last lines to be written."""


_context: ContextVar[Mapping[str, str]] = ContextVar(
    "fields of log lines", default=MappingProxyType({})
)


class LogContext:
    """Adds fields to the log lines of a `with` block, and of tasks that it starts."""

    __slots__ = ("_fields", "_token")

    def __init__(self, **fields: str) -> None:
        self._fields = fields

    def __enter__(self) -> None:
        self._token = _context.set({**_context.get(), **self._fields})

    def __exit__(self, *_: object) -> None:
        _context.reset(self._token)


def configure_logs(level: str, *, console: bool = False) -> None:
    """Write structlog's and the standard library's logs from `level` up to standard output.

    `console` renders them as text, in colours.
    """
    render = _ConsoleLines() if console else _render
    writer = LogWriter(sys.stdout.fileno())
    atexit.register(writer.close)
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [structlog.processors.add_log_level, _add_context]
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=True,
    )
    handler = _WriterHandler(writer)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(allow=())],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _replace_exception,
                lambda *event: render(*event).decode(),
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


def event_writer(level: str) -> Callable[[structlog.types.EventDict], None]:
    """Return a function that writes a line, as structlog's loggers as configured now would.

    It takes half their time, for the line that is written for each request.
    """
    if not structlog.get_logger().is_enabled_for(logging.getLevelNamesMapping()[level.upper()]):
        return lambda _: None
    config = structlog.get_config()
    processors, logger = config["processors"], config["logger_factory"]()
    write = getattr(logger, level)

    def write_event(event: Any) -> None:
        for process in processors:
            event = process(logger, level, event)
        write(event)

    return write_event


class LogWriter:
    """Writes lines from a thread, so that no request waits for a reader of the log, or fails.

    Lines are dropped and counted while MAX_QUEUED_LINES wait, and when they cannot be written.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._lines: SimpleQueue[bytes] = SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        if self._lines.qsize() < MAX_QUEUED_LINES:
            self._lines.put(line)
        else:
            LOG_LINES_DROPPED.inc()

    debug = info = warning = error = critical = write
    """structlog's names."""

    def close(self) -> None:
        """Wait for the lines so far, but not for a reader that takes none."""
        self._closing.set()
        self._lines.put(b"")
        self._thread.join(FLUSH_SECONDS)

    def _run(self) -> None:
        closing = False
        while not closing:
            batch = [self._lines.get()]
            # Waking for each line would cost a request a tenth of its CPU.
            closing = self._closing.wait(BATCH_SECONDS)
            batch += (self._lines.get() for _ in range(self._lines.qsize()))
            self._write_batch(batch)

    def _write_batch(self, batch: list[bytes]) -> None:
        # Workers share a pipe, where longer writes than this may be interleaved.
        chunk = b""
        for line in batch:
            if chunk and len(chunk) + len(line) > PIPE_BUF:
                self._write_chunk(chunk)
                chunk = b""
            chunk += line
        self._write_chunk(chunk)

    def _write_chunk(self, lines: bytes) -> None:
        try:
            while lines:
                lines = lines[os.write(self._file, lines) :]
        except OSError:
            LOG_LINES_DROPPED.inc(lines.count(b"\n"))


class _WriterHandler(logging.Handler):
    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.write(self.format(record).encode())
        except Exception:  # noqa: BLE001  as the handlers of the library do
            self.handleError(record)


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


def _add_context(_: Any, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    return {**_context.get(), **event, "timestamp": datetime.now(UTC)}


def _render(_: Any, __: str, event: structlog.types.EventDict) -> bytes:
    return orjson.dumps(event, default=repr, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


class _ConsoleLines:
    """Renders events as lines of text, in which no value can move the cursor or start a line."""

    def __init__(self) -> None:
        self._render = ConsoleRenderer(
            pad_event_to=0, sort_keys=False, exception_formatter=plain_traceback
        )

    def __call__(self, logger: Any, name: str, event: structlog.types.EventDict) -> bytes:
        time = f"{event.pop('timestamp').astimezone():%H:%M:%S}"
        request_id = event.pop("request_id", None)
        fields = {"timestamp": time, **event, "request_id": request_id}
        shown = {key: _printable(value) for key, value in fields.items() if value is not None}
        return self._render(logger, name, shown).encode() + b"\n"


def _printable(value: object) -> object:
    if isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
