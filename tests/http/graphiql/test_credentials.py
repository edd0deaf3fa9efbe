"""Whose credentials a query has, and where they come from."""

import json

import pytest
from playwright.async_api import Page, Request, expect

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.browser import Visit
from tests.gateways import Gateway
from tests.http.graphiql.explorer import (
    expect_status,
    loaded,
    open_document,
    open_first,
    replace,
    response,
    run,
    status_bar,
    text,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

COUNT = "query Count { audienceGenerationJobs(first: 0) { totalCount } }"
HEADERS_EDITOR = ".graphiql-editor-tool"


async def headers_of(page: Page) -> object:
    return json.loads(await text(page, "request-headers.json") or "{}")


def sent_queries(page: Page) -> list[Request]:
    """Return a list to which the requests of the page with a query are added."""
    requests: list[Request] = []
    page.on("request", lambda each: requests.append(each) if each.method == "POST" else None)
    return requests


async def test_a_caller_of_the_sandbox_can_be_chosen(
    visit: Visit, dev_url: str, gateway: Gateway
) -> None:
    """For one tab, whose headers stay but for other credentials."""
    page = visit.page
    await open_first(page, dev_url)
    choice = page.get_by_role("combobox", name="Credentials")
    await expect(choice).to_have_value("ada")
    await open_document(page, COUNT, "Count")
    await replace(
        page, HEADERS_EDITOR, '{"Cache-Control": "no-cache", "authorization": "Bearer mine"}'
    )
    for name in ("grace", "edith"):
        # Other tests may have started jobs.
        jobs = gateway.ask(COUNT, caller=name).data["audienceGenerationJobs"]["totalCount"]
        await choice.select_option(name)
        await run(page)
        await expect(response(page)).to_contain_text(f'"totalCount": {jobs}')
        assert await headers_of(page) == {
            **aws_headers(CALLERS[name]),
            "Cache-Control": "no-cache",
        }
    await choice.select_option("none")
    await run(page)
    await expect_status(page, "HTTP 401")
    await replace(page, HEADERS_EDITOR, '{"x-aws-access-key-id": "ASIAMINE"}')
    await expect(choice).to_have_value("other")
    await page.get_by_role("button", name="New tab").click()
    await expect(choice).to_have_value("ada")


async def test_production_says_what_to_fill_in(visit: Visit, production: Gateway) -> None:
    """Where the headers are shown, even if they were hidden before. Blanks are not sent."""
    page, blank = visit.page, "Fill in your credentials under Headers"
    await open_first(page, f"{production.url}/graphql")
    stored = "localStorage['audience-gateway:graphiql:secondaryEditorFlex'] = 'hide-second'"
    await page.evaluate(stored)
    await page.reload()
    await loaded(page)
    requests = sent_queries(page)
    await expect(page.locator(HEADERS_EDITOR)).to_be_in_viewport()
    await expect(page.locator(HEADERS_EDITOR)).to_contain_text("X-Aws-Session-Token")
    await expect(page.locator(".graphiql-query-editor")).to_contain_text("Fill in your credentials")
    await expect_status(page, blank)
    await run(page)
    await expect_status(page, "HTTP 401 1 error: UNAUTHENTICATED")
    await expect_status(page, blank)
    assert not any(name.startswith("x-aws") for name in requests[0].headers)

    await replace(page, HEADERS_EDITOR, json.dumps(aws_headers(CALLERS["ada"])))
    await run(page)
    await expect_status(page, "HTTP 200 No errors")
    await expect(status_bar(page)).not_to_contain_text(blank)
    await expect(page.get_by_role("combobox", name="Credentials")).to_have_value("AWS")


async def test_the_page_explains_that_introspection_is_off(
    visit: Visit, production: Gateway
) -> None:
    """It does not ask for a schema, and has nothing that would be made of one."""
    page = visit.page
    requests = sent_queries(page)
    await open_first(page, f"{production.url}/graphql")
    await expect_status(page, "Introspection is off")
    await page.get_by_role("button", name="Show Documentation Explorer").click()
    words = page.get_by_role("region", name="Documentation Explorer")
    await expect(words).to_contain_text("Queries run all the same")
    await expect(words).to_contain_text("GATEWAY_INTROSPECTION=true")
    await expect(page.get_by_role("button", name="Show GraphiQL Explorer")).to_have_count(0)
    assert requests == []
    assert [line for line in visit.console if line.startswith("error")] == []
