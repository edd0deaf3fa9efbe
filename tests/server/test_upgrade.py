"""Offers to upgrade are ignored: a request with one is served as the same request without it.

Java's HttpClient and curl offer h2c, browsers websocket, Apache's HttpClient TLS.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from gateway.auth.authenticator import CREDENTIAL_HEADERS, ROUTER_SECRET_HEADER
from gateway.server.framing import header_line
from gateway.server.protocol import MAX_PIPELINED, HardenedProtocol
from tests.gateways import Sandbox, gateway_over
from tests.http.wire import connect, parse_responses, read_to_end
from tests.objects import reachable
from tests.processes import sandbox_process
from tests.serving import serve

BODY = b'{"query":"{__typename}"}'
JSON = b"Content-Type: application/json\r\n"
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\n"
H2C = (
    b"HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\n%bUpgrade: h2c\r\n"
    b"User-Agent: Java-http-client/17.0.15\r\n"
)
HOST = b"Host: 127.0.0.1:8000\r\n"


def stock_requests(path: bytes, body: bytes) -> dict[str, bytes]:
    """Return the requests of clients that offer h2c with each one, as they write them."""
    size = b"Content-Length: %d\r\n" % len(body)
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    post = b"POST %b HTTP/1.1\r\n" % path
    return {
        "Java's POST": post + OFFER + size + HOST + H2C % b"" + JSON + b"\r\n" + body,
        "Java's stream": post
        + (OFFER + HOST + H2C % b"Transfer-encoding: chunked\r\n" + JSON + b"\r\n" + chunk),
        "Java's GET": b"GET %b?query=%%7B__typename%%7D HTTP/1.1\r\n" % path
        + (OFFER + b"Content-Length: 0\r\n" + HOST + H2C % b"" + b"\r\n"),
        "curl --http2": post
        + (HOST + b"User-Agent: curl/7.88.1\r\nAccept: */*\r\n" + OFFER + b"Upgrade: h2c\r\n")
        + (b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n" + JSON + size + b"\r\n" + body),
    }


STOCK = stock_requests(b"/graphql", BODY)

OWN = ("gateway.server", "gateway.http")

PROTOCOLS = [b"h2c", b"websocket", b"TLS/1.2", b"h2c, websocket", b"x", b""]

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

LAST = b"GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def is_cache(value: object) -> bool:
    return hasattr(value, "cache_info")


class PieceProtocol(HardenedProtocol):
    """Receives what arrives in pieces of this size."""

    piece_bytes: ClassVar[int] = 1
    whole: bytes = b""

    def data_received(self, data: bytes) -> None:
        if self.whole:  # the protocol calls itself
            super().data_received(data)
            return
        self.whole = data
        for start in range(0, len(data), self.piece_bytes):
            super().data_received(data[start : start + self.piece_bytes])
        self.whole = b""


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond with all of the request but its offer."""
    if scope["type"] == "lifespan":
        return
    request = Request(scope, receive)
    body = await request.body()
    offer = {b"connection", b"upgrade", b"http2-settings"}
    headers = [line for line in scope["headers"] if line[0] not in offer]
    content = [scope["method"], scope["path"], scope["http_version"], repr(headers), repr(body)]
    await JSONResponse(content)(scope, receive, send)


@pytest.fixture(scope="module")
def echo_url() -> Iterator[str]:
    with serve(echo, http=PieceProtocol) as url:
        yield url


@pytest.fixture(scope="module")
def gateway_url(shared_sandbox: Sandbox) -> Iterator[str]:
    with gateway_over(shared_sandbox, http=PieceProtocol) as gateway:
        yield gateway.url


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with sandbox_process() as process:
        yield process.url


def exchange(url: str, data: bytes, piece_bytes: int = 1_000_000) -> list[tuple[int, str, bytes]]:
    """Return status, `Connection` and body of each response until the connection is closed."""
    PieceProtocol.piece_bytes = piece_bytes
    with connect(url) as connection:
        connection.sendall(data)
        responses = parse_responses(read_to_end(connection))
    return [(each.status, each.headers.get("connection", ""), each.body) for each in responses]


@dataclass(frozen=True)
class Sent:
    """A request: its head without the empty line, its body, and its offer."""

    line: bytes
    headers: Sequence[bytes]
    body: bytes
    offer: Sequence[bytes]
    place: int
    """The number of headers before the offer."""

    def encode(self, *, offers: bool) -> bytes:
        headers = list(self.headers)
        if offers:
            headers[self.place : self.place] = self.offer
        return b"\r\n".join([self.line, *headers, b"", b""]) + self.body


def length(body: bytes) -> tuple[list[bytes], bytes]:
    return [b"Content-Length: %d" % len(body)], body


def chunked(parts: list[bytes], end: bytes) -> tuple[list[bytes], bytes]:
    chunks = b"".join(b"%x;a=b\r\n%b\r\n" % (len(part), part) for part in parts if part)
    return [b"transfer-encoding: Chunked"], chunks + end


BODIES = st.binary(max_size=40) | st.sampled_from([BODY, SMUGGLED, b"0\r\n\r\n" + SMUGGLED])
ENDS = [
    b"0\r\n\r\n",
    b"0\r\nX-Trailer: a\r\n\r\n",
    b"0\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
]
FRAMINGS: st.SearchStrategy[tuple[list[bytes], bytes]] = st.one_of(
    st.just(([], b"")),
    BODIES.map(length),
    st.builds(chunked, st.lists(BODIES, max_size=3), st.sampled_from(ENDS)),
    st.sampled_from(
        [
            ([b"Content-Length: 5", b"Transfer-Encoding: chunked"], b"0\r\n\r\n"),
            ([b"Content-Length: 0", b"Content-Length: 35"], SMUGGLED),
            ([b"Content-Length: 1", b"Content-Length: 1"], b"x"),
            ([b"Content-Length: +1"], b"x"),
            ([b"Content-Length: "], b""),
            ([b"Transfer-Encoding: chunked, gzip"], b"0\r\n\r\n"),
            ([b"Transfer-Encoding: chunked"], b"zz\r\n\r\n"),
            ([b"X-Folded: a", b" b"], b""),
        ]
    ),
)
"""Headers and bodies, most of them well-formed."""


@st.composite
def sent_requests(draw: st.DrawFn) -> Sent:
    method = draw(st.sampled_from([b"POST", b"GET", b"HEAD", b"OPTIONS", b"PUT", b"PRI", b"x"]))
    if method == b"HEAD":
        method = b"GET"  # the length of its response says nothing of what follows
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0"]))
    framing, body = draw(FRAMINGS)
    others = draw(
        st.lists(
            st.sampled_from([b"X-A: b", b"Connection: close", b"Connection: keep-alive", b"Y:  z "])
        )
    )
    headers = draw(st.permutations([b"Host: x", *framing[:1], *others])) + framing[1:]
    connection = draw(st.sampled_from([b"Connection: %b", b"connection:%b", b"CONNECTION: a, %b"]))
    tokens = draw(st.sampled_from([b"Upgrade", b"upgrade", b"Upgrade, HTTP2-Settings"]))
    upgrade = b"Upgrade: " + draw(st.sampled_from(PROTOCOLS))
    return Sent(
        b"%b /a%%20b?c HTTP/%b" % (method, version),
        headers,
        body,
        draw(st.permutations([connection % tokens, upgrade, b"HTTP2-Settings: AAMAAABk"])),
        draw(st.integers(0, len(headers))),
    )


@given(
    st.lists(st.tuples(sent_requests(), st.booleans()), min_size=1, max_size=4),
    st.sampled_from([1, 2, 3, 7, 50, 1_000_000]),
)
@example(
    [(Sent(b"POST / HTTP/1.1", [b"Content-Length: 35"], SMUGGLED, [b"Upgrade: h2c"], 0), True)], 1
)
def test_an_offer_changes_nothing(
    echo_url: str, sent: list[tuple[Sent, bool]], piece_bytes: int
) -> None:
    """Neither where a request ends, nor what it is, nor what the next ones are."""
    plain = b"".join(each.encode(offers=False) for each, _ in sent) + LAST
    offering = b"".join(each.encode(offers=offers) for each, offers in sent) + LAST
    assert exchange(echo_url, offering, piece_bytes) == exchange(echo_url, plain, piece_bytes)


@pytest.mark.parametrize("piece_bytes", [1, 1_000_000])
@pytest.mark.parametrize("name", STOCK)
def test_stock_clients_that_offer_h2c_are_answered(
    gateway_url: str, name: str, piece_bytes: int
) -> None:
    """They get HTTP/1.1, on connections that they keep for their next requests."""
    responses = exchange(gateway_url, STOCK[name] * 3 + LAST, piece_bytes)
    assert [status for status, *_ in responses] == [200, 200, 200, 404]
    for _, _, body in responses[:3]:
        assert json.loads(body) == {"data": {"__typename": "Query"}}


def test_a_client_that_waits_to_send_its_body_is_told_to_go_on(gateway_url: str) -> None:
    """As curl does with a long one."""
    head, _, body = STOCK["curl --http2"].partition(b"\r\n\r\n")
    with connect(gateway_url) as connection:
        connection.sendall(head + b"\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        (response,) = parse_responses(read_to_end(connection))
    assert (response.status, response.body) == (200, b'{"data":{"__typename":"Query"}}')


def test_no_cache_of_a_function_has_the_credentials_of_a_request(echo_url: str) -> None:
    names = [*CREDENTIAL_HEADERS, ROUTER_SECRET_HEADER]
    secrets = b"".join(b"%b: the-secret\r\n" % name for name in names)
    request = STOCK["Java's POST"].replace(JSON, JSON + secrets)
    assert len(exchange(echo_url, request + LAST)) == 2
    modules = [module for name, module in sys.modules.items() if name.startswith(OWN)]
    caches = [each for module in modules for each in vars(module).values() if is_cache(each)]
    assert header_line in caches
    assert not [text for text in reachable(caches) if b"the-secret" in text]


@pytest.mark.parametrize("target", [b"evil:443", b"/graphql", b"/livez"])
def test_connect_is_refused(gateway_url: str, target: bytes) -> None:
    data = b"CONNECT %b HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" % target
    ((status, connection, _),) = exchange(gateway_url, data + SMUGGLED)
    assert (status, connection) == (400, "close")


def test_pipelined_offers_are_limited_as_requests_are(echo_url: str) -> None:
    data = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    assert len(exchange(echo_url, data * MAX_PIPELINED + LAST)) == MAX_PIPELINED + 1
    assert len(exchange(echo_url, data * 5000)) == 1


@pytest.mark.parametrize("name", STOCK)
def test_the_sandbox_ignores_offers_too(sandbox_url: str, name: str) -> None:
    """SDKs for Java can be pointed at it."""
    data = stock_requests(b"/_sandbox/faults", b'{"fault": "throttle"}')[name]
    responses = exchange(sandbox_url, data * 2 + LAST)
    assert [status for status, *_ in responses] == [200, 200, 404]


def test_the_sandbox_reads_long_heads(sandbox_url: str) -> None:
    """Such as one with a long nextToken and a long session token."""
    head = (
        b"GET /_sandbox/faults?x=%b HTTP/1.1\r\nHost: localhost\r\nX-Amz-Security-Token: %b\r\n\r\n"
    )
    responses = exchange(sandbox_url, head % (b"x" * 30_000, b"x" * 20_000) + LAST)
    assert [status for status, *_ in responses] == [200, 404]
