"""The endpoint over real HTTP: every request gets the right status and clear errors."""

import contextlib
import select
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from starlette.types import Receive

from gateway.dev import aws_headers
from gateway.http import endpoint
from gateway.http.disconnect import cancel_on_disconnect
from gateway.sandbox import CALLERS
from gateway.server.protocol import LINGER_BYTES, HardenedProtocol
from tests.gateways import GRAPHQL, Gateway, Sandbox, gateway_over
from tests.http.wire import connect, parse_responses, read_to_end

JSON = {"Content-Type": "application/json"}
ADA = dict(aws_headers(CALLERS["ada"]))
JOBS = "{ audienceGenerationJobs { nodes { name } } }"
HEAD = "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("status", "code", "message", "options"),
    [
        (400, "BAD_USER_INPUT", "not JSON", {"content": b"{", "headers": JSON}),
        (415, "BAD_USER_INPUT", "application/json", {"content": b'{"query": "{ __typename }"}'}),
        (
            406,
            "BAD_USER_INPUT",
            GRAPHQL,
            {"json": {"query": JOBS}, "headers": {"Accept": "image/png"}},
        ),
    ],
)
def test_a_malformed_request_is_rejected(
    gateway: Gateway, status: int, code: str, message: str, options: dict[str, Any]
) -> None:
    """The response is JSON, whatever the client accepts, and the upstream is not called."""
    headers = {**ADA, **options.get("headers", {})}
    answer = gateway.send("POST", **{**options, "headers": headers})
    assert (answer.status, answer.code) == (status, code)
    assert message in answer.errors[0]["message"]
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert gateway.sandbox.calls == []


def test_an_endless_body_is_not_read(sandbox: Sandbox) -> None:
    """It is rejected as soon as it exceeds the limit; little of what follows is received."""
    limit = 262_144
    received = 0

    class Counting(HardenedProtocol):
        def data_received(self, data: bytes) -> None:
            nonlocal received
            received += len(data)
            super().data_received(data)

    with (
        gateway_over(sandbox, http=Counting, limit_body_bytes=limit) as counted,
        connect(counted.url) as connection,
    ):
        connection.sendall(HEAD.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not select.select([connection], [], [], 0)[0]:
                connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
        (answer,) = parse_responses(read_to_end(connection))
    assert answer.status == 413
    assert limit < received < limit + 2 * LINGER_BYTES


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "QUERY"])
def test_other_methods_are_405(gateway: Gateway, method: str) -> None:
    answer = gateway.send(method)
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, POST"
    assert answer.headers["cache-control"] == "private, no-store"


def test_get_executes_no_mutation(gateway: Gateway) -> None:
    answer = gateway.send("GET", params={"query": "mutation { __typename }"})
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"


def test_get_reads_data(gateway: Gateway) -> None:
    """Credentials are headers, never ambient, so a plain GET carries no risk."""
    query = "query A($n: Int) { audienceGenerationJobs(first: $n) { nodes { name } } }"
    params = {"query": query, "variables": '{"n": 3}', "operationName": ""}
    answer = gateway.send("GET", params=params, headers=ADA)
    assert len(answer.data["audienceGenerationJobs"]["nodes"]) == 3


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("mutation { __typename }", "GRAPHQL_VALIDATION_FAILED"),
        ("query A { __typename } query B { __typename }", "BAD_USER_INPUT"),
        ("query A($a: Int!) { audienceModels(first: $a) { totalCount } }", "BAD_USER_INPUT"),
        ("{ " + "a " * 2001 + "}", "LIMIT_EXCEEDED"),
    ],
)
def test_a_rejected_document_has_no_data(gateway: Gateway, query: str, code: str) -> None:
    """The status is 400; for a client that accepts only JSON it is 200."""
    answer = gateway.ask(query)
    assert (answer.status, answer.errors[0]["extensions"]["code"]) == (400, code)
    plain = gateway.ask(query, headers={"Accept": "application/json"})
    assert plain.status == 200
    assert "data" not in answer.content.keys() | plain.content.keys()
    assert gateway.sandbox.calls == []


FILTERED = """query ($f: AudienceGenerationJobFilter) {
  audienceGenerationJobs(filter: $f) { totalCount }
}"""


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{ " + "a" * 100_000 + " }", {}),
        (FILTERED, {"f": {"a" * 100_000: 1}}),
    ],
    ids=["field", "input field"],
)
def test_messages_repeat_little_of_the_request(
    gateway: Gateway, query: str, variables: dict[str, Any]
) -> None:
    answer = gateway.ask(query, variables)
    assert answer.status == 400
    assert max(len(error["message"]) for error in answer.errors) <= 1001


DIGITS = "1" * 5000


@pytest.mark.parametrize(
    "query",
    [
        f"{{ audienceGenerationJobs(first: {DIGITS}) {{ nodes {{ name }} }} }}",
        f"{{ nodes(ids: [{DIGITS}]) {{ id }} }}",
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
    ids=range(11),
)
def test_odd_literals_are_invalid_input(gateway: Gateway, query: str) -> None:
    answer = gateway.ask(query)
    assert answer.status < 500
    assert {error["extensions"]["code"] for error in answer.errors} <= {
        "BAD_USER_INPUT", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED",
    }  # fmt: skip
    assert answer.errors or answer.data == {"nodes": [None]}
    assert gateway.sandbox.calls == []


def test_durations_are_not_disclosed(gateway: Gateway) -> None:
    """The trace that Apollo's router may request would show them to any caller."""
    answer = gateway.ask(JOBS, headers={"Apollo-Federation-Include-Trace": "ftv1"})
    assert answer.status == 200
    assert answer.content.keys() == {"data"}


@pytest.mark.parametrize("host", ["a/?x=", "a/livez?", "evil:1@x", "[::1", "x y", "\\", ""])
def test_the_host_header_does_not_affect_routing(gateway: Gateway, host: str) -> None:
    headers = {**JSON, "Host": host}
    answer = gateway.send("POST", json={"query": JOBS}, headers={**headers, **ADA})
    assert answer.status == 200


def test_data_without_a_caller_is_401(gateway: Gateway) -> None:
    """If all root fields fail so, there is no data, but a challenge and the accepted headers."""
    for headers in ({}, {"Accept": "application/json"}):
        answer = gateway.ask(JOBS, caller=None, headers=headers)
        assert (answer.status, answer.code) == (401, "UNAUTHENTICATED")
        assert "X-Aws-Access-Key-Id" in answer.errors[0]["message"]
        assert "data" not in answer.content
        assert answer.headers["www-authenticate"]


def test_metadata_needs_no_caller(gateway: Gateway) -> None:
    """A data field beside it is null with an error, and the status is 200."""
    assert gateway.ask("{ __schema { queryType { name } } }", caller=None).status == 200
    answer = gateway.ask("{ __typename " + JOBS[1:], caller=None)
    assert answer.status == 200
    assert answer.content["data"] == {"__typename": "Query", "audienceGenerationJobs": None}
    assert answer.code == "UNAUTHENTICATED"


def test_malformed_credentials_are_401_for_any_query(gateway: Gateway) -> None:
    headers = {"X-Aws-Access-Key-Id": CALLERS["ada"].access_key_id}
    answer = gateway.ask("{ __typename }", caller=None, headers=headers)
    assert (answer.status, answer.code) == (401, "UNAUTHENTICATED")


def test_responses_are_private_and_have_a_request_id(gateway: Gateway) -> None:
    """The request's own id is kept if it is short and plain."""
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


def test_the_client_is_watched_only_while_a_request_waits(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = []

    def watch(receive: Receive) -> AbstractAsyncContextManager[None]:
        watched.append(receive)
        return cancel_on_disconnect(receive)

    monkeypatch.setattr(endpoint, "cancel_on_disconnect", watch)
    with gateway_over(sandbox) as gateway:
        for _ in range(10):
            assert gateway.ask("{ __typename }").data
        assert len(watched) < 10  # one that is slow gives way to others, and waits
        watched.clear()
        assert gateway.ask(JOBS).data
        assert len(watched) == 1


def test_without_introspection_the_schema_is_hidden(sandbox: Sandbox) -> None:
    """There is no introspection, no suggestion and no GraphiQL."""
    with gateway_over(sandbox, introspection=False) as production:
        hidden = production.ask("{ __schema { queryType { name } } }")
        assert hidden.errors[0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        misspelt = production.ask("{ audienceGenerationJob { nodes { nam } } }")
        assert "Did you mean" not in str(misspelt.errors)
        assert production.ask("{ __typename }").status == 200
        page = production.send("GET", headers={"Accept": "text/html"})
        assert page.status == 406
        assert "<html" not in str(page.content)


def test_a_websocket_is_rejected(gateway: Gateway) -> None:
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


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_session_token_of_12_kib_reaches_aws(gateway: Gateway, method: str) -> None:
    """With a long cursor in the URL, too: neither limits the other. AWS knows no such token."""
    query = {"query": JOBS.replace("Jobs", f'Jobs(after: "{"x" * 20_000}")', 1)}
    content: dict[str, Any] = {"params": query} if method == "GET" else {"json": query}
    for size, status, code in (
        (12 * 1024, 200, "INVALID_CURSOR"),
        (12 * 1024 + 1, 401, "UNAUTHENTICATED"),
    ):
        headers = {**ADA, "X-Aws-Session-Token": "t" * size}
        answer = gateway.send(method, headers=headers, **content)
        assert (answer.status, answer.code) == (status, code)
    assert gateway.sandbox.calls == []

    answer = gateway.ask(JOBS, headers={"X-Aws-Session-Token": "t" * 12 * 1024})
    assert answer.errors[0]["extensions"]["aws"]["operation"] == "ListAudienceGenerationJobs"
