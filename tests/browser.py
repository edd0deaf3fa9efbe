"""A real Chromium, with a record of its requests, console and errors."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from playwright.async_api import Browser, BrowserContext, Page, Request, async_playwright, expect

from tests.programs import needs

expect.set_options(timeout=60_000)  # the machines that run the tests are shared and may be slow

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
    async with new_profile(browser) as profile, new_window(profile) as visit:
        yield visit


@contextlib.asynccontextmanager
async def new_profile(browser: Browser) -> AsyncIterator[BrowserContext]:
    """Make a profile; its windows share caches and storage."""
    profile = await browser.new_context(viewport={"width": 1440, "height": 900})
    try:
        yield profile
    finally:
        await profile.close()


@contextlib.asynccontextmanager
async def new_window(profile: BrowserContext) -> AsyncIterator[Visit]:
    page = await profile.new_page()
    visit = Visit(page)

    def record(request: Request) -> None:
        visit.requests.append(request.url)

    profile.on("request", record)  # those of workers too
    page.on("console", lambda message: visit.console.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    try:
        yield visit
    finally:
        await page.close()
        profile.remove_listener("request", record)


@contextlib.asynccontextmanager
async def browser_page() -> AsyncIterator[Visit]:
    """Open a window in a Chromium with a new profile."""
    async with chromium() as browser, new_page(browser) as visit:
        yield visit
