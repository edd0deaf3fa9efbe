"""What one request reads: once each, within its budgets and its time."""

import asyncio
import contextlib
from typing import Any

import pytest

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
from gateway.upstream import client as aws_module
from gateway.upstream.cache.cached_client import CachedClient
from gateway.upstream.cache.memory import MemoryCache
from gateway.upstream.client import CleanRoomsClient
from gateway.upstream.loader import (
    CONCURRENT_ITEMS,
    BudgetSpentError,
    CallBudget,
    DeadlineError,
    RequestLoader,
)
from gateway.upstream.resilience.client import ResilientClient
from gateway.upstream.resilience.rate_limit import CallerRateLimiter
from gateway.upstream.values import ItemRequest, Listing, PageRequest
from tests.clock import Clock
from tests.gateways import Sandbox
from tests.upstream.asking import FIRST_PAGE, GET, LIST, REGION, caller, opened
from tests.upstream.fakes import CrowdedAws, FakeAws

PAGES = "GATEWAY_MAX_UPSTREAM_CALLS"
ITEMS = "GATEWAY_MAX_DETAIL_CALLS"
LONG = 3600.0


def answers_of(aws: CleanRoomsClient, seconds: float = 60) -> CachedClient:
    """Put a cache over these calls."""
    return CachedClient(aws, MemoryCache(64_000_000), seconds)


def reader(
    answers: CachedClient,
    *,
    pages: int = 20,
    items: int = 500,
    seconds: float = LONG,
    fresh: bool = False,
    who: str = "ada",
) -> RequestLoader:
    """Begin a request."""
    return RequestLoader(
        answers,
        caller(who),
        fresh=fresh,
        deadline=asyncio.get_running_loop().time() + seconds,
        page_budget=CallBudget(pages, PAGES),
        item_budget=CallBudget(items, ITEMS),
    )


def page_number(number: int) -> PageRequest:
    """Ask for one of many different pages."""
    return PageRequest(Listing(LIST, REGION), f"token {number}")


def item_number(number: int) -> ItemRequest:
    """Ask for one of many different objects."""
    return ItemRequest(GET, REGION, (("audienceGenerationJobArn", f"arn:{number}"),))


async def test_a_spent_budget_names_its_setting() -> None:
    """As many calls as it allows are made, and the next is not."""
    aws = FakeAws()
    reading = reader(answers_of(aws), pages=2, items=3)
    for number in range(2):
        await reading.page(page_number(number))
    for number in range(3):
        await reading.item(item_number(number))

    with pytest.raises(BudgetSpentError, match=f"2 upstream calls.*{PAGES}") as pages:
        await reading.page(page_number(2))
    with pytest.raises(BudgetSpentError, match=f"3 upstream calls.*{ITEMS}"):
        await reading.item(item_number(3))
    assert len(aws.asked) == 5
    assert isinstance(pages.value, LimitExceededError)
    assert pages.value.extensions() == {"code": "LIMIT_EXCEEDED"}


async def test_what_the_cache_answers_is_free() -> None:
    """A request without any budget reads what another one has read before."""
    aws = FakeAws()
    answers = answers_of(aws)
    await reader(answers).page(FIRST_PAGE)
    await reader(answers).item(item_number(1))
    poor = reader(answers, pages=0, items=0)

    assert len((await poor.page(FIRST_PAGE)).items) == 1
    assert (await poor.item(item_number(1)))["name"] == "spring"
    assert len(aws.asked) == 2


async def test_a_call_that_somebody_else_began_is_free() -> None:
    """Who joins it spends nothing."""
    aws = CrowdedAws(2)
    answers = answers_of(aws)
    leader = asyncio.create_task(reader(answers).page(FIRST_PAGE))
    await aws.arrived.wait()
    follower = asyncio.create_task(reader(answers, pages=0).page(FIRST_PAGE))
    other = asyncio.create_task(reader(answers).page(page_number(1)))

    assert await leader == await follower
    await other
    assert len(aws.asked) == 2


async def test_a_fresh_request_pays_for_what_it_reads() -> None:
    """It asked for a call to be made."""
    answers = answers_of(FakeAws())
    await reader(answers).page(FIRST_PAGE)

    with pytest.raises(BudgetSpentError):
        await reader(answers, pages=0, fresh=True).page(FIRST_PAGE)


async def test_retries_are_not_counted() -> None:
    """They have a budget of their own."""
    aws = FakeAws(UpstreamUnavailableError("No."))
    answers = CachedClient(
        ResilientClient(aws, CallerRateLimiter(0), jitter=lambda: 0.0),
        MemoryCache(64_000_000),
        60,
    )
    await reader(answers, pages=1).page(FIRST_PAGE)

    assert len(aws.asked) == 2


async def test_a_refused_call_is_paid_for() -> None:
    """It was made, so a request cannot make the same failing call without end."""
    aws = FakeAws(ForbiddenError("No."), ForbiddenError("No."))
    reading = reader(answers_of(aws), pages=2)
    for _ in range(2):
        with pytest.raises(ForbiddenError):
            await reading.page(FIRST_PAGE)

    with pytest.raises(BudgetSpentError):
        await reading.page(FIRST_PAGE)


@pytest.mark.parametrize("fresh", [True, False])
async def test_a_request_reads_everything_once(fresh: bool) -> None:  # noqa: FBT001 - a case
    """Also without a cache, so rows that are shown in two places never disagree."""
    aws = FakeAws()
    reading = reader(answers_of(aws, 0), fresh=fresh)
    pages = [await reading.page(FIRST_PAGE) for _ in range(3)]
    items = [await reading.item(item_number(1)) for _ in range(3)]
    together = await asyncio.gather(*(reading.item(item_number(2)) for _ in range(50)))

    assert len(aws.asked) == 3
    assert all(page is pages[0] for page in pages)
    assert all(item is items[0] for item in items)
    assert all(item == together[0] for item in together)


async def test_the_deadline_ends_a_call_that_hangs(sandbox: Sandbox) -> None:
    """The error is a timeout of the request's own, and the call is given up upstream."""
    sandbox.fault("hang")
    async with opened(sandbox.url) as aws:
        answers = answers_of(aws)
        with pytest.raises(DeadlineError) as caught:
            await reader(answers, seconds=0.2).page(FIRST_PAGE)
        left = answers._flights
        sandbox.reset()
        page = await reader(answers).page(FIRST_PAGE)

    assert isinstance(caught.value, UpstreamTimeoutError)
    assert caught.value.extensions() == {"code": "UPSTREAM_TIMEOUT"}
    assert left._tasks == {}
    assert len(page.items) == 100


async def test_the_deadline_ends_an_answer_that_only_drips() -> None:
    """A byte now and then keeps every socket's own timeout from being over."""
    left = asyncio.Event()

    async def drip(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        await incoming.readuntil(b"\r\n\r\n")
        outgoing.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not incoming.at_eof():
                outgoing.write(b" ")
                await outgoing.drain()
                await asyncio.sleep(0.02)  # slowly, which is the point
        outgoing.close()
        with contextlib.suppress(ConnectionError):
            await outgoing.wait_closed()
        left.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, opened(f"http://127.0.0.1:{port}") as aws:
        with pytest.raises(DeadlineError):
            await reader(answers_of(aws), seconds=0.3).page(FIRST_PAGE)
        await left.wait()  # the connection is closed as soon as nobody waits


async def test_the_deadline_ends_the_wait_for_a_connection(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When all of them hang, who waits for one is let go in time, and all are free afterwards."""
    monkeypatch.setattr(aws_module, "CONNECTIONS", 2)
    sandbox.fault("hang")
    async with opened(sandbox.url) as aws:
        answers = answers_of(aws)
        ends = await asyncio.gather(
            *(reader(answers, seconds=0.3).page(page_number(number)) for number in range(5)),
            return_exceptions=True,
        )
        sandbox.reset()
        page = await reader(answers).page(FIRST_PAGE)

    assert [type(end) for end in ends] == [DeadlineError] * 5
    assert len(page.items) == 100


async def test_the_deadline_is_the_whole_request_s() -> None:
    """What is asked for after it is not asked at all."""
    aws = FakeAws()
    reading = reader(answers_of(aws), seconds=-1)
    with pytest.raises(DeadlineError):
        await reading.item(item_number(1))
    with pytest.raises(DeadlineError):
        await reading.page(FIRST_PAGE)

    assert aws.asked == []


async def test_one_request_s_deadline_is_not_another_s(sandbox: Sandbox) -> None:
    """Who began the call runs out of time, and who joined it gets the answer."""
    sandbox.fault("hang", times=1)
    async with opened(sandbox.url) as aws:
        answers = answers_of(aws)
        hasty = asyncio.create_task(reader(answers, seconds=0.2).page(FIRST_PAGE))
        await asyncio.sleep(0)
        patient = asyncio.create_task(reader(answers).page(FIRST_PAGE))
        with pytest.raises(DeadlineError):
            await hasty
        sandbox_calls = sandbox.calls
        sandbox.reset()

        assert len((await patient).items) == 100
        assert len(sandbox_calls) == 1


async def test_sixteen_objects_are_asked_for_at_once() -> None:
    """More of them wait for their turn, and all are read in the end."""
    aws = CrowdedAws(CONCURRENT_ITEMS)
    reading = reader(answers_of(aws))
    items = await asyncio.gather(*(reading.item(item_number(number)) for number in range(60)))

    assert CONCURRENT_ITEMS == 16
    assert (aws.most, len(aws.asked), len(items)) == (16, 60, 60)


async def test_a_failed_object_gives_its_turn_back() -> None:
    """So the others are read, however many fail."""
    aws = FakeAws(*(ForbiddenError("No.") for _ in range(40)))
    reading = reader(answers_of(aws))
    results: list[Any] = await asyncio.gather(
        *(reading.item(item_number(number)) for number in range(60)), return_exceptions=True
    )

    assert sum(isinstance(result, ForbiddenError) for result in results) == 40
    assert sum(isinstance(result, dict) for result in results) == 20


def forgiving(aws: CleanRoomsClient, clock: Clock, stale_seconds: float = 30) -> CachedClient:
    """Keep answers for 5 seconds, and for some more in case the upstream fails."""
    cache = MemoryCache(64_000_000, clock=clock)
    return CachedClient(aws, cache, 5, stale_seconds=stale_seconds, clock=clock)


async def warmed(answers: CachedClient, clock: Clock, age: float) -> None:
    """Read a page and an object, and let them grow old."""
    await reader(answers).page(FIRST_PAGE)
    await reader(answers).item(item_number(1))
    clock.now += age


@pytest.mark.parametrize("error", [UpstreamUnavailableError("No."), UpstreamTimeoutError("No.")])
async def test_an_old_answer_stands_in_for_an_upstream_that_fails(error: GatewayError) -> None:
    """The request knows of it, and asks no second time for the same."""
    aws, clock = FakeAws(), Clock()
    answers = forgiving(aws, clock)
    await warmed(answers, clock, 20)
    aws.failures = [error, error]
    reading = reader(answers)
    for _ in range(2):
        assert len((await reading.page(FIRST_PAGE)).items) == 1
        assert (await reading.item(item_number(1)))["name"] == "spring"

    assert reading.stale == {FIRST_PAGE: 20, item_number(1): 20}
    assert len(aws.asked) == 4


async def test_an_old_answer_does_not_replace_the_question() -> None:
    """While the upstream answers, it is asked, and nothing is said to be old."""
    aws, clock = FakeAws(), Clock()
    answers = forgiving(aws, clock)
    await warmed(answers, clock, 20)
    reading = reader(answers)
    await reading.page(FIRST_PAGE)

    assert (len(aws.asked), reading.stale) == (3, {})


@pytest.mark.parametrize(
    "error",
    [ForbiddenError, UnauthenticatedError, ThrottledError, UpstreamInvalidResponseError],
)
async def test_an_old_answer_never_stands_in_for_a_no(error: type[GatewayError]) -> None:
    """Who has lost the right to it does not see it."""
    aws, clock = FakeAws(), Clock()
    answers = forgiving(aws, clock)
    await warmed(answers, clock, 20)
    aws.failures = [error("No.")]

    with pytest.raises(error):
        await reader(answers).page(FIRST_PAGE)


@pytest.mark.parametrize(
    ("age", "stale_seconds", "fresh"), [(36, 30, False), (20, 0, False), (20, 30, True)]
)
async def test_an_answer_that_is_too_old_or_not_wanted_is_not_used(
    age: float,
    stale_seconds: float,
    fresh: bool,  # noqa: FBT001 - a case
) -> None:
    """Past its second time, where it is switched off, and for who asks for news."""
    aws, clock = FakeAws(), Clock()
    answers = forgiving(aws, clock, stale_seconds)
    await warmed(answers, clock, age)
    aws.failures = [UpstreamUnavailableError("No.")]

    with pytest.raises(UpstreamUnavailableError):
        await reader(answers, fresh=fresh).page(FIRST_PAGE)


async def test_an_old_answer_stands_in_where_the_time_is_over() -> None:
    """An upstream that hangs has failed as well."""
    aws, clock = FakeAws(), Clock()
    answers = forgiving(aws, clock)
    await warmed(answers, clock, 20)

    assert len((await reader(answers, seconds=-1).page(FIRST_PAGE)).items) == 1


async def test_no_answer_is_ever_another_caller_s_however_old() -> None:
    """The upstream fails for grace as for everybody."""
    aws, clock = FakeAws(), Clock()
    answers = forgiving(aws, clock)
    await warmed(answers, clock, 20)
    aws.failures = [UpstreamUnavailableError("No.")]

    with pytest.raises(UpstreamUnavailableError):
        await reader(answers, who="grace").page(FIRST_PAGE)
