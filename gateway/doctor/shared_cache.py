"""The Redis that replicas share: whether it is reached in time, and does what is asked of it."""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from secrets import token_hex
from urllib.parse import urlsplit

from limits import RateLimitItemPerSecond
from redis.exceptions import NoPermissionError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.doctor.redis_words import LIMIT_MS, SECONDS, in_words
from gateway.doctor.row import Row, State, fail, ok, skipped, warn
from gateway.upstream.cache.encrypted_redis import PREFIX, decrypt, encrypt
from gateway.upstream.cache.redis_client import RedisClient
from gateway.upstream.resilience.rate_limit import WINDOW_SECONDS, shared_counts

REACHED, ENTRIES, SCRIPTS, MEMORY = "redis", "redis: entries", "redis: scripts", "redis: memory"

CONNECT_TRIES = 3
PINGS = 5
NEAR_MS = LIMIT_MS / 2
ENTRY_SECONDS = 10
KEY_BYTES = 32


async def check_redis(url: str, *, counts_calls: bool) -> list[Row]:
    """Try it; `counts_calls` is whether callers' shares are counted there."""
    link = RedisClient(url)
    try:
        first = await _tried(REACHED, lambda: _reached(link))
        first = replace(first, detail=f"{_address(url)}: {first.detail}")
        rest = (
            (ENTRIES, lambda: _entries(link)),
            (SCRIPTS, lambda: _scripts(link, counts_calls=counts_calls)),
            (MEMORY, lambda: _memory(link)),
        )
        if first.state is State.FAIL:
            return [first, *(skipped(what, "It is not reached.") for what, _ in rest)]
        return [first, *[await _tried(what, step) for what, step in rest]]
    finally:
        await link.close()


async def _tried(what: str, step: Callable[[], Awaitable[Row]]) -> Row:
    try:
        async with asyncio.timeout(SECONDS):
            return await step()
    except Exception as error:  # noqa: BLE001  what is no Redis fails its parser in any way
        why, remedy = in_words(error)
        return fail(what, why if what == REACHED else f"{why[0].upper()}{why[1:]}", remedy)


async def _reached(link: RedisClient) -> Row:
    # One that is slow to connect once need not be slow.
    for _ in range(CONNECT_TRIES - 1):
        with suppress(RedisTimeoutError):
            await link.client.ping()
            break
    took = [await _ping(link) for _ in range(PINGS)]
    return latency_row(statistics.median(took) * 1000)


async def _ping(link: RedisClient) -> float:
    began = time.perf_counter()
    await link.client.ping()
    return time.perf_counter() - began


def latency_row(milliseconds: float) -> Row:
    """Judge how long an answer takes, by how long the gateway waits for one."""
    words = f"answers in {milliseconds:.1f} ms, of {LIMIT_MS} that it may take."
    if milliseconds >= LIMIT_MS:
        return fail(REACHED, f"{words} Each answer is a miss.", "Use one that is nearer.")
    if milliseconds >= NEAR_MS:
        return warn(REACHED, f"{words} Many may be misses.", "Use one that is nearer.")
    return ok(REACHED, words)


async def _entries(link: RedisClient) -> Row:
    """Keep a sealed value as the cache does, read it, and take it away."""
    name, encryption_key = token_hex(KEY_BYTES), os.urandom(KEY_BYTES)
    sealed = encrypt(encryption_key, name, time.time() + ENTRY_SECONDS, b"check")
    await link.client.set(PREFIX + name, sealed, px=ENTRY_SECONDS * 1000)
    found: object = await link.client.get(PREFIX + name)
    # The gateway takes nothing away, so it need not be allowed to; the entry ends by itself.
    with suppress(ResponseError):
        await link.client.delete(PREFIX + name)
    if not isinstance(found, bytes) or decrypt(encryption_key, name, found) is None:
        why = "What was just kept is gone, or is not what was kept."
        return fail(ENTRIES, why, "See that it is one Redis, not several behind one name.")
    return ok(ENTRIES, "A sealed value was kept, read and taken away.")


async def _scripts(link: RedisClient, *, counts_calls: bool) -> Row:
    """Count a call of nobody's, as callers' shares are counted."""
    if not counts_calls:
        return skipped(SCRIPTS, "GATEWAY_CALLER_CALLS_PER_SECOND=0 needs none.")
    once = RateLimitItemPerSecond(1, WINDOW_SECONDS, namespace="caller")
    if not await shared_counts(link).hit(once, token_hex(KEY_BYTES)):
        why = "The first call of a caller is refused."
        return fail(SCRIPTS, why, "See that it is a Redis or Valkey, not what imitates one.")
    return ok(SCRIPTS, "Replicas can count callers' calls together (EVALSHA).")


async def _memory(link: RedisClient) -> Row:
    try:
        found: object = await link.client.info("memory")
    except NoPermissionError:
        return skipped(MEMORY, "INFO may not be asked.")
    policy = found.get("maxmemory_policy") if isinstance(found, dict) else None
    if not isinstance(policy, str):
        return skipped(MEMORY, "It does not say what it does when it is full.")
    if policy == "noeviction":
        why = "maxmemory-policy is noeviction: once it is full, it takes no new entries."
        return warn(MEMORY, why, "Set maxmemory, and allkeys-lru as its policy.")
    return ok(MEMORY, f"maxmemory-policy is {policy}.")


def _address(url: str) -> str:
    """Give a Redis's address, without who logs in and by what."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
