"""Request smuggling: whatever the bytes, one request gets one response."""

import pytest

from tests.gateways import Gateway
from tests.http.wire import connect, parse_responses, read_to_end

POST = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = b'{"query": "{ __typename }"}'
PIECE = b"%x\r\n%b\r\n" % (len(BODY), BODY)
OFFER = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

MALFORMED = {
    "CL and TE": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE and CL": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two CL": POST + b"Content-Length: 0\r\nContent-Length: 35\r\n\r\n",
    "the same CL twice": POST + b"Content-Length: 27\r\nContent-Length: 27\r\n\r\n" + BODY,
    "list of CL": POST + b"Content-Length: 27, 27\r\n\r\n" + BODY,
    "negative CL": POST + b"Content-Length: -1\r\n\r\n",
    "signed CL": POST + b"Content-Length: +27\r\n\r\n" + BODY,
    "hexadecimal CL": POST + b"Content-Length: 0x1b\r\n\r\n" + BODY,
    "empty CL": POST + b"Content-Length: \r\n\r\n",
    "huge CL": POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "unknown TE": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + PIECE,
    "TE not last": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + PIECE,
    "two TE": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + PIECE,
    "TE with a tab": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n" + PIECE,
    "bare LF in the head": b"GET /livez HTTP/1.1\nHost: x\n\n",
    "bare LF after a header": b"GET /livez HTTP/1.1\r\nHost: x\nX-A: b\r\n\r\n",
    "bare CR": b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: b\rX-C: d\r\n\r\n",
    "folded header": b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n",
    "folded first header": b"GET /livez HTTP/1.1\r\n Host: x\r\n\r\n",
    "space before the colon": POST + b"Content-Length : 27\r\n\r\n" + BODY,
    "header without a name": b"GET /livez HTTP/1.1\r\n: x\r\n\r\n",
    "header without a colon": b"GET /livez HTTP/1.1\r\nHost\r\n\r\n",
    "NUL in a header": b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: b\x00c\r\n\r\n",
    "NUL in a name": b"GET /livez HTTP/1.1\r\nHost: x\r\nX\x00A: b\r\n\r\n",
    "NUL in the target": b"GET /live\x00z HTTP/1.1\r\nHost: x\r\n\r\n",
    "hexadecimal prefix of a chunk": CHUNKED + b"0x1b\r\n" + BODY + b"\r\n0\r\n\r\n",
    "negative chunk": CHUNKED + b"-1\r\n" + BODY + b"\r\n0\r\n\r\n",
    "huge chunk": CHUNKED + b"fffffffffffffffffff\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk of no size": CHUNKED + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk longer than it says": CHUNKED + b"1\r\n" + BODY + b"\r\n0\r\n\r\n",
    "bare LF after a chunk's size": CHUNKED + b"1b\n" + BODY + b"\r\n0\r\n\r\n",
    "bare LF after a chunk": CHUNKED + b"1b\r\n" + BODY + b"\n0\r\n\r\n",
    "space in a chunk's size": CHUNKED + b"1 b\r\n" + BODY + b"\r\n0\r\n\r\n",
    "CL behind the body": CHUNKED + PIECE + b"0\r\nContent-Length: 9\r\n\r\n",
    "HTTP/0.9": b"GET /livez\r\n\r\n",
    "HTTP/2": b"GET /livez HTTP/2.0\r\nHost: x\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET /livez HTTP/\r\nHost: x\r\n\r\n",
    "lower-case version": b"GET /livez http/1.1\r\nHost: x\r\n\r\n",
    "unknown version": b"GET /livez HTTP/1.9\r\nHost: x\r\n\r\n",
    "unknown method": b"FETCH /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    "lower-case method": b"get /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    "target without a slash": b"GET @evil HTTP/1.1\r\nHost: x\r\n\r\n",
    "target with a fragment": b"GET /livez#x HTTP/1.1\r\nHost: x\r\n\r\n",
    "target with a fragment behind a query": b"GET /metrics?a#x HTTP/1.1\r\nHost: x\r\n\r\n",
    "target of a proxy": b"CONNECT evil:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "target of a proxy with a path": b"CONNECT /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    "CL and TE with an offer to upgrade": POST
    + OFFER
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "absolute target without a path": b"GET http://evil HTTP/1.1\r\nHost: x\r\n\r\n",
    "target in UTF-8": "GET /livez\u00e4 HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}
"""Bytes that are no request: one 400, and the connection is closed."""

WELL_FORMED = {
    "absolute target": (b"GET http://evil/livez HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    "asterisk target": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "target with two slashes": (b"GET //evil/livez HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "path in the host": (b"GET /livez HTTP/1.1\r\nHost: a/?x=\r\n\r\n", 200),
    "other path in the host": (b"GET /nothing HTTP/1.1\r\nHost: a/livez?\r\n\r\n", 404),
    "user in the host": (b"GET /livez HTTP/1.1\r\nHost: a@evil\r\n\r\n", 200),
    "two hosts": (b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    "encoded slash": (b"GET /%2flivez HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "dots": (b"GET /graphql/../livez HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "empty chunked body": (CHUNKED + b"0\r\n\r\n", 400),
    "chunk extensions": (CHUNKED + b'1b;a;b=c;d="e"\r\n' + BODY + b"\r\n0;f\r\n\r\n", 200),
    "leading zeros": (CHUNKED + b"0001b\r\n" + BODY + b"\r\n000\r\n\r\n", 200),
    "trailers": (CHUNKED + PIECE + b"0\r\nHost: y\r\nX-A: b\r\n\r\n", 200),
    "body of a GET": (
        b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        200,
    ),
    "offer to upgrade": (b"GET /livez HTTP/1.1\r\nHost: x\r\n" + OFFER + b"\r\n", 200),
    "offer to upgrade with a body": (
        POST + OFFER + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY,
        200,
    ),
    "offer to upgrade with a chunked body": (
        POST + OFFER + b"Transfer-Encoding: chunked\r\n\r\n" + PIECE + b"0\r\n\r\n",
        200,
    ),
    "unread body": (
        POST
        + b"X-Aws-Access-Key-Id: half\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED)
        + SMUGGLED,
        401,
    ),
}
"""Bytes that are one request, however odd, and the status of its response."""


def statuses(gateway: Gateway, data: bytes) -> list[int]:
    """Send bytes, and return the statuses of the responses until the connection is closed."""
    with connect(gateway.url) as connection:
        connection.sendall(data)
        return [response.status for response in parse_responses(read_to_end(connection))]


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_malformed_bytes_get_one_400(shared_gateway: Gateway, data: bytes) -> None:
    """Then the connection is closed: nobody knows where a next request would begin."""
    assert statuses(shared_gateway, data) == [400]
    assert statuses(shared_gateway, data + SMUGGLED) == [400]


@pytest.mark.parametrize(("data", "status"), WELL_FORMED.values(), ids=WELL_FORMED)
def test_one_request_gets_one_response(shared_gateway: Gateway, data: bytes, status: int) -> None:
    """Its path alone counts, whatever host it names; the next request is not affected."""
    last = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert statuses(shared_gateway, data + last) == [status, 200]


def test_a_malformed_request_does_not_affect_the_one_before(shared_gateway: Gateway) -> None:
    good = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    assert statuses(shared_gateway, good + b"nonsense\r\n\r\n") == [200]
