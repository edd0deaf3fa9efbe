"""Links that carry a query, in the fragment of the address."""

import base64
import json
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser import Visit
from tests.http.graphiql.explorer import (
    loaded,
    open_document,
    open_first,
    replace,
    response,
    set_text,
    status_bar,
    text,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUERY = "query Mine($n: Int) { audienceGenerationJobs(first: $n) { totalCount } } # Ümläut 🎉 </p>"
VARIABLES = '{"n": 1}'
SECRET = "hunter2"


def link_to(content: object) -> str:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return "#share=" + base64.urlsafe_b64encode(data).decode().rstrip("=")


def content_of(link: str) -> object:
    data = urlsplit(link).fragment.removeprefix("share=")
    return json.loads(base64.urlsafe_b64decode(data + "==="))


GOOD = {"query": QUERY, "variables": VARIABLES}

DAMAGED = {
    "cut off": link_to(GOOD)[:-9],
    "changed": link_to(GOOD)[:30] + "!" + link_to(GOOD)[31:],
    "empty": "#share=",
    "percent-encoded": "#share=%7B%22query%22%3A%22%7Ba%7D%22%7D",
    "no text": link_to(b"\xff\xfe{}"),
    "no object": link_to([QUERY, VARIABLES]),
    "null": link_to(None),
    "no query": link_to({"query": " ", "variables": ""}),
    "no variables": link_to({"query": QUERY}),
    "with headers": link_to({**GOOD, "headers": '{"X-Evil": "1"}'}),
    "with a prototype": link_to(b'{"query":"{a}","variables":"","__proto__":{"x":1}}'),
    "of another type": link_to({"query": ["{ a }"], "variables": ""}),
    "with control characters": link_to({"query": "{ a\u0000 }", "variables": ""}),
    "with reordered text": link_to({"query": "{ a # \u202e }", "variables": ""}),
}
LONG = link_to({"query": "{ a }" + " " * 40_000, "variables": ""})


@pytest_asyncio.fixture(loop_scope="session")
async def page(visit: Visit, dev_url: str) -> Page:
    await open_first(visit.page, dev_url)
    return visit.page


async def follow(page: Page, fragment: str) -> None:
    """Follow a link in the page that is open."""
    await page.evaluate("fragment => { location.hash = fragment }", fragment)


async def test_a_copied_link_opens_the_query_in_a_new_tab(page: Page, dev_url: str) -> None:
    """With its variables, without the headers; nothing runs, and a reload opens it no more."""
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await open_document(page, QUERY, "Mine")
    await replace(page, ".graphiql-editor-tool", json.dumps({"X-Secret": SECRET}))
    await page.get_by_role("button", name="Variables").click()
    await replace(page, ".graphiql-editor-tool", VARIABLES)
    await page.get_by_role("button", name="Copy link to this query").click()
    await expect(page.locator(".notice")).to_contain_text("Link copied.")
    link = await page.evaluate("navigator.clipboard.readText()")
    assert content_of(link) == GOOD

    await open_first(page, dev_url)
    sent: list[str] = []
    page.on("request", lambda each: sent.append(each.post_data or each.url))
    await page.goto("about:blank")
    await page.goto(link)
    await loaded(page)
    await expect(page.get_by_role("tab")).to_have_count(3)
    await expect(page.get_by_role("tab", name="Mine")).to_have_attribute("aria-selected", "true")
    assert await text(page, "operation.graphql") == QUERY
    assert await text(page, "variables.json") == VARIABLES
    assert SECRET not in await text(page, "request-headers.json")
    assert page.url == dev_url
    assert not any("totalCount" in each or "share=" in each for each in sent)
    await expect(status_bar(page)).to_have_text("No response yet.")
    await expect(response(page)).to_have_text("")


async def test_a_bad_link_is_one_message_and_nothing_else(page: Page, dev_url: str) -> None:
    before = await text(page, "operation.graphql")
    for fragment in [*DAMAGED.values(), LONG]:
        await follow(page, fragment)
        message = "too long" if fragment is LONG else "This link has no valid query"
        await expect(page.locator(".notice")).to_contain_text(message)
        await page.get_by_role("button", name="Dismiss").click()
        await expect(page.locator(".notice")).to_have_text("")
        assert page.url == dev_url
    await expect(page.get_by_role("tab")).to_have_count(2)
    assert await text(page, "operation.graphql") == before
    assert await page.evaluate("({}).x") is None

    await follow(page, "#elsewhere")
    await follow(page, link_to(GOOD))
    await expect(page.get_by_role("tab", name="Mine")).to_be_visible()


async def test_a_link_can_be_made_without_the_clipboard(page: Page) -> None:
    """As on a page without HTTPS. A query that no link can carry gets a message instead."""
    await page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    await open_document(page, QUERY, "Mine")
    copy = page.get_by_role("button", name="Copy link to this query")
    await copy.click()
    await expect(page.locator(".notice")).to_contain_text("in the address bar")
    assert content_of(page.url) == {"query": QUERY, "variables": ""}
    await set_text(page, "operation.graphql", "{ a }\n" + "# A long comment.\n" * 2_000)
    await copy.click()
    await expect(page.locator(".notice")).to_contain_text("too long for a link")
