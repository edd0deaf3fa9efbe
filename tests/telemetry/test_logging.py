"""Logs are one JSON object a line, without the text of exceptions."""

import json
import re
import subprocess
import sys
from functools import cache
from typing import Any

from tests.gateways import Sandbox
from tests.http.wire import connect
from tests.processes import gateway_process

CANARY = "CANARY"

CRASHES = """
import asyncio, logging, sys
from gateway.http.middleware import AccessLogMiddleware
from gateway.telemetry.logging import configure_logs

configure_logs("debug")
SECRET = "CANARY" + "-secret"

async def crashing(scope, receive, send):
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        raise RuntimeError(f"while {SECRET}") from error

async def late(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ExceptionGroup(SECRET, [KeyError(SECRET)])

async def receive():
    return {"type": "http.request", "body": b""}

async def send(message):
    sent.append(message)

sent = []
scope = {"type": "http", "method": "GET", "path": "/graphql", "headers": [], "query_string": b""}
for app in (crashing, late):
    asyncio.run(AccessLogMiddleware(app)(scope, receive, send))
assert SECRET not in str(sent), sent
assert [message.get("status") for message in sent if "status" in message] == [500, 200]
"""

LIBRARIES = """
import asyncio, gc, logging
from gateway.telemetry.logging import configure_logs

configure_logs("debug")
SECRET = "CANARY" + "-secret"
for name in ("botocore.auth", "botocore.endpoint", "aiobotocore", "aiohttp.client", "aiocache"):
    logging.getLogger(name).debug("Authorization: %s", SECRET)
    logging.getLogger(name).info("Authorization: %s", SECRET)

async def fail():
    raise ValueError(SECRET)

async def main():
    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    del task
    gc.collect()

asyncio.run(main())
try:
    raise ValueError(SECRET)
except ValueError:
    logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
"""

FLOOD = """
import logging
from gateway.telemetry.logging import RateLimitFilter, configure_logs

configure_logs("info")
now = 0.0
logger = logging.getLogger("uvicorn.error")
logger.filters = [RateLimitFilter(clock=lambda: now)]
for second in (0.0, 0.9, 1.0, 2.5, 3.0):
    now = second
    for _ in range(1 if second == 3.0 else 1000):
        logger.warning("Malformed.")
    logger.warning("Another of number %d.", second)
"""

LINES = """
import logging, structlog
from gateway.telemetry.logging import configure_logs

configure_logs("info")
log, stdlib = structlog.get_logger(), logging.getLogger("some.library")
log.debug("too fine")
stdlib.debug("too fine")
log.info("one", text="a\\nb\\x1b[31m\\u2028", odd=object, many={1, 2}, data=b"\\xff")
stdlib.warning("two %s\\n{\\"event\\": \\"forged\\"}", "a\\nb")
stdlib.error("three", extra={"odd": object()})
"""

TWICE = """
import structlog
from gateway.telemetry.logging import configure_logs, event_writer, LogContext

configure_logs("info")
log = structlog.get_logger()
with LogContext(request_id="r"), LogContext(trace_id="t"):
    log.info("request", status=200, odd=object)
    event_writer("info")({"event": "request", "status": 200, "odd": object})
event_writer("debug")({"event": "too fine"})
log.info("outside")
"""


CONTROLS = """
import logging, structlog
from gateway.telemetry.logging import configure_logs

configure_logs("info", console=True)
text = "a\\nb\\x1b[2Jc\\u202ed"
structlog.get_logger().info(text, path=text.replace("\\n", ""))
logging.getLogger("some.library").warning(text)
"""


@cache
def output_of(code: str) -> str:
    done = subprocess.run(  # noqa: S603  a fixed program
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def lines_of(code: str) -> list[Any]:
    return [json.loads(line) for line in output_of(code).removesuffix("\n").split("\n")]


def test_a_crash_is_logged_without_its_text() -> None:
    """This holds even if the response has started."""
    lines = lines_of(CRASHES)
    crashes = [line for line in lines if line["event"] == "request crashed"]

    assert [crash["exception"] for crash in crashes] == ["RuntimeError", "ExceptionGroup"]
    assert "crashing" in str(crashes[0]["where"])
    assert CANARY not in str(lines)


def test_libraries_log_no_requests_and_no_text_of_exceptions() -> None:
    """Below `warning` botocore logs signed headers, and aiocache values."""
    lines = lines_of(LIBRARIES)

    assert len(lines) == 2
    assert "ValueError" in str(lines)
    assert "Authorization" not in str(lines)
    assert CANARY not in str(lines)


def test_each_line_is_one_event() -> None:
    """Line breaks, terminal codes and values of any type are encoded; lower levels are dropped."""
    lines = lines_of(LINES)

    assert [line["level"] for line in lines] == ["info", "warning", "error"]
    assert lines[1]["event"] == 'two a\nb\n{"event": "forged"}'


def test_lines_of_requests_are_like_all_others() -> None:
    """They have the same level, fields and time, and the fields of their context."""
    *lines, outside = lines_of(TWICE)
    times = [line.pop("timestamp") for line in lines]

    expected = {"level": "info", "event": "request", "status": 200, "odd": repr(object)}
    assert lines == [{**expected, "request_id": "r", "trace_id": "t"}] * 2
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", each) for each in times)
    assert (outside["event"], "request_id" in outside) == ("outside", False)


def test_a_flood_of_one_message_is_limited() -> None:
    """Ten a second, then how many were dropped; other messages are not affected."""
    messages = [line["event"] for line in lines_of(FLOOD)]

    assert sum(message.startswith("Malformed.") for message in messages) == 31
    assert [message for message in messages if "dropped" in message] == [
        "Malformed. (1990 similar lines dropped)",
        "Malformed. (990 similar lines dropped)",
        "Malformed. (990 similar lines dropped)",
    ]
    assert sum(message.startswith("Another of number") for message in messages) == 5


def test_malformed_requests_are_logged_at_a_limited_rate(sandbox: Sandbox) -> None:
    """The log does not have their content."""
    with gateway_process(sandbox.url) as program:
        for _ in range(100):
            with connect(program.url) as connection:
                connection.sendall(f"{CANARY}\r\n\r\n".encode())
                assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
        program.terminate()
    warnings = [line for line in map(json.loads, program.output) if line["level"] == "warning"]

    assert 10 <= len(warnings) < 100
    assert all("malformed" in line["event"] and line["request_id"] for line in warnings)
    assert CANARY not in "".join(program.output)


def test_on_a_console_an_event_is_one_line_of_text() -> None:
    """It does not show the text of an exception."""
    for code in (LINES, TWICE, CRASHES, LIBRARIES):
        is_json = lines_of(code)
        shown = output_of(
            re.sub(r"configure_logs\((.*?)\)", r"configure_logs(\1, console=True)", code)
        )
        text = re.sub(r"\x1b\[\d+m", "", shown)

        assert text.count("\n") >= len(is_json)
        assert re.sub(r"[^\n\x20-\x7e]", "", text) == text
        assert CANARY not in text
        heads = re.findall(r"^\d\d:\d\d:\d\d \[(\w+) *\] (.*)$", text, re.MULTILINE)
        assert [level for level, _ in heads] == [line["level"] for line in is_json]


def test_no_value_controls_the_console() -> None:
    """Line breaks, terminal codes and reversed text are shown as escapes."""
    shown = output_of(CONTROLS)

    assert shown.count("\n") == 2
    assert shown.count("b\\x1b[2Jc\\u202ed") == 3
    assert not re.search("\x1b\\[2J|\u202e", shown)
