"""A newcomer's first minute: open the page of the real gateway, press the button, see jobs."""

from playwright.async_api import expect

from gateway.app import create_app
from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from gateway.settings import Settings
from tests.browser import browser_page
from tests.gateways import Sandbox
from tests.serving import serve


async def test_the_example_query_shows_jobs(sandbox: Sandbox) -> None:
    """The page opens ready to run; running it shows jobs; nothing is asked of another host."""
    settings = Settings(upstream_url=sandbox.url, graphiql=True, introspection=True)
    app = create_app(settings, example_headers=aws_headers(CALLERS["ada"]))
    with serve(app) as url:
        async with browser_page() as visit:
            await visit.page.goto(f"{url}/graphql")
            # The editors load after the button; what is not there yet cannot be run.
            await expect(
                visit.page.locator(".graphiql-query-editor .view-line").first
            ).to_be_visible()
            await expect(visit.page.locator(".graphiql-editor-tool")).to_contain_text("X-Aws-")
            await visit.page.get_by_role("button", name="Execute query (Ctrl-Enter)").click()
            result = visit.page.locator(".graphiql-response")
            await expect(result).to_contain_text("audienceGenerationJobs")
            await expect(result).to_contain_text('"status":')
            assert [r for r in visit.requests if not r.startswith((url, "data:", "blob:"))] == []
            assert visit.errors == []
    assert sandbox.count() == 1
