"""A whole response is sent again to the same request of the same caller, and to nobody else."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from gateway import app as app_module
from gateway.cpu_scheduler import CpuScheduler, _account
from gateway.graph.node import to_global_id
from gateway.http import answers
from gateway.http import endpoint as endpoint_module
from gateway.http.answers import ANSWER_OVERHEAD, AnswerCache, AnswerLookup
from gateway.http.concurrency import ConcurrencyLimiter
from gateway.http.middleware import RequestLog
from gateway.http.requests import READ_HEADERS, BodyReader, RequestHeaders
from gateway.http.responses import JSON, json_response
from gateway.sandbox import CALLERS
from gateway.settings import Settings
from gateway.telemetry.metrics import CACHE_LOOKUPS, write_counts
from gateway.upstream.cache.cached_client import CachedClient
from gateway.upstream.cache.lru import ENTRY_OVERHEAD, LruStore
from gateway.upstream.cache.memory import MemoryCache, Version
from gateway.upstream.resilience.callers import UNPROVED
from tests.clock import Clock
from tests.gateways import GRAPHQL, TIMEOUT_SECONDS, TLS, Gateway, Sandbox, still_sandbox
from tests.http.asgi import AsgiResponse, Client, caller_headers, started
from tests.objects import reachable
from tests.processes import gateway_process, until
from tests.redis_servers import RedisServer
from tests.serving import serve
from tests.telemetry.programs import events
from tests.upstream.clients import TIME, caller, row

JOBS = "query Jobs($first: Int) { audienceGenerationJobs(first: $first) { nodes { name } } }"
MODELS = "{ audienceModels(first: 2) { nodes { name } } }"
BOTH = "{ audienceGenerationJobs { nodes { name } } audienceModels { nodes { name } } }"
SECRET = "the-secret-of-a-router"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give gateways a clock by which results, answers and credentials expire."""
    clock = Clock()
    for part in (MemoryCache, CachedClient, AnswerCache):
        monkeypatch.setattr(app_module, part.__name__, partial(part, clock=clock))
    return clock


def gateway_over(url: str, **options: Any) -> AbstractAsyncContextManager[Client]:
    return started(app_module.create_app(Settings(upstream_url=url, **options)))


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[Client]:
    async with gateway_over(sandbox.url, cache_seconds=60) as client:
        yield client


@pytest.fixture(scope="module")
def small_sandbox() -> Iterator[Sandbox]:
    """Serve a sandbox in which the tests may start jobs."""
    with serve(still_sandbox(jobs=3)) as url:
        yield Sandbox(url)


async def start_job(sandbox: Sandbox) -> None:
    job = {"access_key_id": CALLERS["ada"].access_key_id}
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, verify=TLS) as control:
        response = await control.post(f"{sandbox.url}/_sandbox/jobs", json=job)
    response.raise_for_status()


def names(response: AsgiResponse) -> list[str]:
    nodes = response.content["data"]["audienceGenerationJobs"]["nodes"]
    return [each["name"] for each in nodes]


def from_cache() -> float:
    """Count the requests that were answered from the cache so far."""
    write_counts()
    value: float = CACHE_LOOKUPS.labels("answer")._value.get()
    return value


async def is_from_cache(client: Client, *arguments: Any, **options: Any) -> bool:
    """Ask, and tell whether the answer was kept before."""
    before = from_cache()
    response = await client.ask(*arguments, **options)
    assert response.status == 200, response.body
    return from_cache() == before + 1


def test_the_same_request_is_not_executed_again(sandbox: Sandbox) -> None:
    """The log line says so, and has what that of the first one has."""
    with gateway_process(sandbox.url, cache_seconds=60) as program:
        gateway = Gateway(program.url, sandbox)
        first, again = [gateway.ask(JOBS, {"first": 2}) for _ in range(2)]
        program.terminate()
    line, other = events(program, "request")

    assert first.data
    assert first.content == again.content
    assert (line["answer"], other["answer"]) == (None, "cache")
    assert (line["upstream_calls"], line["cache_hits"]) == (1, 0)
    assert (other["upstream_calls"], other["cache_hits"], other["retries"]) == (0, 1, 0)
    for name in ("outcome", "operation", "document", "caller", "status", "method", "path"):
        assert line[name] == other[name] is not None


async def test_the_headers_are_those_of_an_executed_request(client: Client) -> None:
    """Each response has its own request id, once, although they share one body."""
    responses = [await client.ask(MODELS) for _ in range(3)]
    without_id = [[each for each in r.headers if each[0] != b"x-request-id"] for r in responses]
    request_ids = [response.header(b"x-request-id") for response in responses]

    assert without_id[0] == without_id[1] == without_id[2]
    assert [len(each) for each in request_ids] == [1, 1, 1]
    assert len({each[0] for each in request_ids}) == 3


async def test_pages_of_other_origins_may_read_it(sandbox: Sandbox) -> None:
    origins = {"https://a.example", "https://b.example"}
    async with gateway_over(sandbox.url, cors_origins=origins, cache_seconds=60) as client:
        for origin in sorted(origins) * 2:
            response = await client.ask(MODELS, origin=origin)
            assert response.header(b"access-control-allow-origin") == [origin.encode()]


VARIED: dict[str, dict[str, Any]] = {
    "query": {"query": MODELS.replace("2", "3")},
    "blank": {"query": MODELS + " "},
    "variables": {"variables": {"x": 1}},
    "caller": {"name": "grace"},
    "accept": {"accept": "application/json"},
    "cost": {"x_gateway_cost": "1"},
    "router secret": {"x_router_secret": SECRET},
    "origin": {"origin": "https://a.example"},
    "fetch site": {"sec_fetch_site": "same-site"},
    "cache control": {"cache_control": "max-age=0"},
}


@pytest.mark.parametrize("varied", VARIED.values(), ids=VARIED)
async def test_another_request_does_not_get_it(client: Client, varied: dict[str, Any]) -> None:
    await client.ask(MODELS)
    request = {"query": MODELS, **varied}

    assert await is_from_cache(client, MODELS)
    assert not await is_from_cache(client, request.pop("query"), **request)
    assert await is_from_cache(client, MODELS)


@pytest.mark.parametrize(
    "header", ["x-aws-access-key-id", "x-aws-secret-access-key", "x-aws-session-token"]
)
@pytest.mark.parametrize("change", ["last", "case", "missing", "twice"])
async def test_credentials_that_differ_a_little_do_not_get_it(
    client: Client, header: str, change: str
) -> None:
    await client.ask(MODELS)
    headers = caller_headers()
    at = next(at for at, (name, _) in enumerate(headers) if name == header.encode())
    name, value = headers[at]
    match change:
        case "last":
            headers[at] = name, value[:-1] + (b"A" if value[-1:] != b"A" else b"B")
        case "case":
            headers[at] = name, value.swapcase()
        case "missing":
            del headers[at]
        case "twice":
            headers.append((name, value))
    before = from_cache()
    response = await client.send(headers, orjson.dumps({"query": MODELS, "variables": {}}))

    assert response.content["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert b'"nodes":[' not in response.body
    assert from_cache() == before


async def test_get_and_post_have_answers_of_their_own(client: Client) -> None:
    """The content of one is a query string, of the other a body."""
    headers = caller_headers()
    text = urlencode({"query": MODELS}).encode()
    counts = []
    for method, query_string, body in [
        ("GET", text, b""),
        ("GET", text, b""),
        ("GET", text + b"&x", b""),
        ("POST", text, orjson.dumps({"query": MODELS})),
        ("POST", b"", orjson.dumps({"query": MODELS})),
    ]:
        before = from_cache()
        response = await client.send(headers, body, method=method, query_string=query_string)
        assert response.content["data"]["audienceModels"]
        counts.append(from_cache() - before)
    assert counts == [0, 1, 0, 0, 1]
    for method in ("HEAD", "PUT", "QUERY"):
        response = await client.send(headers, query_string=text, method=method)
        assert response.status == 405


words = st.sampled_from([b"", b"a", b"aa", b"a,b", b"1", b"[1, 2]", b"\r\n", b"\xff"])
headers_read = st.lists(st.tuples(st.sampled_from(sorted(READ_HEADERS)), words), max_size=4)
heads = st.tuples(st.sampled_from(["GET", "POST"]), headers_read)


@given(heads, heads)
def test_heads_that_differ_have_other_digests(one: Any, other: Any) -> None:
    """Whatever the endpoint can read is part of it; the order of headers too."""
    assume(one != other)
    cache = AnswerCache(LruStore(0))
    lookups = [cache.lookup(method, RequestHeaders(headers)) for method, headers in (one, other)]

    assert None not in lookups
    assert len({each._head for each in lookups if each}) == 2


def test_equal_heads_have_equal_digests() -> None:
    """Also if equal values in them are one object in memory, or several."""
    cache, value = AnswerCache(LruStore(0)), b"text/html"
    one = RequestHeaders([(b"accept", value), (b"accept", value)])
    other = RequestHeaders([(b"accept", bytes(bytearray(value))) for _ in range(2)])
    lookups = [cache.lookup("POST", headers) for headers in (one, other)]

    assert None not in lookups
    assert len({each._head for each in lookups if each}) == 1


async def test_the_head_of_an_answer_is_checked_once(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next request only has its content read, whether that has an answer or not."""
    bodies = [orjson.dumps({"query": MODELS, "variables": {"x": number}}) for number in range(2)]
    headers = caller_headers()
    first = await client.send(headers, bodies[0])
    monkeypatch.setattr(BodyReader, "check", None)
    monkeypatch.setattr(endpoint_module, "parse_accept", None)
    others = [await client.send(headers, body) for body in bodies]

    assert first.header(b"content-type") == [f"{GRAPHQL}; charset=utf-8".encode()]
    assert {each.header(b"content-type")[0] for each in others} == {*first.header(b"content-type")}
    assert [each.body for each in others] == [first.body] * 2


class Upstream:
    """Keeps what an answer is made of, without a gateway."""

    def __init__(self, capacity: int = 64_000_000) -> None:
        self.clock = Clock()
        self.store = LruStore(capacity, clock=self.clock)
        self.cache = AnswerCache(self.store, clock=self.clock)

    def lookup(self, name: str = "ada") -> AnswerLookup:
        lookup = self.cache.lookup("POST", RequestHeaders(caller_headers(name)))
        assert lookup is not None
        return lookup

    def keep(
        self,
        *versions: Version,
        name: str = "ada",
        content: bytes = b"",
        size: int = 10,
        expires_at: float | None = None,
    ) -> None:
        lookup = self.lookup(name)
        lookup.find(content)
        owner = replace(caller(name), expires_at=expires_at)
        lookup.keep(owner, JSON, versions, Response(b"x" * size), RequestLog())

    def has(self, *, name: str = "ada", content: bytes = b"") -> bool:
        return self.lookup(name).find(content) is not None

    def version(self, seconds: float) -> Version:
        return Version(self.clock.now + seconds, current=True)


@pytest.mark.parametrize(
    ("pages", "credentials", "seconds"),
    [([10], None, 10), ([10, 1, 5], None, 1), ([10], 3, 3), ([2], 30, 2)],
)
def test_an_answer_expires_with_the_first_thing_that_it_depends_on(
    pages: list[float], credentials: float | None, seconds: float
) -> None:
    setup = Upstream()
    expires_at = None if credentials is None else setup.clock.now + credentials
    setup.keep(*map(setup.version, pages), expires_at=expires_at)
    found = []
    for pause in (0, seconds - 0.01, 0.01):
        setup.clock.now += pause
        found.append(setup.has())

    assert found == [True, True, False]


@pytest.mark.parametrize("seconds", [0, -1])
def test_nothing_that_has_expired_is_kept(seconds: float) -> None:
    setup = Upstream()
    setup.keep(setup.version(seconds))
    setup.keep(setup.version(60), expires_at=setup.clock.now + seconds, content=b"other")

    assert (setup.has(), setup.has(content=b"other"), setup.store.size) == (False, False, 0)


def test_an_answer_without_results_is_not_kept() -> None:
    setup = Upstream()
    setup.keep()

    assert setup.store.size == 0


def test_an_answer_ends_when_one_of_its_results_is_replaced() -> None:
    """Before it is kept, or after."""
    setup = Upstream()
    lasting, replaced = setup.version(60), setup.version(60)
    setup.keep(lasting, replaced)
    setup.keep(lasting, content=b"other")
    assert setup.has()
    replaced.current = False
    size = setup.store.size
    setup.keep(lasting, replaced, content=b"later")

    assert setup.store.size == size
    assert [setup.has(content=each) for each in (b"", b"other", b"later")] == [False, True, False]


def test_a_caller_is_known_no_longer_than_the_credentials() -> None:
    setup = Upstream()
    setup.keep(setup.version(60), expires_at=setup.clock.now + 5)
    assert setup.lookup().known
    setup.clock.now += 5

    assert setup.lookup().known is None


def test_a_caller_with_many_requests_makes_no_other_caller_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "MAX_KNOWN_HEADS", 10)
    setup = Upstream()
    setup.keep(setup.version(60), name="grace")
    found = []
    for number in range(100):
        lookup = setup.cache.lookup("POST", RequestHeaders([(b"accept", b"%d" % number)]))
        assert lookup is not None
        lookup.find(b"")
        lookup.keep(caller("ada"), GRAPHQL, [setup.version(60)], Response(b"x"), RequestLog())
        found.append(setup.has(name="grace"))

    assert found == [True] * 100
    assert len(setup.cache.heads) == 10


def test_answers_are_bounded_together_and_by_caller() -> None:
    entry = ANSWER_OVERHEAD + ENTRY_OVERHEAD + 10_000
    setup = Upstream(20 * entry)
    for number in range(4):
        setup.keep(setup.version(60), name="grace", content=b"%d" % number, size=9_000)
    for number in range(1000):
        setup.keep(setup.version(60), content=b"%d" % number, size=9_000)

    assert setup.store.size <= 20 * entry
    assert [setup.has(name="grace", content=b"%d" % number) for number in range(4)] == [True] * 4
    assert 10 < sum(setup.has(content=b"%d" % number) for number in range(1000)) <= 20


def test_an_answer_larger_than_the_cache_is_not_kept() -> None:
    setup = Upstream(100_000)
    setup.keep(setup.version(60), size=100_000)

    assert (setup.has(), setup.store.size) == (False, 0)


async def test_an_answer_is_as_old_as_its_page(clock: Clock, sandbox: Sandbox) -> None:
    """One made of a page of 9 seconds lives for 1 second, if a page lives for 10."""
    async with gateway_over(sandbox.url, cache_seconds=10) as client:
        await client.ask(JOBS, {"first": 1})
        clock.now += 9
        calls = []
        for pause in (0, 0.99, 0.01):
            clock.now += pause
            await client.ask(JOBS, {"first": 2})
            calls.append(sandbox.count())

    assert calls == [1, 1, 2]


async def test_a_refresh_by_another_document_replaces_it(small_sandbox: Sandbox) -> None:
    async with gateway_over(small_sandbox.url, cache_seconds=60) as client:
        before = names(await client.ask(JOBS))
        assert await is_from_cache(client, JOBS)
        await start_job(small_sandbox)
        cached = names(await client.ask(JOBS))
        other = "{ audienceGenerationJobs(first: 1) { nodes { id } } }"
        await client.ask(other, cache_control="no-cache")
        after = names(await client.ask(JOBS))

    assert cached == before
    assert len(after) == len(before) + 1


async def test_an_answer_that_is_completed_after_a_refresh_is_not_kept(
    small_sandbox: Sandbox,
) -> None:
    """Its first page was read before; its second one hangs meanwhile."""
    small_sandbox.reset()
    async with gateway_over(small_sandbox.url, cache_seconds=60) as client:
        before = names(await client.ask(JOBS))
        small_sandbox.fault("hang", times=1, operation="ListAudienceModels")
        late = asyncio.create_task(client.ask(BOTH))
        await asyncio.to_thread(until, lambda: small_sandbox.count("ListAudienceModels"))
        await start_job(small_sandbox)
        await client.ask(JOBS, cache_control="no-cache")
        small_sandbox.reset()
        assert names(await late) == before
        again = names(await client.ask(BOTH))

    assert len(again) == len(before) + 1


ABSENT = "arn:aws:cleanrooms-ml:us-east-1:111122223333:audience-model/" + "0" * 36
STOPPED = '{ audienceGenerationJobs(filter: {nameContains: "absent"}) { nodes { name } } }'
INCOMPLETE: dict[str, tuple[str, dict[str, Any]]] = {
    "an error": (BOTH, {}),
    "a note": (STOPPED, {}),
    "null for what does not exist": (
        "query($id: ID!) { node(id: $id) { id } }",
        {"variables": {"id": to_global_id("AudienceModel", ABSENT)}},
    ),
    "the cost": (MODELS, {"x_gateway_cost": "1"}),
    "no-cache": (MODELS, {"cache_control": "private, no-cache"}),
    "no upstream result": ("{ __typename }", {}),
}


@pytest.mark.parametrize(("query", "options"), INCOMPLETE.values(), ids=INCOMPLETE)
async def test_what_the_next_request_may_see_otherwise_is_not_kept(
    sandbox: Sandbox, query: str, options: dict[str, Any]
) -> None:
    if query == BOTH:
        sandbox.fault("denied", operation="ListAudienceModels")
    async with gateway_over(sandbox.url, cache_seconds=60, max_upstream_calls=2) as client:
        responses = []
        for _ in range(3):
            assert not await is_from_cache(client, query, **options)
            responses.append((await client.ask(query, **options)).content)

    assert ("extensions" in responses[0]) == (query == STOPPED or "x_gateway_cost" in options)
    assert ("errors" in responses[0]) == (query == BOTH)


async def test_a_stale_answer_is_not_kept(clock: Clock, sandbox: Sandbox) -> None:
    async with gateway_over(sandbox.url, cache_seconds=5, stale_seconds=60) as client:
        await client.ask(MODELS)
        clock.now += 6
        sandbox.fault("unavailable")
        before = from_cache()
        stale = [(await client.ask(MODELS)).content for _ in range(2)]

    assert [each["extensions"]["stale"]["answers"] for each in stale] == [1, 1]
    assert from_cache() == before


@pytest.mark.parametrize("disabled", [{"cache_seconds": 0}, {"cache_bytes": 0}], ids=str)
async def test_no_answer_is_kept_without_a_cache(
    sandbox: Sandbox, disabled: dict[str, int]
) -> None:
    async with gateway_over(sandbox.url, **disabled) as client:
        assert [await is_from_cache(client, MODELS) for _ in range(3)] == [False] * 3


async def test_no_answer_is_kept_with_redis(sandbox: Sandbox, empty_redis: RedisServer) -> None:
    """Another replica may refresh what it is made of."""
    async with gateway_over(sandbox.url, cache_url=empty_redis.url, cache_seconds=60) as client:
        assert [await is_from_cache(client, MODELS) for _ in range(3)] == [False] * 3


async def test_it_takes_the_place_and_the_time_of_its_caller(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first request is of an unproved caller, as without answers."""
    slots, accounts = [], []
    acquire, run = ConcurrencyLimiter.acquire_part, CpuScheduler.run

    async def acquire_part(self: ConcurrencyLimiter, key: bytes) -> None:
        slots.append(key)
        await acquire(self, key)

    async def run_on(self: CpuScheduler, key: bytes, coroutine: Any, **options: Any) -> Any:
        accounts.append(key)
        return await run(self, key, coroutine, **options)

    monkeypatch.setattr(ConcurrencyLimiter, "acquire_part", acquire_part)
    monkeypatch.setattr(CpuScheduler, "run", run_on)
    for _ in range(2):
        await client.ask(MODELS)
    ada = caller("ada").limit_key

    assert slots == accounts == [UNPROVED, ada]


async def test_what_its_sending_takes_is_on_the_account_of_its_caller(client: Client) -> None:
    """That is as much as finding it."""
    accounts = []

    async def observed(scope: Scope, receive: Receive, send: Send) -> None:
        async def observed_send(message: Message) -> None:
            accounts.append(_account.get())
            await send(message)

        await client.app(scope, receive, observed_send)

    for name in ("ada", "ada", "grace", "grace"):
        await Client(observed, client.state).ask(MODELS, name=name)

    assert None not in accounts
    assert len(set(accounts)) == 3  # the first request of each is of an unproved caller


async def test_what_is_kept_reveals_neither_secrets_nor_requests(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    caches: list[AnswerCache] = []

    def make(store: LruStore) -> AnswerCache:
        caches.append(AnswerCache(store))
        return caches[-1]

    monkeypatch.setattr(app_module, "AnswerCache", make)
    async with gateway_over(sandbox.url, cache_seconds=60) as client:
        await client.ask(JOBS.replace("$first", "$canary"), {"canary": 3})
        (cache,) = caches
        kept = b"\n".join(reachable(cache.store._entries, cache.store._namespaces, cache.heads))

    ada = CALLERS["ada"]
    assert b'{"data":' in kept
    for secret in (ada.access_key_id, ada.secret_access_key, ada.session_token, "canary"):
        assert secret
        assert secret.encode() not in kept


def test_answers_take_no_more_than_what_they_weigh() -> None:
    """With their versions, the names in the log, and the caller whom they make known."""
    setup = Upstream()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(200):
            lookup = setup.cache.lookup("POST", RequestHeaders([(b"accept", b"%d" % number)]))
            assert lookup is not None
            lookup.find(b"")
            log = RequestLog(document=f"{number:016}", operation=f"{number:064}")
            versions = [setup.version(60) for _ in range(10)]
            response = json_response({"data": f"{number:01000}"}, 200, GRAPHQL)
            owner = replace(caller("ada"), limit_key=b"%32d" % number)
            lookup.keep(owner, JSON, versions, response, log)
        del lookup, log, versions, response
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert len(setup.store._entries) == 200
    assert 0.8 * setup.store.size < taken <= setup.store.size


class ChangingUpstream:
    """Lists rows that name its state, which a test sets; in some states it denies a list."""

    state = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, body = 200, {"audienceGenerationJobs": [row(f"{self.state}.{n}") for n in range(3)]}
        if scope["path"].startswith("/audience-model"):
            body = {"audienceModels": [MODEL | {"name": f"model {self.state}"}]}
            status = 403 if self.state % 3 == 2 else 200
        response = Response(orjson.dumps(body), status)
        response.headers["x-amzn-errortype"] = "AccessDeniedException"
        await response(scope, receive, send)


MODEL = {
    "audienceModelArn": "arn:aws:cleanrooms-ml:us-east-1:111122223333:audience-model/1",
    "trainingDatasetArn": "arn:aws:cleanrooms-ml:us-east-1:111122223333:training-dataset/1",
    "createTime": TIME,
    "updateTime": TIME,
    "status": "ACTIVE",
}
QUERIES = [
    (JOBS, {"first": 1}),
    (JOBS, {"first": 3}),
    ('{ audienceGenerationJobs(filter: {nameContains: "1"}) { nodes { name status } } }', {}),
    (BOTH, {}),
    (MODELS, {}),
]
steps = st.lists(
    st.tuples(
        st.sampled_from(["ask"] * 4 + ["refresh", "wait", "change"]),
        st.sampled_from(QUERIES),
        st.sampled_from([0.5, 2, 4.5]),
        st.sampled_from(["ada", "grace"]),
    ),
    min_size=10,
    max_size=25,
)


@pytest.fixture(scope="module")
def changing_upstream() -> Iterator[tuple[str, ChangingUpstream]]:
    upstream = ChangingUpstream()
    with serve(upstream) as url:
        yield url, upstream


@settings(
    max_examples=10,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps)
async def test_answers_are_those_of_a_gateway_that_keeps_pages_only(
    changing_upstream: tuple[str, ChangingUpstream], clock: Clock, steps: list[Any]
) -> None:
    """Whatever is asked, refreshed and changed upstream, and however much time passes."""
    url, upstream = changing_upstream
    with_answers = app_module.create_app(Settings(upstream_url=url, cache_seconds=5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app_module, "AnswerCache", lambda _: None)
        without = app_module.create_app(Settings(upstream_url=url, cache_seconds=5))
    async with started(with_answers) as ours, started(without) as theirs:
        for step, (query, variables), seconds, name in steps:
            if step == "wait":
                clock.now += seconds
            elif step == "change":
                upstream.state += 1
            else:
                more = {"cache_control": "no-cache"} if step == "refresh" else {}
                response = await ours.ask(query, variables, name=name, **more)
                expected = await theirs.ask(query, variables, name=name, **more)
                assert response.body == expected.body


def test_nothing_of_before_is_served_once_it_is_forgotten() -> None:
    """Nor is the answer of a request that was in progress kept."""
    setup = Upstream()
    setup.keep(setup.version(60))
    in_progress = setup.lookup()
    in_progress.find(b"")
    served_before = setup.has()
    setup.cache.forget()
    served_after = setup.has()
    in_progress.keep(caller("ada"), JSON, [setup.version(60)], Response(b"old"), RequestLog())
    kept_late = setup.has()
    setup.keep(setup.version(60))
    in_progress.keep(caller("ada"), JSON, [setup.version(60)], Response(b"old"), RequestLog())
    found = setup.lookup().find(b"")

    assert (served_before, served_after, kept_late) == (True, False, False)
    assert found is not None
    assert found.response.body != b"old"
