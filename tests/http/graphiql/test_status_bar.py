"""The bar below the response: what came, how long it took, and what it cost."""

import json
import re

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.browser import Visit
from tests.gateways import Sandbox, http
from tests.http.graphiql.explorer import (
    expect_status,
    open_document,
    open_first,
    replace,
    response,
    run,
    status_bar,
    text,
)

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("sandbox")]

JOBS = (
    'query Jobs { audienceGenerationJobs(collaborationId: "57a7a5ba-4000-4000-8000-000000000000") '
    "{ nodes { name } } }"
)
"""A list that no other test reads, so that it is not in the cache."""


@pytest_asyncio.fixture(loop_scope="session")
async def page(visit: Visit, dev_url: str) -> Page:
    """Open GraphiQL with the headers of ada."""
    await open_first(visit.page, dev_url)
    return visit.page


def body_size(url: str) -> int:
    """Return the size of the response to a client that does not ask for its cost."""
    headers = aws_headers(CALLERS["ada"])
    return len(http("POST", url, json={"query": JOBS}, headers=headers).content)


async def test_the_bar_shows_what_a_response_cost(page: Page, dev_url: str) -> None:
    """In numbers, and in words when asked; the response itself is what other clients get."""
    bar = status_bar(page)
    await expect(bar).to_have_text("No response yet.")
    await open_document(page, JOBS, "Jobs")
    await run(page)
    numbers = r"HTTP 200\s*No errors\s*[\d,]+ ms\s*\d+ bytes\s*1 AWS call"
    await expect(bar).to_have_text(re.compile(numbers))
    await page.get_by_role("tab", name="JobChanges").click()
    await expect(bar).to_have_text("No response yet.")
    await page.get_by_role("tab", name="Jobs", exact=True).click()
    await run(page)
    await expect_status(page, "0 AWS calls")

    await page.get_by_role("button", name="Explain").press("Enter")
    words = page.get_by_role("dialog", name="The last response, explained")
    await expect(words).to_contain_text(f"{body_size(dev_url)} bytes of JSON")
    await expect(words).to_contain_text("0 made. Estimated before: up to 1, 1 for pages of lists")
    await expect(words).to_contain_text("1 answer of AWS without a call")
    await page.keyboard.press("Escape")
    await expect(words).to_be_hidden()
    assert "extensions" not in await text(page, "response.json")


async def test_the_response_has_the_cost_if_the_headers_ask_for_it(page: Page) -> None:
    headers = {**aws_headers(CALLERS["ada"]), "x-gateway-cost": "1"}
    await replace(page, ".graphiql-editor-tool", json.dumps(headers))
    await run(page)
    await expect(response(page)).to_contain_text('"upstreamCalls"')
    await expect_status(page, "AWS call")


async def test_the_bar_names_errors_in_words(sandbox: Sandbox, page: Page) -> None:
    """Not by colour alone; also where there is no response, or none of the gateway."""
    sandbox.fault("throttle")
    await open_document(page, JOBS, "Jobs")
    headers = {**aws_headers(CALLERS["ada"]), "Cache-Control": "no-cache"}
    await replace(page, ".graphiql-editor-tool", json.dumps(headers))
    await run(page)
    await expect_status(page, "1 error: THROTTLED")

    sandbox.reset()
    await open_document(page, "query Typo { nothing }", "Typo")
    await run(page)
    await expect_status(page, "HTTP 400 1 error: GRAPHQL_VALIDATION_FAILED")
    await page.route("**/graphql", lambda route: route.fulfill(status=502, body="Bad gateway"))
    await run(page)
    await expect_status(page, "HTTP 502 1 error")
    await page.route("**/graphql", lambda route: route.abort())
    await run(page)
    await expect_status(page, "No response 1 error")
