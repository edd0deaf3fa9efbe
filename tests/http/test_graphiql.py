"""What GraphiQL's page and its assets are served with."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.configuration import Configuration
from gateway.http.graphiql import BUILT, GraphiQL, HeaderSet
from gateway.settings import Settings, SettingsError
from tests.graphiql_page import content_of

ALICE = HeaderSet("alice", "a caller", {"X-Name": """Alice </script>"&amp;'"""})


@contextlib.asynccontextmanager
async def http_client() -> AsyncIterator[httpx.AsyncClient]:
    graphiql = GraphiQL.load(header_sets=[ALICE], introspection=True)

    async def page(_: Request) -> Response:
        return graphiql.page()

    app = Starlette(routes=[Route("/graphql", page), graphiql.assets()])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


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
async def test_the_template_is_not_served(path: str) -> None:
    async with http_client() as client:
        assert (await client.get(path)).status_code == 404


def test_a_missing_build_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="make install"):
        GraphiQL.load(header_sets=[ALICE], introspection=True, built=tmp_path)


def test_the_example_headers_are_not_in_the_repr() -> None:
    assert "X-Name" not in repr(GraphiQL.load(header_sets=[ALICE], introspection=True))
    assert "X-Name" not in repr(ALICE)


def test_the_page_has_the_headers_of_the_schemes_that_are_served(tmp_path: Path) -> None:
    """To be filled in: no credentials are in the page."""
    oidc_file = tmp_path / "oidc.toml"
    oidc_file.write_text("")
    expected = {
        "aws-headers": ["X-Aws-Access-Key-Id", "X-Aws-Secret-Access-Key", "X-Aws-Session-Token"],
        "oidc": ["Authorization"],
    }
    for schemes in (["aws-headers"], ["oidc"], ["aws-headers", "oidc"]):
        file = oidc_file if "oidc" in schemes else None
        settings = Settings(graphiql=True, callers=frozenset(schemes), oidc_file=file)
        graphiql = Configuration(settings).graphiql
        assert graphiql is not None
        sets = [each["headers"] for each in content_of(graphiql.text)["headerSets"]]

        assert [list(headers) for headers in sets] == [expected[scheme] for scheme in schemes]
        assert {value for headers in sets for value in headers.values()} <= {"", "Bearer "}


@pytest.mark.parametrize("introspection", [True, False])
def test_the_page_knows_whether_there_is_introspection(*, introspection: bool) -> None:
    graphiql = Configuration(Settings(graphiql=True, introspection=introspection)).graphiql
    assert graphiql is not None
    assert content_of(graphiql.text)["introspection"] is introspection
