"""Pages of other sites make a browser send nothing that the gateway executes."""

from collections.abc import Iterator

import pytest
from playwright.async_api import expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from gateway.telemetry.metrics import REQUESTS, write_counts
from tests.browser import browser_page
from tests.gateways import Answer, Gateway, Sandbox, gateway_over
from tests.serving import serve

ALLOWED = "https://app.example.com"
FOREIGN = "https://evil.example"
QUERY = {"query": "{ audienceGenerationJobs(first: 1) { nodes { name } } }"}
ADA = dict(aws_headers(CALLERS["ada"]))
NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}


@pytest.fixture(scope="module")
def shared_explorer(shared_sandbox: Sandbox) -> Iterator[Gateway]:
    with gateway_over(shared_sandbox, graphiql=True, cors_origins={ALLOWED}) as gateway:
        yield gateway


@pytest.fixture
def explorer(shared_explorer: Gateway, sandbox: Sandbox) -> Gateway:
    """Return a gateway with GraphiQL, and with one allowed origin."""
    assert shared_explorer.sandbox is sandbox
    return shared_explorer


def get(gateway: Gateway, site: str | None, **headers: str) -> Answer:
    sent = {**ADA, **headers} | ({"Sec-Fetch-Site": site} if site else {})
    return gateway.send("GET", params=QUERY, headers=sent)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": FOREIGN},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image", "Accept": "image/*,*/*;q=0.8"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script", "Accept": "*/*"},
    ],
)
def test_a_get_of_another_site_is_403(explorer: Gateway, headers: dict[str, str]) -> None:
    """Images and scripts have no Origin. Nothing is executed, whatever the credentials."""
    answer = get(explorer, "cross-site", **headers)

    assert (answer.status, answer.code) == (403, "FORBIDDEN")
    assert "GATEWAY_CORS_ORIGINS" in answer.errors[0]["message"]
    assert explorer.sandbox.calls == []


@pytest.mark.parametrize("site", [None, "none", "same-origin", "same-site"])
def test_other_gets_are_served(explorer: Gateway, site: str | None) -> None:
    """Programs send no such header; `none` is an address that was typed."""
    assert get(explorer, site).data["audienceGenerationJobs"]["nodes"]


def test_a_page_of_an_allowed_origin_may_send_a_get(explorer: Gateway) -> None:
    answer = get(explorer, "cross-site", Origin=ALLOWED)

    assert answer.data["audienceGenerationJobs"]["nodes"]
    assert answer.headers["access-control-allow-origin"] == ALLOWED


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_a_post_without_preflight_is_415(explorer: Gateway, content_type: str) -> None:
    headers = {**ADA, "Sec-Fetch-Site": "cross-site", "Origin": FOREIGN}
    if content_type:
        headers["Content-Type"] = content_type
    answer = explorer.send("POST", content=b'{"query": "{ __typename }"}', headers=headers)

    assert answer.status == 415
    assert explorer.sandbox.calls == []


def test_a_link_to_a_query_is_403_without_graphiql(gateway: Gateway) -> None:
    answer = get(gateway, "cross-site", **NAVIGATION)

    assert (answer.status, answer.code) == (403, "FORBIDDEN")


PAGE = """\
<img src="{url}?query={{__typename}}"><script src="{url}?query={{__typename}}"></script>
<link rel="stylesheet" href="{url}?query={{__typename}}">
<script>fetch("{url}?query={{__typename}}", {{mode: "no-cors"}})</script>
<iframe name="frame"></iframe>
<form method="post" action="{url}" enctype="text/plain" target="frame">
<input name='{{"query": "{{ __typename }}", "a' value='": 1}}'></form>
<script>document.forms[0].submit()</script>
<a href="{url}">GraphiQL</a>
"""


def rejected_requests() -> tuple[int, int]:
    """Return how many GETs of other sites, and how many bodies of another type, were rejected."""
    return requests_with("403", "FORBIDDEN"), requests_with("415", "BAD_USER_INPUT")


def requests_with(status: str, outcome: str) -> int:
    write_counts()
    return int(REQUESTS.labels(status, outcome)._value.get())


async def test_a_browser_is_refused_but_opens_graphiql_by_a_link(explorer: Gateway) -> None:
    """Neither an image, a script, a style sheet, a `fetch` nor a form is executed."""
    page = PAGE.format(url=f"{explorer.url}/graphql")

    async def respond(_: Request) -> HTMLResponse:
        return HTMLResponse(page)

    with serve(Starlette(routes=[Route("/", respond)])) as foreign:
        async with browser_page() as visit:
            gets, posts = rejected_requests()
            # Another site than 127.0.0.1.
            address = foreign.replace("127.0.0.1", "localhost")
            await visit.page.goto(address, wait_until="networkidle")
            assert rejected_requests() == (gets + 4, posts + 1)

            await visit.page.get_by_text("GraphiQL").click()
            await expect(visit.page.locator(".graphiql-query-editor")).to_be_visible()
