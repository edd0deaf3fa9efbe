"""What a user does in GraphiQL."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Locator, Page, expect

from gateway.app import create_app
from gateway.dev import sandbox_content
from gateway.settings import Settings
from tests.gateways import Sandbox
from tests.serving import serve

MODEL = "__MONACO.editor.getModels().find(model => model.uri.path.endsWith(name))"


@contextmanager
def graphiql_over(sandbox: Sandbox, **settings: Any) -> Iterator[str]:
    """Serve GraphiQL as `gateway dev` does; yield its URL."""
    served = Settings(upstream_url=sandbox.url, graphiql=True, introspection=True, **settings)
    with serve(create_app(served, sandbox=sandbox_content())) as url:
        yield f"{url}/graphql"


async def open_first(page: Page, url: str) -> None:
    """Open the page as on the first visit: without anything stored."""
    # An open page may store its tabs a moment later.
    await page.goto("about:blank")
    parts = urlsplit(url)
    session = await page.context.new_cdp_session(page)
    origin = {"origin": f"{parts.scheme}://{parts.netloc}", "storageTypes": "all"}
    await session.send("Storage.clearDataForOrigin", origin)
    await page.goto(url)
    await loaded(page)


async def loaded(page: Page) -> None:
    """Wait for the editors, which load after the page."""
    await expect(page.locator(".graphiql-query-editor .view-line").first).to_be_visible()
    await expect(page.locator(".graphiql-editor-tool .view-line").first).to_be_attached()


async def text(page: Page, editor: str) -> str:
    """Return the whole text of an editor; the page holds only its visible lines."""
    return str(await page.evaluate(f"([name]) => {MODEL}.getValue()", [editor]))


async def set_text(page: Page, editor: str, content: str) -> None:
    """Set the whole text of an editor at once: the editor types each character of an input."""
    await page.evaluate(f"([name, content]) => {MODEL}.setValue(content)", [editor, content])


async def replace(page: Page, editor: str, content: str) -> None:
    await page.locator(f"{editor} .monaco-editor:visible").click()
    await page.keyboard.press("Control+A")
    await page.keyboard.press("Delete")
    await page.keyboard.insert_text(content)


async def run(page: Page) -> None:
    await page.get_by_role("button", name="Execute query").click()


def response(page: Page) -> Locator:
    return page.locator(".graphiql-response .result-window")


def status_bar(page: Page) -> Locator:
    return page.get_by_role("region", name="Last response").get_by_role("status")


async def expect_status(page: Page, text: str) -> None:
    """Wait until the status bar contains a text."""
    await expect(status_bar(page)).to_contain_text(text, use_inner_text=True)


async def wait_for_stored(page: Page, query: str) -> None:
    """Wait until a stored tab has this query; the CSP forbids Playwright's own way to wait."""
    look = """query => new Promise(done => {
        const found = () => localStorage["audience-gateway:graphiql:tabState"]?.includes(query);
        const look = () => found() ? done() : setTimeout(look, 9);
        look();
    })"""
    async with asyncio.timeout(60):
        await page.evaluate(look, query)


async def open_document(page: Page, document: str, name: str) -> None:
    """Type a document that contains an operation of this name, and wait until it was parsed."""
    await replace(page, ".graphiql-query-editor", document)
    await expect(page.get_by_role("tab", name=name)).to_be_visible()


async def stop(page: Page) -> None:
    await page.get_by_role("button", name="Stop query").click()


async def expect_stopped(page: Page) -> None:
    await expect(page.get_by_role("button", name="Execute query")).to_be_visible()
