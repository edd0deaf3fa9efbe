"""A real Chromium for the tests, with a record of all it asked for and complained about."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from playwright.async_api import Page, async_playwright, expect

expect.set_options(timeout=20_000)  # the machines that run the tests are shared and may be slow

ARGUMENTS = [
    "--headless",
    "--no-sandbox",  # root, as in a container, has no sandbox to offer
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A request to another host is recorded, and then goes nowhere.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


@dataclass
class Visit:
    """One browser window, its storage empty at first, and what happened in it."""

    page: Page
    requests: list[str] = field(default_factory=list)  # URLs
    console: list[str] = field(default_factory=list)  # "error: …", "log: …", as a developer sees it
    errors: list[str] = field(default_factory=list)  # exceptions that no script caught


@contextlib.asynccontextmanager
async def browser_page() -> AsyncIterator[Visit]:
    """Open a window in a Chromium that was never used before."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise RuntimeError("These tests drive Chromium: install it (Debian: apt install chromium).")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        try:
            page = await browser.new_page(viewport={"width": 1440, "height": 900})
            visit = Visit(page)
            page.context.on("request", lambda request: visit.requests.append(request.url))
            page.on("console", lambda said: visit.console.append(f"{said.type}: {said.text}"))
            page.on("pageerror", lambda error: visit.errors.append(str(error)))
            yield visit
        finally:
            await browser.close()
