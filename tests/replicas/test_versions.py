"""Two versions of the gateway that share a Redis, as in a rolling update."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateways import Gateway, Sandbox
from tests.processes import PATIENT, gateway_process
from tests.redis_servers import RedisServer, is_cache_key, running_redis

PAGE = """query($after: String) { audienceGenerationJobs(first: 5, after: $after) {
  nodes { name } pageInfo { endCursor } } }"""
OTHER_VERSION = "tests.replicas.other_version"


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture(scope="module")
def shared_versions(shared_sandbox: Sandbox, redis: RedisServer) -> Iterator[list[Gateway]]:
    settings: dict[str, Any] = {"cache_url": redis.url, "cache_seconds": 600}
    with (
        gateway_process(shared_sandbox.url, module=PATIENT, **settings) as this,
        gateway_process(shared_sandbox.url, module=OTHER_VERSION, **settings) as other,
    ):
        yield [Gateway(process.url, shared_sandbox) for process in (this, other)]


@pytest.fixture
def versions(shared_versions: list[Gateway], redis: RedisServer, sandbox: Sandbox) -> list[Gateway]:
    """Return this version and another one, over an empty Redis."""
    assert all(each.sandbox is sandbox for each in shared_versions)
    with redis.client() as client:
        client.flushall()
    return shared_versions


def test_each_version_caches_answers_of_its_own(
    versions: list[Gateway], redis: RedisServer, sandbox: Sandbox
) -> None:
    answers = [versions[number % 2].ask(PAGE).data for number in range(6)]
    names = {
        tuple(each["name"] for each in answer["audienceGenerationJobs"]["nodes"])
        for answer in answers
    }
    with redis.client() as client:
        entries = [key for key in client.scan_iter() if is_cache_key(key)]

    assert len(names) == 1
    assert sandbox.count() == len(entries) == len(versions)


def test_a_cursor_of_another_version_is_invalid(versions: list[Gateway]) -> None:
    """Clients start again at the first page; each version accepts its own cursors."""
    for one, other in (versions, versions[::-1]):
        first = one.ask(PAGE).data["audienceGenerationJobs"]
        after = {"after": first["pageInfo"]["endCursor"]}

        assert one.ask(PAGE, after).data["audienceGenerationJobs"]["nodes"] != first["nodes"]
        assert other.ask(PAGE, after).code == "INVALID_CURSOR"
