"""GraphiQL in a real browser, in front of a minimal GraphQL service."""

import contextlib
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
import pytest_asyncio
from graphql import build_schema, graphql
from playwright.async_api import Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.app import create_app
from gateway.dev import sandbox_content
from gateway.http.graphiql import Example, GraphiQL, HeaderSet
from gateway.settings import Settings
from tests.browser import Visit
from tests.gateways import Sandbox
from tests.http.graphiql.explorer import (
    loaded,
    open_first,
    replace,
    response,
    run,
    text,
    wait_for_stored,
)
from tests.programs import needs
from tests.serving import serve

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUERY = "# An example.\nquery Jobs {\n  jobs(first: 2) {\n    name\n  }\n}"
HEADERS = {"X-Name": """Alice </script>"&amp;'"""}
ALICE = HeaderSet("alice", "a caller", HEADERS)
SCHEMA = build_schema("""
  type Query { jobs(first: Int = 20): [Job!] }
  type Job { name: String! status: String }
""")
MEDIA_TYPE = "application/graphql-response+json"
JOBS = {"jobs": [{"name": "spring"}, {"name": "summer"}]}

PROXY = """
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s

frontend all
    bind "fd@{front}"
    http-request return status 404 unless {{ path_beg {path}/ }} or {{ path {path} }}
    {rule}
    default_backend gateway

backend gateway
    server gateway 127.0.0.1:{port}
"""


def service() -> Starlette:
    graphiql = GraphiQL.load(examples=[Example(QUERY)], header_sets=[ALICE], introspection=True)

    async def page(_: Request) -> Response:
        return graphiql.page()

    async def execute(request: Request) -> Response:
        parameters = await request.json()
        if "__schema" not in parameters["query"] and "x-name" not in request.headers:
            return error(401, "No credentials.")
        result = await graphql(SCHEMA, parameters["query"], JOBS)
        return JSONResponse(result.formatted, 200 if result.data else 400, media_type=MEDIA_TYPE)

    return Starlette(
        routes=[
            Route("/graphql", page, methods=["GET"]),
            Route("/graphql", execute, methods=["POST"]),
            graphiql.assets(),
        ]
    )


def error(status: int, message: str) -> Response:
    return JSONResponse({"errors": [{"message": message}]}, status, media_type=MEDIA_TYPE)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve(service()) as origin:
        yield f"{origin}/graphql"


@pytest_asyncio.fixture(loop_scope="session")
async def page(visit: Visit, url: str) -> Page:
    """Open the page for the first time."""
    await open_first(visit.page, url)
    return visit.page


async def stored(page: Page) -> str:
    """Return everything that the browser stores for this origin."""
    return str(
        await page.evaluate("""async () => JSON.stringify([
            {...localStorage}, {...sessionStorage}, document.cookie,
            await indexedDB.databases(), await caches.keys(), history.state, location.href,
        ])""")
    )


async def test_the_first_visit_shows_an_example_that_runs(page: Page) -> None:
    """With its headers."""
    await expect(page).to_have_title("Audience Gateway")
    assert await text(page, "operation.graphql") == QUERY
    assert json.loads(await text(page, "request-headers.json")) == HEADERS
    await expect(page.locator(".graphiql-editor-tool")).to_contain_text("X-Name")
    await run(page)
    await expect(response(page)).to_contain_text("summer")


async def test_the_page_stays_on_its_origin_and_within_its_policy(visit: Visit, url: str) -> None:
    """A tour through everything that loads code late; the console stays clean."""
    page = visit.page
    await open_first(page, url)
    await run(page)
    await page.get_by_role("button", name="Prettify query").click()
    await page.get_by_role("button", name="Show Documentation Explorer").click()
    await page.get_by_role("button", name="Open settings dialog").click()
    await page.get_by_role("button", name="Dark").click()
    await page.keyboard.press("Escape")
    await replace(page, ".graphiql-query-editor", "{ jobs { nam } }")
    # The schema is checked in a worker, so a squiggle says that the worker runs.
    await expect(page.locator(".squiggly-error")).to_be_visible()
    await page.reload()
    await loaded(page)

    origin = url.removesuffix("/graphql")
    assert len(visit.requests) > 10
    assert [each for each in visit.requests if not each.startswith(f"{origin}/")] == []
    assert visit.console == []


async def test_the_explorer_plugin_adds_fields_to_the_query(page: Page) -> None:
    await page.get_by_role("button", name="Show GraphiQL Explorer").click()
    await page.locator(".graphiql-explorer-root").get_by_text("status", exact=True).click()
    await expect(page.locator(".graphiql-query-editor")).to_contain_text("status")
    await run(page)
    await expect(response(page)).to_contain_text('"status": null')


async def test_typed_headers_are_never_stored(page: Page) -> None:
    """The query that is typed after them is stored, and a reload forgets the headers."""
    await replace(page, ".graphiql-editor-tool", '{"X-Name": "hunter2"}')
    await run(page)
    await expect(response(page)).to_contain_text("summer")
    await page.get_by_role("button", name="New tab").click()
    await replace(page, ".graphiql-query-editor", "{ jobs { name } } # typed later")
    await wait_for_stored(page, "typed later")
    assert "hunter2" not in await stored(page)

    await page.reload()
    await loaded(page)
    assert "hunter2" not in await stored(page)
    assert "hunter2" not in await text(page, "request-headers.json")
    assert "X-Name" not in await stored(page)


async def test_a_reload_keeps_queries_and_restores_the_example_headers(page: Page) -> None:
    """It does so in every tab."""
    await replace(page, ".graphiql-query-editor", "query Mine { jobs { status } }")
    await expect(page.get_by_role("tab", name="Mine")).to_be_visible()
    await page.get_by_role("button", name="New tab").click()
    await replace(page, ".graphiql-query-editor", "query Second { jobs { status } }")
    await wait_for_stored(page, "Second")
    await page.reload()
    await loaded(page)
    assert await text(page, "operation.graphql") == "query Second { jobs { status } }"
    assert json.loads(await text(page, "request-headers.json")) == HEADERS

    await page.get_by_role("tab", name="Mine").click()
    assert await text(page, "operation.graphql") == "query Mine { jobs { status } }"
    assert json.loads(await text(page, "request-headers.json")) == HEADERS


async def test_the_storage_of_another_graphiql_is_ignored(page: Page) -> None:
    """Development servers share localhost, and so its storage."""
    await page.evaluate("""() => {
        localStorage.clear();
        localStorage["graphiql:query"] = "{ theirs }";
        localStorage["graphiql:headers"] = "{\\"X-Theirs\\": \\"1\\"}";
    }""")
    await page.reload()
    await loaded(page)
    assert await text(page, "operation.graphql") == QUERY
    assert json.loads(await text(page, "request-headers.json")) == HEADERS


async def test_the_body_of_an_error_response_is_shown(page: Page) -> None:
    await replace(page, ".graphiql-editor-tool", "")
    await run(page)
    await expect(response(page)).to_contain_text("No credentials.")
    await replace(page, ".graphiql-editor-tool", json.dumps(HEADERS))
    await replace(page, ".graphiql-query-editor", "{ nothing }")
    await run(page)
    await expect(response(page)).to_contain_text("Cannot query field")


@contextlib.contextmanager
def proxy_below(path: str, port: int, *, strips: bool) -> Iterator[str]:
    """Run HAProxy with a server at one path; yields the URL of that path."""
    with TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as front:
        rule = f"http-request replace-path {path}/?(.*) /\\1" if strips else ""
        config = Path(folder, "haproxy.cfg")
        config.write_text(PROXY.format(path=path, port=port, front=front.fileno(), rule=rule))
        process = subprocess.Popen(  # noqa: S603 - the tests' own command
            [needs("haproxy"), "-db", "-f", str(config)], pass_fds=[front.fileno()]
        )
        try:
            # The listener is inherited, so a request waits until HAProxy serves.
            yield f"http://127.0.0.1:{front.getsockname()[1]}{path}"
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("strips", [True, False])
async def test_the_page_works_below_a_path_prefix(
    sandbox: Sandbox, visit: Visit, *, strips: bool
) -> None:
    """Behind a proxy that has other services, whether it strips the prefix or not."""
    settings = Settings(
        upstream_url=sandbox.url, graphiql=True, introspection=True, path_prefix="/api/audience"
    )
    app = create_app(settings, sandbox=sandbox_content())
    with (
        serve(app) as url,
        proxy_below("/api/audience", httpx.URL(url).port or 0, strips=strips) as below,
    ):
        page = visit.page
        statuses: list[tuple[int, str]] = []
        page.on("response", lambda each: statuses.append((each.status, each.url)))
        await page.goto(f"{below}/")
        assert page.url == f"{below}/graphql"
        await loaded(page)
        await run(page)
        await expect(response(page)).to_contain_text('"status":')
        await replace(page, ".graphiql-query-editor", "{ nothing }")
        # The schema is checked in a worker, so a squiggle says that the worker runs.
        await expect(page.locator(".squiggly-error")).to_be_visible()
        assert [each for each in statuses if each[0] not in {200, 307}] == []
        assert [r for r in visit.requests if not r.startswith((below, "data:", "blob:"))] == []
        assert [line for line in visit.console if line.startswith("error")] == []
