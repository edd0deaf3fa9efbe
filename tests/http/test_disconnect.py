"""A client who leaves takes nobody's answer away, and leaves no work behind."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from gateway.app import create_app
from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from gateway.settings import Settings
from tests.serving import serve

PATIENCE_SECONDS = 20
QUERY = {"query": "{ audienceGenerationJobs { nodes { name } } }"}
ADA = dict(aws_headers(CALLERS["ada"]))


class Withholding:
    """An upstream that keeps each call waiting until it is told to answer, or the asker leaves."""

    def __init__(self) -> None:
        self.calls = 0
        self.asked = threading.Event()
        self.left = threading.Event()
        self.answer = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        if scope["type"] != "http":
            return
        self.calls += 1
        self.asked.set()
        told = asyncio.create_task(asyncio.to_thread(self.answer.wait, PATIENCE_SECONDS))
        gone = asyncio.create_task(disconnected(receive))
        await asyncio.wait({told, gone}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            self.left.set()
            self.answer.set()
            return
        gone.cancel()
        body = json.dumps({"audienceGenerationJobs": []}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


async def disconnected(receive: Receive) -> None:
    """Wait until the asker has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


@pytest.fixture
def upstream() -> Withholding:
    """Give such an upstream."""
    return Withholding()


@pytest.fixture
def url(upstream: Withholding) -> Iterator[str]:
    """Serve a gateway over it."""
    with (
        serve(upstream) as upstream_url,
        serve(create_app(Settings(upstream_url=upstream_url))) as url,
    ):
        yield url


def ask_and_hold(url: str) -> socket.socket:
    """Send the question, and leave the answer to come."""
    body = json.dumps(QUERY)
    head = ["POST /graphql HTTP/1.1", "Host: x", "Content-Type: application/json",
            f"Content-Length: {len(body)}", *(f"{n}: {v}" for n, v in ADA.items())]  # fmt: skip
    at = httpx.URL(url)
    connection = socket.create_connection((at.host, at.port or 80), timeout=PATIENCE_SECONDS)
    connection.sendall(("\r\n".join(head) + "\r\n\r\n" + body).encode())
    return connection


def test_when_the_only_asker_leaves_the_upstream_call_ends(url: str, upstream: Withholding) -> None:
    """The gateway closes its call: nobody would read the answer."""
    connection = ask_and_hold(url)
    assert upstream.asked.wait(PATIENCE_SECONDS)
    connection.close()
    assert upstream.left.wait(PATIENCE_SECONDS)


def test_when_one_of_two_askers_leaves_the_other_is_answered(
    url: str, upstream: Withholding
) -> None:
    """They share one call, which the one who leaves does not end."""
    first = ask_and_hold(url)
    assert upstream.asked.wait(PATIENCE_SECONDS)
    second = ask_and_hold(url)
    # The gateway serves its connections in turn: it has read the question before it answers this.
    assert httpx.get(f"{url}/livez").is_success
    first.close()
    assert httpx.get(f"{url}/livez").is_success
    upstream.answer.set()
    answer = second.recv(65536)
    second.close()
    assert b'{"data":{"audienceGenerationJobs":{"nodes":[]}}}' in answer
    assert upstream.calls == 1
