"""One Chromium with one profile, in which each test of GraphiQL opens a window.

What the browser has compiled of the page is used again, which takes half as long.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext

from gateway.app import create_app
from gateway.settings import Settings
from tests.browser import Visit, chromium, new_profile, new_window
from tests.gateways import Gateway, Sandbox
from tests.http.graphiql.explorer import graphiql_over
from tests.serving import serve


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def profile() -> AsyncIterator[BrowserContext]:
    async with chromium() as browser, new_profile(browser) as profile:
        yield profile


@pytest_asyncio.fixture(loop_scope="session")
async def visit(profile: BrowserContext) -> AsyncIterator[Visit]:
    """Open a window in which the page must not fail."""
    async with new_window(profile) as visit:
        yield visit
        assert visit.errors == []


@pytest.fixture(scope="package")
def dev_url(shared_sandbox: Sandbox) -> Iterator[str]:
    """Serve GraphiQL as `gateway dev` does, and return its URL."""
    with graphiql_over(shared_sandbox, cache_seconds=300) as url:
        yield url


@pytest.fixture(scope="package")
def production(shared_sandbox: Sandbox) -> Iterator[Gateway]:
    """Run a gateway that has GraphiQL, and otherwise its defaults."""
    with serve(create_app(Settings(upstream_url=shared_sandbox.url, graphiql=True))) as url:
        yield Gateway(url, shared_sandbox)
