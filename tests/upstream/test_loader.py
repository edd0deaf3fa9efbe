"""A request reads each page and object once, within its call budgets and its deadline."""

import asyncio
import contextlib
from typing import Any

import pytest

from gateway import outgoing
from gateway.errors import (
    ForbiddenError,
    GatewayError,
    LimitExceededError,
    ThrottledError,
    UnauthenticatedError,
    UpstreamInvalidResponseError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from gateway.telemetry.metrics import REJECTIONS
from gateway.upstream.cache.cached_client import CachedClient
from gateway.upstream.cache.memory import MemoryCache
from gateway.upstream.client import UpstreamClient
from gateway.upstream.loader import (
    CONCURRENT_ITEMS,
    DETAIL_CALLS,
    MAX_HELD_PAGES,
    PAGE_CALLS,
    BudgetSpentError,
    CallBudget,
    DeadlineError,
    RequestLoader,
)
from gateway.upstream.resilience.callers import ProvedCallers
from gateway.upstream.resilience.client import ResilientClient
from gateway.upstream.resilience.rate_limit import CallerRateLimiter
from gateway.upstream.values import Item, ItemRequest, Listing, PageRequest
from tests.clock import Clock
from tests.gateways import Sandbox
from tests.upstream.clients import (
    FIRST_PAGE,
    GET,
    LIST,
    PROJECTIONS,
    REGION,
    BarrierClient,
    FakeClient,
    caller,
    open_client,
)


def cached(client: UpstreamClient, seconds: float = 60) -> CachedClient:
    return CachedClient(client, MemoryCache(64_000_000), seconds, PROJECTIONS)


def new_loader(
    client: CachedClient,
    *,
    pages: int = 20,
    items: int = 500,
    seconds: float = 3600,
    fresh: bool = False,
    name: str = "ada",
) -> RequestLoader:
    """Start a request; the numbers are its budgets and its time limit."""
    return RequestLoader(
        client,
        caller(name),
        fresh=fresh,
        deadline=asyncio.get_running_loop().time() + seconds,
        page_budget=CallBudget(pages, PAGE_CALLS),
        item_budget=CallBudget(items, DETAIL_CALLS),
    )


def page_request(number: int) -> PageRequest:
    return PageRequest(Listing(LIST, REGION), f"token {number}")


def item_request(number: int) -> ItemRequest:
    return ItemRequest(GET, REGION, (("audienceGenerationJobArn", f"arn:{number}"),))


ITEM = item_request(1)


def budget_rejections() -> list[float]:
    """Return how many calls each of the two budgets has rejected so far."""
    limits = ("upstream_calls", "detail_calls")
    return [REJECTIONS.labels(limit)._value.get() for limit in limits]


async def test_the_page_that_was_read_first_is_shown_whatever_rows_are_needed() -> None:
    """Two fields of a request must not read different states of a list."""
    fake = FakeClient()
    loader = new_loader(cached(fake, 0))
    listing = Listing(LIST, REGION)

    pages = [await loader.page(PageRequest(listing, None, rows)) for rows in (3, 100, 5)]

    assert pages[0] is pages[1] is pages[2]
    assert [parameters for *_, parameters in fake.calls] == [{"maxResults": 3}]


async def test_a_spent_budget_prevents_the_next_call() -> None:
    """The error names the setting. A page that is fetched per row costs what an object does."""
    fake, counts = FakeClient(), budget_rejections()
    loader = new_loader(cached(fake), pages=2, items=3)
    for number in range(2):
        await loader.page(page_request(number))
        await loader.item(item_request(number))
    await loader.page(page_request(2), per_row=True)

    with pytest.raises(
        BudgetSpentError, match=r"2 upstream calls for pages .*\(GATEWAY_MAX_UPSTREAM_CALLS\)"
    ) as pages:
        await loader.page(page_request(3))
    with pytest.raises(
        BudgetSpentError, match=r"3 upstream calls for single .*\(GATEWAY_MAX_DETAIL_CALLS\)"
    ):
        await loader.item(item_request(3))
    assert len(fake.calls) == 5
    assert budget_rejections() == [count + 1 for count in counts]
    assert isinstance(pages.value, LimitExceededError)
    assert pages.value.extensions() == {"code": "LIMIT_EXCEEDED"}


async def test_cache_hits_are_free() -> None:
    fake = FakeClient()
    client = cached(fake)
    await new_loader(client).page(FIRST_PAGE)
    await new_loader(client).item(ITEM)
    loader = new_loader(client, pages=0, items=0)

    assert len((await loader.page(FIRST_PAGE)).items) == 1
    assert (await loader.item(ITEM))["name"] == "spring"
    assert len(fake.calls) == 2


async def test_joining_a_call_is_free() -> None:
    barrier = BarrierClient(2)
    client = cached(barrier)
    first = asyncio.create_task(new_loader(client).page(FIRST_PAGE))
    await barrier.started.wait()
    joining = asyncio.create_task(new_loader(client, pages=0).page(FIRST_PAGE))
    other = asyncio.create_task(new_loader(client).page(page_request(1)))

    assert await first == await joining
    await other
    assert len(barrier.calls) == 2


async def test_a_fresh_request_spends_its_budget_despite_the_cache() -> None:
    client = cached(FakeClient())
    await new_loader(client).page(FIRST_PAGE)

    with pytest.raises(BudgetSpentError):
        await new_loader(client, pages=0, fresh=True).page(FIRST_PAGE)


async def test_retries_do_not_spend_the_call_budget() -> None:
    fake = FakeClient(UpstreamUnavailableError("No."))
    resilient = ResilientClient(fake, CallerRateLimiter(0), ProvedCallers(), jitter=lambda: 0.0)
    await new_loader(cached(resilient), pages=1).page(FIRST_PAGE)

    assert len(fake.calls) == 2


async def test_failed_calls_spend_the_budget() -> None:
    """A request cannot repeat a failing call without end."""
    loader = new_loader(cached(FakeClient(*[ForbiddenError("No.")] * 2)), pages=2)
    for _ in range(2):
        with pytest.raises(ForbiddenError):
            await loader.page(FIRST_PAGE)

    with pytest.raises(BudgetSpentError):
        await loader.page(FIRST_PAGE)


async def test_a_request_keeps_only_the_members_that_it_selects() -> None:
    """Others who share its call, or find its result in the cache, get what they select."""
    client = cached(FakeClient())
    loaders = [new_loader(client) for _ in range(3)]
    for loader, names in zip(loaders, ({"name"}, {"name", "status"}, {"status"}), strict=True):
        loader.select(names)
    shared = await asyncio.gather(*(loader.item(ITEM) for loader in loaders[:2]))
    from_cache = await loaders[2].item(ITEM)

    assert [*shared, from_cache] == [
        {"name": "spring"},
        {"name": "spring", "status": "ACTIVE"},
        {"status": "ACTIVE"},
    ]


@pytest.mark.parametrize("fresh", [True, False])
async def test_repeated_reads_are_one_call(fresh: bool) -> None:  # noqa: FBT001 - a case
    """This needs no cache."""
    fake = FakeClient()
    loader = new_loader(cached(fake, 0), fresh=fresh)
    pages = [await loader.page(FIRST_PAGE) for _ in range(3)]
    items = [await loader.item(ITEM) for _ in range(3)]
    concurrent = await asyncio.gather(*(loader.item(item_request(2)) for _ in range(50)))

    assert len(fake.calls) == 3
    assert all(page is pages[0] for page in pages)
    assert all(item is items[0] for item in items)
    assert all(item == concurrent[0] for item in concurrent)


@pytest.mark.parametrize("iterations", range(8))
async def test_a_read_while_a_call_ends_makes_none(iterations: int) -> None:
    """Whenever it begins, it finds the call or its result."""
    again: list[asyncio.Task[Item]] = []

    async def read_later() -> Item:
        for _ in range(iterations):
            await asyncio.sleep(0)
        return await loader.item(item_request(1))

    class EndingClient(FakeClient):
        async def call(self, *arguments: Any) -> dict[str, Any]:
            response = await super().call(*arguments)
            again.append(asyncio.create_task(read_later()))
            return response

    client = EndingClient()
    loader = new_loader(cached(client, seconds=0))
    item = await loader.item(item_request(1))

    assert await again[0] is item
    assert len(client.calls) == 1


async def test_a_field_that_waits_reads_for_itself_if_the_reading_one_is_cancelled() -> None:
    """Another that waits gets what it reads."""
    client = BarrierClient(2)
    loader = new_loader(cached(client, seconds=0))
    first, *others = [asyncio.create_task(loader.item(ITEM)) for _ in range(3)]
    await client.started.wait()
    first.cancel()
    async with asyncio.timeout(5):
        second, third = await asyncio.gather(*others)

    assert first.cancelled()
    assert second is third
    assert client.most_concurrent == 2


async def test_a_single_reader_needs_one_task() -> None:
    """A task for each layer would cost most requests more than it saves the others."""
    tasks: set[Any] = set()

    class ObservingClient(FakeClient):
        async def call(self, *arguments: Any) -> dict[str, Any]:
            tasks.update(asyncio.all_tasks())
            return await super().call(*arguments)

    loader = new_loader(cached(ObservingClient(), seconds=0))
    before = asyncio.all_tasks()
    await loader.item(ITEM)

    assert len(tasks - before) == 1


async def test_objects_are_held_however_many_pages_there_are() -> None:
    fake = FakeClient()
    loader = new_loader(cached(fake, seconds=0), pages=MAX_HELD_PAGES + 1)
    for number in range(MAX_HELD_PAGES + 1):
        await loader.page(page_request(number))
    first, again = [await loader.item(item_request(1)) for _ in range(2)]

    assert first is again


async def test_a_request_holds_a_limited_number_of_pages() -> None:
    """The same page is the same object, unless it comes after that many others."""
    loader = new_loader(cached(FakeClient(), seconds=0), pages=MAX_HELD_PAGES + 2)
    pages = [await loader.page(page_request(number)) for number in range(MAX_HELD_PAGES + 1)]
    again = [await loader.page(page_request(number)) for number in range(MAX_HELD_PAGES + 1)]

    same = [page is other for page, other in zip(pages, again, strict=True)]
    assert same == [True] * MAX_HELD_PAGES + [False]
    assert again == pages


async def test_the_deadline_ends_a_call_that_hangs(sandbox: Sandbox) -> None:
    """The call is cancelled, and the next request is served."""
    sandbox.fault("hang")
    async with open_client(sandbox.url) as aws:
        client = cached(aws)
        with pytest.raises(DeadlineError) as caught:
            await new_loader(client, seconds=0.2).page(FIRST_PAGE)
        sandbox.reset()
        page = await new_loader(client).page(FIRST_PAGE)

    assert isinstance(caught.value, UpstreamTimeoutError)
    assert caught.value.extensions() == {"code": "UPSTREAM_TIMEOUT"}
    assert client._flights._tasks == {}
    assert len(page.items) == 100


async def test_the_deadline_ends_a_response_that_trickles() -> None:
    """A byte now and then satisfies every timeout of a socket."""
    closed = asyncio.Event()

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        closed.set()

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_client(f"http://127.0.0.1:{port}") as aws:
        with pytest.raises(DeadlineError):
            await new_loader(cached(aws), seconds=0.3).page(FIRST_PAGE)
        await closed.wait()


async def test_the_deadline_ends_the_wait_for_a_connection(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All connections hang; afterwards they are free again."""
    monkeypatch.setattr(outgoing, "CONNECTIONS", 2)
    sandbox.fault("hang")
    async with open_client(sandbox.url) as aws:
        client = cached(aws)
        errors = await asyncio.gather(
            *(new_loader(client, seconds=0.3).page(page_request(n)) for n in range(5)),
            return_exceptions=True,
        )
        sandbox.reset()
        page = await new_loader(client).page(FIRST_PAGE)

    assert [type(error) for error in errors] == [DeadlineError] * 5
    assert len(page.items) == 100


async def test_after_the_deadline_no_call_is_made() -> None:
    fake = FakeClient()
    loader = new_loader(cached(fake), seconds=-1)
    with pytest.raises(DeadlineError):
        await loader.item(ITEM)
    with pytest.raises(DeadlineError):
        await loader.page(FIRST_PAGE)

    assert fake.calls == []


async def test_the_deadline_of_one_request_spares_another_that_joined_its_call(
    sandbox: Sandbox,
) -> None:
    sandbox.fault("hang", times=1)
    async with open_client(sandbox.url) as aws:
        client = cached(aws)
        short = asyncio.create_task(new_loader(client, seconds=0.2).page(FIRST_PAGE))
        await asyncio.sleep(0)
        long = asyncio.create_task(new_loader(client).page(FIRST_PAGE))
        with pytest.raises(DeadlineError):
            await short
        calls = sandbox.calls
        sandbox.reset()

        assert len((await long).items) == 100
        assert len(calls) == 1


async def test_sixteen_objects_are_fetched_at_once() -> None:
    barrier = BarrierClient(CONCURRENT_ITEMS)
    loader = new_loader(cached(barrier))
    items = await asyncio.gather(*(loader.item(item_request(number)) for number in range(60)))

    assert CONCURRENT_ITEMS == 16
    assert (barrier.most_concurrent, len(barrier.calls), len(items)) == (16, 60, 60)


async def test_objects_that_fail_release_their_slots() -> None:
    loader = new_loader(cached(FakeClient(*(ForbiddenError("No.") for _ in range(40)))))
    results = await asyncio.gather(
        *(loader.item(item_request(number)) for number in range(60)), return_exceptions=True
    )

    assert sum(isinstance(result, ForbiddenError) for result in results) == 40
    assert sum(isinstance(result, dict) for result in results) == 20


async def test_rejected_credentials_end_all_calls_to_a_region() -> None:
    fake = FakeClient(UnauthenticatedError("No."))
    loader = new_loader(cached(fake))
    for fetch in (
        lambda: loader.item(item_request(1)),
        lambda: loader.item(item_request(2)),
        lambda: loader.page(FIRST_PAGE),
        lambda: loader.page(FIRST_PAGE, per_row=True),
    ):
        with pytest.raises(UnauthenticatedError):
            await fetch()

    assert len(fake.calls) == 1


async def test_throttling_ends_the_calls_of_an_operation() -> None:
    fake = FakeClient(ThrottledError("No."))
    loader = new_loader(cached(fake))
    for number in range(3):
        with pytest.raises(ThrottledError):
            await loader.item(item_request(number))
    await loader.page(FIRST_PAGE)

    assert len(fake.calls) == 2


class StaleSetup:
    """A page and an object that were cached for 5 seconds some time ago."""

    def __init__(self, *, stale_seconds: float = 30) -> None:
        self.fake, self.clock = FakeClient(), Clock()
        cache = MemoryCache(64_000_000, clock=self.clock)
        self.client = CachedClient(
            self.fake, cache, 5, PROJECTIONS, stale_seconds=stale_seconds, clock=self.clock
        )

    async def prepare(self, age: float, *failures: Exception) -> None:
        await new_loader(self.client).page(FIRST_PAGE)
        await new_loader(self.client).item(ITEM)
        self.clock.now += age
        self.fake.failures = list(failures)


@pytest.mark.parametrize("error", [UpstreamUnavailableError("No."), UpstreamTimeoutError("No.")])
async def test_a_stale_result_replaces_that_of_a_failed_call(error: GatewayError) -> None:
    """The loader reports it, and does not call again."""
    setup = StaleSetup()
    await setup.prepare(20, error, error)
    loader = new_loader(setup.client)
    for _ in range(2):
        assert len((await loader.page(FIRST_PAGE)).items) == 1
        assert (await loader.item(ITEM))["name"] == "spring"

    assert loader.stale == {FIRST_PAGE: 20, ITEM: 20}
    assert len(setup.fake.calls) == 4


async def test_a_stale_object_has_only_the_selected_members() -> None:
    setup = StaleSetup()
    await setup.prepare(20, UpstreamUnavailableError("No."))
    loader = new_loader(setup.client)
    loader.select({"name"})

    assert await loader.item(ITEM) == {"name": "spring"}


async def test_a_stale_result_does_not_replace_a_call() -> None:
    setup = StaleSetup()
    await setup.prepare(20)
    loader = new_loader(setup.client)
    await loader.page(FIRST_PAGE)

    assert (len(setup.fake.calls), loader.stale) == (3, {})


@pytest.mark.parametrize(
    "error",
    [ForbiddenError, UnauthenticatedError, ThrottledError, UpstreamInvalidResponseError],
)
async def test_a_stale_result_never_replaces_another_error(error: type[GatewayError]) -> None:
    """A caller may have lost the right to it."""
    setup = StaleSetup()
    await setup.prepare(20, error("No."))

    with pytest.raises(error):
        await new_loader(setup.client).page(FIRST_PAGE)


@pytest.mark.parametrize(
    ("age", "stale_seconds", "fresh", "name"),
    [
        pytest.param(36, 30, False, "ada", id="too old"),
        pytest.param(20, 0, False, "ada", id="disabled"),
        pytest.param(20, 30, True, "ada", id="fresh request"),
        pytest.param(20, 30, False, "grace", id="another caller"),
    ],
)
async def test_no_stale_result_is_used(
    age: float,
    stale_seconds: float,
    fresh: bool,  # noqa: FBT001 - a case
    name: str,
) -> None:
    setup = StaleSetup(stale_seconds=stale_seconds)
    await setup.prepare(age, UpstreamUnavailableError("No."))

    with pytest.raises(UpstreamUnavailableError):
        await new_loader(setup.client, fresh=fresh, name=name).page(FIRST_PAGE)


async def test_a_stale_result_is_used_after_the_deadline() -> None:
    setup = StaleSetup()
    await setup.prepare(20)

    assert len((await new_loader(setup.client, seconds=-1).page(FIRST_PAGE)).items) == 1
