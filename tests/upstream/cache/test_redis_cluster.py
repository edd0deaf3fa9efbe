"""A cluster is discovered from its replies, and a failing node costs its own slots only."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from types import CoroutineType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot
from redis.exceptions import MovedError
from structlog.testing import capture_logs

from gateway.cpu_scheduler import CpuScheduler, account_for_tasks
from gateway.upstream.cache import redis as redis_module
from gateway.upstream.cache import redis_cluster
from gateway.upstream.cache.redis import (
    PREFIX,
    EncryptedRedisCache,
    RedisClient,
)
from gateway.upstream.cache.redis_cluster import (
    MAX_NODES,
    SLOTS,
    SlotRange,
    read_slots,
)
from gateway.upstream.cache.redis_node import RedisNode, url_at
from gateway.upstream.resilience import rate_limit
from gateway.upstream.resilience.rate_limit import WINDOW_SECONDS, CallerRateLimiter, slot_key
from tests.listeners import full
from tests.redis_servers import (
    PASSWORD,
    PASSWORD_IN_URLS,
    RedisCluster,
    RedisServer,
    running_cluster,
    running_redis,
)
from tests.upstream.cache.entries import put, take
from tests.upstream.clients import caller
from tests.upstream.resilience.test_rate_limit import count_allowed

ADA = caller("ada")
VALUE = ["a row", None]
LONG_SECONDS = 60
CONNECT_SECONDS = 1
"""Enough to connect on a slow machine, and little to wait for where nothing answers."""
RATE = 2
BURST = RATE * WINDOW_SECONDS


def key_in(slots: range, number: int = 0) -> str:
    """Return a key of the cache whose slot is one of these; each number has another one."""
    names = (f"{each:064x}" for each in range(number << 32, (number + 1) << 32))
    return next(name for name in names if key_slot((PREFIX + name).encode()) in slots)


FIRST_HALF, SECOND_HALF = range(SLOTS // 2), range(SLOTS // 2, SLOTS)
KEYS = [key_in(half, number) for half in (FIRST_HALF, SECOND_HALF) for number in range(5)]
OF_FIRST, OF_SECOND = KEYS[0], KEYS[5]

PLAIN_USER = "ACL SETUSER", "plain", "on", ">secret", "~*", "+get", "+psetex"
"""One who may not ask for the slots."""


@pytest.fixture(autouse=True)
def _long_time_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow for slow machines, and for many changes a second."""
    for name in ("GET_SECONDS", "SET_SECONDS", "CONNECT_SECONDS"):
        monkeypatch.setattr(redis_module, name, LONG_SECONDS)
    monkeypatch.setattr(rate_limit, "REDIS_SECONDS", LONG_SECONDS)
    monkeypatch.setattr(redis_cluster, "REFRESH_SECONDS", 0.01)


@pytest.fixture
def _short_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_module, "RESET_SECONDS", 0.05)


@pytest.fixture(scope="module")
def shared_cluster() -> Iterator[RedisCluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: RedisCluster) -> RedisCluster:
    """Empty the shared cluster, for tests that kill none of its nodes."""
    for node in shared_cluster.nodes:
        node.call("FLUSHALL")
        node.call("CONFIG RESETSTAT")
    return shared_cluster


@asynccontextmanager
async def open_cache(url: str) -> AsyncIterator[EncryptedRedisCache]:
    cache = EncryptedRedisCache(RedisClient(url))
    try:
        yield cache
    finally:
        await cache.close()


async def found(cache: EncryptedRedisCache) -> list[bool]:
    """Return for each of the keys whether its entry is found."""
    return [await take(cache, ADA, key) == VALUE for key in KEYS]


async def store_all(cache: EncryptedRedisCache) -> None:
    for key in KEYS:
        await put(cache, ADA, key, VALUE, 600)


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(LONG_SECONDS):
        while not await condition():  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("named", [0, 1])
async def test_entries_are_found_on_all_nodes_by_the_url_of_one(
    cluster: RedisCluster, named: int
) -> None:
    """Another process that knows another node finds them, too."""
    async with open_cache(cluster.nodes[named].url) as cache:
        await store_all(cache)
        assert all(await found(cache))
    async with open_cache(cluster.nodes[1 - named].url) as other:
        assert all(await found(other))
    assert [node.call("DBSIZE") for node in cluster.nodes] == [5, 5]


def _cluster_calls(node: RedisServer) -> list[int]:
    """Return how often each command of clusters was called."""
    return [calls for name, calls in node.commands().items() if name.startswith("cluster")]


async def test_many_commands_at_once_read_the_slots_once(cluster: RedisCluster) -> None:
    async with open_cache(cluster.nodes[0].url) as cache:
        await asyncio.gather(*(take(cache, ADA, key) for key in KEYS * 20))
        calls = [number for node in cluster.nodes for number in _cluster_calls(node)]

    assert calls == [1]


@pytest.mark.parametrize("half", [FIRST_HALF, SECOND_HALF])
async def test_replicas_count_the_calls_of_a_caller_together(
    cluster: RedisCluster, half: range
) -> None:
    """The keys of a caller are on one node, whichever node a replica knows."""
    clients = [RedisClient(node.url) for node in cluster.nodes]
    limiters = [CallerRateLimiter(RATE, client) for client in clients]

    def slot_of(limit_key: bytes) -> int:
        return key_slot(slot_key(limiters[0]._limit, sha256(limit_key).hexdigest()).encode())

    ada = next(each for each in (b"%d" % n for n in range(1000)) if slot_of(each) in half)
    allowed = [await count_allowed(limiter, ada, BURST - 1) for limiter in limiters]
    for client in clients:
        await client.close()

    assert allowed == [BURST - 1, 1]
    assert [node.call("DBSIZE") > 0 for node in cluster.nodes] == [
        half is FIRST_HALF,
        half is SECOND_HALF,
    ]


async def test_a_slot_that_moves_is_followed(cluster: RedisCluster) -> None:
    slot = key_slot((PREFIX + OF_FIRST).encode())
    source, target = cluster.nodes
    async with open_cache(source.url) as cache:
        await store_all(cache)
        for node in cluster.nodes:
            node.call("FLUSHALL")
        cluster.move(slot, target)
        try:
            await store_all(cache)
            assert all(await found(cache))
            assert target.call("DBSIZE") == 6
        finally:
            for node in cluster.nodes:
                node.call("FLUSHALL")
            cluster.move(slot, source)
        await store_all(cache)
        assert all(await found(cache))


async def test_a_slot_that_is_being_moved_is_followed(cluster: RedisCluster) -> None:
    """Its new entries are stored where it goes, and its old ones are found where they are."""
    source, target = cluster.nodes
    slot, other = key_slot((PREFIX + OF_FIRST).encode()), OF_FIRST
    ids = [node.call("CLUSTER MYID").decode() for node in cluster.nodes]
    async with open_cache(source.url) as cache:
        await store_all(cache)
        target.call("CLUSTER SETSLOT", slot, "IMPORTING", ids[0])
        source.call("CLUSTER SETSLOT", slot, "MIGRATING", ids[1])
        try:
            assert all(await found(cache))
            source.call("DEL", PREFIX + other)
            await put(cache, ADA, other, VALUE, 600)
            assert await take(cache, ADA, other) == VALUE
            assert [source.call("DBSIZE"), target.call("DBSIZE")] == [4, 6]
        finally:
            for node in cluster.nodes:
                node.call("FLUSHALL")
                node.call("CLUSTER SETSLOT", slot, "STABLE")


async def get_within(cache: EncryptedRedisCache, key: str, seconds: float) -> bool:
    name = PREFIX + key
    found = await cache._redis.execute(seconds, name, lambda node: node.client.get(name))
    return found is not None


async def check_that_one_fails(
    cluster: RedisCluster, lost: int, lose: Callable[[RedisServer], None]
) -> None:
    """Check that each entry of the other node is found while commands to the lost one fail."""
    node = cluster.nodes[lost]
    is_kept = [lost == 1] * 5 + [lost == 0] * 5
    async with open_cache(cluster.nodes[0].url) as cache:
        await store_all(cache)
        lose(node)
        with capture_logs() as logs:
            results = [
                await asyncio.gather(
                    *(
                        get_within(cache, key, LONG_SECONDS if kept else 0.1)
                        for key, kept in zip(KEYS, is_kept, strict=True)
                    )
                )
                for _ in range(20)
            ]
        opened = [each["node"] for each in logs if each["event"] == "redis circuit opened"]

    assert results == [is_kept] * 20
    assert opened == [f"127.0.0.1:{node.port}"]


@pytest.mark.parametrize("lost", [0, 1], ids=["the one in the URL", "another one"])
async def test_a_node_that_hangs_costs_its_own_slots_only(cluster: RedisCluster, lost: int) -> None:
    try:
        await check_that_one_fails(cluster, lost, RedisServer.pause)
    finally:
        cluster.nodes[lost].resume()


@pytest.mark.usefixtures("_short_reset")
@pytest.mark.parametrize("user", ["default", "plain"])
async def test_a_node_that_vanishes_costs_its_own_slots_only_until_another_takes_over(
    user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing answers at its address. A replica is promoted, which says nothing to clients.

    The plain user may not ask for the slots.
    """
    monkeypatch.setattr(redis_module, "CONNECT_SECONDS", CONNECT_SECONDS)
    with running_cluster(replicas=1) as cluster, contextlib.ExitStack() as stack:
        replica = cluster.nodes[2]
        for node in cluster.nodes:
            node.call(*PLAIN_USER)

        def vanish(node: RedisServer) -> None:
            node.kill()
            stack.enter_context(full(node.port))

        await check_that_one_fails(cluster, 0, vanish)
        url = cluster.nodes[1].url.replace("//", f"//{user}:secret@")
        async with open_cache(url) as cache:
            await store_all(cache)
            replica.call("CLUSTER FAILOVER", "TAKEOVER")

            async def has_taken_over() -> bool:
                await store_all(cache)
                return all(await found(cache))

            await until(has_taken_over)
            assert not any(node.breaker.tripped for node in cache._redis.topology.nodes.values())


@asynccontextmanager
async def forwarding(listener: socket.socket, port: int) -> AsyncIterator[None]:
    """Forward connections to another port, as a balancer before the nodes does."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target_reader, target_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_copy(reader, target_writer), _copy(target_reader, writer))

    async with await asyncio.start_server(forward, sock=listener):
        yield


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.mark.usefixtures("_short_reset")
async def test_a_cluster_that_is_down_at_the_start_is_found_later(cluster: RedisCluster) -> None:
    """The address in the URL is none that a node announces."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # refuses connections as yet
        port = listener.getsockname()[1]
        # Its connections are closed first, for which `forwarding` waits since Python 3.12.
        async with (
            contextlib.AsyncExitStack() as stack,
            open_cache(f"redis://127.0.0.1:{port}") as cache,
        ):
            await store_all(cache)
            before = await found(cache)
            await stack.enter_async_context(forwarding(listener, cluster.nodes[0].port))

            async def all_found() -> bool:
                await store_all(cache)
                return all(await found(cache))

            await until(all_found)

    assert not any(before)
    assert [node.call("DBSIZE") for node in cluster.nodes] == [5, 5]


async def test_a_user_who_may_not_read_the_slots_is_redirected(cluster: RedisCluster) -> None:
    for node in cluster.nodes:
        node.call(*PLAIN_USER)
    client = RedisClient(cluster.nodes[0].url.replace("//", "//plain:secret@"))
    cache = EncryptedRedisCache(client)
    await store_all(cache)
    known = all(await found(cache))
    await cache.close()

    assert known


async def test_a_cluster_that_is_down_is_a_miss_that_the_log_names() -> None:
    """By default no node serves any slot while another one is down."""
    with running_cluster(full_coverage=True) as cluster:
        first, second = cluster.nodes
        second.kill()
        await asyncio.to_thread(cluster.wait_until_down, first)
        async with open_cache(first.url) as cache:
            with capture_logs() as logs:
                await put(cache, ADA, OF_FIRST, VALUE, 600)
                missed = await take(cache, ADA, OF_FIRST)

    assert missed is None
    assert [(each["event"], each["kind"]) for each in logs] == [
        ("redis rejected a command", "CLUSTERDOWN")
    ]


async def test_a_new_password_applies_to_the_next_commands() -> None:
    """Commands that run with the old one end well, and its connections are closed."""
    with running_redis(password=PASSWORD) as server:
        client = RedisClient(server.url)
        cache = EncryptedRedisCache(client)
        old = client.topology.seed
        await store_all(cache)
        server.call("ACL SETUSER", "default", ">new")  # beside the old one
        running = [asyncio.create_task(get_within(cache, key, LONG_SECONDS)) for key in KEYS * 20]
        await asyncio.sleep(0)
        client.reconfigure(server.url.replace(PASSWORD_IN_URLS, "new"))
        results = [*await asyncio.gather(*running), *await found(cache)]
        await asyncio.gather(*client._retiring)
        is_connected = [each.is_connected for each in _connections(old)]
        server.call("ACL SETUSER", "default", f"<{PASSWORD}")
        results += await found(cache)
        await cache.close()

    assert all(results)
    assert is_connected
    assert not any(is_connected)


def _connections(node: RedisNode) -> list[Any]:
    pool: Any = node.client.connection_pool
    return [*pool._available_connections, *pool._in_use_connections]


async def test_a_single_server_and_a_cluster_replace_each_other(
    cluster: RedisCluster, empty_redis: RedisServer
) -> None:
    client = RedisClient(empty_redis.url)
    cache = EncryptedRedisCache(client)
    stored = []
    for url in (cluster.nodes[0].url, empty_redis.url, cluster.nodes[1].url):
        client.reconfigure(url)
        await store_all(cache)
        stored.append(all(await found(cache)))
    await cache.close()

    assert stored == [True] * 3
    assert [node.call("DBSIZE") for node in (*cluster.nodes, empty_redis)] == [5, 5, 10]


async def test_the_same_url_keeps_the_connections(empty_redis: RedisServer) -> None:
    client = RedisClient(empty_redis.url)
    before = client.topology
    client.reconfigure(empty_redis.url)

    assert client.topology is before
    await client.close()


class Replying:
    """A client whose reply to each command is fixed."""

    def __init__(self, reply: Any) -> None:
        self.reply = reply

    async def execute_command(self, *_: object) -> Any:
        return self.reply


def node_replying(reply: Any, url: str = "redis://named:7000/0") -> RedisNode:
    node = RedisClient(url).topology.seed
    client: Any = Replying(reply)
    node.client = client
    return node


HOSTNAME = [b"hostname", b"node-1.example.com"]


@pytest.mark.parametrize(
    ("scheme", "primary", "address"),
    [
        ("redis", [b"10.0.0.1", 7001], ("10.0.0.1", 7001)),
        ("redis", [b"10.0.0.1", 7001, b"id", HOSTNAME], ("10.0.0.1", 7001)),
        ("rediss", [b"10.0.0.1", 7001, b"id", HOSTNAME], ("node-1.example.com", 7001)),
        (
            "rediss",
            [b"node-1.example.com", 7001, b"id", [b"ip", b"10.0.0.1"]],
            ("node-1.example.com", 7001),
        ),
        ("rediss", [b"10.0.0.1", 7001, b"id", [b"hostname", b""]], ("10.0.0.1", 7001)),
        ("redis", [b"", 7001, b"id"], ("named", 7001)),
        ("redis", [b"?", 7001, b"id", []], ("named", 7001)),
        ("redis", [None, 7001, b"id", []], ("named", 7001)),
        ("redis", [b"2001:db8::1", 7001], ("2001:db8::1", 7001)),
    ],
)
async def test_a_node_is_reached_by_the_name_that_its_certificate_has(
    scheme: str, primary: list[Any], address: tuple[str, int]
) -> None:
    """An unknown host is that of the node that replied."""
    node = node_replying([[0, 16383, primary, [b"replica", 7002]]], f"{scheme}://named:7000")

    assert await read_slots(node) == [SlotRange(0, 16383, address)]


@pytest.mark.parametrize(
    ("url", "address", "expected"),
    [
        ("redis://named:7000/0", ("other", 1), "redis://other:1/0"),
        ("rediss://user:pa%40ss@named", ("::1", 7001), "rediss://user:pa%40ss@[::1]:7001"),
    ],
)
def test_all_nodes_have_the_same_credentials(
    url: str, address: tuple[str, int], expected: str
) -> None:
    assert url_at(url, address) == expected


replies: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.integers(), st.binary(max_size=20), st.none()),
    lambda children: st.lists(children, max_size=6),
)
primaries = st.one_of(
    replies, st.tuples(st.one_of(st.binary(max_size=30), st.just(b"host")), st.integers(), replies)
)
slot_replies = st.one_of(
    replies, st.lists(st.tuples(st.integers(), st.integers(), primaries), max_size=6)
)


@given(slot_replies)
async def test_no_reply_breaks_what_works(reply: Any) -> None:
    """Whatever a server says of the slots, each key has a node, and the one in the URL stays."""
    client = RedisClient("redis://named:7000")
    topology = client.topology
    topology.seed.client = node_replying(reply).client
    await topology.refresh()

    assert topology.nodes[topology.seed.address] is topology.seed
    assert {topology.node_of(key) for key in KEYS} <= {*topology.nodes.values()}
    for address, node in topology.nodes.items():
        host, port = address
        assert address == node.address
        assert host
        assert 0 < port < 2**16


hosts = st.one_of(
    st.text("host-._:?%[]@/#AF019", max_size=20).map(str.encode),
    st.ip_addresses().map(str).map(str.encode),
)


@given(hosts, st.integers(1, 65535))
async def test_a_redirection_to_any_host_is_followed_or_ignored(host: bytes, port: int) -> None:
    """Also where two nodes write the same host differently."""
    topology = RedisClient("redis://named:7000").topology
    topology.seed.client = node_replying([[0, SLOTS - 1, [host, port]]]).client
    await topology.refresh()
    node = topology.node_of(OF_FIRST)
    moved = MovedError(f"0 {host.decode().swapcase()}:{port}")

    followed = await topology.follow(topology.seed, OF_FIRST, moved, LONG_SECONDS)
    assert followed is node
    assert topology.nodes[node.address] is node


async def test_no_caller_is_charged_for_reading_the_slots() -> None:
    """Its task would count as computing of the caller whose command was redirected first."""
    topology = RedisClient("redis://named:7000").topology
    topology.seed.client = node_replying([]).client

    async def refresh() -> object:
        task = topology.refresh()
        await task
        return task.get_coro()

    with account_for_tasks():
        coroutine = await CpuScheduler().run(b"caller", refresh())

    assert isinstance(coroutine, CoroutineType)


@pytest.mark.parametrize(
    "ranges",
    [[(0, SLOTS - 1)] * 2, [(0, SLOTS)], [(-1, 5)], [(5, 4)], [(0, 10**12)]],
)
async def test_slots_that_do_not_exist_or_overlap_are_rejected(
    ranges: list[tuple[int, int]],
) -> None:
    """Reading them all would hold up all requests."""
    node = node_replying([[first, last, [b"host", 7001]] for first, last in ranges])
    with pytest.raises(ValueError, match="out of range, or overlap"):
        await read_slots(node)


async def test_more_ranges_than_slots_are_not_looked_at() -> None:
    with pytest.raises(ValueError, match="more ranges than slots"):
        await read_slots(node_replying([None] * (SLOTS + 1)))


async def test_the_number_of_nodes_is_bounded() -> None:
    topology = RedisClient("redis://named:7000").topology
    for number in range(MAX_NODES + 5):
        topology.node_at((f"node-{number}", 7000))

    assert len(topology.nodes) == MAX_NODES
