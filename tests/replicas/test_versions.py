"""Two versions side by side, as in a rolling update, share a Redis and do each other no harm."""

from collections.abc import Iterator

import pytest

from tests.gateways import Gateway, Sandbox
from tests.hostile.process import running
from tests.redis_servers import RedisServer, is_cache_key, running_redis

PAGE = """query($after: String) { audienceGenerationJobs(first: 5, after: $after) {
  nodes { name } pageInfo { endCursor } } }"""
OTHER = "tests.replicas.other_version"


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """Run a real Redis."""
    with running_redis() as server:
        yield server


@pytest.fixture
def versions(sandbox: Sandbox, redis: RedisServer) -> Iterator[list[Gateway]]:
    """Run this version and another one over one Redis."""
    environment = {
        "GATEWAY_UPSTREAM_URL": sandbox.url,
        "GATEWAY_CACHE_URL": redis.url,
        "GATEWAY_CACHE_SECONDS": "600",
        "GATEWAY_DRAIN_SECONDS": "0",
    }
    serve = ("serve", "--port", "0")
    with (
        running(*serve, environment=environment) as ours,
        running(*serve, module=OTHER, environment=environment) as other,
    ):
        yield [Gateway(program.url, sandbox) for program in (ours, other)]


def test_each_version_has_answers_of_its_own(
    versions: list[Gateway], redis: RedisServer, sandbox: Sandbox
) -> None:
    """They take turns: both are right, both are cached, and each entry is one of theirs."""
    answers = [versions[turn % 2].ask(PAGE).data["audienceGenerationJobs"] for turn in range(6)]
    names = {tuple(each["name"] for each in answer["nodes"]) for answer in answers}
    with redis.client() as client:
        entries = [key for key in client.scan_iter() if is_cache_key(key)]

    assert len(names) == 1
    assert sandbox.count() == len(entries) == len(versions)


def test_a_cursor_of_another_version_is_refused_and_not_misread(versions: list[Gateway]) -> None:
    """The client starts anew; each version reads its own."""
    for mine, its in (versions, versions[::-1]):
        answer = mine.ask(PAGE).data["audienceGenerationJobs"]
        after = {"after": answer["pageInfo"]["endCursor"]}

        assert mine.ask(PAGE, after).data["audienceGenerationJobs"]["nodes"] != answer["nodes"]
        assert its.ask(PAGE, after).code == "INVALID_CURSOR"
