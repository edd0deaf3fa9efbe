"""Stock clients with manifests that their own tools made, and with hashes."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.dev import aws_headers
from gateway.graph.schema import client_sdl
from gateway.sandbox import CALLERS
from tests.clients.manifests import apollo_manifest, relay_manifest
from tests.clients.running import run_in_node
from tests.gateways import Gateway, Sandbox, gateway_over, still_sandbox
from tests.serving import serve

ADA = dict(aws_headers(CALLERS["ada"]))
PAGE = "query($first: Int!) { audienceGenerationJobs(first: $first) { nodes { id } } }"
OPTIONS = ("useGETForHashedQueries", "preferGetForPersistedQueries")
BY_POST, BY_GET = (dict.fromkeys(OPTIONS, value) for value in (False, True))

Result = Mapping[str, Any]
"""What a client returns: two pages, the job of a subscription, and its requests; or an error."""


class Upstream:
    """A sandbox for these tests alone, whose lists do not change."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self.sandbox = Sandbox(url)
        self.job = self.sandbox.start_job()
        self.sandbox.set_job_status(self.job, "ACTIVE")  # its subscriptions complete
        self._stack = stack

    def gateway(self, **settings: Any) -> str:
        return self._stack.enter_context(gateway_over(self.sandbox, **settings)).url

    def strict_gateway(self, manifest: Path) -> str:
        """Start a gateway that accepts nothing but the documents of a manifest."""
        return self.gateway(persisted_documents_file=manifest, persisted_only=True)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with ExitStack() as stack:
        yield Upstream(stack.enter_context(serve(still_sandbox())), stack)


@pytest.fixture(scope="module")
def results(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Result]:
    """Run all clients in one program, which takes seconds to start; return what they return."""
    relay, artifacts = relay_manifest(tmp_path_factory.mktemp("relay"), client_sdl())
    folder = tmp_path_factory.mktemp("apollo")
    apollo, other = apollo_manifest(folder), folder / "other.json"
    other.write_text('{"other": "{ __typename }"}')
    strict, manifest = upstream.strict_gateway(apollo), {"manifest": str(apollo)}
    models = "{ audienceModels { nodes { name } } }"
    scenarios: dict[str, tuple[str, str, dict[str, Any]]] = {
        "relay": ("relay", upstream.strict_gateway(relay), {"artifacts": str(artifacts)}),
        "apollo by post": ("apollo", strict, manifest),
        "apollo by get": ("apollo", strict, {**manifest, **BY_GET}),
        "apollo, not in the manifest": ("apollo", strict, {"query": models}),
        "graphql-sse, not in the manifest": ("graphql-sse", strict, {"documentId": "missing"}),
        "apollo, another manifest": (
            "apollo",
            upstream.gateway(persisted_documents_file=other),
            manifest,
        ),
    }
    for client in ("apollo", "urql"):
        for replica, options in (("first", BY_POST), ("second", BY_GET)):
            url = upstream.gateway()
            for run in ("once", "again"):
                scenarios[f"{client} to the {replica} replica, {run}"] = (client, url, options)
    sent = [
        {"client": client, "url": f"{url}/graphql", "headers": ADA, "arn": upstream.job, **options}
        for client, url, options in scenarios.values()
    ]
    return dict(zip(scenarios, run_in_node("persisted/all", sent), strict=True))


@pytest.fixture(scope="module")
def pages(upstream: Upstream) -> list[list[str]]:
    gateway = Gateway(upstream.gateway(), upstream.sandbox)
    return [
        [
            node["id"]
            for node in gateway.ask(PAGE, {"first": first}).data["audienceGenerationJobs"]["nodes"]
        ]
        for first in (2, 3)
    ]


def described(result: Result) -> list[str]:
    """Return how each request named its document; all must have succeeded."""
    requests = result["requests"]
    assert {request["status"] for request in requests} == {200}, result
    names = {"hasHash": "hash", "hasId": "id", "hasQuery": "query"}
    return [
        " ".join([request["method"], *(names[name] for name in names if request[name])])
        for request in requests
    ]


@pytest.mark.parametrize(
    ("scenario", "requests"),
    [
        ("relay", ["POST id"] * 3),
        ("apollo by post", ["POST hash"] * 3),
        ("apollo by get", ["GET hash"] * 3),
    ],
)
def test_documents_of_a_manifest_are_sent_as_ids_alone(
    results: Mapping[str, Result], pages: list[list[str]], scenario: str, requests: list[str]
) -> None:
    """The gateway accepts nothing else. The last request is a subscription."""
    result = results[scenario]

    assert described(result) == requests
    assert (result["pages"], bool(result["watched"])) == (pages, True)


def test_a_client_is_told_that_a_document_is_not_accepted(results: Mapping[str, Result]) -> None:
    """It falls back once, and gives up."""
    result = results["apollo, not in the manifest"]

    assert result["code"] == "FORBIDDEN"
    assert "Accepted: those of the gateway's manifest" in result["message"]
    assert [(each["hasQuery"], each["status"]) for each in result["requests"]] == [
        (False, 200),
        (True, 403),
    ]


def test_a_client_of_streams_is_told_that_an_id_is_unknown(results: Mapping[str, Result]) -> None:
    """It repeats a request whose response is not a stream, and would not give the reason."""
    result = results["graphql-sse, not in the manifest"]

    assert result["code"] == "PERSISTED_QUERY_NOT_FOUND"
    assert described(result) == ["POST id"]


def test_a_client_falls_back_where_a_replica_has_another_manifest(
    results: Mapping[str, Result], pages: list[list[str]]
) -> None:
    """The text that it sends then is not that of its id: the definitions have another order."""
    result = results["apollo, another manifest"]

    assert described(result) == [*["POST hash", "POST hash query"] * 3]
    assert result["pages"] == pages


@pytest.mark.parametrize("replica", ["first", "second"])
@pytest.mark.parametrize("client", ["apollo", "urql"])
def test_each_document_is_sent_once_to_each_replica(
    results: Mapping[str, Result], pages: list[list[str]], client: str, replica: str
) -> None:
    """By POST to the first, by GET to the second; the second run sends hashes alone."""
    once, again = (
        results[f"{client} to the {replica} replica, {run}"] for run in ("once", "again")
    )
    kinds = [kind.partition(" ")[2] for kind in described(once)]

    assert kinds == ["hash", "hash query", "hash", "hash", "hash query"]
    assert [kind.partition(" ")[2] for kind in described(again)] == ["hash"] * 3
    assert ("GET hash" in described(again)) == (replica == "second")
    assert once["pages"] == again["pages"] == pages
    assert once["watched"] == again["watched"]
