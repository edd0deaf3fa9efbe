"""Every path: the routes, with and without a path prefix, and an error with a code at any other."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.routing import Route

from gateway.app import create_app
from gateway.http.graphiql import ASSETS_PATH, BUILT
from gateway.http.paths import GRAPHQL_PATH
from gateway.settings import Settings
from tests.gateways import Gateway, Sandbox, gateway_over
from tests.http.wire import RawResponse, connect, parse_responses, read_to_end
from tests.processes import gateway_process

PREFIX = "/api/audience"
ASSET = f"{ASSETS_PATH}/{min(Path(BUILT, 'assets').glob('*.svg')).name}"
QUERY = "?query={__typename}"


@pytest.fixture(scope="module")
def served_paths() -> list[str]:
    """Name all routes, with a file for the one that is a folder."""
    routes = create_app(Settings(graphiql=True)).routes
    fixed = [route.path for route in routes if isinstance(route, Route)]
    assert len(routes) == len(fixed) + 1
    return [*fixed, ASSET, f"{GRAPHQL_PATH}{QUERY}"]


@pytest.fixture(scope="module")
def plain(shared_sandbox: Sandbox) -> Iterator[Gateway]:
    with gateway_over(shared_sandbox, graphiql=True) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def prefixed(shared_sandbox: Sandbox) -> Iterator[Gateway]:
    with gateway_over(shared_sandbox, graphiql=True, path_prefix=PREFIX) as gateway:
        yield gateway


def raw(gateway: Gateway, method: str, target: str, *lines: str) -> RawResponse:
    """Send a request as it is written here; clients would change some targets."""
    head = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", *lines]
    with connect(gateway.url) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode("latin-1"))
        data = read_to_end(connection)
    if method == "HEAD":
        head_bytes, _, body = data.partition(b"\r\n\r\n")
        assert body == b""
        data = head_bytes.replace(b"content-length", b"x") + b"\r\nContent-Length: 0\r\n\r\n"
    (response,) = parse_responses(data)
    return response


def code_of(response: RawResponse) -> str:
    """Return the code of an error response, after checking all that each one has."""
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["cache-control"] == "private, no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-request-id"]
    (error,) = json.loads(response.body)["errors"]
    if response.status in {404, 405}:
        assert "Accepted: " in error["message"]
    code: str = error["extensions"]["code"]
    return code


SEGMENTS = st.sampled_from(
    ["graphql", "livez", "metrics", "explorer", "assets", "index.html", "api", "audience", "..",
     ".", "", "%2e%2e", "%2f", "%00", "%ff", "a" * 300, "%", "~", "graphql.json", "_sandbox"]
) | st.text("abc%./:;~", max_size=5)  # fmt: skip


@pytest.mark.parametrize("gateway_name", ["plain", "prefixed"])
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS", "TRACE", "QUERY"]),
    segments=st.lists(SEGMENTS, max_size=6),
)
@example(method="GET", segments=["explorer", "assets", "..", "index.html"])
@example(method="GET", segments=["explorer", "assets", "a" * 300])
@example(method="GET", segments=["explorer", "assets", "%00"])
@example(method="POST", segments=["explorer", "assets", "x.js"])
@example(method="GET", segments=["explorer", "assets"])
def test_every_refusal_is_json_with_a_code(
    request: pytest.FixtureRequest, gateway_name: str, method: str, segments: list[str]
) -> None:
    response = raw(request.getfixturevalue(gateway_name), method, "/" + "/".join(segments))
    assert response.status < 500
    if response.status >= 400 and method != "HEAD":
        code = code_of(response)
        assert (code == "NOT_FOUND") == (response.status == 404)
        assert ("allow" in response.headers) == (response.status == 405)


def test_another_method_is_405(plain: Gateway, served_paths: list[str]) -> None:
    for path in served_paths:
        response = raw(plain, "DELETE", path)
        assert (response.status, code_of(response)) == (405, "BAD_USER_INPUT")
        is_endpoint = path.startswith(GRAPHQL_PATH)
        assert response.headers["allow"] == ("GET, POST" if is_endpoint else "GET, HEAD")


@pytest.mark.parametrize("path", ["/nothing", "//graphql", "/graphql//", "/metrics/", "/livez/"])
def test_another_path_is_404_and_names_the_endpoint(
    plain: Gateway, prefixed: Gateway, path: str
) -> None:
    """Not a redirect: clients would repeat the request, credentials and all, at its target.

    A proxy that hides /metrics need not know other names of it.
    """
    for gateway, endpoint in ((plain, GRAPHQL_PATH), (prefixed, PREFIX + GRAPHQL_PATH)):
        response = raw(gateway, "POST", path)
        assert (response.status, code_of(response)) == (404, "NOT_FOUND")
        assert f"Accepted: {endpoint}." in response.body.decode()


@pytest.mark.parametrize("lines", [["Range: bytes=9999999-"], ["Range: x"], ["Range: bytes=0-1"]])
def test_assets_are_sent_as_a_whole(plain: Gateway, lines: list[str]) -> None:
    response = raw(plain, "GET", ASSET, *lines)
    assert response.status == 200
    assert response.body == (BUILT / "assets" / Path(ASSET).name).read_bytes()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_every_route_is_served_below_the_prefix_and_without_it(
    prefixed: Gateway, served_paths: list[str], method: str
) -> None:
    for path in served_paths:
        stripped, whole = (raw(prefixed, method, target) for target in (path, PREFIX + path))
        assert stripped.status != 404
        assert whole.status == stripped.status
        assert whole.headers.keys() == stripped.headers.keys()
        if path != "/metrics":
            assert whole.body == stripped.body


@pytest.mark.parametrize("prefix", ["/api/audienc", "/api/audience2", "/audience", PREFIX * 2])
def test_nothing_is_served_below_another_prefix(
    prefixed: Gateway, served_paths: list[str], prefix: str
) -> None:
    for path in served_paths:
        assert raw(prefixed, "GET", prefix + path).status == 404


@pytest.mark.parametrize("path", ["/graphql/", f"{PREFIX}/graphql", f"{PREFIX}/graphql/"])
def test_the_endpoint_has_a_slash_or_a_prefix_or_both(prefixed: Gateway, path: str) -> None:
    answer = prefixed.send("POST", path, json={"query": "{ __typename }"})
    assert answer.data == {"__typename": "Query"}


@pytest.mark.parametrize("path", ["", "/"])
def test_the_root_leads_to_graphiql_below_the_prefix(prefixed: Gateway, path: str) -> None:
    response = raw(prefixed, "GET", PREFIX + path)
    assert (response.status, response.headers["location"]) == (307, PREFIX + GRAPHQL_PATH)


@pytest.mark.parametrize("prefix", ["/graphql", "/metrics", "/a.b/~c/d_e-f"])
def test_a_prefix_may_be_the_path_of_a_route(shared_sandbox: Sandbox, prefix: str) -> None:
    with gateway_over(shared_sandbox, path_prefix=prefix) as gateway:
        for path in ("/graphql", "/graphql/"):
            for named in (path, prefix + path):
                assert gateway.send("GET", f"{named}{QUERY}").data == {"__typename": "Query"}
        assert gateway.send("GET", "/metrics").content.startswith("# HELP")
        assert gateway.send("GET", f"{prefix}/livez").content == "ok\n"


def test_limits_origins_and_logs_see_one_path(shared_sandbox: Sandbox) -> None:
    """A proxy's path changes neither a log line, nor CORS, nor what counts as a probe."""
    origin = "https://app.example.com"
    with gateway_process(
        shared_sandbox.url, path_prefix=PREFIX, cors_origins=origin, log_level="debug"
    ) as process:
        gateway = Gateway(process.url, shared_sandbox)
        for path in (f"{PREFIX}/graphql", "/graphql/", "/graphql"):
            answer = gateway.send("GET", path + QUERY, headers={"Origin": origin})
            assert answer.headers["access-control-allow-origin"] == origin
        for path in (f"{PREFIX}/livez", "/livez"):
            assert gateway.send("GET", path).status == 200
    lines = [json.loads(line) for line in process.output if '"event":"request"' in line]
    assert {(line["path"], line["level"]) for line in lines} == {
        ("/graphql", "info"),
        ("/livez", "debug"),
    }
    assert len(lines) == 5
