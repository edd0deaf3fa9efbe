"""What replicas share is sealed: whoever holds the Redis reads nothing, and forges nothing."""

import asyncio
import contextlib
import json
import logging
import pickle
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import assume, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.auth.credentials import Caller
from gateway.settings import Settings, SettingsError, read_settings
from gateway.upstream.cache import redis as redis_module
from gateway.upstream.cache.redis import (
    CONNECT_SECONDS,
    CONNECTIONS,
    FAILURES,
    GET_SECONDS,
    PREFIX,
    SET_SECONDS,
    EncryptedRedisCache,
    RedisClient,
    decrypt,
    encrypt,
)
from gateway.upstream.resilience.circuit_breaker import CircuitBreaker
from tests.clock import Clock
from tests.redis_servers import (
    PASSWORD,
    PASSWORD_IN_URLS,
    RedisServer,
    is_one_of_ours,
    running_redis,
)
from tests.upstream.clients import caller

ADA, GRACE = caller("ada"), caller("grace")
KEY, OTHER_KEY = "a" * 64, "b" * 64
VALUE = b'["a row", null]'
MIB = 1024 * 1024
PATIENCE_SECONDS = 15

sealing_keys = st.binary(min_size=32, max_size=32)
keys = st.text("0123456789abcdef", min_size=64, max_size=64)
times = st.floats(allow_nan=False)
values = st.binary(max_size=300)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for Redis as long as it takes: the machines that run the tests are shared."""
    monkeypatch.setattr(redis_module, "GET_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(redis_module, "SET_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(redis_module, "CONNECT_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def _haste(_patience: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait no longer than the gateway does."""
    monkeypatch.setattr(redis_module, "GET_SECONDS", GET_SECONDS)
    monkeypatch.setattr(redis_module, "SET_SECONDS", SET_SECONDS)
    monkeypatch.setattr(redis_module, "CONNECT_SECONDS", CONNECT_SECONDS)


def never_open() -> CircuitBreaker:
    """Give a breaker that has all the patience there is."""
    return CircuitBreaker(10**9, 1)


@given(sealing_keys, keys, times, values)
def test_what_was_sealed_is_opened(
    encryption_key: bytes, key: str, expires: float, value: bytes
) -> None:
    """With the same keys, the same value and the same end come out."""
    assert decrypt(encryption_key, key, encrypt(encryption_key, key, expires, value)) == (
        expires,
        value,
    )


@given(sealing_keys, keys, values, st.data())
def test_no_changed_byte_goes_unnoticed(
    encryption_key: bytes, key: str, value: bytes, data: st.DataObject
) -> None:
    """Nonce, end, value and tag: each bit counts."""
    sealed = bytearray(encrypt(encryption_key, key, 1.0, value))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))

    assert decrypt(encryption_key, key, bytes(sealed)) is None


@given(sealing_keys, keys, values, st.data())
def test_nothing_is_cut_off_or_added(
    encryption_key: bytes, key: str, value: bytes, data: st.DataObject
) -> None:
    """At neither end, and be it all of it."""
    sealed = encrypt(encryption_key, key, 1.0, value)
    cut = data.draw(st.integers(0, len(sealed) - 1))
    more = data.draw(st.binary(min_size=1, max_size=40))
    forged = [sealed[:cut], sealed[cut + 1 :], sealed + more, more + sealed]

    assert [decrypt(encryption_key, key, each) for each in forged] == [None] * 4


@given(sealing_keys, keys, sealing_keys, keys, values)
def test_other_keys_open_nothing(
    encryption_key: bytes, key: str, other_sealing_key: bytes, other_key: str, value: bytes
) -> None:
    """Neither another caller's, nor the caller's own under another name."""
    assume(encryption_key != other_sealing_key)
    assume(key != other_key)
    sealed = encrypt(encryption_key, key, 1.0, value)

    assert decrypt(other_sealing_key, key, sealed) is None
    assert decrypt(encryption_key, other_key, sealed) is None


@given(sealing_keys, keys, st.binary(max_size=200))
def test_whatever_else_is_there_is_no_value(encryption_key: bytes, key: str, found: bytes) -> None:
    """Any bytes at all: none of them raises anything."""
    assert decrypt(encryption_key, key, found) is None


def test_a_value_never_looks_the_same_twice() -> None:
    """Who sees two entries cannot tell whether they hold the same, nor is a nonce used twice."""
    sealed = {encrypt(ADA.encryption_key, KEY, 1.0, VALUE) for _ in range(1000)}

    assert len({each[:12] for each in sealed}) == 1000
    assert len({each[12:] for each in sealed}) == 1000


@pytest.fixture(scope="module")
def shared_server() -> Iterator[RedisServer]:
    """Run one Redis for the tests that only read and write."""
    with running_redis() as server:
        yield server


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    """Give it empty."""
    with shared_server.client() as redis:
        redis.flushall()
        redis.config_resetstat()
    return shared_server


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """Run one to do something to."""
    with running_redis() as server:
        yield server


@pytest.fixture
def redis(server: RedisServer) -> Iterator[Any]:
    """Look into the Redis."""
    with server.client() as client:
        yield client


@asynccontextmanager
async def sealed_redis(url: str, **options: Any) -> AsyncIterator[EncryptedRedisCache]:
    """Open a cache over the Redis at a URL."""
    breaker = options.pop("breaker", None)
    cache = EncryptedRedisCache(RedisClient(url, breaker=breaker), **options)
    try:
        yield cache
    finally:
        await cache.close()


@pytest.fixture
async def cache(server: RedisServer) -> AsyncIterator[EncryptedRedisCache]:
    """Open a cache over the shared Redis."""
    async with sealed_redis(server.url, breaker=never_open()) as cache:
        yield cache


async def test_what_is_kept_is_found(cache: EncryptedRedisCache, server: RedisServer) -> None:
    """By the same caller under the same key, also in another process."""
    await cache.set(ADA, KEY, VALUE, 5)
    async with sealed_redis(server.url) as other:
        assert [await cache.get(ADA, KEY), await other.get(ADA, KEY)] == [VALUE, VALUE]
    assert await cache.get(ADA, OTHER_KEY) is None
    assert await cache.get(GRACE, KEY) is None


@pytest.mark.parametrize("seconds", [0.0009, 0, -0.5, -3600])
async def test_what_has_no_time_left_is_not_kept(
    cache: EncryptedRedisCache, redis: Any, seconds: float
) -> None:
    """Redis would refuse it, or worse: keep it for ever."""
    await cache.set(ADA, KEY, VALUE, seconds)

    assert redis.dbsize() == 0


@pytest.mark.parametrize("seconds", [0.001, 0.25, 1.001, 4.9999, 3600])
async def test_an_entry_never_outlives_its_time(
    cache: EncryptedRedisCache, redis: Any, seconds: float
) -> None:
    """Redis itself forgets it, in milliseconds."""
    await cache.set(ADA, KEY, VALUE, seconds)
    left = redis.pttl(PREFIX + KEY)

    assert left == -2 or 0 <= left <= seconds * 1000
    assert left != -2 or seconds < 1


async def test_an_entry_that_redis_does_not_forget_ends_all_the_same(
    server: RedisServer, redis: Any
) -> None:
    """Its end is sealed into it: who takes the time to live away prolongs nothing."""
    clock = Clock()
    async with sealed_redis(server.url, clock=clock) as cache:
        await cache.set(ADA, KEY, VALUE, 5)
        assert redis.persist(PREFIX + KEY)
        clock.now += 4.999
        before = await cache.get(ADA, KEY)
        clock.now += 0.001
        after = await cache.get(ADA, KEY)

    assert (before, after) == (VALUE, None)
    assert redis.exists(PREFIX + KEY)


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, crater: Path) -> None:
        self.crater = crater

    def __reduce__(self) -> Any:
        """Say how to be unpickled."""
        return (open, (str(self.crater), "w"))


FORGED: dict[str, Callable[[Any, str], object]] = {
    "JSON": lambda redis, key: redis.set(key, json.dumps(["a row", None])),
    "empty": lambda redis, key: redis.set(key, b""),
    "zeros": lambda redis, key: redis.set(key, bytes(64)),
    "a number": lambda redis, key: redis.set(key, 7),
    "truncated": lambda redis, key: redis.set(key, redis.get(key)[:-1]),
    "extended": lambda redis, key: redis.append(key, b"\0"),
    "too large": lambda redis, key: redis.setrange(key, 9 * MIB, b"x"),
    "100 MB": lambda redis, key: redis.setrange(key, 100 * MIB, b"x"),
    "another caller's": lambda redis, key: redis.set(
        key, encrypt(GRACE.encryption_key, KEY, 1e12, b"x")
    ),
    "another key's": lambda redis, key: redis.set(
        key, encrypt(ADA.encryption_key, OTHER_KEY, 1e12, b"")
    ),
    "another version's": lambda redis, key: redis.set(
        key, encrypt(ADA.encryption_key, key, 1e12, b"")
    ),
    "one without an end": lambda redis, key: redis.set(key, _sealed_without_end()),
    "a list": lambda redis, key: (redis.delete(key), redis.rpush(key, "x")),
    "a hash": lambda redis, key: (redis.delete(key), redis.hset(key, "x", "y")),
    "a set": lambda redis, key: (redis.delete(key), redis.sadd(key, "x")),
    "a sorted set": lambda redis, key: (redis.delete(key), redis.zadd(key, {"x": 1})),
    "a stream": lambda redis, key: (redis.delete(key), redis.xadd(key, {"x": "y"})),
}


def _sealed_without_end() -> bytes:
    nonce = bytes(12)
    return nonce + AESGCM(ADA.encryption_key).encrypt(nonce, b"1234567", KEY.encode())


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
async def test_what_somebody_put_there_is_a_miss(
    cache: EncryptedRedisCache, redis: Any, forge: Callable[[Any, str], object]
) -> None:
    """No error either, and the next answer takes its place."""
    await cache.set(ADA, KEY, b"as it was", 5)
    forge(redis, PREFIX + KEY)
    found = await cache.get(ADA, KEY)
    redis.delete(PREFIX + KEY)
    await cache.set(ADA, KEY, VALUE, 5)

    assert (found, await cache.get(ADA, KEY)) == (None, VALUE)


async def test_a_pickle_is_a_miss_and_is_not_run(
    cache: EncryptedRedisCache, redis: Any, tmp_path: Path
) -> None:
    """A program in the Redis stays there."""
    crater = tmp_path / "crater"
    redis.set(PREFIX + KEY, pickle.dumps(Bomb(crater)))

    assert await cache.get(ADA, KEY) is None
    assert not crater.exists()


async def test_swapped_values_are_misses(cache: EncryptedRedisCache, redis: Any) -> None:
    """Two callers' values change places, and two of one caller's."""
    await cache.set(ADA, KEY, b"ada's", 5)
    await cache.set(GRACE, OTHER_KEY, b"grace's", 5)
    hers, others = redis.get(PREFIX + KEY), redis.get(PREFIX + OTHER_KEY)
    redis.mset({PREFIX + KEY: others, PREFIX + OTHER_KEY: hers})

    assert [await cache.get(ADA, KEY), await cache.get(GRACE, OTHER_KEY)] == [None, None]
    assert [await cache.get(GRACE, KEY), await cache.get(ADA, OTHER_KEY)] == [None, None]


async def test_a_value_too_large_to_read_back_is_not_kept(
    cache: EncryptedRedisCache, redis: Any
) -> None:
    """It would be in the way, and nothing else."""
    await cache.set(ADA, KEY, bytes(5 * MIB), 5)

    assert redis.dbsize() == 0


async def test_nothing_but_reads_and_writes_is_sent(
    cache: EncryptedRedisCache, server: RedisServer, redis: Any
) -> None:
    """No KEYS, SCAN, EVAL or FLUSHDB: on a Redis of many, those are accidents. Nor HELLO."""
    redis.config_resetstat()
    await cache.set(ADA, KEY, VALUE, 5)
    await cache.set(ADA, KEY, VALUE, 0)
    await asyncio.gather(*(cache.get(ADA, f"{n:064}") for n in range(100)))
    await cache.get(ADA, KEY)
    await cache.close()
    sent = set(server.commands())

    assert {"get", "psetex"} <= sent
    assert sent <= {"get", "psetex", "client", "select", "config|resetstat", "config", "info"}


async def test_what_is_not_ours_is_left_alone(cache: EncryptedRedisCache, redis: Any) -> None:
    """Others may use the same database; ours are told by their names."""
    foreign = {b"audience": b"1", b"audience-gateway:0:x": b"2", KEY.encode(): b"3"}
    redis.mset(foreign)
    await cache.set(ADA, KEY, VALUE, 5)
    await cache.get(ADA, OTHER_KEY)
    await cache.close()

    assert {key: redis.get(key) for key in foreign} == foreign
    assert [key for key in redis.scan_iter() if key not in foreign] == [(PREFIX + KEY).encode()]
    assert is_one_of_ours((PREFIX + KEY).encode())


async def test_a_value_tells_nothing(cache: EncryptedRedisCache, redis: Any) -> None:
    """Neither of what is in it nor of whose it is."""
    await cache.set(ADA, KEY, b"arn:aws:cleanrooms-ml:us-east-1:111122223333:x" * 20, 5)
    dumped = redis.get(PREFIX + KEY)

    assert b"arn:" not in dumped
    for secret in (ADA.encryption_key, ADA.fingerprint, ADA.credentials.access_key.encode()):
        assert secret not in dumped


@pytest.fixture
def guarded_server() -> Iterator[RedisServer]:
    """Run a Redis that wants a password."""
    with running_redis(password=PASSWORD) as server:
        yield server


async def test_a_password_in_the_url_opens_and_is_not_told(
    guarded_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """With the right one it works, with a wrong one it is a miss; no text has either."""
    caplog.set_level(logging.DEBUG)
    wrong_url = f"redis://:wrong-{PASSWORD_IN_URLS}@127.0.0.1:{guarded_server.port}"
    told: list[str] = []
    with capture_logs() as logs:
        for url in (guarded_server.url, wrong_url):
            async with sealed_redis(url) as cache:
                for _ in range(FAILURES + 1):
                    await cache.set(ADA, KEY, VALUE, 5)
                told += [repr(await cache.get(ADA, KEY)), repr(cache), repr(cache._redis.client)]
                settings = Settings(cache_url=url)
                told += [repr(settings), str(settings)]

    assert (told[0], told[5]) == (repr(VALUE), "None")
    assert [event["event"] for event in logs] == ["redis circuit opened"]
    everything = f"{told} {logs} {caplog.text}"
    assert PASSWORD not in everything
    assert PASSWORD_IN_URLS not in everything
    assert "wrong-" not in everything


def test_a_bad_url_is_refused_without_being_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hold a password, and the message goes to a terminal or a log."""
    monkeypatch.setenv("GATEWAY_CACHE_URL", "redis://:hunter2@host/0/1")
    with pytest.raises(SettingsError) as caught:
        read_settings()

    assert "GATEWAY_CACHE_URL" in str(caught.value)
    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_a_redis_that_is_not_there_is_a_miss_and_soon_left_alone() -> None:
    """Also at the start; after a few failures it is not asked any more, and that is news once."""
    with capture_logs() as logs:
        async with sealed_redis("redis://127.0.0.1:1/0") as cache:
            await asyncio.gather(*(cache.set(ADA, KEY, VALUE, 5) for _ in range(100)))
            found = await asyncio.gather(*(cache.get(ADA, KEY) for _ in range(100)))
            is_open = cache._redis.breaker.open

    assert found == [None] * 100
    assert is_open
    assert [event["event"] for event in logs] == ["redis circuit opened"]


class Talker:
    """A server that reads commands, counts who comes, and says what it was told to say."""

    def __init__(self, says: bytes | None, *, handshakes: bool = True) -> None:
        self.says = says
        self.handshakes = handshakes
        self.connections = 0

    async def __call__(self, incoming: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while (words := await self._command(incoming)) and self.says != b"":
                if self.handshakes and words[0] in {b"AUTH", b"CLIENT", b"SELECT"}:
                    out.write(b"+OK\r\n")
                elif self.says is not None:
                    out.write(self.says)
                await out.drain()
        out.close()

    @staticmethod
    async def _command(incoming: asyncio.StreamReader) -> list[bytes]:
        head = await incoming.readline()
        words = []
        for _ in range(int(head[1:] or 0)):
            size = int((await incoming.readline())[1:])
            words.append((await incoming.readexactly(size + 2))[:-2])
        return words


@asynccontextmanager
async def talking(talker: Talker) -> AsyncIterator[str]:
    """Serve it; give the URL."""
    server = await asyncio.start_server(talker, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/1"


NONSENSE = [
    b"", b"\r\n", b"what?\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+\xff\xfe\r\n", b"_\r\n",
    b":1\r\n", b":one\r\n", b"$-5\r\n\r\n", b"$five\r\n", b"$3\r\nlonger\r\n", b"*-1\r\n",
    b"*1\r\n:x\r\n", b"*1\r\n" * 3000, b"$99999999999\r\nx", b"%1\r\n:1\r\n:2\r\n",
    b">0\r\n", b">3\r\n$7\r\nmessage\r\n+x\r\n+y\r\n", b"-\r\n", b"-ERR no\r\n", b"-LOADING x\r\n",
    b"-NOAUTH who?\r\n", b"-MOVED\r\n", b"-MOVED 1 127.0.0.1:1\r\n", b"-ASK 1\r\n",
    b"-READONLY no\r\n", b"-OOM no\r\n", b"-CLUSTERDOWN no\r\n", b"-NOPERM no\r\n",
]  # fmt: skip


@pytest.mark.usefixtures("_haste")
@pytest.mark.parametrize("handshakes", [True, False])
@pytest.mark.parametrize("says", NONSENSE, ids=lambda says: repr(says[:20]))
async def test_whatever_answers_there_is_at_most_a_miss(says: bytes, handshakes: bool) -> None:  # noqa: FBT001 - a case
    """A wrong port, a broken proxy, another version: nothing of it becomes the caller's error."""
    async with (
        talking(Talker(says, handshakes=handshakes)) as url,
        sealed_redis(url, breaker=never_open()) as cache,
    ):
        for _ in range(2):
            await cache.set(ADA, KEY, VALUE, 5)
            assert await cache.get(ADA, KEY) is None


@pytest.mark.usefixtures("_haste")
async def test_one_that_hangs_is_tried_a_few_times_and_then_once_a_rest() -> None:
    """Counted where it is: by the connections that come."""
    clock, talker = Clock(), Talker(None)
    breaker = CircuitBreaker(FAILURES, 10, clock=clock)
    async with talking(talker) as url, sealed_redis(url, breaker=breaker) as cache:
        for _ in range(20):
            assert await cache.get(ADA, KEY) is None
        at_first = talker.connections
        for _ in range(3):
            clock.now += 10
            await asyncio.gather(*(cache.get(ADA, KEY) for _ in range(20)))

    assert (at_first, talker.connections) == (FAILURES, FAILURES + 3)


async def test_no_time_is_redis_py_s_own(cache: EncryptedRedisCache) -> None:
    """What it sends within a time of its own can lose a cancellation, up to Python 3.11.

    A command that was given up would then go on until that time is over: 5 s.
    """
    assert cache._redis.client.connection_pool.connection_kwargs["socket_timeout"] is None


@pytest.mark.usefixtures("_haste")
async def test_a_crowd_learns_of_a_hanging_redis_from_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who waited for a connection in vain does not try it once more."""
    monkeypatch.setattr(redis_module, "CONNECTIONS", 5)
    talker = Talker(None)
    async with talking(talker) as url, sealed_redis(url) as cache:
        cache._redis.breaker = CircuitBreaker(FAILURES, 3600)
        found = await asyncio.gather(*(cache.get(ADA, KEY) for _ in range(200)))

    assert found == [None] * 200
    assert talker.connections < 5 + FAILURES


async def test_more_than_the_connections_is_no_failure(
    cache: EncryptedRedisCache, server: RedisServer
) -> None:
    """Who asks when all are in use waits for one: it finds what is there, and Redis is not blamed.

    The pool alone tells it of an error, and three of those open a breaker.
    """
    cache._redis.breaker = CircuitBreaker(1, 3600)
    await cache.set(ADA, KEY, VALUE, 60)
    found = await asyncio.gather(*(cache.get(ADA, KEY) for _ in range(4 * CONNECTIONS)))

    assert found == [VALUE] * (4 * CONNECTIONS)
    with server.client() as redis:
        assert redis.info("clients")["connected_clients"] <= CONNECTIONS + 3


@pytest.mark.usefixtures("_haste")
async def test_a_process_that_is_late_does_not_blame_redis(cache: EncryptedRedisCache) -> None:
    """Each turn of its loop takes long: the answer is there, it only has not been read yet."""
    cache._redis.breaker = CircuitBreaker(1, 3600)
    await cache.set(ADA, KEY, VALUE, 60)

    async def hold_up() -> None:
        while True:
            time.sleep(GET_SECONDS)  # noqa: ASYNC251  work that does not give way
            await asyncio.sleep(0)

    holding = asyncio.create_task(hold_up())
    found = [await cache.get(ADA, KEY) for _ in range(3)]
    holding.cancel()

    assert found == [VALUE] * 3


@pytest.mark.usefixtures("_haste")
async def test_after_a_pause_it_is_used_again(own_server: RedisServer) -> None:
    """The breaker opens while it stands still, and closes with the first probe that works."""
    clock = Clock()
    async with sealed_redis(
        own_server.url, breaker=CircuitBreaker(FAILURES, 10, clock=clock)
    ) as cache:
        await cache.set(ADA, KEY, VALUE, 60)
        own_server.pause()
        missed = [await cache.get(ADA, KEY) for _ in range(FAILURES + 2)]
        was_open = cache._redis.breaker.open
        own_server.resume()
        while_open = await cache.get(ADA, KEY)
        clock.now += 10
        found = [await cache.get(ADA, KEY) for _ in range(3)]

    assert missed == [None] * (FAILURES + 2)
    assert (was_open, while_open) == (True, None)
    assert found == [VALUE] * 3


async def test_after_a_restart_it_is_used_again(own_server: RedisServer) -> None:
    """The connections of before are dead, which costs a miss, not the breaker."""
    async with sealed_redis(own_server.url, breaker=CircuitBreaker(2, 3600)) as cache:
        await asyncio.gather(*(cache.get(ADA, KEY) for _ in range(10)))
        await asyncio.to_thread(own_server.restart)  # the loop learns of the ends meanwhile
        await cache.set(ADA, KEY, VALUE, 60)
        found = await asyncio.gather(*(cache.get(ADA, KEY) for _ in range(20)))

    assert found == [VALUE] * 20


@pytest.mark.parametrize(
    ("refuse", "kind"),
    [
        (lambda redis: redis.config_set("maxmemory", 1), "command"),
        (lambda redis: redis.replicaof("127.0.0.1", "1"), "You"),
    ],
    ids=["full", "a replica"],
)
async def test_one_that_takes_no_more_is_read_all_the_same(
    own_server: RedisServer, refuse: Callable[[Any], object], kind: str
) -> None:
    """A refusal is no failure, and is said once a minute, without its text."""
    async with sealed_redis(own_server.url) as cache:
        await cache.set(ADA, KEY, VALUE, 60)
        with own_server.client() as redis:
            refuse(redis)
        with capture_logs() as logs:
            for number in range(FAILURES + 2):
                await cache.set(ADA, OTHER_KEY, VALUE, 60 + number)
        found = await cache.get(ADA, KEY)
        is_open = cache._redis.breaker.open

    assert (found, is_open) == (VALUE, False)
    assert logs == [
        {"event": "redis rejected a command", "kind": kind, "log_level": "warning"}
    ]  # fmt: skip


async def test_a_probe_that_is_refused_shows_that_it_lives(
    cache: EncryptedRedisCache, redis: Any
) -> None:
    """A refusal is an answer: the breaker closes."""
    clock = Clock()
    cache._redis.breaker = CircuitBreaker(1, 10, clock=clock)
    cache._redis.breaker.record_failure()
    redis.rpush(PREFIX + KEY, "x")
    clock.now += 10

    assert await cache.get(ADA, KEY) is None
    assert cache._redis.breaker.allows()
    assert cache._redis.breaker.allows()


@pytest.mark.usefixtures("_haste")
async def test_closing_does_not_fail_where_redis_hangs(
    own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the gateway is not made an error by bytes that nobody takes."""
    monkeypatch.setattr(redis_module, "MAX_VALUE_BYTES", 128 * MIB)
    monkeypatch.setattr(redis_module, "SET_SECONDS", PATIENCE_SECONDS)
    cache = EncryptedRedisCache(RedisClient(own_server.url))
    await cache.get(ADA, KEY)
    own_server.pause()
    writing = asyncio.create_task(cache.set(ADA, KEY, bytes(32 * MIB), 60))
    pool: Any = cache._redis.client.connection_pool
    await until(lambda: any(map(_unsent, pool._in_use_connections)))
    (transport,) = (each._writer.transport for each in pool._in_use_connections)
    await cache.close()
    own_server.kill()
    writing.cancel()
    await asyncio.wait({writing})
    await until(lambda: transport.get_extra_info("socket").fileno() < 0)


def _unsent(connection: Any) -> int:
    size: int = connection._writer.transport.get_write_buffer_size() if connection._writer else 0
    return size


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until it is so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - redis-py sets no event
            await asyncio.sleep(0)


class Delaying:
    """A proxy that hands each piece of an answer on after a short while, of varied length."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self.port = port
        self.chance = chance
        self.serving: set[asyncio.Task[None]] = set()

    async def __call__(self, incoming: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        answers, asks = await asyncio.open_connection("127.0.0.1", self.port)
        ways = [self._hand_on(incoming, asks, 0), self._hand_on(answers, out, 0.02)]
        await asyncio.gather(*ways)

    async def _hand_on(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, longest: float
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await source.read(4096):
                if longest:
                    await asyncio.sleep(self.chance.uniform(0, longest))  # slowly: the point
                sink.write(piece)
                await sink.drain()
        sink.close()
        with contextlib.suppress(ConnectionError):
            await sink.wait_closed()


@asynccontextmanager
async def delaying(port: int, chance: random.Random) -> AsyncIterator[str]:
    """Serve one before the Redis at a port; give its URL."""
    proxy = Delaying(port, chance)
    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(*proxy.serving)


def value_of(who: Caller, key: str) -> bytes:
    """Give a value that tells whose it is and where, larger than a piece."""
    return (who.fingerprint.hex() + key).encode() * random.Random(key).randint(1, 60)  # noqa: S311 - sizes


async def test_clients_who_leave_never_leave_an_answer_to_another(server: RedisServer) -> None:
    """Commands given up at any moment: nobody gets what another key holds, then or afterwards."""
    chance = random.Random(20230320)  # noqa: S311 - moments
    who = [Caller.from_keys(f"ASIA{n}", f"secret {n}", f"token {n}") for n in range(20)]
    entries = [(each, f"{n:032}{m:032}") for n, each in enumerate(who) for m in range(5)]
    outcomes = {"found": 0, "missed": 0, "left": 0}

    async def ask(cache: EncryptedRedisCache, entry: tuple[Caller, str], patience: float) -> None:
        try:
            async with asyncio.timeout(patience):
                found = await cache.get(*entry)
        except TimeoutError:
            outcomes["left"] += 1
            return
        assert found in {None, value_of(*entry)}
        outcomes["found" if found else "missed"] += 1

    async with (
        sealed_redis(server.url) as direct,
        delaying(server.port, chance) as url,
        sealed_redis(url, breaker=never_open()) as cache,
    ):
        for entry in entries:
            await direct.set(*entry, value_of(*entry), 600)
        for _ in range(30):
            asked = chance.choices(entries, k=100)
            patience = [PATIENCE_SECONDS, *(chance.uniform(0, 0.06) for _ in range(2))]
            await asyncio.gather(*(ask(cache, each, chance.choice(patience)) for each in asked))
        # A connection that is one answer behind would miss from now on, for ever.
        for one, key in entries * 2:
            assert decrypt(one.encryption_key, key, await cache._backend.get(PREFIX + key))
        pool = cache._redis.client.connection_pool
        assert not pool._in_use_connections

    assert outcomes["missed"] == 0
    assert min(outcomes["found"], outcomes["left"]) > 300


def test_the_version_is_part_of_each_name() -> None:
    """A gateway that seals another way, beside this one on the same Redis, never meets it."""
    assert re.fullmatch(r"audience-gateway:\d+:", PREFIX)
