"""The shared cache is encrypted: operators of the Redis can neither read nor forge an entry."""

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
from hypothesis import assume, given, reject
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.auth.credentials import Caller
from gateway.environment import read_settings
from gateway.setting_types import CACHE_URL
from gateway.settings import Settings, SettingsError
from gateway.telemetry.metrics import REDIS_REJECTED_COMMANDS
from gateway.upstream.cache import redis as redis_module
from gateway.upstream.cache.encryption import decrypt, encrypt
from gateway.upstream.cache.redis import (
    CONNECT_SECONDS,
    CONNECTIONS,
    FAILURES,
    GET_SECONDS,
    PREFIX,
    SET_SECONDS,
    EncryptedRedisCache,
    RedisClient,
    aiocache_backend,
)
from gateway.upstream.cache.redis_node import RedisNode, url_at
from gateway.upstream.resilience.circuit_breaker import CircuitBreaker
from tests.clock import Clock
from tests.redis_servers import (
    PASSWORD,
    PASSWORD_IN_URLS,
    RedisServer,
    is_cache_key,
    running_redis,
)
from tests.upstream.cache.entries import put, take
from tests.upstream.clients import caller

ADA, GRACE = caller("ada"), caller("grace")
KEY, OTHER_KEY = "a" * 64, "b" * 64
VALUE = ["a row", None]
MIB = 1024 * 1024
LONG_SECONDS = 60

encryption_keys = st.binary(min_size=32, max_size=32)
keys = st.text("0123456789abcdef", min_size=64, max_size=64)
times = st.floats(allow_nan=False)
values = st.binary(max_size=300)


@pytest.fixture(autouse=True)
def _long_time_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow for slow machines."""
    for name in ("GET_SECONDS", "SET_SECONDS", "CONNECT_SECONDS"):
        monkeypatch.setattr(redis_module, name, LONG_SECONDS)


@pytest.fixture
def _real_time_limits(_long_time_limits: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_module, "GET_SECONDS", GET_SECONDS)
    monkeypatch.setattr(redis_module, "SET_SECONDS", SET_SECONDS)
    monkeypatch.setattr(redis_module, "CONNECT_SECONDS", CONNECT_SECONDS)


def never_open() -> CircuitBreaker:
    return CircuitBreaker(10**9, 1)


@given(encryption_keys, keys, times, values)
def test_decrypt_reverses_encrypt(
    encryption_key: bytes, key: str, expires: float, value: bytes
) -> None:
    encrypted = encrypt(encryption_key, key, expires, value)

    assert decrypt(encryption_key, key, encrypted) == (expires, value)


@given(encryption_keys, keys, values, st.data())
def test_a_modified_value_does_not_decrypt(
    encryption_key: bytes, key: str, value: bytes, data: st.DataObject
) -> None:
    """Any bit of nonce, expiry, value or tag may change, and bytes may be missing or added."""
    encrypted = encrypt(encryption_key, key, 1.0, value)
    changed = bytearray(encrypted)
    changed[data.draw(st.integers(0, len(encrypted) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(encrypted) - 1))
    more = data.draw(st.binary(min_size=1, max_size=40))
    modified = [
        bytes(changed), encrypted[:cut], encrypted[cut + 1 :], encrypted + more, more + encrypted
    ]  # fmt: skip

    assert [decrypt(encryption_key, key, each) for each in modified] == [None] * 5


@given(encryption_keys, keys, encryption_keys, keys, values)
def test_other_keys_do_not_decrypt(
    encryption_key: bytes, key: str, other_encryption_key: bytes, other_key: str, value: bytes
) -> None:
    """Neither those of another caller do, nor the caller's own under another name."""
    assume(encryption_key != other_encryption_key)
    assume(key != other_key)
    encrypted = encrypt(encryption_key, key, 1.0, value)

    assert decrypt(other_encryption_key, key, encrypted) is None
    assert decrypt(encryption_key, other_key, encrypted) is None


@given(encryption_keys, keys, st.binary(max_size=200))
def test_arbitrary_bytes_do_not_decrypt(encryption_key: bytes, key: str, value: bytes) -> None:
    assert decrypt(encryption_key, key, value) is None


def test_equal_values_never_look_alike() -> None:
    """No nonce is used twice."""
    encrypted = {encrypt(ADA.encryption_key, KEY, 1.0, b"value") for _ in range(1000)}

    assert len({each[:12] for each in encrypted}) == 1000
    assert len({each[12:] for each in encrypted}) == 1000


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """Run a Redis that the test may pause, kill or reconfigure."""
    with running_redis() as server:
        yield server


@pytest.fixture
def redis(empty_redis: RedisServer) -> Iterator[Any]:
    with empty_redis.client() as client:
        yield client


@asynccontextmanager
async def open_cache(url: str, **options: Any) -> AsyncIterator[EncryptedRedisCache]:
    breaker = options.pop("breaker", None)
    cache = EncryptedRedisCache(RedisClient(url, breaker=breaker), **options)
    try:
        yield cache
    finally:
        await cache.close()


def node_of(cache: EncryptedRedisCache) -> RedisNode:
    """Return the node in the URL."""
    return cache._redis.topology.seed


@pytest.fixture
async def cache(empty_redis: RedisServer) -> AsyncIterator[EncryptedRedisCache]:
    async with open_cache(empty_redis.url, breaker=never_open()) as cache:
        yield cache


async def test_only_the_same_caller_and_key_find_an_entry(
    cache: EncryptedRedisCache, empty_redis: RedisServer
) -> None:
    """Another process finds it, too."""
    await put(cache, ADA, KEY, VALUE, 5)
    async with open_cache(empty_redis.url) as other:
        assert [await take(cache, ADA, KEY), await take(other, ADA, KEY)] == [VALUE, VALUE]
    assert await take(cache, ADA, OTHER_KEY) is None
    assert await take(cache, GRACE, KEY) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(VALUE, 0.0009), (VALUE, 0), (VALUE, -3600), ("x" * 5 * MIB, 5)],
    ids=["under a millisecond", "0", "negative", "too large to read back"],
)
async def test_an_entry_that_nobody_could_read_is_not_stored(
    cache: EncryptedRedisCache, redis: Any, value: object, seconds: float
) -> None:
    """Redis would reject a time to live of 0, or store the entry without one."""
    await put(cache, ADA, KEY, value, seconds)

    assert redis.dbsize() == 0


@pytest.mark.parametrize("seconds", [0.001, 0.25, 1.001, 4.9999, 3600])
async def test_redis_expires_an_entry_in_time(
    cache: EncryptedRedisCache, redis: Any, seconds: float
) -> None:
    """The time to live is exact to the millisecond."""
    await put(cache, ADA, KEY, VALUE, seconds)
    left = redis.pttl(PREFIX + KEY)

    assert left == -2 or 0 <= left <= seconds * 1000
    assert left != -2 or seconds < 1


async def test_an_entry_expires_even_if_redis_keeps_it(
    empty_redis: RedisServer, redis: Any
) -> None:
    """The expiry is encrypted with the value: removing the time to live prolongs nothing."""
    clock = Clock()
    async with open_cache(empty_redis.url, clock=clock) as cache:
        await put(cache, ADA, KEY, VALUE, 5)
        assert redis.persist(PREFIX + KEY)
        clock.now += 4.999
        before = await take(cache, ADA, KEY)
        clock.now += 0.001
        after = await take(cache, ADA, KEY)

    assert (before, after) == (VALUE, None)
    assert redis.exists(PREFIX + KEY)


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return (open, (str(self.file), "w"))


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
    "one without an expiry": lambda redis, key: redis.set(key, _encrypt_without_expiry()),
    "a list": lambda redis, key: (redis.delete(key), redis.rpush(key, "x")),
    "a hash": lambda redis, key: (redis.delete(key), redis.hset(key, "x", "y")),
    "a set": lambda redis, key: (redis.delete(key), redis.sadd(key, "x")),
    "a sorted set": lambda redis, key: (redis.delete(key), redis.zadd(key, {"x": 1})),
    "a stream": lambda redis, key: (redis.delete(key), redis.xadd(key, {"x": "y"})),
}


def _encrypt_without_expiry() -> bytes:
    nonce = bytes(12)
    return nonce + AESGCM(ADA.encryption_key).encrypt(nonce, b"1234567", KEY.encode())


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
async def test_a_forged_entry_is_a_miss(
    cache: EncryptedRedisCache, redis: Any, forge: Callable[[Any, str], object]
) -> None:
    """The next result replaces it."""
    await put(cache, ADA, KEY, "original", 5)
    forge(redis, PREFIX + KEY)
    found = await take(cache, ADA, KEY)
    redis.delete(PREFIX + KEY)
    await put(cache, ADA, KEY, VALUE, 5)

    assert (found, await take(cache, ADA, KEY)) == (None, VALUE)


async def test_a_pickle_is_a_miss_and_is_not_loaded(
    cache: EncryptedRedisCache, redis: Any, tmp_path: Path
) -> None:
    file = tmp_path / "created"
    redis.set(PREFIX + KEY, pickle.dumps(Payload(file)))

    assert await take(cache, ADA, KEY) is None
    assert not file.exists()


async def test_only_get_and_psetex_are_sent(
    cache: EncryptedRedisCache, empty_redis: RedisServer, redis: Any
) -> None:
    """HELLO is not needed; KEYS, SCAN, EVAL or FLUSHDB would harm other users of the Redis."""
    redis.config_resetstat()
    await put(cache, ADA, KEY, VALUE, 5)
    await put(cache, ADA, KEY, VALUE, 0)
    await asyncio.gather(*(take(cache, ADA, f"{n:064}") for n in range(100)))
    await take(cache, ADA, KEY)
    await cache.close()
    # Redis 7 names subcommands too, such as client|setinfo.
    sent = {name.partition("|")[0] for name in empty_redis.commands()}

    assert {"get", "psetex"} <= sent
    assert sent <= {"get", "psetex", "client", "select", "config", "info"}


async def test_other_keys_of_the_database_are_untouched(
    cache: EncryptedRedisCache, redis: Any
) -> None:
    foreign = {b"audience": b"1", b"audience-gateway:0:x": b"2", KEY.encode(): b"3"}
    redis.mset(foreign)
    await put(cache, ADA, KEY, VALUE, 5)
    await take(cache, ADA, OTHER_KEY)
    await cache.close()

    assert {key: redis.get(key) for key in foreign} == foreign
    assert [key for key in redis.scan_iter() if key not in foreign] == [(PREFIX + KEY).encode()]
    assert is_cache_key((PREFIX + KEY).encode())


async def test_an_entry_reveals_neither_its_value_nor_its_caller(
    cache: EncryptedRedisCache, redis: Any
) -> None:
    await put(cache, ADA, KEY, "arn:aws:cleanrooms-ml:us-east-1:111122223333:x" * 20, 5)
    dumped = redis.get(PREFIX + KEY)

    assert b"arn:" not in dumped
    for secret in (ADA.encryption_key, ADA.fingerprint, ADA.credentials.access_key.encode()):
        assert secret not in dumped


@pytest.fixture
def guarded_server() -> Iterator[RedisServer]:
    with running_redis(password=PASSWORD) as server:
        yield server


async def test_the_password_in_the_url_is_used_and_never_shown(
    guarded_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither is a wrong one, with which each read is a miss."""
    caplog.set_level(logging.DEBUG)
    wrong_url = f"redis://:wrong-{PASSWORD_IN_URLS}@127.0.0.1:{guarded_server.port}"
    found, shown = [], []
    with capture_logs() as logs:
        for url in (guarded_server.url, wrong_url):
            async with open_cache(url) as cache:
                for _ in range(FAILURES + 1):
                    await put(cache, ADA, KEY, VALUE, 5)
                found.append(await take(cache, ADA, KEY))
                settings = Settings(cache_url=url)
                shown += [cache, node_of(cache).client, settings, str(settings)]

    assert found == [VALUE, None]
    assert [event["event"] for event in logs] == ["redis circuit opened"]
    everything = f"{shown} {logs} {caplog.text}"
    assert PASSWORD not in everything
    assert PASSWORD_IN_URLS not in everything
    assert "wrong-" not in everything


def test_the_error_about_an_invalid_url_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may contain a password, and the message goes to a terminal or a log."""
    monkeypatch.setenv("GATEWAY_CACHE_URL", "redis://:hunter2@host/0/1")
    with pytest.raises(SettingsError) as caught:
        read_settings()

    assert "GATEWAY_CACHE_URL" in str(caught.value)
    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_an_unreachable_redis_is_a_miss_and_opens_the_breaker() -> None:
    """This holds from the start on, and is logged once."""
    with capture_logs() as logs:
        async with open_cache("redis://127.0.0.1:1/0") as cache:
            await asyncio.gather(*(put(cache, ADA, KEY, VALUE, 5) for _ in range(100)))
            found = await asyncio.gather(*(take(cache, ADA, KEY) for _ in range(100)))
            is_open = node_of(cache).breaker.open

    assert found == [None] * 100
    assert is_open
    assert [event["event"] for event in logs] == ["redis circuit opened"]


class FakeRedis:
    """A server that reads commands, counts connections, and sends a fixed reply."""

    def __init__(self, reply: bytes | None, *, handshakes: bool = True) -> None:
        self.reply = reply
        self.handshakes = handshakes
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while (words := await self._read_command(reader)) and self.reply != b"":
                if self.handshakes and words[0] in {b"AUTH", b"CLIENT", b"SELECT"}:
                    writer.write(b"+OK\r\n")
                elif self.reply is not None:
                    writer.write(self.reply)
                await writer.drain()
        writer.close()

    @staticmethod
    async def _read_command(reader: asyncio.StreamReader) -> list[bytes]:
        head = await reader.readline()
        words = []
        for _ in range(int(head[1:] or 0)):
            size = int((await reader.readline())[1:])
            words.append((await reader.readexactly(size + 2))[:-2])
        return words


@asynccontextmanager
async def serve_redis(fake: FakeRedis) -> AsyncIterator[str]:
    server = await asyncio.start_server(fake, "127.0.0.1", 0)
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


@pytest.mark.parametrize("handshakes", [True, False])
async def test_any_reply_is_at_most_a_miss(
    handshakes: bool,  # noqa: FBT001 - a case
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a wrong port, a broken proxy or another version, callers see no error."""
    monkeypatch.setattr(redis_module, "GET_SECONDS", 1)
    monkeypatch.setattr(redis_module, "SET_SECONDS", 1)

    async def get(reply: bytes) -> list[bytes | None]:
        async with (
            serve_redis(FakeRedis(reply, handshakes=handshakes)) as url,
            open_cache(url, breaker=never_open()) as cache,
        ):
            found = []
            for _ in range(2):
                await put(cache, ADA, KEY, VALUE, 5)
                found.append(await take(cache, ADA, KEY))
            return found

    found = await asyncio.gather(*map(get, NONSENSE))

    assert [reply for reply, each in zip(NONSENSE, found, strict=True) if any(each)] == []


@pytest.mark.usefixtures("_real_time_limits")
async def test_a_hanging_redis_gets_a_few_commands_and_then_one_per_reset_time() -> None:
    """Each command makes a connection at most, which the server counts."""
    clock, fake = Clock(), FakeRedis(None)
    breaker = CircuitBreaker(FAILURES, 10, clock=clock)
    async with serve_redis(fake) as url, open_cache(url, breaker=breaker) as cache:
        for _ in range(20):
            assert await take(cache, ADA, KEY) is None
        before = fake.connections
        for _ in range(3):
            clock.now += 10
            await asyncio.gather(*(take(cache, ADA, KEY) for _ in range(20)))

    # On a busy machine the time limit may pass before a connection is made.
    assert before in range(1, FAILURES + 1)
    assert fake.connections - before in range(1, 4)


async def test_the_timeout_of_redis_py_itself_is_off(cache: EncryptedRedisCache) -> None:
    """With it, Python 3.11 can lose a cancellation, and the command runs for 5 s more."""
    assert node_of(cache).client.connection_pool.connection_kwargs["socket_timeout"] is None


@pytest.mark.usefixtures("_real_time_limits")
async def test_commands_that_wait_for_a_connection_see_the_breaker_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redis_module, "CONNECTIONS", 5)
    fake = FakeRedis(None)
    async with serve_redis(fake) as url, open_cache(url) as cache:
        node_of(cache).breaker = CircuitBreaker(FAILURES, 3600)
        found = await asyncio.gather(*(take(cache, ADA, KEY) for _ in range(200)))

    assert found == [None] * 200
    assert fake.connections < 5 + FAILURES


async def test_commands_wait_for_a_connection_of_an_exhausted_pool(
    cache: EncryptedRedisCache, empty_redis: RedisServer
) -> None:
    """The pool by itself raises, and three errors open the breaker."""
    node_of(cache).breaker = CircuitBreaker(1, 3600)
    await put(cache, ADA, KEY, VALUE, 60)
    found = await asyncio.gather(*(take(cache, ADA, KEY) for _ in range(4 * CONNECTIONS)))

    assert found == [VALUE] * (4 * CONNECTIONS)
    with empty_redis.client() as redis:
        assert redis.info("clients")["connected_clients"] <= CONNECTIONS + 3


@pytest.mark.usefixtures("_real_time_limits")
async def test_a_busy_event_loop_does_not_open_the_breaker(cache: EncryptedRedisCache) -> None:
    """The reply has arrived before the timeout, and is read after it."""
    node_of(cache).breaker = CircuitBreaker(1, 3600)
    await put(cache, ADA, KEY, VALUE, 60)

    async def block() -> None:
        while True:
            time.sleep(GET_SECONDS)  # noqa: ASYNC251  the event loop is to be blocked
            await asyncio.sleep(0)

    blocking = asyncio.create_task(block())
    found = [await take(cache, ADA, KEY) for _ in range(3)]
    blocking.cancel()

    assert found == [VALUE] * 3


async def test_after_a_pause_a_probe_closes_the_breaker(
    own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    async with open_cache(
        own_server.url, breaker=CircuitBreaker(FAILURES, 10, clock=clock)
    ) as cache:
        await put(cache, ADA, KEY, VALUE, 60)
        own_server.pause()
        with monkeypatch.context() as during_the_pause:
            during_the_pause.setattr(redis_module, "GET_SECONDS", GET_SECONDS)
            missed = [await take(cache, ADA, KEY) for _ in range(FAILURES + 2)]
        was_open = node_of(cache).breaker.open
        own_server.resume()
        while_open = await take(cache, ADA, KEY)
        clock.now += 10
        found = [await take(cache, ADA, KEY) for _ in range(3)]

    assert missed == [None] * (FAILURES + 2)
    assert (was_open, while_open) == (True, None)
    assert found == [VALUE] * 3


async def test_a_restart_does_not_open_the_breaker(own_server: RedisServer) -> None:
    """The old connections are closed, which costs one miss."""
    async with open_cache(own_server.url, breaker=CircuitBreaker(2, 3600)) as cache:
        await asyncio.gather(*(take(cache, ADA, KEY) for _ in range(10)))
        await asyncio.to_thread(own_server.restart)  # lets the loop see them close
        await put(cache, ADA, KEY, VALUE, 60)
        found = await asyncio.gather(*(take(cache, ADA, KEY) for _ in range(20)))

    assert found == [VALUE] * 20


@pytest.mark.parametrize(
    ("reconfigure", "kind"),
    [
        (lambda redis: redis.config_set("maxmemory", 1), "OOM"),
        (lambda redis: redis.replicaof("127.0.0.1", "1"), "READONLY"),
    ],
    ids=["full", "a replica"],
)
async def test_a_redis_that_rejects_writes_is_still_read(
    own_server: RedisServer, reconfigure: Callable[[Any], object], kind: str
) -> None:
    """The breaker stays closed. Each is counted, and one a minute logged, without its text."""
    counted = REDIS_REJECTED_COMMANDS._value.get()
    async with open_cache(own_server.url) as cache:
        await put(cache, ADA, KEY, VALUE, 60)
        with own_server.client() as redis:
            reconfigure(redis)
        with capture_logs() as logs:
            for number in range(FAILURES + 2):
                await put(cache, ADA, OTHER_KEY, VALUE, 60 + number)
        found = await take(cache, ADA, KEY)
        is_open = node_of(cache).breaker.open

    assert (found, is_open) == (VALUE, False)
    assert REDIS_REJECTED_COMMANDS._value.get() - counted == FAILURES + 2
    assert logs == [
        {"event": "redis rejected a command", "kind": kind, "log_level": "warning"}
    ]  # fmt: skip


async def test_a_rejected_probe_closes_the_breaker(cache: EncryptedRedisCache, redis: Any) -> None:
    clock = Clock()
    node_of(cache).breaker = CircuitBreaker(1, 10, clock=clock)
    node_of(cache).breaker.record_failure()
    redis.rpush(PREFIX + KEY, "x")
    clock.now += 10

    assert await take(cache, ADA, KEY) is None
    assert node_of(cache).breaker.allows()
    assert node_of(cache).breaker.allows()


@pytest.mark.usefixtures("_real_time_limits")
async def test_closing_while_redis_hangs_is_no_error(
    own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may hang with bytes that it has not accepted."""
    monkeypatch.setattr(redis_module, "MAX_VALUE_BYTES", 128 * MIB)
    monkeypatch.setattr(redis_module, "SET_SECONDS", LONG_SECONDS)
    cache = EncryptedRedisCache(RedisClient(own_server.url))
    await take(cache, ADA, KEY)
    own_server.pause()
    writing = asyncio.create_task(put(cache, ADA, KEY, "x" * 32 * MIB, 60))
    pool: Any = node_of(cache).client.connection_pool
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
    async with asyncio.timeout(LONG_SECONDS):
        while not condition():  # noqa: ASYNC110 - redis-py sets no event
            await asyncio.sleep(0)


class SlowProxy:
    """A proxy that delays each part of a reply for a short, random time."""

    def __init__(self, port: int, rng: random.Random) -> None:
        self.port = port
        self.rng = rng
        self.tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.port)
        await asyncio.gather(
            self._copy(reader, upstream_writer, 0), self._copy(upstream_reader, writer, 0.02)
        )

    async def _copy(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, max_delay: float
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while part := await source.read(4096):
                if max_delay:
                    await asyncio.sleep(self.rng.uniform(0, max_delay))
                sink.write(part)
                await sink.drain()
        sink.close()
        with contextlib.suppress(ConnectionError):
            await sink.wait_closed()


@asynccontextmanager
async def slow_proxy(port: int, rng: random.Random) -> AsyncIterator[str]:
    """Serve a proxy to the Redis at a port."""
    proxy = SlowProxy(port, rng)
    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with asyncio.timeout(LONG_SECONDS):
        await asyncio.gather(*proxy.tasks)


def value_of(caller: Caller, key: str) -> str:
    """Return a value that identifies its entry, and takes several parts to send."""
    return (caller.fingerprint.hex() + key) * random.Random(key).randint(1, 60)  # noqa: S311 - sizes


async def test_cancelled_commands_never_leave_a_reply_to_another(empty_redis: RedisServer) -> None:
    """Whenever commands are cancelled, no other command ever gets the value of their key."""
    rng = random.Random(20230320)  # noqa: S311 - moments
    callers = [Caller.from_keys(f"ASIA{n}", f"secret {n}", f"token {n}") for n in range(20)]
    entries = [(each, f"{n:032}{m:032}") for n, each in enumerate(callers) for m in range(5)]
    outcomes = {"hit": 0, "miss": 0, "cancelled": 0}

    async def get(cache: EncryptedRedisCache, entry: tuple[Caller, str], seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                found = await take(cache, *entry)
        except TimeoutError:
            outcomes["cancelled"] += 1
            return
        assert found in {None, value_of(*entry)}
        outcomes["hit" if found else "miss"] += 1

    async with (
        open_cache(empty_redis.url) as direct,
        slow_proxy(empty_redis.port, rng) as url,
        open_cache(url, breaker=never_open()) as cache,
    ):
        for entry in entries:
            await put(direct, *entry, value_of(*entry), 600)
        for _ in range(15):
            limits = [LONG_SECONDS, *(rng.uniform(0, 0.06) for _ in range(2))]
            chosen = rng.choices(entries, k=100)
            await asyncio.gather(*(get(cache, each, rng.choice(limits)) for each in chosen))
        # A connection that is one reply behind would give misses from now on.
        for caller, key in entries * 2:
            assert decrypt(
                caller.encryption_key,
                key,
                await aiocache_backend(node_of(cache).client).get(PREFIX + key),
            )
        pool = node_of(cache).client.connection_pool
        assert not pool._in_use_connections

    assert outcomes["miss"] == 0
    assert min(outcomes["hit"], outcomes["cancelled"]) > 100


@given(st.from_regex(CACHE_URL.pattern.replace("memory://|", ""), fullmatch=True))
def test_each_cache_url_that_is_accepted_can_be_used(url: str) -> None:
    """Whatever the settings accept must not fail when the gateway starts."""
    try:
        CACHE_URL.validate(url)
    except ValueError:
        reject()
    node = RedisClient(url).topology.seed
    other = url_at(url, ("other", 1))

    assert node.address[0]
    assert CACHE_URL.validate(other) == other


def test_the_prefix_of_keys_has_a_version() -> None:
    """A gateway that encrypts in another way may use the same Redis."""
    assert re.fullmatch(r"audience-gateway:\d+:", PREFIX)
