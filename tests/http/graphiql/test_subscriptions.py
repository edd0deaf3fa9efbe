"""Subscriptions in GraphiQL: shown live, stopped by its button, opened again if they break off."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from playwright.async_api import Page, Route, expect
from prometheus_client import REGISTRY

from tests.browser import Visit
from tests.gateways import Sandbox, still_sandbox
from tests.http.graphiql.explorer import (
    expect_status,
    expect_stopped,
    graphiql_over,
    open_document,
    open_first,
    replace,
    response,
    run,
    stop,
    wait_for_stored,
)
from tests.processes import until
from tests.serving import serve

pytestmark = pytest.mark.asyncio(loop_scope="session")

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


@pytest.fixture(scope="module")
def short_lists() -> Iterator[Sandbox]:
    """Run a sandbox whose lists are short, so that they are polled often."""
    with serve(still_sandbox(jobs=5)) as url:
        yield Sandbox(url)


@pytest.fixture
def sandbox(short_lists: Sandbox) -> Sandbox:
    short_lists.reset()
    return short_lists


@pytest.fixture(scope="module")
def url(short_lists: Sandbox) -> Iterator[str]:
    with graphiql_over(short_lists, watch_seconds=0.1) as url:
        yield url


@pytest_asyncio.fixture(loop_scope="session")
async def page(visit: Visit, url: str) -> Page:
    """Open GraphiQL with the headers of ada."""
    await open_first(visit.page, url)
    return visit.page


@pytest_asyncio.fixture(loop_scope="session")
async def script(page: Page) -> Script:
    """Script the responses to the subscription that is open in the page."""
    script = Script()
    await page.route("**/graphql", script.respond)
    await page.evaluate(HOLD_LONG_WAITS)
    await open_document(page, watch("arn"), "Watch")
    return script


async def wait_for_requests(page: Page, script: Script, count: int) -> None:
    """End waits until the page has sent this number of requests."""
    async with asyncio.timeout(60):
        while len(script.requests) < count:
            await page.evaluate("endWaits()")


async def wait_for_polls(count: int) -> None:
    """Wait until the gateway polls this number of things."""
    await asyncio.to_thread(until, lambda: REGISTRY.get_sample_value("gateway_watches") == count)


async def test_the_states_of_a_job_are_shown_until_it_is_done(
    sandbox: Sandbox, visit: Visit, page: Page
) -> None:
    arn = sandbox.start_job()
    await open_document(page, watch(arn), "Watch")
    await run(page)
    shown = response(page)
    await expect(shown).to_contain_text("CREATE_PENDING")
    await expect_status(page, "HTTP 200 Live 1 event No errors")
    for status in ("CREATE_IN_PROGRESS", "ACTIVE"):
        sandbox.set_job_status(arn, status)
        await expect(shown).to_contain_text(status)
    await expect_stopped(page)
    await expect_status(page, "HTTP 200 Ended 3 events No errors")

    assert "CREATE_IN_PROGRESS" not in await shown.inner_text()
    assert [line for line in visit.console if line.startswith("error")] == []


async def test_the_gateway_polls_for_as_long_as_the_page_subscribes(
    sandbox: Sandbox, page: Page
) -> None:
    """Until the stop button is pressed, another tab is chosen or opened, or the page is closed."""
    arn = sandbox.start_job()

    async def subscribe(name: str) -> None:
        await open_document(page, watch(arn, name), name)
        await run(page)
        await expect(response(page)).to_contain_text("CREATE_PENDING")
        await wait_for_polls(1)

    await subscribe("First")
    await expect_status(page, "Live")
    await stop(page)
    await wait_for_polls(0)
    await expect_stopped(page)
    await expect_status(page, "Ended")

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


async def test_the_example_shows_a_job_that_is_started(sandbox: Sandbox, page: Page) -> None:
    """It is in the second tab of a first visit."""

    def first_readings() -> float:
        return REGISTRY.get_sample_value("gateway_polls_total", {"result": "changed"}) or 0

    before = first_readings()
    await page.get_by_role("tab", name="JobChanges").click()
    await wait_for_stored(page, '"activeTabIndex":1')
    await run(page)
    await asyncio.to_thread(until, lambda: first_readings() > before)
    arn = sandbox.start_job()
    await expect(response(page)).to_contain_text("CREATED")
    await expect(response(page)).to_contain_text(arn[:30])


async def test_errors_are_shown_at_once(sandbox: Sandbox, page: Page, script: Script) -> None:
    """Those of the gateway, whatever the status; and a response that is not the gateway's."""

    async def expect_error(text: str) -> None:
        await run(page)
        await expect(response(page)).to_contain_text(text)
        await expect_stopped(page)

    for status in (400, 401, 429, 503):
        script.responses = [rejection(status)]
        await expect_error(f"Rejected with {status}.")
        await expect_status(page, f"HTTP {status} 1 error")
    script.responses = [Scripted("<h1>Log in</h1>", 200, "text/html")]
    await expect_error("HTTP 200 without JSON: <h1>Log in</h1>")
    await expect_error("No response.")
    await expect_status(page, "No response 1 error")
    assert len(script.requests) == 6

    await page.unroute("**/graphql")
    await expect_error("BAD_USER_INPUT")
    await open_document(page, watch("arn", "Typo", fields="nothing"), "Typo")
    await expect_error("GRAPHQL_VALIDATION_FAILED")
    await open_document(page, watch(sandbox.start_job()[:-1] + "0", "Gone"), "Gone")
    await expect_error("NOT_FOUND")
    await replace(page, ".graphiql-editor-tool", "")
    await expect_error("UNAUTHENTICATED")


async def test_a_stream_that_breaks_off_is_opened_again(page: Page, script: Script) -> None:
    """With the headers of the editor, also while the gateway is away, until it is complete."""
    shown = response(page)
    headers = {"X-Mine": "1", "Accept": JSON, "content-type": "text/plain"}
    await replace(page, ".graphiql-editor-tool", json.dumps(headers))
    script.responses = [Scripted(event("CREATE_PENDING"))]
    await run(page)
    await wait_for_requests(page, script, 2)
    await expect(shown).to_contain_text("CREATE_PENDING")

    script.responses = [rejection(503), Scripted(event("ACTIVE") + COMPLETE)]
    await wait_for_requests(page, script, 4)
    await expect(shown).to_contain_text("ACTIVE")
    await expect_stopped(page)

    script.responses = [Scripted(event("CREATE_PENDING"))]
    await run(page)
    await wait_for_requests(page, script, 10)
    await expect(shown).to_contain_text("Connection lost.")
    await expect_stopped(page)

    assert {sent["x-mine"] for sent in script.requests} == {"1"}
    assert {sent["accept"] for sent in script.requests} == {"text/event-stream"}
    assert all(sent["content-type"].startswith(JSON) for sent in script.requests)


async def test_a_stopped_stream_is_not_opened_again(page: Page, script: Script) -> None:
    """Nor does it stop the next one, although its client waits meanwhile."""
    shown = response(page)
    script.responses = [Scripted(event("CREATE_PENDING"))]
    await run(page)
    await expect(shown).to_contain_text("CREATE_PENDING")
    await stop(page)
    await expect_stopped(page)
    script.responses = [Scripted(event("CREATE_IN_PROGRESS")), Scripted(event("ACTIVE"))]
    await run(page)
    await wait_for_requests(page, script, 3)
    await expect(shown).to_contain_text("ACTIVE")
    await expect(page.get_by_role("button", name="Stop query")).to_be_visible()
    assert len(script.requests) == 3
