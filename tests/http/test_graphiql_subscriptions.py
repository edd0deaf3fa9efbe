"""Subscriptions in GraphiQL: shown live, stopped by its button, opened again if they break off."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.async_api import Page, Route, expect
from prometheus_client import REGISTRY

from gateway.app import create_app
from gateway.dev import aws_headers
from gateway.sandbox import CALLERS, create_sandbox
from gateway.settings import Settings
from tests.browser import Visit, browser_page
from tests.gateways import Sandbox
from tests.http.explorer import (
    expect_stopped,
    loaded,
    open_document,
    replace,
    run,
    stop,
    wait_for_stored,
)
from tests.processes import until
from tests.serving import serve

JSON = "application/json"
COMPLETE = "event: complete\ndata:\n\n"

HOLD_LONG_WAITS = """() => {
    const start = setTimeout;
    const held = [];
    window.setTimeout = (act, ms, ...rest) => ms < 1000 ? start(act, ms, ...rest) : -held.push(act);
    window.endWaits = () => held.splice(0).forEach(act => act());
}"""
"""Lets a test end the waits before a stream is opened again, which take a second or more."""


def watch(arn: str, name: str = "Watch", fields: str = "status") -> str:
    """Return the document of a subscription to a job."""
    field = f'audienceGenerationJob(audienceGenerationJobArn: "{arn}")'
    return f"subscription {name} {{ {field} {{ {fields} }} }}"


@dataclass(frozen=True)
class Scripted:
    """A response to a subscription."""

    body: str
    status: int = 200
    media_type: str = "text/event-stream"


def event(status: str) -> str:
    result = {"data": {"audienceGenerationJob": {"status": status}}}
    return f"event: next\ndata: {json.dumps(result)}\n\n"


def rejection(status: int) -> Scripted:
    body = json.dumps({"errors": [{"message": f"Rejected with {status}."}]})
    return Scripted(body, status, JSON)


@dataclass
class Script:
    """Responds to subscriptions instead of the gateway; without a response, there is no network."""

    responses: list[Scripted] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    """The headers of each."""

    async def respond(self, route: Route) -> None:
        headers = route.request.headers
        if "event-stream" not in headers["accept"]:
            await route.continue_()
            return
        self.requests.append(headers)
        if not self.responses:
            await route.abort()
            return
        response = self.responses.pop(0)
        await route.fulfill(
            status=response.status, content_type=response.media_type, body=response.body
        )


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Run a sandbox whose lists are short, so that they are polled often."""
    with serve(create_sandbox(jobs=5)) as url:
        yield Sandbox(url)


@contextlib.asynccontextmanager
async def graphiql(sandbox: Sandbox) -> AsyncIterator[Visit]:
    """Open GraphiQL of a gateway, with the headers of ada."""
    settings = Settings(
        upstream_url=sandbox.url, graphiql=True, introspection=True, watch_seconds=0.1
    )
    app = create_app(settings, example_headers=aws_headers(CALLERS["ada"]))
    with serve(app) as url:
        async with browser_page() as visit:
            await visit.page.goto(f"{url}/graphql")
            await loaded(visit.page)
            yield visit
            assert visit.errors == []


@contextlib.asynccontextmanager
async def scripted(sandbox: Sandbox) -> AsyncIterator[tuple[Page, Script]]:
    """Open GraphiQL with a subscription whose responses are scripted."""
    async with graphiql(sandbox) as visit:
        script = Script()
        await visit.page.route("**/graphql", script.respond)
        await visit.page.evaluate(HOLD_LONG_WAITS)
        await open_document(visit.page, watch("arn"), "Watch")
        yield visit.page, script


async def wait_for_requests(page: Page, script: Script, count: int) -> None:
    """End waits until the page has sent this number of requests."""
    async with asyncio.timeout(20):
        while len(script.requests) < count:
            await page.evaluate("endWaits()")


async def wait_for_polls(count: int) -> None:
    """Wait until the gateway polls this number of things."""
    await asyncio.to_thread(until, lambda: REGISTRY.get_sample_value("gateway_watches") == count)


async def test_the_states_of_a_job_are_shown_until_it_is_done(sandbox: Sandbox) -> None:
    async with graphiql(sandbox) as visit:
        arn = sandbox.start_job()
        await open_document(visit.page, watch(arn), "Watch")
        await run(visit.page)
        response = visit.page.locator(".graphiql-response")
        await expect(response).to_contain_text("CREATE_PENDING")
        for status in ("CREATE_IN_PROGRESS", "ACTIVE"):
            sandbox.set_job_status(arn, status)
            await expect(response).to_contain_text(status)
        await expect_stopped(visit.page)

        assert "CREATE_IN_PROGRESS" not in await response.inner_text()
        assert [line for line in visit.console if line.startswith("error")] == []


async def test_the_gateway_polls_for_as_long_as_the_page_subscribes(sandbox: Sandbox) -> None:
    """Until the stop button is pressed, another tab is chosen or opened, or the page is closed."""
    async with graphiql(sandbox) as visit:
        page, arn = visit.page, sandbox.start_job()

        async def subscribe(name: str) -> None:
            await open_document(page, watch(arn, name), name)
            await run(page)
            await expect(page.locator(".graphiql-response")).to_contain_text("CREATE_PENDING")
            await wait_for_polls(1)

        await subscribe("First")
        await stop(page)
        await wait_for_polls(0)
        await expect_stopped(page)

        await subscribe("Second")
        await page.get_by_role("tab", name="JobChanges").click()
        await wait_for_polls(0)
        await expect_stopped(page)

        await subscribe("Third")
        await page.get_by_role("button", name="New tab").click()
        await wait_for_polls(0)
        await expect_stopped(page)

        await subscribe("Fourth")
        await page.close()
        await wait_for_polls(0)


async def test_the_example_shows_a_job_that_is_started(sandbox: Sandbox) -> None:
    """It is in the second tab of a first visit."""

    def first_readings() -> float:
        return REGISTRY.get_sample_value("gateway_polls_total", {"result": "changed"}) or 0

    async with graphiql(sandbox) as visit:
        before = first_readings()
        await visit.page.get_by_role("tab", name="JobChanges").click()
        await wait_for_stored(visit.page, '"activeTabIndex":1')
        await run(visit.page)
        await asyncio.to_thread(until, lambda: first_readings() > before)
        arn = sandbox.start_job()
        await expect(visit.page.locator(".graphiql-response")).to_contain_text("CREATED")
        await expect(visit.page.locator(".graphiql-response")).to_contain_text(arn[:30])


async def test_errors_are_shown_at_once(sandbox: Sandbox) -> None:
    """Those of the gateway, whatever the status; and a response that is not the gateway's."""
    async with scripted(sandbox) as (page, script):

        async def expect_error(text: str) -> None:
            await run(page)
            await expect(page.locator(".graphiql-response")).to_contain_text(text)
            await expect_stopped(page)

        for status in (400, 401, 429, 503):
            script.responses = [rejection(status)]
            await expect_error(f"Rejected with {status}.")
        script.responses = [Scripted("<h1>Log in</h1>", 200, "text/html")]
        await expect_error("HTTP 200 without JSON: <h1>Log in</h1>")
        await expect_error("No response.")
        assert len(script.requests) == 6

        await page.unroute("**/graphql")
        await expect_error("BAD_USER_INPUT")
        await open_document(page, watch("arn", "Typo", fields="nothing"), "Typo")
        await expect_error("GRAPHQL_VALIDATION_FAILED")
        await open_document(page, watch(sandbox.start_job()[:-1] + "0", "Gone"), "Gone")
        await expect_error("NOT_FOUND")
        await replace(page, ".graphiql-editor-tool", "")
        await expect_error("UNAUTHENTICATED")


async def test_a_stream_that_breaks_off_is_opened_again(sandbox: Sandbox) -> None:
    """With the headers of the editor, also while the gateway is away, until it is complete."""
    async with scripted(sandbox) as (page, script):
        response = page.locator(".graphiql-response")
        headers = {"X-Mine": "1", "Accept": JSON, "content-type": "text/plain"}
        await replace(page, ".graphiql-editor-tool", json.dumps(headers))
        script.responses = [Scripted(event("CREATE_PENDING"))]
        await run(page)
        await wait_for_requests(page, script, 2)
        await expect(response).to_contain_text("CREATE_PENDING")

        script.responses = [rejection(503), Scripted(event("ACTIVE") + COMPLETE)]
        await wait_for_requests(page, script, 4)
        await expect(response).to_contain_text("ACTIVE")
        await expect_stopped(page)

        script.responses = [Scripted(event("CREATE_PENDING"))]
        await run(page)
        await wait_for_requests(page, script, 10)
        await expect(response).to_contain_text("Connection lost.")
        await expect_stopped(page)

        assert {sent["x-mine"] for sent in script.requests} == {"1"}
        assert {sent["accept"] for sent in script.requests} == {"text/event-stream"}
        assert all(sent["content-type"].startswith(JSON) for sent in script.requests)


async def test_a_stopped_stream_is_not_opened_again(sandbox: Sandbox) -> None:
    """Nor does it stop the next one, although its client waits meanwhile."""
    async with scripted(sandbox) as (page, script):
        response = page.locator(".graphiql-response")
        script.responses = [Scripted(event("CREATE_PENDING"))]
        await run(page)
        await expect(response).to_contain_text("CREATE_PENDING")
        await stop(page)
        await expect_stopped(page)
        script.responses = [Scripted(event("CREATE_IN_PROGRESS")), Scripted(event("ACTIVE"))]
        await run(page)
        await wait_for_requests(page, script, 3)
        await expect(response).to_contain_text("ACTIVE")
        await expect(page.get_by_role("button", name="Stop query")).to_be_visible()
        assert len(script.requests) == 3
