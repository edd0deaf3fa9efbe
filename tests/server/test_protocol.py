"""A client who is slow, endless or one too many is shown the door, and no other one is."""

import asyncio
import resource
import select
import socket
import sys
import threading
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from gateway.dev import aws_headers
from gateway.http.middleware import MAX_HEAD_BYTES, MAX_HEADERS
from gateway.sandbox import CALLERS
from gateway.server.protocol import (
    MAX_CONNECTIONS,
    MAX_PIPELINED,
    RESERVED_FILES,
    HardenedProtocol,
    connection_limit,
)
from tests.gateways import Gateway, Sandbox, gateway_over
from tests.http.wire import PATIENCE_SECONDS, Hasty, Raw, answers, connect, read_to_end
from tests.serving import serve

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
JOBS = b'{"query": "{ audienceGenerationJobs { nodes { name } } }"}'
ADA = aws_headers(CALLERS["ada"])


@pytest.fixture(scope="module")
def hasty(shared_sandbox: Sandbox) -> Iterator[str]:
    """Serve a gateway that waits for nobody."""
    with gateway_over(shared_sandbox, http=Hasty) as gateway:
        yield gateway.url


def the_answer(connection: socket.socket) -> Raw:
    """Give the only answer of a connection that is closed behind it, in the form of ours."""
    (answer,) = answers(read_to_end(connection))
    assert answer.headers["connection"] == "close"
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["x-request-id"]
    assert b'"extensions":{"code":"' in answer.body
    return answer


def dribble(connection: socket.socket) -> None:
    """Send a byte now and then until something comes back."""
    while not select.select([connection], [], [], 0.01)[0]:
        connection.sendall(b"x")


@pytest.mark.parametrize(
    "begun",
    [
        b"G",
        b"POST /graphql HTTP/1.1\r\nHost: x\r\nX-Endless: ",
        POST + b"Content-Length: 1000\r\n\r\n",
        CHUNKED + b"fffff\r\n",
        LIVEZ + b"GET /livez HTTP/1.1\r\n",
    ],
    ids=["method", "header", "body", "chunk", "second request"],
)
@pytest.mark.parametrize("goes_on", [True, False])
def test_a_request_that_does_not_end_is_408(hasty: str, begun: bytes, *, goes_on: bool) -> None:
    """Whether its client stops or sends a byte now and then; what was asked before is answered."""
    with connect(hasty) as connection:
        connection.sendall(begun)
        if begun.startswith(LIVEZ):
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        if goes_on and begun != b"G":
            dribble(connection)
        received = read_to_end(connection)
    assert received.count(b"HTTP/1.1 408 ") == 1
    assert received.count(b'"code":"LIMIT_EXCEEDED"') == 1


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"])
def test_who_asks_nothing_is_closed_without_a_word(hasty: str, sent: bytes) -> None:
    """A load balancer would take an answer for that of the next request it sends."""
    with connect(hasty) as connection:
        connection.sendall(sent)
        assert read_to_end(connection) == b""


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_body_that_nobody_waits_for_is_not_answered_twice(hasty: str, *, goes_on: bool) -> None:
    """Refused by its head, and read no longer than any other."""
    head = POST + b"X-Aws-Access-Key-Id: half\r\nContent-Length: 1000\r\n\r\n"
    with connect(hasty) as connection:
        connection.sendall(head + b"x")
        received = connection.recv(65536)
        if goes_on:
            dribble(connection)
        received += read_to_end(connection)
    (answer,) = answers(received)
    assert answer.status == 401


def test_a_body_that_ends_after_its_answer_leaves_an_idle_connection(hasty: str) -> None:
    """Which is closed as any other; uvicorn by itself would keep it for good."""
    head = POST + b"X-Aws-Access-Key-Id: half\r\nContent-Length: 2\r\n\r\n"
    with connect(hasty) as connection:
        connection.sendall(head)
        received = connection.recv(65536)
        connection.sendall(b"{}")
        received += read_to_end(connection)
    (answer,) = answers(received)
    assert answer.status == 401


def test_a_slow_answer_is_not_the_client_s_fault() -> None:
    """The deadline passes while the application works on a request that came in two pieces."""
    passed = threading.Event()

    class Telling(Hasty):
        def _check_deadline(self) -> None:
            super()._check_deadline()
            passed.set()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        while (await receive()).get("more_body"):
            pass
        await asyncio.to_thread(passed.wait, PATIENCE_SECONDS)
        headers = [(b"content-length", b"0"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    with serve(slow, http=Telling) as url, connect(url) as connection:
        connection.sendall(POST + b"Content-Length: 1\r\n\r\n")
        connection.sendall(b"x")
        (answer,) = answers(read_to_end(connection))
    assert answer.status == 200
    assert passed.is_set()


@pytest.mark.skipif(sys.platform != "linux", reason="it is the kernel that counts")
def test_who_does_not_take_the_answer_is_left() -> None:
    """More than the sockets hold waits for a client who reads nothing of it."""
    left = threading.Event()
    size = 32 * 1024 * 1024

    class Leaving(Hasty):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            left.set()

    async def much(scope: Scope, _: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        headers = [(b"content-length", b"%d" % size), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(size)})

    with serve(much, http=Leaving) as url, connect(url) as connection:
        connection.sendall(LIVEZ)
        assert left.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Endless: ",
        b"GET /",
        CHUNKED + b"1;extension=",
        CHUNKED + b"0\r\nX-Trailer: ",
    ],
    ids=["header", "target", "chunk extension", "trailer"],
)
def test_an_endless_line_is_431(gateway: Gateway, begun: bytes) -> None:
    """Wherever it stands, it takes no more memory than a head may."""
    with connect(gateway.url) as connection:
        connection.sendall(begun)
        # What arrives in one piece with its beginning is not counted, so once may be too little.
        connection.sendall(b"a" * (MAX_HEAD_BYTES + 1))
        while not select.select([connection], [], [], 1)[0]:
            connection.sendall(b"a" * (MAX_HEAD_BYTES + 1))
        answer = the_answer(connection)
    assert answer.status == 431
    assert str(MAX_HEAD_BYTES).encode() in answer.body


def test_endless_headers_are_431(gateway: Gateway) -> None:
    """None of them long."""
    with connect(gateway.url) as connection:
        connection.sendall(LIVEZ[:-2] + b"X-A: b\r\n" * (MAX_HEAD_BYTES // 8))
        assert the_answer(connection).status == 431


def test_a_long_body_is_no_long_head(gateway: Gateway) -> None:
    """In pieces of a few bytes too, whose framing is longer than they are."""
    body = JOBS + b" " * MAX_HEAD_BYTES
    pieces = b"".join(b"1;a=b\r\n%c\r\n" % each for each in body) + b"0\r\n\r\n"
    head = "".join(f"{name}: {value}\r\n" for name, value in ADA.items()).encode()
    with connect(gateway.url) as connection:
        connection.sendall(CHUNKED[:-2] + head + b"Connection: close\r\n\r\n" + pieces)
        (answer,) = answers(read_to_end(connection))
    assert answer.status == 200


def test_trailers_are_not_headers(gateway: Gateway) -> None:
    """Credentials behind the body are nobody's; uvicorn by itself would have them in the head."""
    trailers = "".join(f"{name}: {value}\r\n" for name, value in ADA.items()).encode()
    body = b"%x\r\n" % len(JOBS) + JOBS + b"\r\n0\r\n" + trailers + b"\r\n"
    with connect(gateway.url) as connection:
        connection.sendall(CHUNKED[:-2] + b"Connection: close\r\n\r\n" + body)
        assert the_answer(connection).status == 401
    assert gateway.sandbox.calls == []


def test_more_headers_than_a_hundred_are_431(gateway: Gateway) -> None:
    """A hundred are served."""
    for count, status in ((MAX_HEADERS, 200), (MAX_HEADERS + 1, 431)):
        others = b"X-A: b\r\n" * (count - 2)
        with connect(gateway.url) as connection:
            connection.sendall(LIVEZ[:-2] + b"Connection: close\r\n" + others + b"\r\n")
            (answer,) = answers(read_to_end(connection))
        assert answer.status == status
    assert b"100 headers" in answer.body
    assert b"LIMIT_EXCEEDED" in answer.body


def test_long_credentials_fit(gateway: Gateway) -> None:
    """12 KiB of them, as AWS makes no promise of how long a token is."""
    long = {
        **ADA,
        "X-Aws-Session-Token": "x" * 8192,
        "X-Aws-Secret-Access-Key": "x" * 4096,
    }
    assert gateway.ask("{ __typename }", caller=None, headers=long).status == 200


def test_requests_in_a_heap_are_not_all_kept(gateway: Gateway) -> None:
    """Those that were there first are answered, in order; then the connection ends."""
    with connect(gateway.url) as connection:
        connection.sendall(LIVEZ * (MAX_PIPELINED + 1000))
        received = answers(read_to_end(connection))
    assert {answer.status for answer in received} == {200}
    assert 1 <= len(received) <= MAX_PIPELINED + 1


class Narrow(HardenedProtocol):
    """Has room for two."""

    max_connections = 2


def served(connection: socket.socket) -> bool:
    """Whether a request is answered, and not refused for want of room."""
    connection.sendall(LIVEZ)
    return connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_one_connection_too_many_is_closed(sandbox: Sandbox) -> None:
    """At once, with when to come back; those who were there are served, and whoever comes later."""
    with gateway_over(sandbox, http=Narrow) as narrow, connect(narrow.url) as first:
        with connect(narrow.url) as second:
            assert served(first)
            assert served(second)
            with connect(narrow.url) as third:
                answer = the_answer(third)
            assert answer.status == 503
            assert answer.headers["retry-after"] == "2"
            assert served(first)
        while not served_anew(narrow.url):
            pass  # the server has yet to hear that the second has left


def served_anew(url: str) -> bool:
    """Whether a new connection is served."""
    with connect(url) as connection:
        try:
            return served(connection)
        except ConnectionError:
            return False


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (resource.RLIM_INFINITY, MAX_CONNECTIONS),
        (1_048_576, MAX_CONNECTIONS),
        (1024, 1024 - RESERVED_FILES),
        (256, 128),
    ],
)
def test_there_are_files_for_more_than_clients(
    monkeypatch: pytest.MonkeyPatch, files: int, expected: int
) -> None:
    """However few the process may open, the upstream has some of them."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert connection_limit() == expected
