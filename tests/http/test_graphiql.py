"""The explorer as a real browser shows it, in front of a GraphQL service of ten lines."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from graphql import NoSchemaIntrospectionCustomRule, build_schema, graphql, parse, validate
from playwright.async_api import Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.http.graphiql import BUILT, GraphiQL
from gateway.settings import SettingsError
from tests.browser import Visit, browser_page
from tests.serving import serve

QUERY = "# Press the button.\nquery Jobs {\n  jobs(first: 2) {\n    name\n  }\n}"
HEADERS = {"X-Name": """Alice </script>"&amp;'"""}
SCHEMA = build_schema("""
  type Query { jobs(first: Int = 20): [Job!] }
  type Job { name: String! status: String }
""")
MEDIA_TYPE = "application/graphql-response+json"
JOBS = {"jobs": [{"name": "spring"}, {"name": "summer"}]}


def service(*, introspection: bool = True) -> Starlette:
    """Answer as GraphQL over HTTP has it, so with 401 and 400 where a gateway would."""
    graphiql = GraphiQL.load(query=QUERY, headers=HEADERS)

    async def show(_: Request) -> Response:
        return graphiql.page()

    async def answer(request: Request) -> Response:
        asked = await request.json()
        if not introspection and (
            found := validate(SCHEMA, parse(asked["query"]), [NoSchemaIntrospectionCustomRule])
        ):
            return refuse(400, found[0].message)
        if "__schema" not in asked["query"] and "x-name" not in request.headers:
            return refuse(401, "Who are you?")
        result = await graphql(SCHEMA, asked["query"], JOBS)
        return JSONResponse(result.formatted, 200 if result.data else 400, media_type=MEDIA_TYPE)

    return Starlette(
        routes=[
            Route("/graphql", show, methods=["GET"]),
            Route("/graphql", answer, methods=["POST"]),
            graphiql.assets(),
        ]
    )


def refuse(status: int, message: str) -> Response:
    """Refuse as GraphQL over HTTP does: the status for machines, the body for people."""
    return JSONResponse({"errors": [{"message": message}]}, status, media_type=MEDIA_TYPE)


@contextlib.asynccontextmanager
async def visiting(*, introspection: bool = True) -> AsyncIterator[Visit]:
    """Open the explorer, and let it settle."""
    with serve(service(introspection=introspection)) as origin:
        async with browser_page() as visit:
            await visit.page.goto(f"{origin}/graphql")
            await settled(visit.page)
            yield visit


@contextlib.asynccontextmanager
async def asking() -> AsyncIterator[httpx.AsyncClient]:
    """Ask without a browser."""
    transport = httpx.ASGITransport(service())
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


async def settled(page: Page) -> None:
    """Wait until the editors stand, which load after the page."""
    await expect(page.locator(".graphiql-query-editor .view-line").first).to_be_visible()
    await expect(page.locator(".graphiql-editor-tool .view-line").first).to_be_attached()


async def text(page: Page, editor: str) -> str:
    """Return the whole text of an editor, of which the page holds only the visible lines."""
    models = "__MONACO.editor.getModels()"
    found = f"name => {models}.find(model => model.uri.path.endsWith(name)).getValue()"
    return str(await page.evaluate(found, editor))


async def write(page: Page, place: str, written: str) -> None:
    """Replace what stands in an editor, as a person would."""
    await page.locator(f"{place} .monaco-editor:visible").click()
    await page.keyboard.press("Control+A")
    await page.keyboard.press("Delete")
    await page.keyboard.insert_text(written)


async def run(page: Page) -> None:
    """Press the button."""
    await page.get_by_role("button", name="Execute query").click()


async def stored(page: Page) -> str:
    """Return all that the browser keeps for this origin."""
    return str(
        await page.evaluate("""async () => JSON.stringify([
            {...localStorage}, {...sessionStorage}, document.cookie,
            await indexedDB.databases(), await caches.keys(), history.state, location.href,
        ])""")
    )


async def kept(page: Page, query: str) -> None:
    """Wait until a stored tab has this query; the policy forbids Playwright's own way to wait."""
    look = """query => new Promise(done => {
        const found = () => localStorage["audience-gateway:graphiql:tabState"]?.includes(query);
        const look = () => found() ? done() : setTimeout(look, 9);
        look();
    })"""
    async with asyncio.timeout(10):
        await page.evaluate(look, query)


async def test_a_newcomer_sees_the_example_and_its_headers() -> None:
    """The first visit shows the configured query and headers, character for character."""
    async with visiting() as visit:
        await expect(visit.page).to_have_title("Audience Gateway")
        assert await text(visit.page, "operation.graphql") == QUERY
        assert json.loads(await text(visit.page, "request-headers.json")) == HEADERS
        await expect(visit.page.locator(".graphiql-editor-tool")).to_contain_text("X-Name")


async def test_the_button_runs_the_query() -> None:
    """One click on the untouched page shows data."""
    async with visiting() as visit:
        await run(visit.page)
        await expect(visit.page.locator(".graphiql-response")).to_contain_text("summer")


async def test_nothing_leaves_the_origin_and_the_policy_is_never_hit() -> None:
    """A tour through all that loads code late stays on our origin, and the console stays clean."""
    async with visiting() as visit:
        page = visit.page
        origin = page.url.removesuffix("/graphql")
        await run(page)
        await page.get_by_role("button", name="Prettify query").click()
        await page.get_by_role("button", name="Show Documentation Explorer").click()
        await page.get_by_role("button", name="Open settings dialog").click()
        await page.get_by_role("button", name="Dark").click()
        await page.keyboard.press("Escape")
        await write(page, ".graphiql-query-editor", "{ jobs { nam } }")
        # The schema is checked in a worker, so a squiggle says that the worker runs.
        await expect(page.locator(".squiggly-error")).to_be_visible()
        await page.reload()
        await settled(page)

        assert len(visit.requests) > 10
        assert [url for url in visit.requests if not url.startswith(f"{origin}/")] == []
        assert [said for said in visit.console if not said.startswith("info: setup-workers")] == []
        assert visit.errors == []


async def test_the_explorer_lists_the_fields() -> None:
    """The explorer panel offers the schema's fields, and a click puts one into the query."""
    async with visiting() as visit:
        page = visit.page
        await page.get_by_role("button", name="Show GraphiQL Explorer").click()
        await page.locator(".graphiql-explorer-root").get_by_text("status", exact=True).click()
        await expect(page.locator(".graphiql-query-editor")).to_contain_text("status")
        await run(page)
        await expect(page.locator(".graphiql-response")).to_contain_text('"status": null')


async def test_typed_headers_are_nowhere_in_the_browser() -> None:
    """A typed secret is never stored, though the query typed after it is; a reload ends it."""
    async with visiting() as visit:
        page = visit.page
        await write(page, ".graphiql-editor-tool", '{"X-Name": "hunter2"}')
        await run(page)
        await expect(page.locator(".graphiql-response")).to_contain_text("summer")
        await page.get_by_role("button", name="New tab").click()
        await write(page, ".graphiql-query-editor", "{ jobs { name } } # typed later")
        await kept(page, "typed later")
        assert "hunter2" not in await stored(page)

        await page.reload()
        await settled(page)
        assert "hunter2" not in await stored(page)
        assert "hunter2" not in await text(page, "request-headers.json")
        assert "X-Name" not in await stored(page)


async def test_a_returning_visitor_finds_his_query_and_fresh_headers() -> None:
    """The query is his own; the headers, which are not kept, are filled in anew in every tab."""
    async with visiting() as visit:
        page = visit.page
        await write(page, ".graphiql-query-editor", "query Mine { jobs { status } }")
        await expect(page.get_by_role("tab", name="Mine")).to_be_visible()
        await page.get_by_role("button", name="New tab").click()
        await write(page, ".graphiql-query-editor", "query Second { jobs { status } }")
        await kept(page, "Second")
        await page.reload()
        await settled(page)
        assert await text(page, "operation.graphql") == "query Second { jobs { status } }"
        assert json.loads(await text(page, "request-headers.json")) == HEADERS

        await page.get_by_role("tab", name="Mine").click()
        assert await text(page, "operation.graphql") == "query Mine { jobs { status } }"
        assert json.loads(await text(page, "request-headers.json")) == HEADERS


async def test_what_another_graphiql_left_is_not_shown() -> None:
    """Development servers share localhost; their stored tabs and headers do not fill this page."""
    async with visiting() as visit:
        page = visit.page
        await page.evaluate("""() => {
            localStorage.clear();
            localStorage["graphiql:query"] = "{ theirs }";
            localStorage["graphiql:headers"] = "{\\"X-Theirs\\": \\"1\\"}";
        }""")
        await page.reload()
        await settled(page)
        assert await text(page, "operation.graphql") == QUERY
        assert json.loads(await text(page, "request-headers.json")) == HEADERS


async def test_a_refused_query_shows_what_the_service_said() -> None:
    """The body of a 401 or 400 is the answer, not an exception."""
    async with visiting() as visit:
        page = visit.page
        await write(page, ".graphiql-editor-tool", "")
        await run(page)
        await expect(page.locator(".graphiql-response")).to_contain_text("Who are you?")
        await write(page, ".graphiql-editor-tool", json.dumps(HEADERS))
        await write(page, ".graphiql-query-editor", "{ nothing }")
        await run(page)
        await expect(page.locator(".graphiql-response")).to_contain_text("Cannot query field")


async def test_queries_run_without_a_schema() -> None:
    """With introspection off there is no documentation, and the query runs all the same."""
    async with visiting(introspection=False) as visit:
        await run(visit.page)
        await expect(visit.page.locator(".graphiql-response")).to_contain_text("summer")
        assert visit.errors == []


async def test_the_page_is_not_framed_cached_or_sniffed() -> None:
    """The page's headers leave no room for a script, frame or copy of somebody else's."""
    async with asking() as client:
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


async def test_assets_are_kept_for_good() -> None:
    """Every built file may be cached for ever, also when it is asked for again."""
    async with asking() as client:
        for name in [file.name for file in (BUILT / "assets").iterdir()]:
            answer = await client.get(f"/explorer/assets/{name}")
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert answer.headers["x-content-type-options"] == "nosniff"
        again = await client.get(
            f"/explorer/assets/{name}", headers={"if-none-match": answer.headers["etag"]}
        )
        assert again.status_code == 304
        assert again.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "path", ["/explorer/index.html", "/explorer/", "/explorer/assets/../index.html"]
)
async def test_the_bare_page_is_not_served(path: str) -> None:
    """What was built is a template; it goes out filled in and with its policy, or not at all."""
    async with asking() as client:
        assert (await client.get(path)).status_code == 404


def test_an_explorer_that_was_not_built_says_so(tmp_path: Path) -> None:
    """The start ends with the remedy, not with a file name."""
    with pytest.raises(SettingsError, match="make install"):
        GraphiQL.load(query=QUERY, headers={}, built=tmp_path)


def test_what_the_page_opens_with_does_not_end_in_a_log() -> None:
    """The text holds the headers given, so it is not part of the explorer's repr."""
    assert "X-Name" not in repr(GraphiQL.load(query=QUERY, headers=HEADERS))
