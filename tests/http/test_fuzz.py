"""Any request gets one well-formed response, and never a 5xx.

`pytest tests/http/test_fuzz.py --hypothesis-profile=long` tries fifty times as much.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.gateways import Sandbox, gateway_over
from tests.http.wire import ImpatientProtocol, RawResponse, connect, parse_responses, read_to_end

ADA = [(name.encode(), value.encode()) for name, value in aws_headers(CALLERS["ada"]).items()]
ORIGIN = "https://app.example.com"
TOKENS = [
    *"{}()[]:!$@|&=,#\\", "...", '"', '"""', "query", "mutation", "subscription", "fragment",
    "on", "A", "$a", "Int", "ID!", "[ID!]!", "Query", "AudienceGenerationJob", "Node",
    "@skip(if: true)", "@include(if: $a)", "audienceGenerationJobs", "(first: 1)", "(last: -1)",
    '(after: "")', "edges", "nodes", "node", "cursor", "id", "name", "tags", "exportJobs",
    "pageInfo", "hasNextPage", "totalCount", "(ids: [])", '(id: "QQ==")', "__typename",
    "__schema", "_service", "sdl", "_entities", "(representations: [])", "(filter: {status: []})",
    "null", "true", "1", "-1", "1e9", "9" * 20, "\0", "\u2028", "\ufeff", "\u00e4",
]  # fmt: skip
FIELDS = [
    "__typename", "a: audienceGenerationJobs(first: 1) { nodes { name } }", 'node(id: "x") { id }',
    "audienceModels(first: $a) { totalCount }", "nodes(ids: [1]) { __typename }", "__schema { x }",
    "_entities(representations: [$a]) { __typename }", "_service { sdl }",
    "... @skip(if: $a) { b }",
]  # fmt: skip

documents = (
    st.lists(st.sampled_from(FIELDS), max_size=4).map(lambda fields: f"{{ {' '.join(fields)} }}")
    | st.lists(st.sampled_from(TOKENS), max_size=30).map(" ".join)
    | st.text(max_size=50)
)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**65) | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)
parameters = st.fixed_dictionaries(
    {"query": documents | documents | values},
    optional={
        "variables": st.dictionaries(st.sampled_from(["a", "b", ""]), values, max_size=3) | values,
        "operationName": st.sampled_from(["A", "", None]) | values,
        "extensions": values,
    },
)
bodies = (
    parameters.map(lambda value: json.dumps(value).encode())
    | values.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=200)
)
ODD_PATHS = [
    "/graphql/", "/livez", "/readyz", "/", "*", "//", "//graphql", "/%67raphql",
    "/graphql/../livez", "/a%00", "/%ff", "/%", "/;", "http://x/graphql", "http://", "@x",
    "/graphql?", "/GRAPHQL",
]  # fmt: skip
paths = st.sampled_from(["/graphql"] * 4 * len(ODD_PATHS) + ODD_PATHS)
targets = st.builds(
    lambda path, asked: path + "?" + "&".join(f"{name}={value}" for name, value in asked),
    paths,
    st.lists(
        st.tuples(
            st.sampled_from(["query", "variables", "operationName", "extensions", "x", ""]),
            documents.map(quote) | st.text("{}[]%&=+\"'ab0", max_size=20),
        ),
        max_size=5,
    ),
).map(lambda text: text.replace("#", "").encode())
METHODS = [b"POST"] * 12 + [b"GET"] * 6 + [b"PUT", b"OPTIONS", b"QUERY", b"TRACE", b"PRI", b"X"]
methods = st.sampled_from(METHODS)
often = st.sampled_from([True] * 5 + [False])
NAMES = [
    b"Accept", b"Accept-Encoding", b"Content-Encoding", b"Content-Type", b"Cache-Control",
    b"Cookie", b"Authorization", b"X-Aws-Access-Key-Id", b"X-Aws-Session-Token", b"X-Request-Id",
    b"Origin", b"X-Gateway-Cost", b"X-Router-Secret", b"Range", b"If-None-Match", b"Forwarded",
    b"Host", b"Access-Control-Request-Method", b"Access-Control-Request-Headers",
    b"X-HTTP-Method-Override",
]  # fmt: skip
WORDS = [
    b"application/json", b"application/graphql-response+json", b"text/html", b"*/*;q=0", b"q=nan",
    b"charset=utf-8", b"gzip", b"no-cache", b"Bearer x.y.z", b"Bearer", b"ASIA0000000000000000",
    ORIGIN.encode(), b"POST", b"null", b"bytes=0-1", b"\xc3\xa4", b"",
]  # fmt: skip
headers = st.lists(
    st.tuples(
        st.sampled_from(NAMES) | st.text("abX-_", min_size=1, max_size=8).map(str.encode),
        st.lists(st.sampled_from(WORDS), max_size=3).map(b", ".join)
        | st.binary(max_size=20).map(lambda text: bytes(c for c in text if c > 0x1F and c != 0x7F)),
    ),
    max_size=4,
)


class VeryImpatientProtocol(ImpatientProtocol):
    read_seconds = 0.05


@pytest.fixture(scope="module")
def url(shared_sandbox: Sandbox) -> Iterator[str]:
    with gateway_over(shared_sandbox, cors_origins={ORIGIN}) as gateway:
        yield gateway.url


@pytest.fixture(scope="module")
def impatient_url(shared_sandbox: Sandbox) -> Iterator[str]:
    """Serve a gateway that soon closes the connection of an incomplete request."""
    with gateway_over(shared_sandbox, http=VeryImpatientProtocol) as gateway:
        yield gateway.url


def send(url: str, data: bytes) -> list[RawResponse]:
    with connect(url) as connection:
        connection.sendall(data)
        received = read_to_end(connection)
    return parse_responses(received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n"))


def request_bytes(
    method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes, piece: int
) -> bytes:
    """Return a request, its body in chunks of `piece` bytes, or whole if that is 0."""
    framing = b"Content-Length: %d" % len(body)
    if piece:
        framing = b"Transfer-Encoding: chunked"
        pieces = [body[at : at + piece] for at in range(0, len(body), piece)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in [*pieces, b""])
    lines = [b"%b: %b" % pair for pair in headers]
    head = [b"%b %b HTTP/1.1" % (method, target), *lines, framing, b"Connection: close", b"", body]
    return b"\r\n".join(head)


@given(
    method=methods,
    target=targets,
    given=headers,
    is_json=often,
    is_ada=often,
    body=bodies,
    piece=st.sampled_from([0, 0, 1, 7, 100]),
)
@example(
    method=b"POST",
    target=b"/graphql",
    given=[],
    is_json=True,
    is_ada=True,
    body=b'{"query": "{ __typename }", "variables": {"a": 18446744073709551616}}',
    piece=0,
)
def test_each_request_gets_one_response(
    url: str,
    *,
    method: bytes,
    target: bytes,
    given: list[tuple[bytes, bytes]],
    is_json: bool,
    is_ada: bool,
    body: bytes,
    piece: int,
) -> None:
    """Its method, path, query string, headers and body are arbitrary."""
    more = [(b"Content-Type", b"application/json")] if is_json else []
    given = [*given, *more, *(ADA if is_ada else [])]
    (response,) = send(url, request_bytes(method, target, given, body, piece))
    assert response.status < 500
    assert response.headers["connection"] == "close"
    assert response.headers["x-request-id"]
    if response.headers["content-type"].startswith("application/"):
        content = json.loads(response.body)
        assert content.get("errors") or "data" in content
        codes = {error["extensions"]["code"] for error in content.get("errors", ())}
        assert "INTERNAL" not in codes


GOOD = request_bytes(
    b"POST",
    b"/graphql?x=1",
    [(b"Host", b"x"), (b"Content-Type", b"application/json"), *ADA],
    b'{"query": "{ __typename }"}',
    10,
)
FRAGMENTS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b"\0", b":", b"0\r\n\r\n", b";", b"HTTP/1.1",
    b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Upgrade: h2c\r\n", b"\xff",
    b"Connection: keep-alive\r\n", b"Expect: 100-continue\r\n", b"Content-Length: 0\r\n", b"ffffff",
]  # fmt: skip
changes = st.lists(
    st.tuples(
        st.integers(0, len(GOOD)), st.integers(0, 20), st.sampled_from(FRAGMENTS) | st.just(b"")
    ),
    min_size=1,
    max_size=4,
)


@given(changes=changes)
def test_each_response_to_altered_bytes_is_complete(
    impatient_url: str, changes: list[tuple[int, int, bytes]]
) -> None:
    """A valid request with parts removed and inserted gets any number of responses."""
    data = GOOD
    for at, length, replacement in changes:
        data = data[:at] + replacement + data[at + length :]
    received = send(impatient_url, data)
    assert all(response.status < 500 for response in received)
    assert all(response.status >= 400 for response in received[1:])
