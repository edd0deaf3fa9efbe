"""Results are cached for the caller who got them, for a few seconds, and only if complete."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.auth.credentials import Caller
from gateway.errors import (
    ForbiddenError,
    GatewayError,
    UnauthenticatedError,
    UpstreamInvalidResponseError,
)
from gateway.sandbox import CALLERS
from gateway.upstream.cache.cached_client import CachedClient, cache_key
from gateway.upstream.cache.memory import MemoryCache
from gateway.upstream.client import UpstreamClient
from gateway.upstream.projection import Projection
from gateway.upstream.values import (
    FRESH,
    ItemRequest,
    Listing,
    Page,
    PageRequest,
    RequestCost,
    UpstreamRequest,
)
from tests.gateways import TIMEOUT_SECONDS, TLS, Sandbox, still_sandbox
from tests.serving import serve
from tests.upstream.clients import (
    FIRST_PAGE,
    GET,
    LIST,
    PROJECTIONS,
    REGION,
    FakeClient,
    caller,
    open_client,
)

ADA = CALLERS["ada"]


class Fetcher:
    """A CachedClient, and the number of upstream calls that it announced."""

    def __init__(
        self,
        client: UpstreamClient,
        seconds: float = 60,
        *,
        cache: MemoryCache | None = None,
        projections: Mapping[str, Projection] = PROJECTIONS,
    ) -> None:
        self.cache = cache or MemoryCache(64_000_000)
        self.client = CachedClient(client, self.cache, seconds, projections)
        self.cost = RequestCost()
        self.announced = 0
        self.started = asyncio.Event()

    @property
    def cached_bytes(self) -> int:
        return self.cache.store.size

    def announce(self) -> None:
        self.announced += 1
        self.started.set()

    async def fetch(
        self, caller: Caller, request: UpstreamRequest[Any], *, fresh: bool = False
    ) -> Any:
        cached = None if fresh else await self.client.cached(caller, request, cost=self.cost)
        if cached is not None:
            return cached.value
        stored = await self.client.fetch(
            caller,
            request,
            cost=self.cost,
            before_call=self.announce,
            since=FRESH if fresh else -math.inf,
        )
        return stored.value

    async def page(self, name: str | Caller = "ada", *, fresh: bool = False) -> Page:
        own = name if isinstance(name, Caller) else caller(name)
        page: Page = await self.fetch(own, FIRST_PAGE, fresh=fresh)
        return page


@asynccontextmanager
async def open_fetcher(url: str, seconds: float = 60) -> AsyncIterator[Fetcher]:
    async with open_client(url) as client:
        yield Fetcher(client, seconds)


@pytest.mark.parametrize("seconds", [60, 0])
async def test_five_hundred_concurrent_fetches_are_one_call(
    sandbox: Sandbox, seconds: float
) -> None:
    """The single flight merges them, with and without a cache."""
    async with open_fetcher(sandbox.url, seconds) as fetcher:
        pages = await asyncio.gather(*(fetcher.page() for _ in range(500)))

    assert (sandbox.count(), fetcher.announced, fetcher.cost.cache_hits) == (1, 1, 499)
    assert all(page == pages[0] for page in pages)
    assert len(pages[0].items) == 100


async def test_a_cached_page_is_the_same_object(sandbox: Sandbox) -> None:
    """It is decoded once, and readers do not modify it."""
    async with open_fetcher(sandbox.url) as fetcher:
        first, second = [await fetcher.page() for _ in range(2)]

    assert sandbox.count() == 1
    assert first is second


async def test_what_is_derived_of_a_cached_page_counts_as_its_bytes() -> None:
    """Until a fresh result replaces it."""
    fetcher = Fetcher(FakeClient())
    page = await fetcher.page()
    size = fetcher.cached_bytes
    page.derive("names", lambda: [row["name"] for row in page.items], lambda _: 1000)
    grown = fetcher.cached_bytes
    newer = await fetcher.page(fresh=True)

    assert grown >= size + 1000
    assert (newer is page, fetcher.cached_bytes) == (False, size)
    assert page.on_growth is None


async def test_zero_seconds_disable_the_cache(sandbox: Sandbox) -> None:
    async with open_fetcher(sandbox.url, 0) as fetcher:
        for _ in range(3):
            await fetcher.page()

    assert (sandbox.count(), fetcher.announced, fetcher.cached_bytes) == (3, 3, 0)


async def test_a_disabled_cache_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a Redis."""
    fetcher = Fetcher(FakeClient(), 0)
    monkeypatch.setattr(fetcher.cache, "get", None)

    assert (await fetcher.page()).items


async def test_callers_never_share_a_result(sandbox: Sandbox) -> None:
    """Even two of one account, who would get the same, do not: each is authorized by AWS."""
    names = ["ada", "ada_again", "longterm", "grace"]
    async with open_fetcher(sandbox.url) as fetcher:
        await asyncio.gather(*(fetcher.page(name) for name in names for _ in range(50)))
        for name in names:
            await fetcher.page(name)

    calls = sorted(call["access_key_id"] for call in sandbox.calls)
    assert calls == sorted(CALLERS[name].access_key_id for name in names)


FORGED = {
    "secret": Caller.from_keys(ADA.access_key_id, "w" * 40, ADA.session_token),
    "token": Caller.from_keys(ADA.access_key_id, ADA.secret_access_key, "wrong"),
    "no token": Caller.from_keys(ADA.access_key_id, ADA.secret_access_key, None),
    "neither": Caller.from_keys(ADA.access_key_id, "w" * 40, None),
    "key id": Caller.from_keys(
        CALLERS["grace"].access_key_id, ADA.secret_access_key, ADA.session_token
    ),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
async def test_incomplete_credentials_get_an_upstream_error(
    sandbox: Sandbox, forged: Caller
) -> None:
    """The owner's page is cached, or the owner's call is in progress."""
    async with open_fetcher(sandbox.url) as fetcher:
        await fetcher.page("ada")
        with pytest.raises(UnauthenticatedError):
            await fetcher.page(forged)
        sandbox.fault("hang", times=1, access_key_id=ADA.access_key_id)
        owner = asyncio.create_task(fetcher.page("ada", fresh=True))
        with pytest.raises(UnauthenticatedError):
            await fetcher.page(forged, fresh=True)
        owner.cancel()
        await asyncio.gather(owner, return_exceptions=True)

    assert [call["status"] for call in sandbox.calls].count(403) == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("denied", ForbiddenError),
        ("expired-token-credentials", UnauthenticatedError),
        ("null-row", UpstreamInvalidResponseError),
        ("missing-field", UpstreamInvalidResponseError),
        ("odd-timestamp", UpstreamInvalidResponseError),
        ("html", UpstreamInvalidResponseError),
    ],
)
async def test_an_error_is_not_cached(
    sandbox: Sandbox, fault: str, error: type[GatewayError]
) -> None:
    sandbox.fault(fault, times=1)
    async with open_fetcher(sandbox.url) as fetcher:
        with pytest.raises(error):
            await fetcher.page()
        cached_bytes = fetcher.cached_bytes
        page = await fetcher.page()

    assert cached_bytes == 0
    assert len(page.items) == 100
    assert sandbox.count() == 2


async def test_concurrent_fetches_share_an_error(sandbox: Sandbox) -> None:
    sandbox.fault("denied")
    async with open_fetcher(sandbox.url) as fetcher:
        errors = await asyncio.gather(*(fetcher.page() for _ in range(20)), return_exceptions=True)

    assert {type(error) for error in errors} == {ForbiddenError}
    assert sandbox.count() == 1


@pytest.fixture
def own_sandbox() -> Iterator[Sandbox]:
    """Serve a small sandbox in which the test may start jobs."""
    with serve(still_sandbox(jobs=12)) as url:
        yield Sandbox(url)


async def test_a_fresh_fetch_bypasses_the_cache_and_refreshes_it(own_sandbox: Sandbox) -> None:
    async with open_fetcher(own_sandbox.url) as fetcher:
        before = await fetcher.page()
        job = {"access_key_id": ADA.access_key_id}
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, verify=TLS) as control:
            started = await control.post(f"{own_sandbox.url}/_sandbox/jobs", json=job)
        started.raise_for_status()
        cached = await fetcher.page()
        fresh = await fetcher.page(fresh=True)
        after = await fetcher.page()

    assert [len(page.items) for page in (before, cached, fresh, after)] == [12, 12, 13, 13]
    assert (own_sandbox.count(), fetcher.announced) == (2, 2)


async def test_a_fresh_fetch_does_not_join_an_earlier_call(sandbox: Sandbox) -> None:
    sandbox.fault("hang", times=1)
    async with open_fetcher(sandbox.url) as fetcher:
        earlier = asyncio.create_task(fetcher.page())
        await fetcher.started.wait()
        fresh = await fetcher.page(fresh=True)
        earlier_done = earlier.done()
        sandbox.reset()
        await earlier

    assert not earlier_done
    assert len(fresh.items) == 100


async def test_an_earlier_call_does_not_overwrite_a_fresher_result() -> None:
    """The earlier call ends last, with older data."""
    release = asyncio.Event()

    class SlowFirst(FakeClient):
        async def call(self, *arguments: Any) -> dict[str, Any]:
            number = len(self.calls) + 1
            response = await super().call(*arguments)
            if number == 1:
                await release.wait()
            return response | {"nextToken": f"response {number}"}

    fetcher = Fetcher(SlowFirst())
    earlier = asyncio.create_task(fetcher.page())
    await fetcher.started.wait()
    fresh = await fetcher.page(fresh=True)
    release.set()
    await earlier

    assert fresh.next_token == "response 2"
    assert (await fetcher.page()).next_token == "response 2"


@pytest.mark.parametrize(
    "request_", [FIRST_PAGE, ItemRequest(GET, REGION, ())], ids=["list", "get"]
)
async def test_only_what_the_schema_can_show_is_returned_and_cached(
    request_: UpstreamRequest[Any],
) -> None:
    """Sensitive SQL is not, nor what AWS adds one day."""
    hidden = {
        "seedAudience": {"roleArn": "arn:role", "sqlParameters": {"queryString": "SELECT 1"}},
        "addedByAws": ["SELECT 1"],
    }

    class Revealing(FakeClient):
        async def call(self, *arguments: Any) -> dict[str, Any]:
            response = await super().call(*arguments) | hidden
            rows = [each | hidden for each in response["audienceGenerationJobs"]]
            return {**response, "audienceGenerationJobs": rows, "ResponseMetadata": {}}

    fetcher = Fetcher(Revealing())
    fetched = await fetcher.fetch(caller("ada"), request_)
    (entry,) = fetcher.cache.store._entries.values()
    cached: Any = entry.value

    for kept in map(orjson.dumps, (fetched, cached.stored.value)):
        assert b"spring" in kept
        assert not any(text in kept for text in (b"SELECT", b"addedByAws", b"ResponseMetadata"))
    assert await fetcher.fetch(caller("ada"), request_) == fetched


async def test_versions_that_keep_other_members_have_entries_of_their_own() -> None:
    """Replicas of both share a cache while one replaces the other."""
    fake, cache = FakeClient(), MemoryCache(64_000_000)
    older = {**PROJECTIONS, LIST: PROJECTIONS[LIST].restricted_to({"name", "status"})}
    for projections in (PROJECTIONS, older, PROJECTIONS, older):
        await Fetcher(fake, cache=cache, projections=projections).page()

    assert len(fake.calls) == 2


async def test_before_call_may_prevent_the_call() -> None:
    fake = FakeClient()
    fetcher = Fetcher(fake)

    def forbid() -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        await fetcher.client.fetch(
            caller("ada"), FIRST_PAGE, cost=RequestCost(), before_call=forbid
        )

    assert (fake.calls, fetcher.cached_bytes) == ([], 0)


async def test_calls_are_for_full_pages_with_filters_and_token() -> None:
    fake = FakeClient()
    fetcher = Fetcher(fake)
    listing = Listing(LIST, "eu-west-1", (("collaborationId", "c"),))
    await fetcher.fetch(caller("ada"), PageRequest(listing, None))
    await fetcher.fetch(caller("ada"), PageRequest(listing, "t"))

    assert [(region, parameters) for _, region, _, parameters in fake.calls] == [
        ("eu-west-1", {"maxResults": 100, "collaborationId": "c"}),
        ("eu-west-1", {"maxResults": 100, "collaborationId": "c", "nextToken": "t"}),
    ]


DISTINCT: list[PageRequest | ItemRequest] = [
    PageRequest(Listing(LIST, REGION), None),
    PageRequest(Listing(LIST, REGION), ""),
    PageRequest(Listing(LIST, REGION), "null"),
    PageRequest(Listing(LIST, "eu-west-1"), None),
    PageRequest(Listing(LIST, REGION, (("a", "bc"),)), None),
    PageRequest(Listing(LIST, REGION, (("ab", "c"),)), None),
    PageRequest(Listing(LIST, REGION, (("a", ""), ("b", "c"))), None),
    PageRequest(Listing(LIST, REGION, (("a", ""),)), None),
    ItemRequest(GET, REGION, ()),
    ItemRequest(GET, REGION, (("a", "bc"),)),
    ItemRequest(LIST, REGION, (("a", "bc"),)),
    ItemRequest(LIST, REGION, ()),
]


async def test_requests_that_differ_in_one_part_have_entries_of_their_own() -> None:
    fetcher = Fetcher(FakeClient())
    for request in DISTINCT:
        await fetcher.fetch(caller("ada"), request)

    assert fetcher.announced == len(DISTINCT)
    assert len(fetcher.cache.store._entries) == len(DISTINCT)


TEXTS = ["", "a", "b", "ab", "null", '"', ",", '","', "]", "é", "e\u0301"]
parts = st.none() | st.sampled_from(TEXTS)
requests = st.lists(parts | st.lists(parts, max_size=3), max_size=4)
CALLERS_WHOSE_PARTS_COLLIDE = [
    Caller.from_keys("ab", "c", "d"),
    Caller.from_keys("a", "bc", "d"),
    Caller.from_keys("ab", "c", None),
    Caller.from_keys("ab", "c", ""),
    Caller.from_keys("a", "b", "cd"),
]
A, B, C, D, _ = CALLERS_WHOSE_PARTS_COLLIDE
callers = st.sampled_from(CALLERS_WHOSE_PARTS_COLLIDE)


@given(caller=callers, other_caller=callers, request=requests, other_request=requests)
@example(A, A, ["ab", "c"], ["a", "bc"])
@example(A, A, [None], [""])
@example(A, A, [None], [])
@example(A, A, [["a"], "b"], ["a", ["b"]])
@example(A, B, ["a"], ["a"])
@example(C, D, ["a"], ["a"])
def test_a_key_belongs_to_one_caller_and_one_request(
    caller: Caller, other_caller: Caller, request: list[Any], other_request: list[Any]
) -> None:
    assume((caller, request) != (other_caller, other_request))

    assert cache_key(caller, request) != cache_key(other_caller, other_request)
    assert cache_key(caller, request) == cache_key(caller, list(request))


@given(caller=callers, request=requests)
def test_a_key_is_a_digest(caller: Caller, request: list[Any]) -> None:
    """It reveals nothing of the request."""
    key = cache_key(caller, request)

    assert len(key) == 64
    assert set(key) <= set("0123456789abcdef")
    assert caller.fingerprint.hex() not in key
    assert caller.encryption_key.hex() not in key
