"""Pages of the configured origins may send requests from a browser, and no others."""

import string
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Route

from gateway.dev import aws_headers
from gateway.http.cors import cors_for
from gateway.http.middleware import MAX_HEADERS, AccessLogMiddleware
from gateway.http.requests import READ_HEADERS
from gateway.sandbox import CALLERS
from tests.gateways import Answer, Gateway, Sandbox, gateway_over

APP = "https://app.example.com"
LOCAL = "http://localhost:3000"
FOREIGN = [
    "https://evil.example",
    "null",
    "",
    "https://app.example.com.evil.example",
    "https://evil-app.example.com",
    "https://evil.example/https://app.example.com",
    "https://app.example.com:8443",
    "http://app.example.com",
    "https://APP.example.com",
    "https://app.example.com/",
    "https://app.example.com ,https://evil.example",
    "https://app-example.com",
    "http://localhost",
    "http://localhost:30000",
    "*",
]
JOBS = "{ audienceGenerationJobs { nodes { name } } }"
ADA = dict(aws_headers(CALLERS["ada"]))


@pytest.fixture(scope="module")
def open_to_two(shared_sandbox: Sandbox) -> Iterator[Gateway]:
    with gateway_over(shared_sandbox, cors_origins={APP, LOCAL}, limit_body_bytes=1000) as gateway:
        yield gateway


def preflight(
    gateway: Gateway,
    origin: str,
    path: str = "/graphql",
    *,
    method: str = "POST",
    headers: str | None = None,
) -> Answer:
    sent = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers is not None:
        sent["Access-Control-Request-Headers"] = headers
    return gateway.send("OPTIONS", path, headers=sent)


def allowed_origin(answer: Answer) -> str | None:
    """Return the origin whose pages may read a response, after checking its other headers."""
    assert "access-control-allow-credentials" not in answer.headers
    assert "Origin" in answer.headers["vary"].replace(" ", "").split(",")
    assert answer.headers["x-request-id"]
    origin: str | None = answer.headers.get("access-control-allow-origin")
    return origin


def granted(answer: Answer) -> set[str]:
    """Return the names of the headers that a preflight allows, in lower case."""
    names = answer.headers.get("access-control-allow-headers", "").lower().split(",")
    return {name.strip() for name in names} - {""}


@pytest.mark.parametrize("origin", [APP, LOCAL])
def test_a_configured_origin_is_allowed(open_to_two: Gateway, origin: str) -> None:
    """It may send every header that the gateway reads, and read two of a response."""
    names = {name.decode() for name in READ_HEADERS}
    answer = preflight(open_to_two, origin, headers=",".join(names))
    assert (answer.status, allowed_origin(answer)) == (200, origin)
    assert granted(answer) == names
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    assert int(answer.headers["access-control-max-age"]) > 0
    answer = open_to_two.ask(JOBS, headers={"Origin": origin})
    assert (answer.status, allowed_origin(answer)) == (200, origin)
    assert answer.headers["access-control-expose-headers"] == "X-Request-Id, Retry-After"


NAMES = st.text(string.ascii_letters + string.digits + "!#$%&'*+.^_`|~-", min_size=1, max_size=30)


@given(st.lists(NAMES, max_size=60), st.sampled_from([",", ", ", " ,\t", ",,"]))
@example(["content-type", "apollographql-client-name", "apollographql-client-version"], ",")
@example(["Content-Type", "sentry-trace", "baggage", "traceparent", "X-Datadog-Trace-Id"], ", ")
@example([f"x-{number:036}" for number in range(MAX_HEADERS)], ",")
def test_a_preflight_is_granted_all_headers_that_it_asks_for(
    open_to_two: Gateway, names: list[str], separator: str
) -> None:
    """Clients, tracing and error reporting add their own in browsers."""
    answer = preflight(open_to_two, APP, headers=separator.join(names))
    assert (answer.status, allowed_origin(answer)) == (200, APP)
    assert granted(answer) == {name.lower() for name in names}
    assert "Access-Control-Request-Headers" in answer.headers["vary"]


@pytest.mark.parametrize("origin", FOREIGN)
def test_no_other_origin_is_allowed(open_to_two: Gateway, origin: str) -> None:
    for answer in (
        preflight(open_to_two, origin, headers="content-type"),
        open_to_two.ask(JOBS, headers={"Origin": origin}),
    ):
        assert allowed_origin(answer) is None
        allowing = {name for name in answer.headers if name.startswith("access-control-allow")}
        assert not allowing


@pytest.mark.parametrize(
    "sent",
    [
        {"headers": "content type"},
        {"headers": "x-a;x-b"},
        {"headers": 'content-type, "x"'},
        {"headers": "x-a:b"},
        {"headers": "x" * 4097},
        {"headers": "," * 60_000},
        {"method": "DELETE"},
        {"method": "post"},
        {"method": ""},
    ],
)
def test_a_rejected_preflight_is_an_error_with_a_code(
    open_to_two: Gateway, sent: dict[str, str]
) -> None:
    answer = preflight(open_to_two, APP, **sent)
    assert (answer.status, answer.code, allowed_origin(answer)) == (400, "BAD_USER_INPUT", None)
    assert "Accepted: " in answer.errors[0]["message"]


def test_a_preflight_is_no_leave_to_reach_a_private_network(open_to_two: Gateway) -> None:
    """It is answered as any other: a browser may send that header with all of them."""
    private = {"Access-Control-Request-Private-Network": "true"}
    sent = {"Origin": APP, "Access-Control-Request-Method": "POST", **private}
    answer = open_to_two.send("OPTIONS", headers=sent)
    assert (answer.status, allowed_origin(answer)) == (200, APP)
    assert "access-control-allow-private-network" not in answer.headers


@pytest.mark.parametrize("missing", ["Origin", "Access-Control-Request-Method"])
def test_options_that_are_no_preflight_are_405(open_to_two: Gateway, missing: str) -> None:
    sent = {"Origin": APP, "Access-Control-Request-Method": "POST"}
    answer = open_to_two.send("OPTIONS", headers={n: v for n, v in sent.items() if n != missing})
    assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")


@pytest.mark.parametrize(
    ("status", "method", "options"),
    [
        (400, "POST", {"json": {}}),
        (401, "POST", {"json": {"query": JOBS}}),
        (405, "DELETE", {}),
        (406, "POST", {"json": {}, "headers": {"Accept": "image/png"}}),
        (413, "POST", {"json": {"query": "x" * 1000}}),
        (415, "POST", {"content": b"x"}),
        (431, "GET", {"headers": {f"X-{n}": "x" for n in range(101)}}),
    ],
)
def test_pages_can_read_error_responses(
    open_to_two: Gateway, status: int, method: str, options: dict[str, Any]
) -> None:
    """Otherwise a page would see a network failure without a reason."""
    headers = {"Origin": APP, **options.get("headers", {})}
    answer = open_to_two.send(method, **{**options, "headers": headers})
    assert (answer.status, allowed_origin(answer)) == (status, APP)
    assert answer.errors


async def test_pages_can_read_the_response_to_a_crash() -> None:

    async def crash(_: Any) -> Any:
        raise RuntimeError

    inner = Starlette(routes=[Route("/graphql", crash)])
    transport = httpx.ASGITransport(AccessLogMiddleware(inner.router, cors=cors_for({APP})))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        answer = await client.get("/graphql", headers={"Origin": APP})
    assert answer.status_code == 500
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["x-request-id"]


def test_responses_vary_by_origin_without_one_too(open_to_two: Gateway) -> None:
    """A cache must not reuse them for a page, without the header that lets it read them."""
    assert allowed_origin(open_to_two.ask(JOBS)) is None


def test_cors_applies_to_the_endpoint_only(open_to_two: Gateway) -> None:
    assert preflight(open_to_two, APP, "/livez").status == 405
    answer = open_to_two.send("GET", "/livez", headers={"Origin": APP})
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_without_the_setting_there_is_no_cors(gateway: Gateway) -> None:
    answers = [
        preflight(gateway, APP),
        gateway.ask(JOBS, headers={"Origin": APP}),
        gateway.ask(JOBS, headers={"Origin": "null"}),
    ]
    assert answers[0].status == 405
    for answer in answers:
        assert "vary" not in answer.headers
        assert not any(name.startswith("access-control") for name in answer.headers)
