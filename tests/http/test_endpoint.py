"""/graphql answers each request, however odd, with the right status and one clear error."""

import contextlib
import select
import socket
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from gateway.server.protocol import BoundedProtocol
from tests.gateways import GRAPHQL, Gateway, Sandbox, gateway_over
from tests.http.wire import answers, connect, read_to_end

JSON = {"Content-Type": "application/json"}
ADA = dict(aws_headers(CALLERS["ada"]))
JOBS = "{ audienceGenerationJobs { nodes { name } } }"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        ("{}".encode("utf-16"), "not JSON"),
        (b'{"query": "\\ud800"}', "not JSON"),
        (b'{"query": NaN}', "not JSON"),
        (b"[" * 5000, "not JSON"),
        (b"1", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"[]", "Batches are not served"),
        (b'[{"query": "{ __typename }"}]', "Batches are not served"),
        (b"[{},{}]", "Batches are not served"),
        (b"[1]", "Batches are not served"),
        (b"[null]", "Batches are not served"),
        (b"[" * 5000 + b"]" * 5000, "not JSON"),
        (b'{"query": %b}' % (b"1" * 5000), "not JSON"),
        (b'{"query": "{ __typename }", "variables": {"a": %b}}' % (b"1" * 5000), "not JSON"),
        (b'{"query": "{ __typename }", "variables": {"a": Infinity}}', "not JSON"),
        (b'{"query": "{ __typename }", "variables": {"a": "\\udfff"}}', "not JSON"),
        (b'{"query": "{ __typename }", "operationName": "\\ud800"}', "not JSON"),
        (b'{"query": "\xed\xa0\x80"}', "not JSON"),
        (b'{"query": "\xc0\x80"}', "not JSON"),
        (b'\xef\xbb\xbf{"query": "{ __typename }"}', "not JSON"),
        (b"{}", "`query`"),
        (b'{"query": null}', "`query`"),
        (b'{"query": ""}', "`query`"),
        (b'{"query": 1}', "`query`"),
        (b'{"query": ["{ __typename }"]}', "`query`"),
        (b'{"query": "{ __typename }", "variables": []}', "`variables`"),
        (b'{"query": "{ __typename }", "variables": "{}"}', "`variables`"),
        (b'{"query": "{ __typename }", "operationName": 1}', "`operationName`"),
        (b'{"query": "{ __typename }", "extensions": 1}', "`extensions`"),
    ],
)
def test_a_malformed_body_is_400_and_named(gateway: Gateway, body: bytes, named: str) -> None:
    """Whatever the bytes, the answer says what is wrong, and the upstream hears nothing."""
    answer = gateway.send("POST", content=body, headers={**JSON, **ADA})
    assert answer.status == 400
    assert answer.code == "BAD_USER_INPUT"
    assert named in answer.errors[0]["message"]
    assert gateway.sandbox.calls == []


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "text/plain; x=application/json",
        "application/json; charset=utf-16",
        "application/json; charset=utf-7",
        "application/json; charset=utf-8; charset=utf-16",
        "application/json, application/json",
        "application/json,text/plain",
        "; charset=utf-8",
        "json",
        "*/*",
        "application/graphql",
    ],
)
def test_another_content_type_is_415(gateway: Gateway, content_type: str | None) -> None:
    """Only JSON in UTF-8: nothing that a foreign page can send without a preflight."""
    headers = ADA if content_type is None else {"Content-Type": content_type, **ADA}
    answer = gateway.send("POST", content=b'{"query": "{ __typename }"}', headers=headers)
    assert answer.status == 415
    assert "application/json" in answer.errors[0]["message"]


@pytest.mark.parametrize("second", ["application/json", "text/plain", ""])
def test_two_content_types_are_415(gateway: Gateway, second: str) -> None:
    """Which of them would count is nobody's guess."""
    headers = [("Content-Type", "application/json"), ("Content-Type", second), *ADA.items()]
    answer = gateway.send("POST", content=b'{"query": "{ __typename }"}', headers=headers)
    assert answer.status == 415


@pytest.mark.parametrize("media", ["APPLICATION/JSON", 'application/json;charset="UTF-8"'])
def test_a_content_type_is_read_as_such(gateway: Gateway, media: str) -> None:
    """Case and quotes make no difference."""
    headers = {"Content-Type": media}
    answer = gateway.send("POST", content=b'{"query": "{ __typename }"}', headers=headers)
    assert answer.status == 200


def test_a_coded_body_is_415(gateway: Gateway) -> None:
    """A compressed body could hold any size."""
    answer = gateway.send("POST", content=b"x", headers={**JSON, "Content-Encoding": "gzip"})
    assert answer.status == 415


def test_a_body_over_the_limit_is_413(sandbox: Sandbox) -> None:
    """Announced or streamed, a byte too many is refused; the limit itself is not."""
    query = b'{"query": "{ __typename }"}'
    with gateway_over(sandbox, limit_body_bytes=100) as small:
        fits = query + b" " * (100 - len(query))
        assert small.send("POST", content=fits, headers=JSON).status == 200
        for content in (fits + b" ", iter([fits, b" "])):
            answer = small.send("POST", content=content, headers=JSON)
            assert answer.status == 413
            assert answer.code == "LIMIT_EXCEEDED"
            assert "100 bytes" in answer.errors[0]["message"]


def test_a_body_without_end_is_not_taken(sandbox: Sandbox) -> None:
    """Its pieces are counted as they come: it is refused before twice the limit has been read."""
    limit = 262_144
    taken = 0

    class Counting(BoundedProtocol):
        def data_received(self, data: bytes) -> None:
            nonlocal taken
            taken += len(data)
            super().data_received(data)

    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with (
        gateway_over(sandbox, http=Counting, limit_body_bytes=limit) as counted,
        connect(counted.url) as connection,
    ):
        connection.sendall(
            b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        with contextlib.suppress(ConnectionError):
            while not select.select([connection], [], [], 0)[0]:
                connection.sendall(piece)
        (answer,) = answers(read_to_end(connection))
    assert answer.status == 413
    assert limit < taken < 2 * limit


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "QUERY"])
def test_other_methods_are_405(gateway: Gateway, method: str) -> None:
    """Each names the two that are served."""
    answer = gateway.send(method)
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, POST"


@pytest.mark.parametrize("operation", ["mutation", "subscription"])
def test_a_get_only_reads(gateway: Gateway, operation: str) -> None:
    """A mutation by GET is 405 and says POST (rule 47)."""
    answer = gateway.send("GET", params={"query": f"{operation} {{ __typename }}"})
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"


def test_nothing_acceptable_is_406(gateway: Gateway) -> None:
    """The answer names what there is, as JSON all the same."""
    answer = gateway.send("POST", json={"query": JOBS}, headers={"Accept": "image/png"})
    assert answer.status == 406
    assert GRAPHQL in answer.errors[0]["message"]
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("query_string", "named"),
    [
        ("", "`query`"),
        ("query=", "`query`"),
        ("query=%FF", "UTF-8"),
        ("query={__typename}&query={__typename}", "twice"),
        ("query={__typename}&variables={", "`variables`"),
        ("query={__typename}&variables=[]", "`variables`"),
        ("query={__typename}&extensions=1", "`extensions`"),
        ("&".join(f"a{n}=1" for n in range(200)), "query string"),
    ],
)
def test_a_malformed_query_string_is_400_and_named(
    gateway: Gateway, query_string: str, named: str
) -> None:
    """The same care for GET."""
    answer = gateway.send("GET", f"/graphql?{query_string}")
    assert answer.status == 400
    assert named in answer.errors[0]["message"]


def test_a_get_reads_data_too(gateway: Gateway) -> None:
    """Credentials are headers, never ambient, so a plain GET carries no risk."""
    params = {"query": "query A($n: Int) { audienceGenerationJobs(first: $n) { nodes { name } } }"}
    answer = gateway.send(
        "GET", params={**params, "variables": '{"n": 3}', "operationName": ""}, headers=ADA
    )
    assert len(answer.data["audienceGenerationJobs"]["nodes"]) == 3


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        (
            "{ audienceGenerationJobs(first: 3000000000) { nodes { name } } }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
        ("query A { __typename } query B { __typename }", "BAD_USER_INPUT"),
        (
            "query A($a: Int!) { audienceGenerationJobs(first: $a) { nodes { name } } }",
            "BAD_USER_INPUT",
        ),
        ("{ " + "a " * 2001 + "}", "LIMIT_EXCEEDED"),
        ("{a" * 900, "LIMIT_EXCEEDED"),
        ("{ ...A } fragment A on Query { ...A }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ ...Nowhere }", "GRAPHQL_VALIDATION_FAILED"),
        ("mutation { __typename }", "GRAPHQL_VALIDATION_FAILED"),
    ],
)
def test_a_refused_document_has_no_data(gateway: Gateway, query: str, code: str) -> None:
    """400 as a GraphQL response; 200 where JSON is all that the client knows."""
    answer = gateway.ask(query)
    assert answer.status == 400
    assert "data" not in answer.content
    assert answer.errors[0]["extensions"]["code"] == code
    plain = gateway.ask(query, headers={"Accept": "application/json"})
    assert plain.status == 200
    assert "data" not in plain.content
    assert gateway.sandbox.calls == []


DIGITS = "1" * 5000


@pytest.mark.parametrize(
    "query",
    [
        f"{{ audienceGenerationJobs(first: {DIGITS}) {{ nodes {{ name }} }} }}",
        f"{{ nodes(ids: [{DIGITS}]) {{ id }} }}",
        f"{{ _entities(representations: [{DIGITS}]) {{ __typename }} }}",
        f"{{ _entities(representations: [{{ id: {DIGITS} }}]) {{ __typename }} }}",
        f"query($n: Int = {DIGITS}) {{ audienceGenerationJobs(first: $n) {{ nodes {{ id }} }} }}",
        f"{{ _entities(representations: {'[' * 150 + ']' * 150}) {{ __typename }} }}",
        '{ node(id: "a\\u0000") { id } }',
        '{ audienceGenerationJobs(collaborationId: "\\u0000") { nodes { name } } }',
        "{ __typename \0 }",
        "{ __typename \u2028 }",
        '{ node(id: "\\uD800") { id } }',
        '{ node(id: "\\u{110000}") { id } }',
    ],
    ids=range(12),
)
def test_odd_literals_are_the_caller_s_mistake(gateway: Gateway, query: str) -> None:
    """However long or deep or strange; none of it is ours, and none costs a call."""
    answer = gateway.ask(query)
    assert answer.status < 500
    assert {error["extensions"]["code"] for error in answer.errors} <= {
        "BAD_USER_INPUT", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED",
    }  # fmt: skip
    assert answer.errors or answer.data == {"nodes": [None]}
    assert gateway.sandbox.calls == []


def test_nobody_is_told_how_long_things_took(gateway: Gateway) -> None:
    """The trace that Apollo's router may ask for would tell anybody."""
    answer = gateway.ask(JOBS, headers={"Apollo-Federation-Include-Trace": "ftv1"})
    assert answer.status == 200
    assert answer.content.keys() == {"data"}


@pytest.mark.parametrize("host", ["a/?x=", "a/livez?", "evil:1@x", "[::1", "x y", "\\", ""])
def test_a_host_decides_nothing(gateway: Gateway, host: str) -> None:
    """Whatever it looks like, the path is what follows the method."""
    headers = {**JSON, "Host": host}
    query = {"query": JOBS}
    answer = gateway.send("POST", json=query, headers=headers)
    assert (answer.status, answer.code) == (401, "UNAUTHENTICATED")
    answer = gateway.send("POST", json=query, headers={**headers, **ADA})
    assert answer.status == 200


def test_data_without_a_caller_is_401(gateway: Gateway) -> None:
    """Every root field refused: no data, a challenge, and which headers to send."""
    for headers in ({}, {"Accept": "application/json"}):
        answer = gateway.ask(JOBS, caller=None, headers=headers)
        assert answer.status == 401
        assert answer.code == "UNAUTHENTICATED"
        assert "X-Aws-Access-Key-Id" in answer.errors[0]["message"]
        assert "data" not in answer.content
        assert answer.headers["www-authenticate"]


def test_what_needs_no_caller_is_answered_without_one(gateway: Gateway) -> None:
    """Introspection answers; beside it a data field is null with an error, and the status 200."""
    assert gateway.ask("{ __schema { queryType { name } } }", caller=None).status == 200
    answer = gateway.ask("{ __typename " + JOBS[1:], caller=None)
    assert answer.status == 200
    assert answer.content["data"] == {"__typename": "Query", "audienceGenerationJobs": None}
    assert answer.code == "UNAUTHENTICATED"


def test_expired_credentials_are_401_too(gateway: Gateway) -> None:
    """Refused by us or by AWS is one thing to a frontend: get new credentials."""
    answer = gateway.ask(JOBS, caller="expired")
    assert answer.status == 401
    assert "expired" in answer.errors[0]["message"]


def test_malformed_credentials_are_401_for_any_request(gateway: Gateway) -> None:
    """Half an identity is none, also where none is needed."""
    headers = {"X-Aws-Access-Key-Id": CALLERS["ada"].access_key_id}
    answer = gateway.ask("{ __typename }", caller=None, headers=headers)
    assert answer.status == 401
    assert answer.code == "UNAUTHENTICATED"


def test_every_answer_is_private_and_has_an_id(gateway: Gateway) -> None:
    """No cache may keep an answer; the request's own id is taken over if it is plain."""
    for sent, kept in (
        ("abc-1.2_3", True),
        ("x" * 65, False),
        ("a b", False),
        ("ä".encode(), False),
    ):
        answer = gateway.ask(JOBS, headers={"X-Request-Id": sent})  # type: ignore[dict-item]
        assert answer.headers["cache-control"] == "private, no-store"
        assert (answer.headers["x-request-id"] == sent) == kept
        assert len(answer.headers["x-request-id"]) <= 64
    assert gateway.send("DELETE").headers["cache-control"] == "private, no-store"


def test_production_hides_the_schema(sandbox: Sandbox) -> None:
    """With introspection off there is no schema, no suggestion and no page."""
    with gateway_over(sandbox, introspection=False) as production:
        hidden = production.ask("{ __schema { queryType { name } } }")
        assert hidden.errors[0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        misspelt = production.ask("{ audienceGenerationJob { nodes { nam } } }")
        assert "Did you mean" not in str(misspelt.errors)
        assert production.ask("{ __typename }").status == 200
        page = production.send("GET", headers={"Accept": "text/html"})
        assert page.status == 406
        assert "<html" not in str(page.content)


def test_a_websocket_is_not_served(gateway: Gateway) -> None:
    """There are no subscriptions, so the upgrade is refused."""
    answer = gateway.send(
        "GET",
        headers={
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version": "13",
        },
    )
    assert 400 <= answer.status < 500


def test_health_asks_nothing_of_the_upstream(gateway: Gateway) -> None:
    """Both answer while the upstream hangs."""
    gateway.sandbox.fault("hang")
    assert (gateway.send("GET", "/livez").status, gateway.send("GET", "/readyz").status) == (
        200,
        200,
    )
    assert gateway.sandbox.calls == []


def test_an_unknown_path_is_404(gateway: Gateway) -> None:
    """There is nothing else."""
    # Not a redirect: clients would repeat it, credentials and all, where it leads.
    assert gateway.send("POST", "/graphql/", headers=ADA).status == 404
    assert gateway.send("GET", "/metrics/secret").status == 404


def raw_exchange(url: str, request: bytes) -> bytes:
    """Send bytes that no client library would, and read what comes."""
    host, port = httpx.URL(url).host, httpx.URL(url).port
    with socket.create_connection((host, port or 80), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_doubled_credential_headers_are_401(gateway: Gateway) -> None:
    """Which of two would count is nobody's guess."""
    lines = [f"{name}: {value}" for name, value in ADA.items()]
    body = b'{"query": "{ __typename }"}'
    head = [
        "POST /graphql HTTP/1.1", "Host: x", "Content-Type: application/json",
        f"Content-Length: {len(body)}", "Connection: close", *lines, lines[0],
    ]  # fmt: skip
    answer = raw_exchange(gateway.url, "\r\n".join(head).encode() + b"\r\n\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"twice" in answer


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    st.binary(max_size=200)
    | st.dictionaries(
        st.sampled_from(["query", "variables", "operationName", "extensions", "x"]),
        json_values
        | st.sampled_from(["{ __typename }", "{ audienceGenerationJobs { nodes { id } } }"]),
    )
)
def test_no_body_is_a_500(gateway: Gateway, body: Any) -> None:
    """Whatever is sent, the answer is a GraphQL error or result below 500."""
    try:
        content = body if isinstance(body, bytes) else orjson.dumps(body)
    except TypeError:
        return  # an integer that JSON libraries refuse to write
    answer = gateway.send("POST", content=content, headers={**JSON, **ADA})
    assert answer.status < 500
    assert isinstance(answer.content, dict)
