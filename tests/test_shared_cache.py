"""Gateways that share a Redis share each caller's pages with that caller only."""

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from gateway.upstream.cache import redis as redis_module
from gateway.upstream.cache.redis import PREFIX
from tests.gateways import GRAPHQL, Gateway, Sandbox, gateway_over, http, still_sandbox
from tests.processes import PATIENT, gateway_process, until
from tests.redis_servers import (
    PASSWORD,
    PASSWORD_IN_URLS,
    RedisServer,
    is_cache_key,
    running_cluster,
    running_redis,
)
from tests.serving import serve

RATE_LIMIT_KEY = re.compile(
    rb"audience-gateway:share:1:\{caller/[0-9a-f]{64}/600/12/second\}(/-1)?"
)
CACHE_KEYS = f"{PREFIX}*"
TIMEOUT_SECONDS = 60.0
REPETITIONS = 25
"""Of a load that is longer than several outages."""

QUERY = "{ audienceGenerationJobs(first: 100) { nodes { name audienceGenerationJobArn } } }"
WITH_DETAILS = "{ audienceGenerationJobs(first: 3) { nodes { name protectedQueryIdentifier } } }"
ALL_MEMBERS = (
    "{ audienceGenerationJobs(first: 5) { nodes { name startedBy status "
    "audienceGenerationJobArn configuredAudienceModelArn collaborationId "
    "protectedQueryIdentifier seedAudience { roleArn } tags { key value } } } }"
)
NAMES = ("ada", "grace", "edith", "ada_again")
ADA = CALLERS["ada"]
COLLABORATION_ID = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.fixture
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let gateways in this process wait for the Redis as long as a slow machine needs."""
    for name in ("CONNECT_SECONDS", "GET_SECONDS", "SET_SECONDS"):
        monkeypatch.setattr(redis_module, name, TIMEOUT_SECONDS)


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture(scope="module")
def shared_gateways(shared_sandbox: Sandbox, shared_redis: RedisServer) -> Iterator[list[Gateway]]:
    """Run two gateway processes that share one Redis."""
    options: Any = {"module": PATIENT, "cache_url": shared_redis.url, "cache_seconds": 600}
    with (
        gateway_process(shared_sandbox.url, **options) as first,
        gateway_process(shared_sandbox.url, **options) as second,
    ):
        yield [Gateway(program.url, shared_sandbox) for program in (first, second)]


@pytest.fixture
def two_gateways(
    shared_gateways: list[Gateway], empty_redis: RedisServer, sandbox: Sandbox
) -> list[Gateway]:
    """Return the gateways, over an empty Redis."""
    assert empty_redis.url
    assert all(each.sandbox is sandbox for each in shared_gateways)
    return shared_gateways


def job_count(gateway: Gateway) -> int:
    return len(gateway.ask(QUERY).data["audienceGenerationJobs"]["nodes"])


def test_pages_and_details_of_one_gateway_are_cached_for_the_other(
    two_gateways: list[Gateway],
) -> None:
    first, second = two_gateways
    for name in NAMES:
        data = [first.ask(query, caller=name).data for query in (QUERY, WITH_DETAILS)]
        first.sandbox.reset()
        assert [second.ask(query, caller=name).data for query in (QUERY, WITH_DETAILS)] == data
        assert first.sandbox.calls == []


def test_a_cached_page_is_for_its_caller_only(two_gateways: list[Gateway]) -> None:
    """Another caller of the account causes a call, and incomplete credentials AWS's error."""
    first, second = two_gateways
    first.ask(QUERY)
    other = second.ask(QUERY, caller="ada_again")
    forged = [
        replace(ADA, secret_access_key="w" * 40),
        replace(ADA, session_token="x" * 40),
        replace(ADA, access_key_id=CALLERS["grace"].access_key_id),
    ]
    rejected = [second.ask(QUERY, caller=None, headers=aws_headers(each)) for each in forged]
    calls = [(call["access_key_id"], call["status"]) for call in first.sandbox.calls]

    assert other.data == first.ask(QUERY).data
    assert [(answer.status, answer.code) for answer in rejected] == [(401, "UNAUTHENTICATED")] * 3
    assert all("data" not in answer.content for answer in rejected)
    assert calls == [
        (ADA.access_key_id, 200),
        (CALLERS["ada_again"].access_key_id, 200),
        *((each.access_key_id, 403) for each in forged),
    ]


def test_no_cache_refreshes_the_page_for_both(two_gateways: list[Gateway]) -> None:
    first, second = two_gateways
    first.ask(QUERY)
    second.ask(QUERY, headers={"Cache-Control": "no-cache"})
    first.ask(QUERY)

    assert first.sandbox.count() == 2


def test_a_dump_of_the_redis_reveals_nothing(
    two_gateways: list[Gateway], empty_redis: RedisServer
) -> None:
    """It has no text of requests, responses or callers."""
    secrets = {"arn:aws", "cleanrooms", "ListAudience", "audienceGeneration", "us-east-1"}
    secrets.add(COLLABORATION_ID)
    filtered = ALL_MEMBERS.replace("first: 5", f'first: 1, collaborationId: "{COLLABORATION_ID}"')
    for gateway, name in zip(two_gateways * 2, NAMES, strict=True):
        known = CALLERS[name]
        secrets |= strings_in(gateway.ask(ALL_MEMBERS, caller=name).data)
        secrets |= {known.account_id, known.access_key_id, known.secret_access_key}
        secrets |= {known.session_token or "no token"}
        assert gateway.ask(filtered, caller=name).data
    with empty_redis.client() as redis:
        keys = list(redis.scan_iter())
        dump = b"\0".join([*keys, *map(redis.dump, keys), *map(redis.get, keys)])

    rate_limit_keys = [key for key in keys if RATE_LIMIT_KEY.fullmatch(key)]
    assert len(rate_limit_keys) >= 4
    assert len(keys) - len(rate_limit_keys) >= 4 * 7
    assert all(is_cache_key(key) for key in keys if key not in rate_limit_keys)
    assert len(secrets) > 70
    assert [secret for secret in secrets if secret.encode() in dump] == []


def strings_in(data: Any) -> set[str]:
    """Collect strings that are too long to be in a dump by accident."""
    if isinstance(data, dict):
        data = list(data.values())
    if isinstance(data, list):
        return set().union(*map(strings_in, data))
    return {data} if isinstance(data, str) and len(data) > 5 else set()


@pytest.mark.usefixtures("_patience")
def test_entries_expire_in_redis_with_the_setting(
    sandbox: Sandbox, empty_redis: RedisServer
) -> None:
    with (
        gateway_over(sandbox, cache_url=empty_redis.url, cache_seconds=600) as gateway,
        empty_redis.client() as redis,
    ):
        gateway.ask(WITH_DETAILS)
        ttls = [redis.pttl(key) for key in redis.scan_iter(CACHE_KEYS)]

    assert len(ttls) == 4
    assert all(500_000 < ttl <= 600_000 for ttl in ttls)


LISTS = (
    "audienceGenerationJobs", "audienceExportJobs", "configuredAudienceModels", "audienceModels",
    "trainingDatasets",
)  # fmt: skip


@pytest.mark.usefixtures("_patience")
def test_all_lists_are_cached_in_a_cluster(sandbox: Sandbox) -> None:
    """The URL is that of one node; the keys of a caller are on both."""
    with (
        running_cluster() as cluster,
        gateway_over(sandbox, cache_url=cluster.nodes[0].url, cache_seconds=600) as gateway,
    ):
        for name in LISTS * 2:
            gateway.ask(f"{{ {name} {{ nodes {{ name }} }} }}")
        entries = [len(node.call("KEYS", CACHE_KEYS)) for node in cluster.nodes]

    assert len(sandbox.calls) == len(LISTS)
    assert sum(entries) == len(LISTS)


@pytest.mark.parametrize("fault", ["denied", "null-row"])
def test_errors_are_not_shared(sandbox: Sandbox, empty_redis: RedisServer, fault: str) -> None:
    """Neither AWS's nor those of the gateway itself."""
    sandbox.fault(fault)
    with (
        gateway_over(sandbox, cache_url=empty_redis.url) as first,
        gateway_over(sandbox, cache_url=empty_redis.url) as second,
        empty_redis.client() as redis,
    ):
        failed = first.ask(QUERY)
        entries = len(list(redis.scan_iter(CACHE_KEYS)))
        sandbox.reset()
        jobs = job_count(second)

    assert failed.code
    assert entries == 0
    assert jobs == 100


def test_gateways_over_different_upstreams_share_nothing(
    sandbox: Sandbox, empty_redis: RedisServer
) -> None:
    """Staging and production may have one Redis and the same callers."""
    with (
        serve(still_sandbox(jobs=12)) as other_url,
        gateway_over(sandbox, cache_url=empty_redis.url) as first,
        gateway_over(Sandbox(other_url), cache_url=empty_redis.url) as second,
    ):
        assert [job_count(first), job_count(second)] == [100, 12]


def test_the_log_never_contains_the_password(sandbox: Sandbox) -> None:
    """The level is `debug`, and the log covers the start and the loss of the Redis."""
    with (
        running_redis(password=PASSWORD) as server,
        gateway_process(
            sandbox.url, module=PATIENT, cache_url=server.url, log_level="debug"
        ) as program,
    ):
        gateway = Gateway(program.url, sandbox)
        gateway.ask(QUERY)
        with server.client() as redis:
            entries = len(list(redis.scan_iter(CACHE_KEYS)))
        server.kill()
        for name in NAMES:
            assert gateway.ask(QUERY, caller=name).data
    log = "".join(program.output)

    assert entries == 1
    assert "redis circuit opened" in log
    assert PASSWORD not in log
    assert PASSWORD_IN_URLS not in log


def test_a_gateway_starts_and_serves_without_its_redis(sandbox: Sandbox) -> None:
    with gateway_process(sandbox.url, cache_url="redis://127.0.0.1:1/0") as program:
        assert http("GET", f"{program.url}/readyz").is_success
        for _ in range(5):
            assert Gateway(program.url, sandbox).ask(QUERY).data

    assert sandbox.count() == 5


async def send_load(gateway: Gateway, repetitions: int = 8) -> int:
    """Send concurrent queries as all callers, none of which may fail; return their number."""

    async def send(client: httpx.AsyncClient, name: str) -> None:
        headers = {"Accept": GRAPHQL, **aws_headers(CALLERS[name])}
        for _ in range(repetitions):
            response = await client.post(
                f"{gateway.url}/graphql", json={"query": QUERY}, headers=headers
            )
            assert response.status_code == httpx.codes.OK
            assert "errors" not in response.json()

    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as client:
        await asyncio.gather(*(send(client, name) for name in NAMES for _ in range(3)))
    return len(NAMES) * 3 * repetitions


def caches(gateway: Gateway) -> bool:
    """Return whether a repeated query is served without a call."""
    gateway.ask(QUERY)
    before = gateway.sandbox.count()
    gateway.ask(QUERY)
    return gateway.sandbox.count() == before


@contextmanager
def paused(server: RedisServer) -> Iterator[None]:
    server.pause()
    try:
        yield
    finally:
        server.resume()


@contextmanager
def killed(server: RedisServer) -> Iterator[None]:
    server.kill()
    yield
    server.restart()


@pytest.mark.parametrize("outage", [paused, killed])
async def test_the_loss_of_redis_causes_no_errors(
    sandbox: Sandbox,
    redis_server: RedisServer,
    outage: Callable[[RedisServer], AbstractContextManager[None]],
) -> None:
    """Under load the upstream is called instead, and afterwards pages are shared again."""
    with gateway_over(sandbox, cache_url=redis_server.url, cache_seconds=600) as gateway:
        await send_load(gateway)
        await asyncio.to_thread(until, lambda: caches(gateway))
        with outage(redis_server):
            sandbox.reset()
            await send_load(gateway)
            assert sandbox.count() > 4
        await asyncio.to_thread(until, lambda: caches(gateway))


async def test_repeated_outages_under_load_cause_no_errors(
    sandbox: Sandbox, redis_server: RedisServer
) -> None:
    with gateway_over(sandbox, cache_url=redis_server.url, cache_seconds=0.2) as gateway:
        load = asyncio.create_task(send_load(gateway, REPETITIONS))
        steps = [redis_server.pause, redis_server.resume, redis_server.kill, redis_server.restart]
        while not load.done():
            for step in steps:
                await asyncio.to_thread(step)
                # Leaves time for some queries, however many.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(load), 0.15)
        assert await load == 4 * 3 * REPETITIONS
        await asyncio.to_thread(until, lambda: caches(gateway))
