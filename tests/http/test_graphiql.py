"""GraphiQL in a real browser, in front of a minimal GraphQL service."""

import contextlib
import json
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
from graphql import NoSchemaIntrospectionCustomRule, build_schema, graphql, parse, validate
from playwright.async_api import Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.app import create_app
from gateway.dev import aws_headers
from gateway.http.graphiql import BUILT, GraphiQL
from gateway.sandbox import CALLERS
from gateway.settings import Settings, SettingsError
from tests.browser import Visit, browser_page
from tests.gateways import Sandbox
from tests.http.explorer import loaded, replace, run, text, wait_for_stored
from tests.programs import needs
from tests.serving import serve

QUERY = "# An example.\nquery Jobs {\n  jobs(first: 2) {\n    name\n  }\n}"
HEADERS = {"X-Name": """Alice </script>"&amp;'"""}
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


def service(*, introspection: bool = True) -> Starlette:
    graphiql = GraphiQL.load(examples=[QUERY], headers=HEADERS)

    async def page(_: Request) -> Response:
        return graphiql.page()

    async def execute(request: Request) -> Response:
        parameters = await request.json()
        if not introspection and (
            errors := validate(
                SCHEMA, parse(parameters["query"]), [NoSchemaIntrospectionCustomRule]
            )
        ):
            return error(400, errors[0].message)
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


@contextlib.asynccontextmanager
async def explorer(*, introspection: bool = True) -> AsyncIterator[Visit]:
    with serve(service(introspection=introspection)) as origin:
        async with browser_page() as visit:
            await visit.page.goto(f"{origin}/graphql")
            await loaded(visit.page)
            yield visit


@contextlib.asynccontextmanager
async def http_client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(service())
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


async def stored(page: Page) -> str:
    """Return everything that the browser stores for this origin."""
    return str(
        await page.evaluate("""async () => JSON.stringify([
            {...localStorage}, {...sessionStorage}, document.cookie,
            await indexedDB.databases(), await caches.keys(), history.state, location.href,
        ])""")
    )


async def test_the_first_visit_shows_the_example_and_its_headers() -> None:
    async with explorer() as visit:
        await expect(visit.page).to_have_title("Audience Gateway")
        assert await text(visit.page, "operation.graphql") == QUERY
        assert json.loads(await text(visit.page, "request-headers.json")) == HEADERS
        await expect(visit.page.locator(".graphiql-editor-tool")).to_contain_text("X-Name")


async def test_the_play_button_runs_the_query() -> None:
    async with explorer() as visit:
        await run(visit.page)
        await expect(visit.page.locator(".graphiql-response")).to_contain_text("summer")


async def test_a_narrow_window_shows_the_result_below_the_editors() -> None:
    """Each has the width of the window, except for the sidebar."""
    async with explorer() as visit:
        await visit.page.set_viewport_size({"width": 390, "height": 844})
        await run(visit.page)
        await expect(visit.page.locator(".graphiql-response")).to_contain_text("summer")
        editors = await visit.page.locator(".graphiql-editors").bounding_box()
        result = await visit.page.locator(".graphiql-response").bounding_box()

    assert editors
    assert result
    assert min(editors["width"], result["width"]) > 270
    assert min(editors["height"], result["height"]) > 300
    assert editors["y"] + editors["height"] <= result["y"]


async def test_the_page_stays_on_its_origin_and_within_its_policy() -> None:
    """A tour through everything that loads code late; the console stays clean."""
    async with explorer() as visit:
        page = visit.page
        origin = page.url.removesuffix("/graphql")
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

        assert len(visit.requests) > 10
        assert [url for url in visit.requests if not url.startswith(f"{origin}/")] == []
        assert [line for line in visit.console if not line.startswith("info: setup-workers")] == []
        assert visit.errors == []


async def test_the_explorer_plugin_adds_fields_to_the_query() -> None:
    async with explorer() as visit:
        page = visit.page
        await page.get_by_role("button", name="Show GraphiQL Explorer").click()
        await page.locator(".graphiql-explorer-root").get_by_text("status", exact=True).click()
        await expect(page.locator(".graphiql-query-editor")).to_contain_text("status")
        await run(page)
        await expect(page.locator(".graphiql-response")).to_contain_text('"status": null')


async def test_typed_headers_are_never_stored() -> None:
    """The query that is typed after them is stored, and a reload forgets the headers."""
    async with explorer() as visit:
        page = visit.page
        await replace(page, ".graphiql-editor-tool", '{"X-Name": "hunter2"}')
        await run(page)
        await expect(page.locator(".graphiql-response")).to_contain_text("summer")
        await page.get_by_role("button", name="New tab").click()
        await replace(page, ".graphiql-query-editor", "{ jobs { name } } # typed later")
        await wait_for_stored(page, "typed later")
        assert "hunter2" not in await stored(page)

        await page.reload()
        await loaded(page)
        assert "hunter2" not in await stored(page)
        assert "hunter2" not in await text(page, "request-headers.json")
        assert "X-Name" not in await stored(page)


async def test_a_reload_keeps_queries_and_restores_the_example_headers() -> None:
    """It does so in every tab."""
    async with explorer() as visit:
        page = visit.page
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


async def test_the_storage_of_another_graphiql_is_ignored() -> None:
    """Development servers share localhost, and so its storage."""
    async with explorer() as visit:
        page = visit.page
        await page.evaluate("""() => {
            localStorage.clear();
            localStorage["graphiql:query"] = "{ theirs }";
            localStorage["graphiql:headers"] = "{\\"X-Theirs\\": \\"1\\"}";
        }""")
        await page.reload()
        await loaded(page)
        assert await text(page, "operation.graphql") == QUERY
        assert json.loads(await text(page, "request-headers.json")) == HEADERS


async def test_the_body_of_an_error_response_is_shown() -> None:
    async with explorer() as visit:
        page = visit.page
        await replace(page, ".graphiql-editor-tool", "")
        await run(page)
        await expect(page.locator(".graphiql-response")).to_contain_text("No credentials.")
        await replace(page, ".graphiql-editor-tool", json.dumps(HEADERS))
        await replace(page, ".graphiql-query-editor", "{ nothing }")
        await run(page)
        await expect(page.locator(".graphiql-response")).to_contain_text("Cannot query field")


async def test_queries_run_without_a_schema() -> None:
    async with explorer(introspection=False) as visit:
        await run(visit.page)
        await expect(visit.page.locator(".graphiql-response")).to_contain_text("summer")
        assert visit.errors == []


async def test_the_page_cannot_be_framed_cached_or_sniffed() -> None:
    async with http_client() as client:
        headers = (await client.get("/graphql")).headers
    assert headers["content-type"] == "text/html; charset=utf-8"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; ")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "http" not in policy
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cache-control"] == "private, no-store"


async def test_assets_are_immutable() -> None:
    async with http_client() as client:
        for name in [file.name for file in (BUILT / "assets").iterdir()]:
            response = await client.get(f"/explorer/assets/{name}")
            assert response.status_code == 200
            assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert response.headers["x-content-type-options"] == "nosniff"
        again = await client.get(
            f"/explorer/assets/{name}", headers={"if-none-match": response.headers["etag"]}
        )
        assert again.status_code == 304
        assert again.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "path", ["/explorer/index.html", "/explorer/", "/explorer/assets/../index.html"]
)
async def test_the_template_is_not_served(path: str) -> None:
    async with http_client() as client:
        assert (await client.get(path)).status_code == 404


def test_a_missing_build_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="make install"):
        GraphiQL.load(examples=[QUERY], headers={}, built=tmp_path)


def test_the_example_headers_are_not_in_the_repr() -> None:
    assert "X-Name" not in repr(GraphiQL.load(examples=[QUERY], headers=HEADERS))


async def test_the_example_query_shows_jobs(sandbox: Sandbox) -> None:
    """The gateway itself serves the page, and runs its query."""
    settings = Settings(upstream_url=sandbox.url, graphiql=True, introspection=True)
    app = create_app(settings, example_headers=aws_headers(CALLERS["ada"]))
    with serve(app) as url:
        async with browser_page() as visit:
            await visit.page.goto(f"{url}/graphql")
            await loaded(visit.page)
            await expect(visit.page.locator(".graphiql-editor-tool")).to_contain_text("X-Aws-")
            await run(visit.page)
            response = visit.page.locator(".graphiql-response")
            await expect(response).to_contain_text("audienceGenerationJobs")
            await expect(response).to_contain_text('"status":')
            assert [r for r in visit.requests if not r.startswith((url, "data:", "blob:"))] == []
            assert visit.errors == []
    assert sandbox.count() == 1


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
async def test_the_page_works_below_a_path_prefix(sandbox: Sandbox, *, strips: bool) -> None:
    """Behind a proxy that has other services, whether it strips the prefix or not."""
    settings = Settings(
        upstream_url=sandbox.url, graphiql=True, introspection=True, path_prefix="/api/audience"
    )
    app = create_app(settings, example_headers=aws_headers(CALLERS["ada"]))
    with (
        serve(app) as url,
        proxy_below("/api/audience", httpx.URL(url).port or 0, strips=strips) as below,
    ):
        async with browser_page() as visit:
            statuses: list[tuple[int, str]] = []
            visit.page.on(
                "response", lambda response: statuses.append((response.status, response.url))
            )
            await visit.page.goto(f"{below}/")
            assert visit.page.url == f"{below}/graphql"
            await loaded(visit.page)
            await run(visit.page)
            await expect(visit.page.locator(".graphiql-response")).to_contain_text('"status":')
            await replace(visit.page, ".graphiql-query-editor", "{ nothing }")
            # The schema is checked in a worker, so a squiggle says that the worker runs.
            await expect(visit.page.locator(".squiggly-error")).to_be_visible()
            assert [each for each in statuses if each[0] not in {200, 307}] == []
            assert [r for r in visit.requests if not r.startswith((below, "data:", "blob:"))] == []
            assert visit.errors == []
            assert [line for line in visit.console if line.startswith("error")] == []
