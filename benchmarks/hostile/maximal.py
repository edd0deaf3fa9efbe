"""Largest requests, slow readers and ever new callers at once: the memory that they take."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx

from benchmarks.table import Row, at_most, reference
from tests.hostile.costs import invented_headers, post
from tests.hostile.maximal_upstream import maximal_upstream
from tests.processes import Process, gateway_process

SLOW_CLIENTS = 60
SLOW_BYTES = 800
SLOW_SECONDS = 0.1
"""Bytes that a slow client reads at a time, and the seconds that it waits in between."""
NEW_CALLER_CLIENTS = 3
NEW_CALLER_SECONDS = 0.05
REQUESTS = 100
CALLERS = 20
CONTAINER_MB = 512
MEGABYTE = 2**20

CURSORS = " ".join(f"a{number}: cursor" for number in range(3))
LARGE = f"{{ audienceGenerationJobs(first: 300) {{ edges {{ {CURSORS} }} }} }}"
FILTERED = 'audienceGenerationJobs(first: 200, filter: {nameContains: "none"}) { nodes { id } }'
FILTERS = "{" + " ".join(f"a{number}: {FILTERED}" for number in range(10)) + "}"
DETAILS = "{ audienceGenerationJobs(first: 100) { nodes { name tags { key } } } }"


async def measure() -> list[Row]:
    """Measure in threads, because the clients are blocking ones."""
    return await asyncio.to_thread(_measure)


def _measure() -> list[Row]:
    done = threading.Event()
    with (
        maximal_upstream(pages=20) as (upstream_url, _),
        gateway_process(upstream_url, deadline_seconds=60) as ours,
        ThreadPoolExecutor(SLOW_CLIENTS + NEW_CALLER_CLIENTS) as background,
    ):
        for number in range(SLOW_CLIENTS):
            background.submit(_read_slowly, ours, number, done)
        for number in range(NEW_CALLER_CLIENTS):
            background.submit(_send_as_new_callers, ours, number, done)
        try:
            failed = _send(ours)
        finally:
            done.set()
        ready = httpx.get(f"{ours.url}/readyz").text.strip()
        peak = ours.peak_bytes() / MEGABYTE
    return [
        at_most(
            "Largest requests, slow readers, new callers: peak memory", peak, CONTAINER_MB, "MB", 0
        ),
        reference(f"  failed, of {REQUESTS} of {CALLERS} callers", failed, "", 0),
        Row("  /readyz then", ready, "ready", ready == "ready"),
    ]


def _send(ours: Process) -> int:
    """Send all requests at once; return how many fail."""

    def ask(number: int) -> bool:
        query = (LARGE, FILTERS, DETAILS)[number % 3]
        try:
            response = post(ours.url, query, headers=invented_headers(number % CALLERS))
        except httpx.HTTPError:
            return True
        return "errors" in response.json()

    with ThreadPoolExecutor(REQUESTS) as pool:
        return sum(pool.map(ask, range(REQUESTS)))


def _send_as_new_callers(ours: Process, number: int, done: threading.Event) -> None:
    while not done.wait(NEW_CALLER_SECONDS):
        number += NEW_CALLER_CLIENTS
        post(
            ours.url,
            "{ audienceModels { nodes { name } } }",
            headers=invented_headers(10**6 + number),
        )


def _read_slowly(ours: Process, number: int, done: threading.Event) -> None:
    body = json.dumps({"query": LARGE})
    headers = {
        "Host": "x",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **invented_headers(number % CALLERS),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    host, port = ours.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(f"POST /graphql HTTP/1.1\r\n{head}\r\n{body}".encode())
        _until_closed(lambda: client.recv(SLOW_BYTES), done)


def _until_closed(receive: Callable[[], bytes], done: threading.Event) -> None:
    try:
        while not done.wait(SLOW_SECONDS) and receive():
            pass
    except OSError:
        pass  # reset, because the client is slow
