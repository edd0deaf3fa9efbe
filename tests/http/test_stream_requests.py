"""Which requests get a stream, which get a result in one, and which get a plain error."""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.event_streams import (
    CHANGES,
    CONTENT_TYPES,
    JOB,
    MULTIPART,
    SSE,
    TRANSPORTS,
    Complete,
    Result,
    Stream,
    caller_headers,
    http_1_0_request,
    messages_of,
    requested,
    subscribed,
    watching,
)
from tests.gateways import GRAPHQL, TLS, Gateway, Sandbox, bearer, gateway_over, http
from tests.http.wire import connect, read_to_end

ORIGIN = "https://app.example.com"
FOREIGN = "https://evil.example"
PREFIX = "/api/audience"
BODY_BYTES = 2000
JSON = "application/json"
QUERY = "{ audienceGenerationJobs(first: 1) { nodes { name } } }"


@pytest.fixture(scope="module")
def shared_open(shared_sandbox: Sandbox) -> Iterator[Gateway]:
    """Allow a page of another origin, and small bodies only."""
    with gateway_over(
        shared_sandbox,
        cors_origins={ORIGIN},
        limit_body_bytes=BODY_BYTES,
        path_prefix=PREFIX,
        cache_seconds=0,
    ) as gateway:
        yield gateway


@pytest.fixture
def opened(shared_open: Gateway, sandbox: Sandbox) -> Gateway:
    assert shared_open.sandbox is sandbox
    return shared_open


def media_type(response: httpx.Response) -> str:
    content_type: str = response.headers["content-type"]
    return content_type.removesuffix("; charset=utf-8")


APOLLO = "multipart/mixed;boundary=graphql;subscriptionSpec=1.0"


@pytest.mark.parametrize(
    ("accept", "subscription", "query"),
    [
        (SSE, SSE, SSE),  # graphql-sse, Hive Gateway
        (f"{APOLLO},{GRAPHQL},{JSON};q=0.9", MULTIPART, GRAPHQL),  # Apollo Client 4
        (f"{APOLLO},{JSON}", MULTIPART, JSON),  # Apollo Client 3, gql
        (f"multipart/mixed;subscriptionSpec=1.0, {GRAPHQL}, {JSON}", MULTIPART, GRAPHQL),  # Kotlin
        ('multipart/mixed;boundary="graphql";subscriptionSpec=1.0', MULTIPART, MULTIPART),
        ('multipart/mixed; boundary="-"; subscriptionSpec="1.0"', MULTIPART, MULTIPART),
        ("Multipart/Mixed; SubscriptionSpec=1.0; boundary=-", MULTIPART, MULTIPART),
        ("text/event-stream, multipart/mixed", SSE, SSE),  # urql
        (f"{GRAPHQL}, application/graphql+json, {JSON}, {SSE}, multipart/mixed", SSE, GRAPHQL),
        ("TEXT/EVENT-STREAM", SSE, SSE),
        ("text/event-stream;charset=UTF-8", SSE, SSE),
        ("text/event-stream; q=0.1", SSE, SSE),
        (f"{SSE};q=0.4, {MULTIPART};q=0.5", MULTIPART, MULTIPART),
        (f"{SSE};q=0.5, {JSON};q=0.4", SSE, SSE),
        (f"{SSE};q=0.5, {JSON};q=0.5", SSE, JSON),
        (f"{JSON};q=0, {SSE}", SSE, SSE),
        (f"*/*, {SSE};q=0.1", SSE, JSON),
        (f"image/png, {SSE}", SSE, SSE),
        (f"text/html, */*;q=0.8, {SSE}", SSE, SSE),
    ],
)
def test_accept_chooses_the_transport(
    opened: Gateway, accept: str, subscription: str, query: str
) -> None:
    """JSON wins for a query, unless a stream has a higher quality."""
    with requested(opened.url, CHANGES, headers={"Accept": accept}) as response:
        assert (response.status_code, media_type(response)) == (200, CONTENT_TYPES[subscription])
    with requested(opened.url, QUERY, headers={"Accept": accept}) as response:
        expected = CONTENT_TYPES.get(query, query)
        assert (response.status_code, media_type(response)) == (200, expected)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        JSON,
        f"{GRAPHQL}, {JSON}",
        "text/*, multipart/*, */*",
        "text/event-stream;q=0, */*",
        "text/event-stream;charset=utf-16, */*",
        f"{GRAPHQL}, {JSON}, multipart/mixed",  # Hive Gateway's queries
        "multipart/mixed",
        "multipart/mixed;subscriptionSpec=2.0, */*",
        "multipart/mixed;deferSpec=20220824, application/json",
        "multipart/mixed;boundary=graphql",
        "text/event-streams, application/json",
        f"{SSE}, " + "x/y," * 250,
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_subscription_for_which_no_stream_is_named_is_406(
    opened: Gateway, job: str, accept: str, method: str
) -> None:
    """A wildcard names none: few clients that send one could read a stream."""
    opened.sandbox.reset()
    headers = {"Accept": accept}
    with requested(opened.url, JOB, {"arn": job}, method=method, headers=headers) as response:
        (error,) = json.loads(response.read())["errors"]

    assert response.status_code == 406
    assert "json" in media_type(response)
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert "Accepted" in error["message"]
    assert opened.sandbox.calls == []


ALIASES = " ".join(f"a{number}: kind" for number in range(31))

INVALID = {
    "parse": ("subscription {", {}, "GRAPHQL_PARSE_FAILED"),
    "validation": ("subscription { nothing }", {}, "GRAPHQL_VALIDATION_FAILED"),
    "two root fields": (
        CHANGES.replace("{ a", "{ b: audienceGenerationJobChanges { kind } a", 1),
        {},
        "GRAPHQL_VALIDATION_FAILED",
    ),
    "variables": (JOB, {"arn": 5}, "BAD_USER_INPUT"),
    "argument": (JOB, {"arn": "no ARN"}, "BAD_USER_INPUT"),
    "region": (
        JOB,
        {"arn": "arn:aws:cleanrooms-ml:eu-west-9:111122223333:audience-generation-job/" + "a" * 36},
        "BAD_USER_INPUT",
    ),
    "limit": (
        f"subscription {{ audienceGenerationJobChanges {{ {ALIASES} }} }}",
        {},
        "LIMIT_EXCEEDED",
    ),
}


@pytest.mark.parametrize("invalid", INVALID.values(), ids=INVALID)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_invalid_operation_is_a_stream_of_its_error(
    opened: Gateway, transport: str, invalid: tuple[str, Mapping[str, Any], str]
) -> None:
    query, variables, code = invalid
    with subscribed(opened.url, query, variables, transport=transport) as stream:
        (result, end) = stream.rest()

    assert isinstance(result, Result)
    assert "data" not in result.content
    assert result.content["errors"][0]["extensions"]["code"] == code
    assert end == Complete()


def test_an_invalid_operation_is_json_where_that_is_accepted(opened: Gateway) -> None:
    """What cannot be parsed may be a query."""
    headers = {"Accept": f"{APOLLO}, {GRAPHQL}"}
    with requested(opened.url, "subscription {", headers=headers) as response:
        assert (response.status_code, media_type(response)) == (400, GRAPHQL)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_the_first_reading_is_denied_is_a_stream_of_its_error(
    opened: Gateway, job: str, transport: str
) -> None:
    opened.sandbox.fault("denied")
    with watching(opened.url, job, transport=transport) as stream:
        (result, end) = stream.rest()

    assert isinstance(result, Result)
    assert [each["extensions"]["code"] for each in result.content["errors"]] == ["FORBIDDEN"]
    assert end == Complete()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_unknown_job_is_null(opened: Gateway, job: str, transport: str) -> None:
    arn = job[:-12] + "0" * 12
    with watching(opened.url, arn, transport=transport) as stream:
        (result, end) = stream.rest()

    assert isinstance(result, Result)
    assert result.content["data"] == {"audienceGenerationJob": None}
    assert end == Complete()


KEY, SECRET, TOKEN = caller_headers()
FORGED = {**caller_headers(), SECRET: "x" * 40}
UNAUTHENTICATED = {
    "none": {},
    "half of them": {KEY: caller_headers()[KEY]},
    "forged": FORGED,
    "long-term": {**caller_headers(), KEY: "AKIA" + "A" * 16},
    "a scheme that is not served": bearer("a.b.c"),
}


@pytest.mark.parametrize("headers", UNAUTHENTICATED.values(), ids=UNAUTHENTICATED)
@pytest.mark.parametrize(
    ("accept", "json_type"),
    [(SSE, JSON), (MULTIPART, JSON), (f"{APOLLO},{GRAPHQL},{JSON};q=0.9", GRAPHQL)],
)
def test_a_caller_who_is_not_accepted_gets_401(
    opened: Gateway, job: str, headers: dict[str, str], accept: str, json_type: str
) -> None:
    """Apollo Client tells an application of an error of this media type at once."""
    sent = {**headers, "Accept": accept}
    with requested(opened.url, JOB, {"arn": job}, caller=None, headers=sent) as response:
        errors = json.loads(response.read())["errors"]

    assert (response.status_code, media_type(response)) == (401, json_type)
    assert errors[0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert response.headers["www-authenticate"]
    assert response.headers["cache-control"] == "private, no-store"


def test_credentials_that_have_expired_are_401(opened: Gateway, job: str) -> None:
    opened.sandbox.fault("expired-token-credentials")
    # Refusals are remembered for some seconds.
    with requested(
        opened.url, JOB, {"arn": job}, caller="edith", headers={"Accept": SSE}
    ) as response:
        assert response.status_code == 401


def rejected(status: int) -> dict[str, Any]:
    """Return the parts of a request that is rejected with this status."""
    subscribing = {"json": {"query": CHANGES}}
    parts: dict[int, dict[str, Any]] = {
        401: subscribing,
        403: {"method": "GET", "params": {"query": CHANGES}, "Sec-Fetch-Site": "cross-site"},
        405: {"method": "PUT", **subscribing},
        406: {**subscribing, "Accept": "image/png"},
        413: {"json": {"query": CHANGES + " " * BODY_BYTES}},
        415: {"content": CHANGES, "Content-Type": "text/plain"},
    }
    return parts[status]


@pytest.mark.parametrize(
    ("status", "origin"),
    [
        (403, None),
        (403, FOREIGN),
        *itertools.product((401, 405, 406, 413, 415), (ORIGIN, FOREIGN, None)),
    ],
)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_request_whose_content_is_not_read_gets_json(
    opened: Gateway, transport: str, status: int, origin: str | None
) -> None:
    """A page can read it if it may read the stream."""
    options = rejected(status)
    headers = {name: options.pop(name) for name in list(options) if name[0].isupper()}
    sent = {"Accept": transport, **(caller_headers() if status != 401 else {}), **headers}
    if origin:
        sent["Origin"] = origin
    answer = opened.send(options.pop("method", "POST"), headers=sent, **options)

    assert answer.status == status
    assert answer.headers["content-type"].startswith(JSON)
    assert answer.code
    allowed = answer.headers.get("access-control-allow-origin")
    assert allowed == (origin if origin == ORIGIN else None)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"query": 5}', b"null"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_malformed_body_is_a_stream_of_its_error(
    opened: Gateway, transport: str, body: bytes
) -> None:
    """Clients would send it again after another status."""
    headers = {**caller_headers(), "Accept": transport, "Content-Type": JSON, "Origin": ORIGIN}
    url = f"{opened.url}/graphql"
    response = http("POST", url, content=body, headers=headers, trust_env=False)
    (result, end) = Stream(response, transport).rest()

    assert (response.status_code, media_type(response)) == (200, CONTENT_TYPES[transport])
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert isinstance(result, Result)
    (error,) = result.content["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert end == Complete()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_page_of_an_allowed_origin_can_read_a_stream(
    opened: Gateway, job: str, transport: str
) -> None:
    for origin, allowed in ((ORIGIN, ORIGIN), (FOREIGN, None)):
        headers = {"Origin": origin}
        with watching(opened.url, job, transport=transport, headers=headers) as stream:
            assert stream.status()
        found = stream.response.headers
        assert found.get("access-control-allow-origin") == allowed
        assert "Origin" in found["vary"]


def test_a_preflight_of_a_subscription_is_granted(opened: Gateway) -> None:
    asked = ["accept", "content-type", *map(str.lower, caller_headers())]
    answer = opened.send(
        "OPTIONS",
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": ",".join(asked),
        },
    )
    granted = answer.headers["access-control-allow-headers"].lower().split(", ")

    assert answer.status == 200
    assert set(granted) == set(asked)


@pytest.mark.parametrize("path", [f"{PREFIX}/graphql", "/graphql", "/graphql/"])
def test_subscriptions_are_served_below_the_path_prefix(
    opened: Gateway, job: str, path: str
) -> None:
    """And without it, for proxies that strip it."""
    with watching(opened.url, job, path=path) as stream:
        assert stream.status()


def test_the_request_id_of_a_client_is_that_of_the_stream(opened: Gateway, job: str) -> None:
    with watching(opened.url, job, headers={"X-Request-Id": "mine"}) as stream:
        assert stream.response.headers["x-request-id"] == "mine"


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_the_hash_of_a_persisted_subscription_is_sent_beside_its_text(
    opened: Gateway, job: str, method: str
) -> None:
    digest = hashlib.sha256(JOB.encode()).hexdigest()
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": digest}}
    with watching(opened.url, job, method=method, extensions=extensions) as stream:
        assert stream.status()


def test_a_hash_alone_is_answered_as_for_a_query(opened: Gateway) -> None:
    """Clients then send the text."""
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}
    headers = {"Accept": f"{APOLLO},{GRAPHQL}"}
    with requested(opened.url, "", headers=headers, extensions=extensions) as response:
        codes = [each["extensions"]["code"] for each in json.loads(response.read())["errors"]]

    assert codes == ["PERSISTED_QUERY_NOT_FOUND"]


def test_head_is_405(opened: Gateway) -> None:
    headers = {"Accept": SSE, **caller_headers()}
    response = httpx.head(
        f"{opened.url}/graphql", params={"query": CHANGES}, headers=headers, verify=TLS
    )

    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_client_of_http_1_0_gets_no_chunks(opened: Gateway, job: str, transport: str) -> None:
    """The end of the connection is that of the stream. Some proxies speak it to their backends."""
    opened.sandbox.set_job_status(job, "ACTIVE")
    with connect(opened.url) as connection:
        connection.sendall(http_1_0_request(JOB, {"arn": job}, transport))
        response = read_to_end(connection)
    head = response.partition(b"\r\n\r\n")[0]

    assert b"transfer-encoding" not in head
    assert b"content-length" not in head
    assert b"connection: close" in head
    assert messages_of(response, transport)[1:] == [Complete()]
