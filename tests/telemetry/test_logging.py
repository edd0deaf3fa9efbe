"""Logs: one JSON object a line, and no credential, cursor, variable or row in any of them."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from gateway.sandbox.faults import FAULTS
from tests.gateways import Sandbox

CANARY = "CANARY"
ROUTER_SECRET = "CANARY-0123456789"
ADA = CALLERS["ada"]
WATCHDOG_SECONDS = 60
JOBS = """
query($a: String) {
  audienceGenerationJobs(first: 2, after: $a) { edges { cursor node { id name } } }
}
"""
FORGED = {
    "X-Aws-Access-Key-Id": "ASIACANARY0123456789",
    "X-Aws-Secret-Access-Key": "CANARY/secret",
    "X-Aws-Session-Token": "CANARY//token==",
}


@dataclass
class Program:
    """A running `gateway serve`, and all it has said so far."""

    process: subprocess.Popen[str]
    url: str
    said: list[str] = field(default_factory=list)

    def ask(self, headers: Mapping[str, str] | None = None, **options: Any) -> Any:
        """Send one request; it may fail in any way it likes."""
        sent = {**aws_headers(ADA), "Accept": "application/json", **(headers or {})}
        method = options.pop("method", "POST")
        path = options.pop("path", "/graphql")
        with contextlib.suppress(httpx.TransportError):
            return httpx.request(method, self.url + path, headers=sent, timeout=20, **options)
        return None


@contextlib.contextmanager
def serving(environment: Mapping[str, str]) -> Iterator[Program]:
    """Run `gateway serve`; when the block ends it has ended, and everything has been read."""
    clean = {n: v for n, v in os.environ.items() if not n.upper().startswith("GATEWAY_")}
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**clean, **environment},
    ) as process:
        watchdog = threading.Timer(WATCHDOG_SECONDS, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            said: list[str] = []
            url = None
            for line in process.stdout:
                said.append(line)
                if found := re.search(r"running on (http://[\w.:]+)", line):
                    url = found[1]
                    break
            assert url, said
            program = Program(process, url, said)
            complaints: list[str] = []
            readers = [
                threading.Thread(target=said.extend, args=(process.stdout,)),
                threading.Thread(target=complaints.extend, args=(process.stderr,)),
            ]
            for reader in readers:
                reader.start()
            yield program
            process.send_signal(signal.SIGTERM)
            for reader in readers:
                reader.join()
            assert complaints == []
        finally:
            watchdog.cancel()
            process.kill()


def _good_and_bad(program: Program) -> None:
    answer = program.ask(json={"query": JOBS}).json()
    cursor = answer["data"]["audienceGenerationJobs"]["edges"][0]["cursor"]
    program.ask(json={"query": JOBS, "variables": {"a": cursor}})
    program.ask(json={"query": JOBS, "variables": {"a": CANARY}})
    program.ask(json={"query": JOBS, "variables": {"a": {CANARY: CANARY}}})
    program.ask(json={"query": JOBS, "operationName": CANARY})
    program.ask(json={"query": f'{{ node(id: "{CANARY}") {{ id }} }}'})
    program.ask(json={"query": f"{{ {CANARY} }}"})
    program.ask(json={"query": f'{{ x(a: "{CANARY}'})
    program.ask(json={"query": 5, "variables": CANARY})
    program.ask(content=b'{"query": "CANARY\xff')
    program.ask(content=b"CANARY" * 100_000)
    program.ask(method="GET", params={"query": "{ __typename }", "variables": CANARY})
    program.ask(method="PUT", json={"query": CANARY})
    program.ask({"Content-Type": CANARY}, content=CANARY)
    program.ask({"Accept": CANARY, "Cookie": CANARY, "X-Request-Id": f"{CANARY} \t"}, json={})
    program.ask(FORGED, json={"query": JOBS})
    program.ask({**FORGED, "X-Aws-Session-Token": "CANARY token"}, json={"query": JOBS})
    program.ask({"Authorization": f"Bearer {CANARY}"}, json={"query": JOBS})
    program.ask({"X-Router-Secret": CANARY}, json={"query": "{ _service { sdl } }"})
    program.ask({"X-Router-Secret": ROUTER_SECRET}, json={"query": "{ _service { sdl } }"})
    program.ask({"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": CANARY})
    program.ask(path=f"/nothing?secret={CANARY}", method="GET")


def _hardly_http(program: Program) -> None:
    host, port = program.url.removeprefix("http://").split(":")
    for sent in (
        b"CANARY / HTTP/9.9\r\nX: CANARY\r\n\r\n",
        b"GET /graphql?query=CANARY HTTP/1.1\r\nHost: x\r\nX-Aws-Secret-Access-Key CANARY\r\n\r\n",
        b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nCANARY",
        b"GET /" + b"%00%0a%ff" * 9 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ):
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                connection.recv(100_000)


def _with_every_fault(program: Program, sandbox: Sandbox) -> None:
    for fault in FAULTS:
        sandbox.reset()
        settings = {"location": f"http://127.0.0.1:9/{CANARY}"} if fault == "redirect" else {}
        if fault == "odd-timestamp":
            settings = {"value": CANARY}
        sandbox.fault(fault, times=1, **settings)
        program.ask({"Cache-Control": "no-cache"}, json={"query": JOBS})


def test_no_log_line_holds_a_secret(sandbox: Sandbox, tmp_path: Path) -> None:
    """Whatever is asked and whatever goes wrong, at the most talkative level too."""
    (tmp_path / "router").write_text(ROUTER_SECRET)
    environment = {
        "GATEWAY_ROUTER_SECRET_FILE": str(tmp_path / "router"),
        "GATEWAY_UPSTREAM_URL": sandbox.url,
        "GATEWAY_LOG_LEVEL": "debug",
        "GATEWAY_DEADLINE_SECONDS": "0.5",
    }
    with serving(environment) as program:
        _good_and_bad(program)
        _hardly_http(program)
        _with_every_fault(program, sandbox)
        figures = httpx.get(f"{program.url}/metrics").text

    said = "".join(program.said) + re.sub(r"[\d.]+(e[+-]\d+)?$", "", figures, flags=re.MULTILINE)
    events = [json.loads(line) for line in program.said]
    assert all(isinstance(event, dict) for event in events)
    assert all({"event", "level", "timestamp"} <= event.keys() for event in events)
    assert sum(event["event"] == "request" for event in events) >= 20
    assert all(event["request_id"] for event in events if event["event"] == "request")
    secrets = (CANARY, ADA.access_key_id, ADA.secret_access_key, str(ADA.session_token))
    assert [line for line in said.splitlines() if any(secret in line for secret in secrets)] == []
    assert not re.search(r"Signature=|arn:aws|\d{12}(?!\d)", re.sub(r"[0-9a-f]{32}", "", said))


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


def _lines(code: str) -> list[Any]:
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.removesuffix("\n").split("\n")]


def test_a_crash_is_logged_without_its_text() -> None:
    """Where it happened and what kind it was, also where an answer had begun."""
    events = _lines(CRASHES)
    crashes = [event for event in events if event["event"] == "request crashed"]

    assert [event["exception"] for event in crashes] == ["RuntimeError", "ExceptionGroup"]
    assert all("crashing" in str(crashes[0]["where"]) for _ in crashes)
    assert CANARY not in str(events)


def test_what_libraries_log_of_requests_is_not_heard() -> None:
    """The lower levels of botocore print signed headers, aiocache's print values."""
    assert "Authorization" not in str(_lines(LIBRARIES))


def test_an_exception_that_a_library_logs_is_without_its_text() -> None:
    """As it is with our own: where and what kind, for the text may hold anything."""
    events = _lines(LIBRARIES)

    assert len(events) == 2
    assert "ValueError" in str(events)
    assert CANARY not in str(events)


def test_each_line_is_one_event() -> None:
    """Line breaks, terminal codes and values of any type stay inside; lower levels stay out."""
    events = _lines(LINES)

    assert [event["level"] for event in events] == ["info", "warning", "error"]
    assert events[1]["event"] == 'two a\nb\n{"event": "forged"}'


def test_a_flood_of_bad_requests_is_none_of_lines() -> None:
    """Ten of a kind in a second, then how many more there were; other kinds are heard."""
    messages = [event["event"] for event in _lines(FLOOD)]

    assert sum(line.startswith("Malformed.") for line in messages) == 31
    assert [line for line in messages if "dropped" in line] == [
        "Malformed. (1990 similar lines dropped)",
        "Malformed. (990 similar lines dropped)",
        "Malformed. (990 similar lines dropped)",
    ]
    assert sum(line.startswith("Another of number") for line in messages) == 5


def test_malformed_requests_are_told_of_sparingly(sandbox: Sandbox) -> None:
    """A hundred connections with nonsense on them: some ten lines, without the nonsense."""
    with serving({"GATEWAY_UPSTREAM_URL": sandbox.url}) as program:
        host, port = program.url.removeprefix("http://").split(":")
        for _ in range(100):
            with socket.create_connection((host, int(port)), timeout=20) as connection:
                connection.sendall(f"{CANARY}\r\n\r\n".encode())
                assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
    warnings = [event for event in map(json.loads, program.said) if event["level"] == "warning"]

    assert 10 <= len(warnings) < 100
    assert all("malformed" in event["event"] and event["request_id"] for event in warnings)
    assert CANARY not in "".join(program.said)
