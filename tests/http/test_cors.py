"""Pages of listed origins may ask from a browser, to the letter of the origin, and no other."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from gateway.dev import aws_headers
from gateway.http.cors import cors_for
from gateway.http.middleware import AccessLogMiddleware
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
    "HTTPS://APP.EXAMPLE.COM",
    "https://app.example.com/",
    "https://app.example.com ,https://evil.example",
    "https://app-example.com",
    "http://localhost",
    "http://localhost:30000",
    "*",
]
JOBS = "{ audienceGenerationJobs { nodes { name } } }"
ADA = dict(aws_headers(CALLERS["ada"]))
ASKED_WITH = [
    "content-type", "x-aws-access-key-id", "x-aws-secret-access-key", "x-aws-session-token",
    "authorization", "cache-control", "x-request-id", "x-gateway-cost",
]  # fmt: skip


@pytest.fixture(scope="module")
def open_to_two(shared_sandbox: Sandbox) -> Iterator[Gateway]:
    """Serve a gateway that two origins may ask."""
    with gateway_over(shared_sandbox, cors_origins={APP, LOCAL}, limit_body_bytes=1000) as gateway:
        yield gateway


def preflight(gateway: Gateway, origin: str, path: str = "/graphql", **asked: str) -> Answer:
    """Ask as a browser does before it lets a page ask."""
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": asked.get("method", "POST"),
    }
    if "headers" in asked:
        headers["Access-Control-Request-Headers"] = asked["headers"]
    return gateway.send("OPTIONS", path, headers=headers)


def allowed(answer: Answer) -> str | None:
    """Give the origin whose pages may read an answer, and check what goes with it."""
    assert "access-control-allow-credentials" not in answer.headers
    assert "Origin" in answer.headers["vary"].replace(" ", "").split(",")
    assert answer.headers["x-request-id"]
    origin: str | None = answer.headers.get("access-control-allow-origin")
    return origin


@pytest.mark.parametrize("origin", [APP, LOCAL])
def test_a_listed_origin_may_ask(open_to_two: Gateway, origin: str) -> None:
    """With each header that has a meaning here, and read what its page needs of the answer's."""
    answer = preflight(open_to_two, origin, headers=",".join(ASKED_WITH))
    assert (answer.status, allowed(answer)) == (200, origin)
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    assert int(answer.headers["access-control-max-age"]) > 0
    answer = open_to_two.ask(JOBS, headers={"Origin": origin})
    assert (answer.status, allowed(answer)) == (200, origin)
    assert answer.headers["access-control-expose-headers"] == "X-Request-Id, Retry-After"


@pytest.mark.parametrize("origin", FOREIGN)
def test_no_other_origin_may(open_to_two: Gateway, origin: str) -> None:
    """However like a listed one it looks."""
    assert allowed(preflight(open_to_two, origin)) is None
    assert allowed(open_to_two.ask(JOBS, headers={"Origin": origin})) is None


@pytest.mark.parametrize(
    "asked",
    [
        {"headers": "x-router-secret"},
        {"headers": "content-type,x-router-secret"},
        {"headers": "cookie"},
        {"method": "DELETE"},
        {"method": "post"},
    ],
)
def test_a_listed_origin_may_not_ask_with_all(open_to_two: Gateway, asked: dict[str, str]) -> None:
    """A router's secret is no business of a page; nor is a method that is not served."""
    assert preflight(open_to_two, APP, **asked).status == 400


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (400, {"method": "POST", "json": {}}),
        (401, {"method": "POST", "json": {"query": JOBS}}),
        (
            401,
            {
                "method": "POST",
                "json": {},
                "headers": {"X-Aws-Access-Key-Id": "half"},
            },
        ),
        (405, {"method": "DELETE"}),
        (406, {"method": "POST", "json": {}, "headers": {"Accept": "image/png"}}),
        (413, {"method": "POST", "json": {"query": "x" * 1000}}),
        (415, {"method": "POST", "content": b"x"}),
        (431, {"method": "GET", "headers": {f"X-{n}": "x" for n in range(101)}}),
    ],
)
def test_a_refusal_can_be_read_too(
    open_to_two: Gateway, status: int, request_: dict[str, Any]
) -> None:
    """Otherwise a page would see a failed network, and its user no reason."""
    headers = {"Origin": APP, **request_.get("headers", {})}
    answer = open_to_two.send(**{**request_, "headers": headers})
    assert (answer.status, allowed(answer)) == (status, APP)
    assert answer.errors


async def test_a_crash_can_be_read_too() -> None:
    """It says under which id the log knows more."""

    async def crash(_: Any) -> Any:
        raise RuntimeError

    inner = Starlette(routes=[Route("/graphql", crash)])
    transport = httpx.ASGITransport(AccessLogMiddleware(inner.router, around=cors_for({APP})))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        answer = await client.get("/graphql", headers={"Origin": APP})
    assert answer.status_code == 500
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["x-request-id"]


def test_an_answer_to_nobody_s_page_varies_too(open_to_two: Gateway) -> None:
    """A cache must not hand it to a page without the header that lets it be read."""
    assert allowed(open_to_two.ask(JOBS)) is None


def test_the_other_paths_stay_closed(open_to_two: Gateway) -> None:
    """No page needs them."""
    assert preflight(open_to_two, APP, "/livez").status == 405
    answer = open_to_two.send("GET", "/livez", headers={"Origin": APP})
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_without_the_setting_there_is_no_cors(gateway: Gateway) -> None:
    """Not a header of it."""
    answers = [
        preflight(gateway, APP),
        gateway.ask(JOBS, headers={"Origin": APP}),
        gateway.ask(JOBS, headers={"Origin": "null"}),
    ]
    assert answers[0].status == 405
    for answer in answers:
        assert "vary" not in answer.headers
        assert not any(name.startswith("access-control") for name in answer.headers)
