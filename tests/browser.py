"""A real Chromium, with a record of its requests, console and errors."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from playwright.async_api import Browser, Page, async_playwright, expect

from tests.programs import needs

expect.set_options(timeout=20_000)  # the machines that run the tests are shared and may be slow

ARGUMENTS = [
    "--headless",
    "--no-sandbox",  # root, as in a container, cannot use the sandbox
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A request to another host is recorded and then fails.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]


@dataclass
class Visit:
    """One browser window."""

    page: Page
    requests: list[str] = field(default_factory=list)  # URLs
    console: list[str] = field(default_factory=list)  # "error: …", "log: …"
    errors: list[str] = field(default_factory=list)  # uncaught exceptions


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    path = needs("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


@contextlib.asynccontextmanager
async def new_page(browser: Browser) -> AsyncIterator[Visit]:
    """Open a window with a profile of its own."""
    page = await browser.new_page(viewport={"width": 1440, "height": 900})
    visit = Visit(page)
    page.context.on("request", lambda request: visit.requests.append(request.url))
    page.on("console", lambda message: visit.console.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    try:
        yield visit
    finally:
        await page.context.close()


@contextlib.asynccontextmanager
async def browser_page() -> AsyncIterator[Visit]:
    """Open a window in a Chromium with a new profile."""
    async with chromium() as browser, new_page(browser) as visit:
        yield visit
