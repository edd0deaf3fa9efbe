"""No caller ever gets another caller's response, whatever requests share."""

import asyncio
import contextlib
import json
import random
import re
import socket
import threading
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs
from uuid import NAMESPACE_OID, uuid5

import httpx
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from gateway.app import create_app
from gateway.auth.credentials import AwsCredentials, Caller
from gateway.concurrency import SingleFlight
from gateway.errors import (
    ForbiddenError,
    GatewayError,
    ThrottledError,
    UnauthenticatedError,
    UpstreamInvalidResponseError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from gateway.settings import Settings
from gateway.upstream.cache import redis as redis_module
from gateway.upstream.cache.cached_client import CachedClient
from gateway.upstream.cache.memory import MemoryCache, ResponseCache
from gateway.upstream.cache.redis import EncryptedRedisCache, RedisClient
from gateway.upstream.resilience.circuit_breaker import CircuitBreaker
from gateway.upstream.values import ItemRequest, Listing, PageRequest, RequestCost, UpstreamRequest
from tests.clock import Clock
from tests.gateways import http, request_bytes
from tests.http.wire import connect
from tests.processes import until
from tests.redis_servers import RedisServer
from tests.serving import serve
from tests.upstream.clients import (
    FIRST_PAGE,
    GET,
    LIST,
    PROJECTIONS,
    REGION,
    FakeClient,
    caller,
    row,
)

TIMEOUT_SECONDS = 60


class CacheKeyError(Exception):
    """Ends a request with the key of its cache lookup."""


class KeyRevealingCache(MemoryCache):
    async def get(self, _caller: Caller, key: str, _request: Any) -> Any:
        raise CacheKeyError(key)


Request = PageRequest | ItemRequest


async def look_up(client: CachedClient, caller: Caller, request: Request) -> Any:
    typed: UpstreamRequest[Any] = request
    return await client.cached(caller, typed, cost=RequestCost())


async def fetch(client: CachedClient, caller: Caller, request: Request) -> None:
    if await look_up(client, caller, request) is None:
        typed: UpstreamRequest[Any] = request
        await client.fetch(caller, typed, cost=RequestCost(), before_call=lambda: None)


def cache_key(caller: Caller, request: Request) -> str:
    """Return the key under which a response is cached and a call shared."""
    client = CachedClient(FakeClient(), KeyRevealingCache(0), 60, PROJECTIONS)
    with pytest.raises(CacheKeyError) as caught:
        asyncio.run(look_up(client, caller, request))
    return str(caught.value)


E_ACUTE, E_AND_ACUTE = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
PIECES = ["", "a", "b", "ab", "0", "null", '"', ",", ":", "1:1:", E_ACUTE, E_AND_ACUTE, "\ufeff"]
texts = st.sampled_from(PIECES) | st.lists(st.sampled_from(PIECES), max_size=3).map("".join)


@st.composite
def three_parts(draw: st.DrawFn) -> tuple[str, str, str]:
    """Split one of few texts anywhere: such parts collide when they are concatenated."""
    text = draw(st.sampled_from(["abcab", "aaaaa", f"{E_ACUTE}a{E_AND_ACUTE}", "1:1:a1:1:"]))
    ends = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    return text[: ends[0]], text[ends[0] : ends[1]], text[ends[1] :]


def with_keys(parts: tuple[str, str, str | None]) -> Caller:
    return Caller.from_keys(*parts)


def with_token(parts: tuple[str, str, str | None]) -> Caller:
    token, role_arn, region = parts
    credentials = AwsCredentials("A", "B", None)
    return Caller.from_token(credentials, token, role_arn, region or "", 1e10, limit_key=b"subject")


materials = three_parts() | st.tuples(texts, texts, texts | st.none())
makers = st.sampled_from([with_keys, with_token])
requests = st.builds(
    PageRequest,
    st.builds(
        Listing,
        st.sampled_from([LIST, "ListAudienceModels"]),
        st.sampled_from(["us-east-1", "us-east-2"]),
        st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
    ),
    texts | st.none(),
) | st.builds(
    ItemRequest,
    st.sampled_from([GET, LIST, "ListAudienceModels"]),
    st.sampled_from(["us-east-1", "us-east-2"]),
    st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
)


@given(makers, makers, materials, materials)
@example(with_keys, with_keys, ("ab", "c", "d"), ("a", "bc", "d"))
@example(with_keys, with_keys, ("a", "b", None), ("a", "b", ""))
@example(with_keys, with_keys, ("a", E_ACUTE, "c"), ("a", E_AND_ACUTE, "c"))
@example(with_keys, with_keys, ("a", "b", "cd"), ("a", "bc", "d"))
@example(with_keys, with_keys, ("a", "b", None), ("a", "b", "-"))
@example(with_keys, with_keys, ("a", "b", None), ("a", "b", "None"))
@example(with_keys, with_keys, ("a", "b", "c"), ("a", "b\0", "c"))
@example(with_keys, with_keys, ("a", "b", "c"), ("b", "a", "c"))
@example(with_keys, with_token, ("a", "b", "c"), ("a", "b", "c"))
@example(with_keys, with_token, ("b", "a", "c"), ("a", "b", "c"))
def test_callers_with_colliding_parts_share_nothing(
    make: Callable[[Any], Caller], make_other: Callable[[Any], Caller], one: Any, other: Any
) -> None:
    """All fingerprints, encryption keys and cache keys differ."""
    if make is make_other is with_token:
        one, other = ((*each[:2], each[2] or "") for each in (one, other))
    assume((make, one) != (make_other, other))
    first, second = make(one), make_other(other)
    material = {first.fingerprint, first.encryption_key, second.fingerprint, second.encryption_key}

    assert len(material) == 4
    assert cache_key(first, FIRST_PAGE) != cache_key(second, FIRST_PAGE)


LISTING = Listing(LIST, REGION)


@given(requests, requests)
@example(PageRequest(LISTING, None), PageRequest(LISTING, ""))
@example(PageRequest(LISTING, None), PageRequest(LISTING, "null"))
@example(PageRequest(LISTING, E_ACUTE), PageRequest(LISTING, E_AND_ACUTE))
@example(PageRequest(LISTING, None), ItemRequest(LIST, REGION, ()))
@example(
    PageRequest(Listing(LIST, REGION, (("a", "bc"),)), None),
    PageRequest(Listing(LIST, REGION, (("ab", "c"),)), None),
)
@example(
    PageRequest(Listing(LIST, REGION, (("a", ""),)), None),
    PageRequest(Listing(LIST, REGION, ()), None),
)
@example(
    PageRequest(Listing(LIST, REGION, (("a", "b"), ("a", "c"))), None),
    PageRequest(Listing(LIST, REGION, (("a", "c"),)), None),
)
def test_requests_with_colliding_parts_share_nothing(one: Request, other: Request) -> None:
    """Parts are equal if concatenated, null, absent or empty, or Unicode forms of one letter."""
    assume(one != other)

    assert cache_key(caller("ada"), one) != cache_key(caller("ada"), other)


@given(three_parts(), three_parts())
def test_the_end_of_a_caller_is_not_the_beginning_of_a_request(one: Any, other: Any) -> None:
    assume(one != other)
    keys = {
        cache_key(Caller.from_keys(a, b, None), PageRequest(Listing(LIST, REGION), c))
        for a, b, c in (one, other)
    }

    assert len(keys) == 2


@pytest.fixture
def redis_server(empty_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> RedisServer:
    """Return an empty Redis with long timeouts: these tests are not about its faults."""
    monkeypatch.setattr(redis_module, "GET_SECONDS", TIMEOUT_SECONDS)
    monkeypatch.setattr(redis_module, "SET_SECONDS", TIMEOUT_SECONDS)
    monkeypatch.setattr(redis_module, "CONNECT_SECONDS", TIMEOUT_SECONDS)
    return empty_redis


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "redis"])
async def cache(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[ResponseCache]:
    """Return an empty cache of each kind, with the clock."""
    if request.param == "memory":
        cache: ResponseCache = MemoryCache(64_000_000, clock=clock)
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        cache = EncryptedRedisCache(
            RedisClient(server.url, breaker=CircuitBreaker(1, 3600)), clock=clock
        )
    yield cache
    await cache.close()


async def fetch_both(client: CachedClient, caller: Caller) -> None:
    """Fetch a page and an object."""
    await fetch(client, caller, FIRST_PAGE)
    await fetch(client, caller, ItemRequest(GET, REGION, ()))


@pytest.mark.parametrize(
    ("remaining", "seconds", "ttl"), [(30, 3600, 30), (3600, 30, 30), (5, 5, 5)]
)
async def test_an_entry_expires_with_the_setting_or_the_credentials(
    cache: ResponseCache, clock: Clock, remaining: float, seconds: float, ttl: float
) -> None:
    """The earlier of the two counts."""
    upstream = FakeClient()
    client = CachedClient(upstream, cache, seconds, PROJECTIONS, clock=clock)
    ada = replace(caller("ada"), expires_at=clock.now + remaining)
    calls = []
    for pause in (0, ttl - 0.01, 0.01):
        clock.now += pause
        await fetch_both(client, ada)
        calls.append(len(upstream.calls))

    assert calls == [2, 2, 4]


@pytest.mark.parametrize("remaining", [0.0009, 0, -1, -1e9])
async def test_nothing_is_cached_for_expired_credentials(
    cache: ResponseCache, clock: Clock, remaining: float
) -> None:
    upstream = FakeClient()
    client = CachedClient(upstream, cache, 3600, PROJECTIONS, clock=clock)
    ada = replace(caller("ada"), expires_at=clock.now + remaining)
    await fetch_both(client, ada)
    clock.now += 0.001
    await fetch_both(client, replace(ada, expires_at=None))

    assert len(upstream.calls) == 4


ERRORS = [ForbiddenError, UnauthenticatedError, ThrottledError, UpstreamTimeoutError,
          UpstreamUnavailableError, UpstreamInvalidResponseError]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS)
async def test_errors_are_not_cached(
    cache: ResponseCache, clock: Clock, error: type[GatewayError]
) -> None:
    upstream = FakeClient(error("No."))
    client = CachedClient(upstream, cache, 3600, PROJECTIONS, clock=clock)
    with pytest.raises(error):
        await fetch_both(client, caller("ada"))
    await fetch_both(client, caller("ada"))
    await fetch_both(client, caller("ada"))

    assert len(upstream.calls) == 3


@pytest.mark.parametrize("token", [None, "", "another"])
async def test_partial_credentials_read_no_entry(
    cache: ResponseCache, clock: Clock, token: str | None
) -> None:
    upstream = FakeClient()
    client = CachedClient(upstream, cache, 3600, PROJECTIONS, clock=clock)
    await fetch_both(client, Caller.from_keys("ASIA", "secret", "token"))
    await fetch_both(client, Caller.from_keys("ASIA", "secret", token))
    await fetch_both(client, Caller.from_keys("ASIA", "guess", "token"))

    assert len(upstream.calls) == 6


def collaboration_id_of(name: str) -> str:
    return str(uuid5(NAMESPACE_OID, name))


class EchoingUpstream:
    """An upstream that lists to each caller rows with the caller's name, after a random delay.

    It records the callers, and those whose credentials came with another caller's collaboration.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.mixed_up: list[str] = []
        self._random = random.Random(1)  # noqa: S311 - delays

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        credential = headers[b"authorization"].decode().partition("Credential=")[2]
        name = f"{credential.partition('/')[0]} {headers[b'x-amz-security-token'].decode()}"
        self.calls[name] += 1
        collaboration = parse_qs(scope["query_string"].decode()).get("collaborationId")
        if collaboration not in (None, [collaboration_id_of(name)]):
            self.mixed_up.append(name)
        await asyncio.sleep(self._random.uniform(0, 0.02))  # so that calls overlap
        body = json.dumps({"audienceGenerationJobs": [row(name)] * 3}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


def http_request(query: str, key_id: str, token: str, cache: str = "max-age=0") -> bytes:
    headers = {
        "X-Aws-Access-Key-Id": key_id,
        "X-Aws-Secret-Access-Key": "one-secret-of-all-callers",
        "X-Aws-Session-Token": token,
        "Cache-Control": cache,
    }
    return request_bytes(query, headers)


class ConcurrentCallers:
    """Sixty-four callers, each of them twice at once.

    Each part of their credentials is shared with seven others, or with all.
    """

    def __init__(self, url: str) -> None:
        self.responses: Counter[str] = Counter()
        self.disconnects = 0
        self._address = httpx.URL(url)
        self._random = random.Random(64)  # noqa: S311 - moments

    async def run(self, rounds: int) -> None:
        """Send requests at once, some of which are given up early."""
        parts = [(f"ASIA{a:016}", f"token-{b}") for a in range(8) for b in range(8)]
        await asyncio.gather(*(self._run(rounds, *each) for each in parts * 2))

    async def _run(self, rounds: int, key_id: str, token: str) -> None:
        name = f"{key_id} {token}"
        rows = {"data": {"audienceGenerationJobs": {"nodes": [{"name": name}] * 3}}}
        for _ in range(rounds):
            await asyncio.sleep(self._random.uniform(0, 0.05))  # at any moment
            timeout = self._random.choice([0.01, 0.05, TIMEOUT_SECONDS, TIMEOUT_SECONDS])
            own = f'(collaborationId: "{collaboration_id_of(name)}")'
            arguments = self._random.choice(["", own])
            query = f"{{ audienceGenerationJobs{arguments} {{ nodes {{ name }} }} }}"
            try:
                cache = self._random.choice(["no-cache", *["max-age=0"] * 4])
                response = await self._send(http_request(query, key_id, token, cache), timeout)
            except TimeoutError:
                self.disconnects += 1
            else:
                assert response == rows
                self.responses[name] += 1

    async def _send(self, message: bytes, seconds: float) -> Any:
        incoming, out = await asyncio.open_connection(self._address.host, self._address.port)
        try:
            out.write(message)
            async with asyncio.timeout(seconds):
                response = b""
                while not response.endswith(b"}"):
                    piece = await incoming.read(65536)
                    assert piece, response
                    response += piece
                return json.loads(response.partition(b"\r\n\r\n")[2])
        finally:
            out.close()
            with contextlib.suppress(ConnectionError):
                await out.wait_closed()


@pytest.mark.parametrize("backend", ["memory", "redis"])
async def test_concurrent_callers_see_only_their_own_rows(
    backend: str, redis_server: RedisServer
) -> None:
    """Calls are cached, shared and cancelled, and each is made with the caller's credentials."""
    upstream = EchoingUpstream()
    cache_url = redis_server.url if backend == "redis" else "memory://"
    with (
        serve(upstream) as upstream_url,
        serve(
            create_app(Settings(upstream_url=upstream_url, cache_url=cache_url, cache_seconds=60))
        ) as url,
    ):
        callers = ConcurrentCallers(url)
        await callers.run(8)

    assert upstream.mixed_up == []
    assert len(upstream.calls) == len(callers.responses) == 64
    assert callers.disconnects > 64
    assert callers.responses.total() > upstream.calls.total() > 64


class BlockingUpstream:
    """An upstream that holds each call until `released`, or until the client disconnects."""

    def __init__(self) -> None:
        self.calls = 0
        self.requests: list[str] = []
        """The cache keys of the requests that have joined a call."""
        self.forbidden = False
        self.called = threading.Event()
        self.disconnected = threading.Event()
        self.released = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.calls += 1
        self.called.set()
        release = asyncio.create_task(asyncio.to_thread(self.released.wait, TIMEOUT_SECONDS))
        disconnect = asyncio.create_task(self._wait_for_disconnect(receive))
        await asyncio.wait({release, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        if disconnect.done():
            self.disconnected.set()
            self.released.set()
            return
        disconnect.cancel()
        status, headers, body = 200, [], {"audienceGenerationJobs": [row()]}
        if self.forbidden:
            status, body = 403, {"message": "No."}  # type: ignore[dict-item]
            headers = [(b"x-amzn-errortype", b"AccessDeniedException")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})

    @staticmethod
    async def _wait_for_disconnect(receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


@pytest.fixture
def upstream() -> BlockingUpstream:
    return BlockingUpstream()


@pytest.fixture(params=["memory", "redis"])
def url(
    request: pytest.FixtureRequest,
    upstream: BlockingUpstream,
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """Serve a gateway over it, with each kind of cache."""
    run = SingleFlight.run

    async def counted_run(self: SingleFlight[Any], key: object, *args: Any, **named: Any) -> Any:
        if isinstance(key, str):  # of the cache; the loader has keys of its own
            upstream.requests.append(key)
        return await run(self, key, *args, **named)

    monkeypatch.setattr(SingleFlight, "run", counted_run)
    cache_url = "memory://" if request.param == "memory" else redis_server.url
    with (
        serve(upstream) as upstream_url,
        serve(create_app(Settings(upstream_url=upstream_url, cache_url=cache_url))) as url,
    ):
        yield url


WAITING = 10


@contextlib.contextmanager
def waiting_clients(
    url: str, upstream: BlockingUpstream, count: int = WAITING
) -> Iterator[list[socket.socket]]:
    """Send equal requests of one caller; when the block begins, all wait for one call."""
    query = "{ audienceGenerationJobs { nodes { name } } }"
    message = http_request(query, "ASIA0123456789ABCDEF", "token")
    joined = len(upstream.requests) + count
    with contextlib.ExitStack() as stack:
        connections: list[socket.socket] = []
        for _ in range(count):
            connection = stack.enter_context(connect(url))
            connections.append(connection)
            connection.sendall(message)
            # The first one's request begins the call.
            assert upstream.called.wait(TIMEOUT_SECONDS)
        until(lambda: len(upstream.requests) == joined)
        yield connections


def in_flight(url: str) -> int:
    metrics = http("GET", f"{url}/metrics").text
    found = re.search(r"^gateway_in_flight_requests (\d+)", metrics, re.MULTILINE)
    assert found, metrics
    return int(found[1])


def read_response(connection: socket.socket) -> Any:
    response = b""
    while not response.endswith(b"}"):
        piece = connection.recv(65536)
        assert piece, response
        response += piece
    return json.loads(response.partition(b"\r\n\r\n")[2])


def test_followers_are_answered_when_the_leader_has_disconnected(
    url: str, upstream: BlockingUpstream
) -> None:
    """The same upstream call serves them."""
    with waiting_clients(url, upstream) as (leader, *followers):
        leader.close()
        until(lambda: in_flight(url) == WAITING - 1)
        upstream.released.set()
        names = [read_response(each)["data"]["audienceGenerationJobs"] for each in followers]

    assert names == [{"nodes": [{"name": "spring"}]}] * (WAITING - 1)
    assert upstream.calls == 1
    assert not upstream.disconnected.is_set()


def test_the_upstream_call_ends_when_all_have_disconnected(
    url: str, upstream: BlockingUpstream
) -> None:
    """Its connection is closed, and the next request begins a new call."""
    with waiting_clients(url, upstream) as connections:
        for each in connections:
            each.close()
        assert upstream.disconnected.wait(TIMEOUT_SECONDS)
    upstream.called.clear()
    with waiting_clients(url, upstream, 1) as (newcomer,):
        assert read_response(newcomer)["data"]

    assert upstream.calls == 2


def test_an_error_reaches_each_waiting_client_and_is_not_cached(
    url: str, upstream: BlockingUpstream
) -> None:
    upstream.forbidden = True
    with waiting_clients(url, upstream) as connections:
        upstream.released.set()
        answers = [read_response(each) for each in connections]
    upstream.forbidden = False
    with waiting_clients(url, upstream, 1) as (newcomer,):
        assert read_response(newcomer)["data"]

    assert [[error["extensions"]["code"] for error in each["errors"]] for each in answers] == [
        ["FORBIDDEN"]
    ] * WAITING
    assert upstream.calls == 2
