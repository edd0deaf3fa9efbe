"""The checks of Redis: the server in the cache URL, or each primary of its cluster."""

import asyncio
import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_hex
from urllib.parse import urlsplit

from limits import RateLimitItemPerSecond
from redis.crc import key_slot
from redis.exceptions import NoPermissionError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.doctor import diagnosis
from gateway.doctor.diagnosis import Problem, Result, Row, State, attempt, row_of, skipped
from gateway.upstream.cache.encryption import decrypt, encrypt
from gateway.upstream.cache.redis import PREFIX, RedisClient
from gateway.upstream.cache.redis_cluster import SLOTS, SlotRange, read_slots
from gateway.upstream.cache.redis_node import Address, RedisNode, name_of
from gateway.upstream.resilience.rate_limit import WINDOW_SECONDS, shared_rate_limiter, slot_key

EVERY_SLOT = (range(SLOTS),)


async def check_redis(url: str | None, *, uses_scripts: bool) -> list[Row]:
    """Check the Redis at a cache URL; None if the URL is invalid."""
    if url is None:
        return [row_of("redis", skipped("the cache URL is invalid"))]
    if url == "memory://":
        return [row_of("redis", skipped("GATEWAY_CACHE_URL is memory://: no cache is shared"))]
    client, parts = RedisClient(url), urlsplit(url)
    address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"  # no password
    server = NodeChecks("redis", client.topology.seed, EVERY_SLOT, uses_scripts=uses_scripts)
    try:
        reached = await server.check_latency(address)
        if reached.state is State.FAIL:
            return [reached, *server.skip_others()]
        cluster, ranges = await _find_cluster(client)
        if not ranges:
            return [reached, *cluster, *await server.check_others()]
        rows = await asyncio.gather(
            *(
                _check_primary(client, address, slots, uses_scripts=uses_scripts)
                for address, slots in _slots_by_primary(ranges).items()
            )
        )
        return [reached, *cluster, *(row for each in rows for row in each)]
    finally:
        await client.close()


async def _find_cluster(client: RedisClient) -> tuple[list[Row], Sequence[SlotRange]]:
    """Return the slots of the cluster, if the server belongs to one, and a row about it."""
    ranges: Sequence[SlotRange] = ()
    try:
        async with asyncio.timeout(diagnosis.CHECK_SECONDS):
            ranges = await read_slots(client.topology.seed)
    except NoPermissionError:
        result: Result = skipped("the user may not call CLUSTER SLOTS, by which nodes are found")
    except ResponseError:
        return [], ()  # a server on its own
    except Exception as error:  # noqa: BLE001  it is diagnosed
        result = diagnosis.redis_problem(error)
    else:
        client.topology.adopt(ranges)
        result = _coverage(ranges)
    return [row_of("redis: cluster", result)], ranges


def _coverage(ranges: Sequence[SlotRange]) -> Result:
    primaries = _slots_by_primary(ranges)
    missing = SLOTS - sum(len(slots) for each in primaries.values() for slots in each)
    if missing:
        remedy = "Repair it, for example with `redis-cli --cluster fix`."
        return Problem(f"no node of the cluster holds {missing} of {SLOTS} slots", remedy)
    return f"a cluster; primaries: {', '.join(map(name_of, primaries))}"


def _slots_by_primary(ranges: Sequence[SlotRange]) -> dict[Address, list[range]]:
    primaries: dict[Address, list[range]] = {}
    for each in ranges:
        primaries.setdefault(each.address, []).append(range(each.first, each.last + 1))
    return primaries


async def _check_primary(
    client: RedisClient, address: Address, slots: Sequence[range], *, uses_scripts: bool
) -> list[Row]:
    what = f"redis {name_of(address)}"
    node = client.topology.node_at(address)
    if node.address != address:
        remedy = "Check cluster-announce-ip, cluster-announce-hostname and their ports."
        return [row_of(what, Problem("the cluster announces an invalid address", remedy))]
    checks = NodeChecks(what, node, slots, uses_scripts=uses_scripts)
    reached = await checks.check_latency()
    if reached.state is not State.FAIL:
        return [reached, *await checks.check_others()]
    announced = "Each node must be reachable at the address that it announces to the cluster."
    return [Row(what, reached.state, reached.detail, f"{reached.remedy} {announced}")]


@dataclass(frozen=True, slots=True)
class NodeChecks:
    """The checks of a server, with keys in one of its slots."""

    what: str
    node: RedisNode
    slots: Sequence[range]
    uses_scripts: bool

    async def check_latency(self, subject: str = "") -> Row:
        return await attempt(self.what, self._latency(), diagnosis.redis_problem, subject)

    def skip_others(self) -> list[Row]:
        return [
            row_of(f"{self.what}: {name}", skipped("Redis is not reached"))
            for name in ("entries", "scripts", "memory")
        ]

    async def check_others(self) -> list[Row]:
        return [
            await attempt(f"{self.what}: entries", self._entries(), diagnosis.redis_problem),
            await attempt(f"{self.what}: scripts", self._scripts(), diagnosis.redis_problem),
            await attempt(f"{self.what}: memory", self._memory(), diagnosis.redis_problem),
        ]

    async def _latency(self) -> Result:
        client = self.node.client
        with suppress(RedisTimeoutError):  # the first connection may be slow
            await client.ping()
        seconds = []
        for _ in range(5):
            started = time.perf_counter()
            if not await client.ping():
                return diagnosis.NO_REDIS
            seconds.append(time.perf_counter() - started)
        return latency_result(statistics.median(seconds) * 1000)

    async def _entries(self) -> Result:
        client = self.node.client
        key, encryption_key = self._token_for(lambda token: PREFIX + token), os.urandom(32)
        entry = encrypt(encryption_key, key, time.time() + 10, b"check")
        await client.set(PREFIX + key, entry, px=10_000)
        found: object = await client.get(PREFIX + key)
        # The gateway itself deletes nothing, and may lack the permission; the entry expires.
        with suppress(ResponseError):
            await client.delete(PREFIX + key)
        if isinstance(found, bytes) and decrypt(encryption_key, key, found) is not None:
            return "an encrypted entry was written, read and deleted"
        remedy = "Check that the address leads to one Redis only."
        return Problem("an entry that was just written is missing or changed", remedy)

    async def _scripts(self) -> Result:
        if not self.uses_scripts:
            return skipped("GATEWAY_CALLER_CALLS_PER_SECOND=0 needs none")
        limit = RateLimitItemPerSecond(1, WINDOW_SECONDS, namespace="caller")
        key = self._token_for(lambda token: slot_key(limit, token))
        if await self.node.adapter(shared_rate_limiter).hit(limit, key):
            return "replicas can share the rate limits of callers (EVALSHA)"
        return Problem("a rate limit rejects the first call", "Use an original Redis or Valkey.")

    async def _memory(self) -> Result:
        try:
            policy = (await self.node.client.info("memory")).get("maxmemory_policy")
        except NoPermissionError:
            return skipped("the user may not call INFO")
        if policy is None:
            return skipped("INFO does not report maxmemory-policy")
        if policy == "noeviction":
            cause = "the maxmemory-policy is noeviction: when the memory is full, writes fail"
            return Problem(cause, "Set maxmemory, and maxmemory-policy to allkeys-lru.", State.WARN)
        return f"the maxmemory-policy is {policy}"

    def _token_for(self, key_of: Callable[[str], str]) -> str:
        """Return a random text whose key is in one of the slots."""
        while True:
            slot = key_slot(key_of(token := token_hex(32)).encode())
            if any(slot in each for each in self.slots):
                return token


def latency_result(milliseconds: float) -> Result:
    limit, remedy = diagnosis.REDIS_LIMIT_MS, "Use a Redis that is nearer."
    detail = f"responds in {milliseconds:.1f} ms (limit: {limit} ms)"
    if milliseconds >= limit:
        return Problem(f"{detail}, so each lookup is a miss", remedy)
    if milliseconds >= limit / 2:
        return Problem(f"{detail}, so many lookups may be misses", remedy, State.WARN)
    return detail
