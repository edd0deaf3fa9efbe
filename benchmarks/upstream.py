"""An upstream that costs next to nothing, or fails, in a process of its own.

    python -m benchmarks.upstream [--pages 100] [--delay-ms 0]
    python -m benchmarks.upstream --fault hang|drip|fail|reset

Prints its URL. It answers pages of `maxResults` rows, prepared before the first call if that is
100; the token of a page is the number of its first row, padded to the length of a usual token. With
a fault it never answers, sends a byte of the body now and then, answers 500, or resets the
connection. It counts the calls.
"""

import argparse
import asyncio
import json
import re
import socket
import struct
from collections.abc import Callable
from functools import cache
from typing import cast

import uvloop

from benchmarks.client import HEAD_END

ROWS = 100
TOKEN_CHARACTERS = 300
TOKEN = re.compile(rb"nextToken=(\d+)")
MAX_RESULTS = re.compile(rb"maxResults=(\d+)")
ARN = "arn:aws:cleanrooms-ml:us-east-1:123456789012"
DRIP_SECONDS = 0.1
BACKLOG = 1000
FAILURE = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n"
    b"x-amzn-ErrorType: InternalServerException\r\n"
    b'Content-Length: 18\r\n\r\n{"message":"oops"}'
)


def row(number: int) -> dict[str, str]:
    """Make a row with every list field."""
    model = number % 7
    job = f"{number:08d}-4a3b-8c2d-1e0f9a8b7c6d"
    return {
        "audienceGenerationJobArn": f"{ARN}:audience-generation-job/{job}",
        "collaborationId": f"{model:08d}-1234-4321-8765-0123456789ab",
        "configuredAudienceModelArn": f"{ARN}:configured-audience-model/{model:08d}-4a3b-8c2d-1e0f",
        "createTime": "2026-01-02T03:04:05.678Z",
        "description": "People who are like the buyers of the spring campaign",
        "name": f"Spring campaign {number}",
        "startedBy": "123456789012",
        "status": "ACTIVE",
        "updateTime": "2026-01-02T03:14:05.678Z",
    }


def response(content: object) -> bytes:
    """Make a whole HTTP response."""
    body = json.dumps(content).encode()
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        b"Cache-Control: max-age=5\r\n"  # AWS sends none; Hive Gateway's HTTP cache needs one
        b"x-amzn-RequestId: 2f1d7a34-0000-4000-8000-000000000000\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    ) + body


@cache
def page(start: int = 0, rows: int = ROWS, size: int = ROWS) -> bytes:
    """Make the response with the rows from `start` on of a list of so many, at most `size`."""
    end = min(start + size, rows)
    content: dict[str, object] = {
        "audienceGenerationJobs": [row(each) for each in range(start, end)]
    }
    if end < rows:
        content["nextToken"] = str(end).zfill(TOKEN_CHARACTERS)
    return response(content)


Handler = Callable[[asyncio.Transport, bytes], None]
"""Handles the head of a request."""


def answer_pages(pages: int, delay: float) -> Handler:
    rows = pages * ROWS
    for start in range(0, rows, ROWS):
        page(start, rows, ROWS)  # now, so that no call pays for it

    def handle(transport: asyncio.Transport, head: bytes) -> None:
        token, size = TOKEN.search(head), MAX_RESULTS.search(head)
        answer = page(int(token[1]) if token else 0, rows, int(size[1]) if size else ROWS)
        if delay:
            asyncio.get_running_loop().call_later(delay, transport.write, answer)
        else:
            transport.write(answer)

    return handle


def hang(_: asyncio.Transport, _head: bytes) -> None:
    """Send nothing."""


def drip(transport: asyncio.Transport, _head: bytes) -> None:
    """Send the head of a page, then its body byte by byte."""
    head, _, body = page().partition(HEAD_END)
    transport.write(head + HEAD_END)
    _send_byte(transport, body, 0)


def _send_byte(transport: asyncio.Transport, body: bytes, place: int) -> None:
    if not transport.is_closing():
        transport.write(body[place : place + 1])
        asyncio.get_running_loop().call_later(DRIP_SECONDS, _send_byte, transport, body, place + 1)


def fail(transport: asyncio.Transport, _head: bytes) -> None:
    transport.write(FAILURE)


def reset(transport: asyncio.Transport, _head: bytes) -> None:
    """End the connection as a crash would."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


FAULTS: dict[str, Handler] = {each.__name__: each for each in (hang, drip, fail, reset)}


class Counted:
    """A handler that counts the calls to another one, and returns their number to `GET /_calls`."""

    def __init__(self, handle: Handler) -> None:
        self._handle = handle
        self._calls = 0

    def __call__(self, transport: asyncio.Transport, head: bytes) -> None:
        if head.startswith(b"GET /_calls "):
            transport.write(response(self._calls))
        else:
            self._calls += 1
            self._handle(transport, head)


class Connection(asyncio.Protocol):
    """Reads request heads, and calls a handler for each."""

    def __init__(self, handle: Handler) -> None:
        self._handle = handle
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        while HEAD_END in self._read:
            head, self._read = self._read.split(HEAD_END, 1)
            self._handle(self._transport, head)


async def serve(handle: Handler) -> None:
    """Listen on a free port of the loopback interface, and print the URL."""
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(handle), "127.0.0.1", 0, backlog=BACKLOG
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=1)
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--fault", choices=FAULTS)
    options = parser.parse_args()
    if options.fault:
        handle = FAULTS[options.fault]
    else:
        handle = answer_pages(options.pages, options.delay_ms / 1000)
    await serve(Counted(handle))


if __name__ == "__main__":
    uvloop.run(main())
