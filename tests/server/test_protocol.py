"""Limits of the HTTP protocol, over real sockets."""

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
from tests.gateways import Gateway, Sandbox, gateway_over, request_bytes
from tests.http.wire import (
    PATIENCE_SECONDS,
    ImpatientProtocol,
    RawResponse,
    connect,
    parse_responses,
    read_to_end,
)
from tests.processes import until
from tests.serving import serve

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
JOBS_QUERY = "{ audienceGenerationJobs { nodes { name } } }"
JOBS = b'{"query": "%b"}' % JOBS_QUERY.encode()
ADA = aws_headers(CALLERS["ada"])


@pytest.fixture(scope="module")
def impatient(shared_sandbox: Sandbox) -> Iterator[str]:
    with gateway_over(shared_sandbox, http=ImpatientProtocol) as gateway:
        yield gateway.url


def only_response(connection: socket.socket) -> RawResponse:
    """Return the only response, an error of the protocol's own, until the connection closes."""
    (response,) = parse_responses(read_to_end(connection))
    assert response.headers["connection"] == "close"
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["cache-control"] == "private, no-store"
    assert response.headers["x-request-id"]
    assert b'"extensions":{"code":"' in response.body
    return response


def send_slowly(connection: socket.socket) -> None:
    """Send single bytes until there is a response."""
    while not select.select([connection], [], [], 0.01)[0]:
        connection.sendall(b"x")


@pytest.mark.parametrize(
    "start",
    [
        b"G",
        b"POST /graphql HTTP/1.1\r\nHost: x\r\nX-Endless: ",
        POST + b"Content-Length: 1000\r\n\r\n",
        CHUNKED + b"fffff\r\n",
        LIVEZ + b"GET /livez HTTP/1.1\r\n",
    ],
    ids=["method", "header", "body", "chunk", "second request"],
)
@pytest.mark.parametrize("continues", [True, False])
def test_an_unfinished_request_is_408(impatient: str, start: bytes, *, continues: bool) -> None:
    """Its client stops or sends single bytes; an earlier request is not affected."""
    with connect(impatient) as connection:
        connection.sendall(start)
        if start.startswith(LIVEZ):
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        if continues and start != b"G":
            send_slowly(connection)
        received = read_to_end(connection)
    assert received.count(b"HTTP/1.1 408 ") == 1
    assert received.count(b'"code":"LIMIT_EXCEEDED"') == 1


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"])
def test_a_connection_without_a_request_is_closed_silently(impatient: str, sent: bytes) -> None:
    """A load balancer would take a response for that to its next request."""
    with connect(impatient) as connection:
        connection.sendall(sent)
        assert read_to_end(connection) == b""


@pytest.mark.parametrize("continues", [True, False])
def test_a_body_after_the_response_gets_no_second_one(impatient: str, *, continues: bool) -> None:
    """Its head is rejected, and the body is read no longer than any other."""
    head = POST + b"X-Aws-Access-Key-Id: half\r\nContent-Length: 1000\r\n\r\n"
    with connect(impatient) as connection:
        connection.sendall(head + b"x")
        received = connection.recv(65536)
        if continues:
            send_slowly(connection)
        received += read_to_end(connection)
    (response,) = parse_responses(received)
    assert response.status == 401


def test_a_body_that_ends_after_its_response_leaves_an_idle_connection(impatient: str) -> None:
    """It is closed like any other; uvicorn by itself would never close it."""
    head = POST + b"X-Aws-Access-Key-Id: half\r\nContent-Length: 2\r\n\r\n"
    with connect(impatient) as connection:
        connection.sendall(head)
        received = connection.recv(65536)
        connection.sendall(b"{}")
        received += read_to_end(connection)
    (response,) = parse_responses(received)
    assert response.status == 401


def test_a_slow_application_does_not_time_out_the_client() -> None:
    """The deadline passes while the application works on a request that arrived in two pieces."""
    passed = threading.Event()

    class Notifying(ImpatientProtocol):
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

    with serve(slow, http=Notifying) as url, connect(url) as connection:
        connection.sendall(POST + b"Content-Length: 1\r\n\r\n")
        connection.sendall(b"x")
        (response,) = parse_responses(read_to_end(connection))
    assert response.status == 200
    assert passed.is_set()


@pytest.mark.skipif(sys.platform != "linux", reason="needs TCP_USER_TIMEOUT")
def test_a_client_that_does_not_read_is_disconnected() -> None:
    """The response is larger than the socket buffers."""
    lost = threading.Event()
    size = 32 * 1024 * 1024

    class Losing(ImpatientProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            lost.set()

    async def large(scope: Scope, _: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        headers = [(b"content-length", b"%d" % size), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(size)})

    with serve(large, http=Losing) as url, connect(url) as connection:
        connection.sendall(LIVEZ)
        assert lost.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize(
    "start",
    [
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Endless: ",
        b"GET /",
        CHUNKED + b"1;extension=",
        CHUNKED + b"0\r\nX-Trailer: ",
    ],
    ids=["header", "target", "chunk extension", "trailer"],
)
def test_an_endless_line_is_431(gateway: Gateway, start: bytes) -> None:
    """Wherever it is, it takes no more memory than a head may."""
    with connect(gateway.url) as connection:
        connection.sendall(start)
        # Bytes that arrive together with the start are not counted, so once may not be enough.
        connection.sendall(b"a" * (MAX_HEAD_BYTES + 1))
        while not select.select([connection], [], [], 1)[0]:
            connection.sendall(b"a" * (MAX_HEAD_BYTES + 1))
        response = only_response(connection)
    assert response.status == 431
    assert str(MAX_HEAD_BYTES).encode() in response.body


def test_endless_headers_are_431(gateway: Gateway) -> None:
    with connect(gateway.url) as connection:
        connection.sendall(LIVEZ[:-2] + b"X-A: b\r\n" * (MAX_HEAD_BYTES // 8))
        assert only_response(connection).status == 431


def test_a_long_body_does_not_count_as_head(gateway: Gateway) -> None:
    """Chunks whose framing is longer than their content do not count, either."""
    body = JOBS + b" " * MAX_HEAD_BYTES
    pieces = b"".join(b"1;a=b\r\n%c\r\n" % each for each in body) + b"0\r\n\r\n"
    head = "".join(f"{name}: {value}\r\n" for name, value in ADA.items()).encode()
    with connect(gateway.url) as connection:
        connection.sendall(CHUNKED[:-2] + head + b"Connection: close\r\n\r\n" + pieces)
        (response,) = parse_responses(read_to_end(connection))
    assert response.status == 200


def test_trailers_are_not_headers(gateway: Gateway) -> None:
    """Credentials after the body are ignored; uvicorn by itself would add them to the head."""
    trailers = "".join(f"{name}: {value}\r\n" for name, value in ADA.items()).encode()
    body = b"%x\r\n" % len(JOBS) + JOBS + b"\r\n0\r\n" + trailers + b"\r\n"
    with connect(gateway.url) as connection:
        connection.sendall(CHUNKED[:-2] + b"Connection: close\r\n\r\n" + body)
        assert only_response(connection).status == 401
    assert gateway.sandbox.calls == []


def test_more_than_a_hundred_headers_are_431(gateway: Gateway) -> None:
    for count, status in ((MAX_HEADERS, 200), (MAX_HEADERS + 1, 431)):
        others = b"X-A: b\r\n" * (count - 2)
        with connect(gateway.url) as connection:
            connection.sendall(LIVEZ[:-2] + b"Connection: close\r\n" + others + b"\r\n")
            (response,) = parse_responses(read_to_end(connection))
        assert response.status == status
    assert b"100 headers" in response.body
    assert b"LIMIT_EXCEEDED" in response.body


def test_long_credentials_fit(gateway: Gateway) -> None:
    """They have 12 KiB: AWS documents no limit on the length of a session token."""
    long = {
        **ADA,
        "X-Aws-Session-Token": "x" * 8192,
        "X-Aws-Secret-Access-Key": "x" * 4096,
    }
    assert gateway.ask("{ __typename }", caller=None, headers=long).status == 200


def test_pipelined_requests_are_limited(gateway: Gateway) -> None:
    """The first ones get their responses, in order; then the connection is closed."""
    with connect(gateway.url) as connection:
        connection.sendall(LIVEZ * (MAX_PIPELINED + 1000))
        received = parse_responses(read_to_end(connection))
    assert {response.status for response in received} == {200}
    assert 1 <= len(received) <= MAX_PIPELINED + 1


BODY_BYTES = 2 * 1024 * 1024
"""More than the socket buffers of both sides hold, and less than is discarded."""


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (POST + b"Content-Length: %d\r\n\r\n" % BODY_BYTES, 413),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * (8 * MAX_HEAD_BYTES), 431),
        (b"nonsense\r\n", 400),
    ],
    ids=["body", "head", "malformed"],
)
def test_a_client_that_sends_first_and_reads_later_gets_the_rejection(
    gateway: Gateway, start: bytes, status: int
) -> None:
    """If the connection were closed with bytes unread, it would be reset. Proxies respond 502."""
    with connect(gateway.url) as connection:
        connection.sendall(start)
        assert select.select([connection], [], [], PATIENCE_SECONDS)[0]
        for _ in range(BODY_BYTES // 65536):
            connection.sendall(b"x" * 65536)
        (response,) = parse_responses(read_all(connection))
    assert response.status == status
    assert response.headers["connection"] == "close"


def read_all(connection: socket.socket) -> bytes:
    """Read until the server closes; fails if it resets the connection."""
    with connection.makefile("rb") as stream:
        return stream.read()


class TwoConnectionsProtocol(HardenedProtocol):
    max_connections = 2


def is_served(connection: socket.socket) -> bool:
    connection.sendall(LIVEZ)
    return connection.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("sent", [b"", LIVEZ, LIVEZ[:-2], POST + b"Content-Length: 9\r\n\r\n"])
def test_a_connection_too_many_replaces_the_longest_waiting(sandbox: Sandbox, sent: bytes) -> None:
    """That one is new, idle, or in the middle of a head or a body."""
    with (
        gateway_over(sandbox, http=TwoConnectionsProtocol) as narrow,
        connect(narrow.url) as first,
        connect(narrow.url) as second,
    ):
        first.sendall(sent)
        if sent == LIVEZ:
            assert first.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert is_served(second)
        with connect(narrow.url) as third:
            assert is_served(third)
            assert read_to_end(first) == b""
            assert is_served(second)
            with connect(narrow.url) as fourth:
                assert is_served(fourth)
                assert read_to_end(third) == b""


def test_a_connection_too_many_is_503_while_the_others_are_served(sandbox: Sandbox) -> None:
    """It gets a Retry-After. When one is idle again, the next one takes its place."""
    request = request_bytes(JOBS_QUERY, {**ADA, "Connection": "keep-alive"})
    with (
        gateway_over(sandbox, http=TwoConnectionsProtocol, cache_seconds=0) as narrow,
        connect(narrow.url) as first,
        connect(narrow.url) as second,
    ):
        sandbox.fault("hang")
        first.sendall(request)
        second.sendall(request)
        until(lambda: sandbox.count() == 1)  # one call for both
        with connect(narrow.url) as third:
            response = only_response(third)
        sandbox.reset()
        assert first.recv(65536).startswith(b"HTTP/1.1 200 ")
        with connect(narrow.url) as fourth:
            assert is_served(fourth)
    assert response.status == 503
    assert response.headers["retry-after"] == "2"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (resource.RLIM_INFINITY, MAX_CONNECTIONS),
        (1_048_576, MAX_CONNECTIONS),
        (1024, 1024 - RESERVED_FILES),
        (256, 128),
    ],
)
def test_the_connection_limit_reserves_files(
    monkeypatch: pytest.MonkeyPatch, files: int, expected: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert connection_limit() == expected
