"""Gateways that share a Redis: warm pages for their owners, nothing for anybody else."""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS, create_sandbox
from gateway.upstream.cache.redis import PREFIX
from tests.gateways import GRAPHQL, Gateway, Sandbox, gateway_over
from tests.redis_servers import (
    PASSWORD,
    PASSWORD_IN_URLS,
    RedisServer,
    is_cache_key,
    running_redis,
    until,
)
from tests.serving import serve

ROOT = Path(__file__).parents[1]
ANNOUNCED = re.compile(r"running on (http://127\.0\.0\.1:\d+)")
STOP_SECONDS = 30

COUNTS = re.compile(rb"audience-gateway:share:1:\{caller/[0-9a-f]{64}/600/12/second\}(/-1)?")
CACHE_LOOKUPS = f"{PREFIX}*"
"""The keys of answers; those that count callers' calls are beside them."""
PATIENCE_SECONDS = 60.0

QUERY = "{ audienceGenerationJobs(first: 100) { nodes { name audienceGenerationJobArn } } }"
WITH_DETAILS = "{ audienceGenerationJobs(first: 3) { nodes { name protectedQueryIdentifier } } }"
ADA = CALLERS["ada"]
NOBODY_S = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """Run a Redis of one's own."""
    with running_redis() as server:
        yield server


@contextmanager
def served_process(sandbox: Sandbox, log: Path, **settings: object) -> Iterator[Gateway]:
    """Run `gateway serve` in a process of its own; `settings` are GATEWAY_* without the prefix."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    given = {
        "upstream_url": sandbox.url,
        "cache_seconds": 600,
        "drain_seconds": 0,
        **settings,
    }
    environment = {f"GATEWAY_{name.upper()}": str(value) for name, value in given.items()}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "--port", "0"],
            cwd=ROOT,
            env={**kept, "PYTHONPATH": str(ROOT), **environment},
            stdout=out,
            stderr=out,
        )
        try:
            until(lambda: process.poll() is not None or _announced(log), PATIENCE_SECONDS)
            found = _announced(log)
            assert found, f"the gateway did not start: {log.read_text()}"
            yield Gateway(found[1], sandbox)
            process.terminate()
            assert process.wait(STOP_SECONDS) is not None
        finally:
            process.kill()
            process.wait()


def _announced(log: Path) -> re.Match[str] | None:
    return ANNOUNCED.search(log.read_text())


@pytest.fixture
def two(sandbox: Sandbox, redis_server: RedisServer, tmp_path: Path) -> Iterator[list[Gateway]]:
    """Run two gateways that share one Redis."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                served_process(sandbox, tmp_path / f"{name}.log", cache_url=redis_server.url)
            )
            for name in ("first", "second")
        ]


def test_a_page_that_one_has_read_is_warm_in_the_other(two: list[Gateway]) -> None:
    """The second answers the same without a call; so it does for details.

    On a busy machine the Redis may be too slow once, which is a miss by design; not for each
    of several callers.
    """
    first, second = two
    shared = []
    for name in ("ada", "grace", "edith", "ada_again"):
        answers = [first.ask(each, caller=name).data for each in (QUERY, WITH_DETAILS)]
        calls = len(first.sandbox.calls)
        assert [second.ask(each, caller=name).data for each in (QUERY, WITH_DETAILS)] == answers
        shared.append(len(first.sandbox.calls) == calls)
    assert any(shared)


def test_a_warm_page_is_its_owner_s(two: list[Gateway]) -> None:
    """Another caller is asked for, and who knows the key id alone hears AWS's refusal."""
    first, second = two
    first.ask(QUERY)
    own = second.ask(QUERY, caller="ada_again")
    forged = [
        replace(ADA, secret_access_key="w" * 40),
        replace(ADA, session_token="x" * 40),
        replace(ADA, access_key_id=CALLERS["grace"].access_key_id),
    ]
    refused = [second.ask(QUERY, caller=None, headers=aws_headers(each)) for each in forged]
    asked = [(call["access_key_id"], call["status"]) for call in first.sandbox.calls]

    assert own.data == first.ask(QUERY).data
    assert [(answer.status, answer.code) for answer in refused] == [(401, "UNAUTHENTICATED")] * 3
    assert all("data" not in answer.content for answer in refused)
    assert asked == [
        (ADA.access_key_id, 200),
        (CALLERS["ada_again"].access_key_id, 200),
        *((each.access_key_id, 403) for each in forged),
    ]


def test_a_fresh_question_refreshes_the_page_for_both(
    two: list[Gateway],
) -> None:
    """What one has read past the cache is what the other finds."""
    first, second = two
    first.ask(QUERY)
    second.ask(QUERY, headers={"Cache-Control": "no-cache"})
    first.ask(QUERY)

    assert first.sandbox.count() == 2


def test_a_dump_of_the_redis_tells_nothing(two: list[Gateway], redis_server: RedisServer) -> None:
    """No key and no value has a word of what was asked, answered, or by whom."""
    everything = (
        "{ audienceGenerationJobs(first: 5) { nodes { name startedBy status "
        "audienceGenerationJobArn configuredAudienceModelArn collaborationId "
        "protectedQueryIdentifier seedAudience { roleArn } tags { key value } } } }"
    )
    told = {"arn:aws", "cleanrooms", "ListAudience", "audienceGeneration", "us-east-1"}
    for gateway, name in zip(two * 2, ("ada", "grace", "edith", "ada_again"), strict=True):
        told |= words_in(gateway.ask(everything, caller=name).data)
        known = CALLERS[name]
        told |= {known.account_id, known.access_key_id, known.secret_access_key}
        told |= {known.session_token or "no token"}
        asked = f'first: 1, collaborationId: "{NOBODY_S}"'
        assert gateway.ask(everything.replace("first: 5", asked), caller=name).data
    told.add(NOBODY_S)
    with redis_server.client() as redis:
        keys = list(redis.scan_iter())
        dumped = b"\0".join([*keys, *map(redis.dump, keys), *map(redis.get, keys)])

    counts = [key for key in keys if COUNTS.fullmatch(key)]
    assert len(counts) >= 4
    assert len(keys) - len(counts) >= 4 * 7
    assert all(is_cache_key(key) for key in keys if key not in counts)
    assert len(told) > 70
    assert [each for each in told if each.encode() in dumped] == []


def words_in(data: Any) -> set[str]:
    """Collect the texts of an answer that are long enough not to be there by accident."""
    if isinstance(data, dict):
        data = list(data.values())
    if isinstance(data, list):
        return set().union(*map(words_in, data))
    return {data} if isinstance(data, str) and len(data) > 5 else set()


def test_an_entry_ends_in_redis_too(sandbox: Sandbox, redis_server: RedisServer) -> None:
    """Each has a time to live, no longer than the setting."""
    with (
        gateway_over(sandbox, cache_url=redis_server.url, cache_seconds=7) as gateway,
        redis_server.client() as redis,
    ):
        gateway.ask(WITH_DETAILS)
        lives = [redis.pttl(key) for key in redis.scan_iter(CACHE_LOOKUPS)]

    assert len(lives) == 4
    assert all(0 < life <= 7000 for life in lives)


@pytest.mark.parametrize("fault", ["denied", "throttle", "html", "null-row"])
def test_what_went_wrong_is_not_shared(
    sandbox: Sandbox, redis_server: RedisServer, fault: str
) -> None:
    """One failure, then success: the other gateway sees it at once."""
    sandbox.fault(fault)
    with (
        gateway_over(sandbox, cache_url=redis_server.url) as first,
        gateway_over(sandbox, cache_url=redis_server.url) as second,
        redis_server.client() as redis,
    ):
        failed = first.ask(QUERY)
        kept = len(list(redis.scan_iter(CACHE_LOOKUPS)))
        sandbox.reset()
        answer = second.ask(QUERY)

    assert failed.code
    assert kept == 0
    assert len(answer.data["audienceGenerationJobs"]["nodes"]) == 100


def test_gateways_over_different_upstreams_share_nothing(
    sandbox: Sandbox, redis_server: RedisServer
) -> None:
    """A staging gateway beside the production one, on the same Redis and with the same keys."""
    with (
        serve(create_sandbox(jobs=12)) as other_url,
        gateway_over(sandbox, cache_url=redis_server.url) as first,
        gateway_over(Sandbox(other_url), cache_url=redis_server.url) as second,
    ):
        lengths = [
            len(gateway.ask(QUERY).data["audienceGenerationJobs"]["nodes"])
            for gateway in (first, second)
        ]

    assert lengths == [100, 12]


def test_the_password_is_nowhere_in_the_log(sandbox: Sandbox, tmp_path: Path) -> None:
    """Neither at the start, at the most talkative, nor when the Redis is lost."""
    log = tmp_path / "log"
    with (
        running_redis(password=PASSWORD) as server,
        served_process(sandbox, log, cache_url=server.url, log_level="debug") as gateway,
    ):
        gateway.ask(QUERY)
        with server.client() as redis:
            kept = len(list(redis.scan_iter(CACHE_LOOKUPS)))
        server.kill()
        for name in ("ada", "grace", "edith", "ada_again"):
            assert gateway.ask(QUERY, caller=name).data
    text = log.read_text()

    assert kept == 1
    assert "redis circuit opened" in text
    assert PASSWORD not in text
    assert PASSWORD_IN_URLS not in text


def test_a_redis_that_is_not_there_does_not_stop_the_start(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """The gateway starts, is ready, and answers from the upstream."""
    settings = {"cache_url": "redis://127.0.0.1:1/0"}
    with served_process(sandbox, tmp_path / "log", **settings) as gateway:
        assert httpx.get(f"{gateway.url}/readyz").is_success
        for _ in range(5):
            assert gateway.ask(QUERY).data

    assert sandbox.count() == 5


async def ask_much(gateway: Gateway, times: int = 8) -> int:
    """Ask all at once, as all callers and over and over; give how often. Nothing may go wrong."""
    names = ("ada", "grace", "edith", "ada_again")
    body = {"query": QUERY}

    async def ask(client: httpx.AsyncClient, name: str) -> None:
        headers = {"Accept": GRAPHQL, **aws_headers(CALLERS[name])}
        for _ in range(times):
            answer = await client.post(f"{gateway.url}/graphql", json=body, headers=headers)
            assert answer.status_code == httpx.codes.OK
            assert "errors" not in answer.json()

    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        await asyncio.gather(*(ask(client, name) for name in names for _ in range(3)))
    return len(names) * 3 * times


def warm(gateway: Gateway) -> bool:
    """Say whether the second of two questions is answered without a call."""
    gateway.ask(QUERY)
    before = gateway.sandbox.count()
    gateway.ask(QUERY)
    return gateway.sandbox.count() == before


@contextmanager
def paused(server: RedisServer) -> Iterator[None]:
    """Let it stand still in the block."""
    server.pause()
    try:
        yield
    finally:
        server.resume()


@contextmanager
def killed(server: RedisServer) -> Iterator[None]:
    """Let it be gone in the block."""
    server.kill()
    yield
    server.restart()


@pytest.mark.parametrize("lost", [paused, killed])
async def test_a_lost_redis_is_nobody_s_error(
    sandbox: Sandbox, redis_server: RedisServer, lost: Any
) -> None:
    """Under load: upstream answers meanwhile, and once it is back pages are shared again."""
    with gateway_over(sandbox, cache_url=redis_server.url, cache_seconds=600) as gateway:
        await ask_much(gateway)
        assert sandbox.count() == 4
        with lost(redis_server):
            sandbox.reset()
            await ask_much(gateway)
            assert sandbox.count() > 4
        await asyncio.to_thread(until, lambda: warm(gateway), PATIENCE_SECONDS)
        sandbox.reset()
        await ask_much(gateway)
        assert sandbox.count() <= 4


async def test_a_redis_that_comes_and_goes_is_nobody_s_error(
    sandbox: Sandbox, redis_server: RedisServer
) -> None:
    """It is paused, killed and restarted while questions are under way, at any moment."""
    with gateway_over(sandbox, cache_url=redis_server.url, cache_seconds=0.2) as gateway:
        asking = asyncio.create_task(ask_much(gateway, 60))
        steps = [redis_server.pause, redis_server.resume, redis_server.kill, redis_server.restart]
        while not asking.done():
            for step in steps:
                await asyncio.to_thread(step)
                # Questions are answered in between; how many is no matter.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(asking), 0.15)
        assert await asking == 4 * 3 * 60
        await asyncio.to_thread(until, lambda: warm(gateway), PATIENCE_SECONDS)
