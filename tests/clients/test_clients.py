"""Stock clients, as they come, against `gateway serve` over a sandbox with 6,000 jobs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from gql import Client, GraphQLRequest
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import TransportQueryError

from gateway.dev import aws_headers
from gateway.graph.schema import client_sdl
from gateway.sandbox import CALLERS
from tests.browser import browser_page
from tests.clients.running import (
    CLIENTS,
    bundle,
    compile_for_relay,
    output_of,
    page_with,
    run_in_node,
)
from tests.gateways import Gateway, Sandbox, still_sandbox
from tests.processes import gateway_process
from tests.programs import needs
from tests.serving import serve

JOBS = """query Jobs($first: Int, $last: Int, $filter: AudienceGenerationJobFilter) {
  audienceGenerationJobs(first: $first, last: $last, filter: $filter) {
    nodes { id createTime }
  }
}"""

ADA = dict(aws_headers(CALLERS["ada"]))
EDITH = dict(aws_headers(CALLERS["edith"]))

ADDED_IN_BROWSERS = {
    # OpenTelemetry, Sentry, Datadog, New Relic, and gateways' own request ids.
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "vendor=1",
    "sentry-trace": "771a43a4192642f0b136d5159a501700-1234567890abcdef-1",
    "baggage": "sentry-release=shop%401.2",
    "x-datadog-trace-id": "1",
    "x-datadog-origin": "rum",
    "newrelic": "e30=",
    "x-request-id": "shop-1",
    "x-shop-session": "1",
}


NUMBERS = count()


@dataclass(frozen=True)
class Served:
    """A running gateway, and the origin of a page that may use it."""

    url: str
    page: str
    gateway: Gateway

    def options(self, headers: dict[str, str], **options: Any) -> dict[str, Any]:
        """Return the options of a client in JavaScript, whose document no other has sent."""
        return {"url": self.url, "headers": headers, "name": f"Jobs{next(NUMBERS)}", **options}

    def ids(self, caller: str = "ada", **variables: Any) -> list[str]:
        """Return the ids of the jobs in one page."""
        return [job["id"] for job in self.jobs(caller, **variables)]

    def jobs(self, caller: str, **variables: Any) -> list[Any]:
        answer = self.gateway.ask(JOBS, variables, caller=caller)
        jobs: list[Any] = answer.data["audienceGenerationJobs"]["nodes"]
        return jobs


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    scripts = {
        client: bundle(CLIENTS / f"{client}.js", "--format=iife", f"--global-name={client}")
        for client in ("apollo", "urql")
    }
    with (
        page_with(scripts) as page,
        serve(still_sandbox(jobs=6000)) as upstream,
        gateway_process(
            upstream, introspection=True, cache_seconds=60, cors_origins=page
        ) as process,
    ):
        gateway = Gateway(process.url, Sandbox(upstream))
        yield Served(f"{process.url}/graphql", page, gateway)


def described(requests: list[dict[str, Any]]) -> list[str]:
    """Return the method of each request, and what it has of the query; all must have succeeded."""
    assert {request["status"] for request in requests} == {200}
    return [
        f"{request['method']}{' hash' * request['hasHash']}{' query' * request['hasQuery']}"
        for request in requests
    ]


@pytest.mark.parametrize("use_get", [False, True])
def test_apollo_client(served: Served, *, use_get: bool) -> None:
    """It sends its document once, then the hash alone, and its cache joins the pages."""
    result = run_in_node(
        "apollo",
        served.options(EDITH, variables={"first": 3}, useGETForHashedQueries=use_get),
    )

    assert result["ids"] == served.ids("edith")
    method = "GET" if use_get else "POST"
    assert described(result["requests"]) == [
        f"{method} hash",
        "POST hash query",
        *[f"{method} hash"] * 2,
    ]


@pytest.mark.parametrize("prefer_get", [False, True])
def test_urql(served: Served, *, prefer_get: bool) -> None:
    """A filter matches the oldest 117 jobs only. urql would not get past a page without edges."""
    oldest = served.jobs("ada", last=118)
    variables = {"first": 20, "filter": {"createdBefore": oldest[0]["createTime"]}}
    result = run_in_node(
        "urql",
        served.options(ADA, variables=variables, preferGetForPersistedQueries=prefer_get),
    )

    assert result["ids"] == [job["id"] for job in oldest[1:]]
    assert result["sizes"] == [20, 40, 60, 80, 100, 117]
    method = "GET" if prefer_get else "POST"
    assert described(result["requests"]) == [
        f"{method} hash",
        f"{method} hash query",
        *[f"{method} hash"] * 5,
    ]


def test_relay(served: Served, tmp_path: Path) -> None:
    """Its compiler accepts the schema for clients, and its store joins the pages."""
    artifacts = compile_for_relay(tmp_path, client_sdl())
    result = run_in_node(
        "relay", served.options(EDITH, variables={"first": 3}, artifacts=str(artifacts))
    )

    ids = served.ids("edith")
    assert result == {"ids": ids, "refetched": ids[0]}


def test_graphql_request(served: Served) -> None:
    result = run_in_node("graphql-request", served.options(ADA, variables={"first": 3}))

    assert result == {
        "ids": served.ids(first=3),
        "status": 400,
        "code": "GRAPHQL_VALIDATION_FAILED",
    }


async def test_gql_of_python(served: Served) -> None:
    """With the schema that it fetches, against which it validates."""
    transport = AIOHTTPTransport(url=served.url, headers=ADA)
    async with Client(transport=transport, fetch_schema_from_transport=True) as session:
        result = await session.execute(GraphQLRequest(JOBS, variable_values={"first": 3}))
        with pytest.raises(TransportQueryError) as raised:
            await session.execute(GraphQLRequest(JOBS, variable_values={"first": -1}))

    ids = [job["id"] for job in result["audienceGenerationJobs"]["nodes"]]
    assert ids == served.ids(first=3)
    assert raised.value.errors is not None
    assert raised.value.errors[0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_pages_of_another_origin(served: Served) -> None:
    """Apollo Client, which names itself, and urql, with what monitoring adds to requests."""
    expected = served.ids("edith")
    headers = {**EDITH, **ADDED_IN_BROWSERS}
    async with browser_page() as visit:
        await visit.page.goto(served.page)
        for client, use_get in (("apollo", False), ("apollo", True), ("urql", False)):
            options = served.options(
                headers, variables={"first": 3}, useGETForHashedQueries=use_get
            )
            result = await visit.page.evaluate(f"options => {client}.default(options)", options)
            assert result["ids"] == expected
            assert described(result["requests"])[0] in {"GET hash", "POST hash"}
        assert visit.errors == []
        assert [line for line in visit.console if line.startswith("error")] == []


def test_http_client_of_java(served: Served) -> None:
    """It offers h2c: with a body of known length, in chunks, without one, and again."""
    java = needs("javac").removesuffix("c")
    body = json.dumps({"query": JOBS, "variables": {"first": 2}})
    query_string = urlencode({"query": "{ __typename }"})
    headers = [text for header in ADA.items() for text in header]
    lines = output_of(
        java, CLIENTS / "Client.java", served.url, body, query_string, *headers
    ).splitlines()

    jobs = {"audienceGenerationJobs": {"nodes": served.jobs("ada", first=2)}}
    expected = [jobs, jobs, {"__typename": "Query"}, jobs]
    assert [line.split(" ", 2)[:2] for line in lines] == [["HTTP_1_1", "200"]] * len(expected)
    assert [json.loads(line.split(" ", 2)[2])["data"] for line in lines] == expected


CURL = {
    "default": [],
    "offering h2c": ["--http2"],
    "chunked": ["-H", "Transfer-Encoding: chunked"],
    "offering h2c, chunked": ["--http2", "-H", "Transfer-Encoding: chunked"],
    "waiting for 100": ["-H", "Expect: 100-continue"],
    "HTTP/1.0": ["--http1.0"],
}


@pytest.mark.parametrize("options", CURL.values(), ids=CURL)
def test_curl(served: Served, options: list[str]) -> None:
    """Twice over one connection, but in HTTP/1.0."""
    body = json.dumps({"query": JOBS, "variables": {"first": 2}})
    headers = {**ADA, "Content-Type": "application/json"}
    request = [
        *("--silent", "--show-error", "--write-out", "\n%{response_code} %{num_connects}\n"),
        *options,
        *(text for name, value in headers.items() for text in ("-H", f"{name}: {value}")),
        *("--data-binary", body, served.url),
    ]
    lines = output_of(needs("curl"), *request, "--next", *request).splitlines()

    jobs = {"data": {"audienceGenerationJobs": {"nodes": served.jobs("ada", first=2)}}}
    assert [json.loads(line) for line in lines[::2]] == [jobs, jobs]
    again = "1" if "--http1.0" in options else "0"
    assert lines[1::2] == ["200 1", f"200 {again}"]
