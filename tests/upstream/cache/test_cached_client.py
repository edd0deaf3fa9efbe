"""Kept answers: for the one caller who got them, for a few seconds, and only good ones."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.auth.credentials import Caller
from gateway.errors import (
    ForbiddenError,
    GatewayError,
    ThrottledError,
    UnauthenticatedError,
    UpstreamInvalidResponseError,
)
from gateway.sandbox import CALLERS, create_sandbox
from gateway.upstream.cache.cached_client import CachedClient, cache_key
from gateway.upstream.cache.memory import LruStore, MemoryCache
from gateway.upstream.values import ItemRequest, Listing, Page, PageRequest, RequestCost
from tests.gateways import Sandbox
from tests.serving import serve
from tests.upstream.clients import FIRST_PAGE, GET, LIST, REGION, FakeClient, caller, open_client

ADA = CALLERS["ada"]


class Counted:
    """Answers over a cache, and how many upstream calls were announced."""

    def __init__(self, answers: CachedClient, cache: LruStore) -> None:
        self.answers = answers
        self.cache = cache
        self.announced = 0
        self.began = asyncio.Event()

    def announce(self) -> None:
        """Count one call."""
        self.announced += 1
        self.began.set()

    async def page(
        self, who: Caller, request: PageRequest = FIRST_PAGE, *, fresh: bool = False
    ) -> Page:
        """Ask for a page."""
        return await self.answers.fetch(
            who, request, cost=RequestCost(), before_call=self.announce, fresh=fresh
        )


def over(aws: Any, seconds: float = 60) -> Counted:
    """Put a cache over these calls."""
    cache = MemoryCache(64_000_000)
    return Counted(CachedClient(aws, cache, seconds), cache.store)


@asynccontextmanager
async def answering(url: str, seconds: float = 60) -> AsyncIterator[Counted]:
    """Answer from a sandbox, through a cache."""
    async with open_client(url) as aws:
        yield over(aws, seconds)


@pytest.mark.parametrize("seconds", [60, 0])
async def test_the_same_question_five_hundred_times_at_once_is_one_call(
    sandbox: Sandbox, seconds: float
) -> None:
    """Also where nothing is cached, for then it is a matter of the flight."""
    async with answering(sandbox.url, seconds) as kept:
        pages = await asyncio.gather(*(kept.page(caller("ada")) for _ in range(500)))

    assert (sandbox.count(), kept.announced) == (1, 1)
    assert all(page == pages[0] for page in pages)
    assert len(pages[0].items) == 100


async def test_a_question_asked_again_is_answered_from_the_cache(sandbox: Sandbox) -> None:
    """With an equal page that nobody else holds."""
    async with answering(sandbox.url) as kept:
        first, second = [await kept.page(caller("ada")) for _ in range(2)]

    assert sandbox.count() == 1
    assert first == second
    assert first.items is not second.items
    assert first.items[0] is not second.items[0]


async def test_nothing_is_kept_for_no_time(sandbox: Sandbox) -> None:
    """Zero seconds switch the cache off."""
    async with answering(sandbox.url, 0) as kept:
        for _ in range(3):
            await kept.page(caller("ada"))

    assert (sandbox.count(), kept.announced, kept.cache.size) == (3, 3, 0)


async def test_callers_never_share_an_answer(sandbox: Sandbox) -> None:
    """Not even two of one account who would see the same: each asks under their own key."""
    names = ["ada", "ada_again", "longterm", "grace"]
    async with answering(sandbox.url) as kept:
        await asyncio.gather(*(kept.page(caller(name)) for name in names for _ in range(50)))
        for name in names:
            await kept.page(caller(name))

    asked = sorted(call["access_key_id"] for call in sandbox.calls)
    assert asked == sorted(CALLERS[name].access_key_id for name in names)


FORGED = {
    "secret": Caller.from_keys(ADA.access_key_id, "w" * 40, ADA.session_token),
    "token": Caller.from_keys(ADA.access_key_id, ADA.secret_access_key, "wrong"),
    "no token": Caller.from_keys(ADA.access_key_id, ADA.secret_access_key, None),
    "neither": Caller.from_keys(ADA.access_key_id, "w" * 40, None),
    "key id": Caller.from_keys(
        CALLERS["grace"].access_key_id, ADA.secret_access_key, ADA.session_token
    ),
}


@pytest.mark.parametrize("who", FORGED.values(), ids=FORGED)
async def test_half_of_somebody_s_credentials_open_no_warm_page(
    sandbox: Sandbox, who: Caller
) -> None:
    """The upstream is asked, and what it says is the answer; so it is while ada is asking too."""
    async with answering(sandbox.url) as kept:
        await kept.page(caller("ada"))
        with pytest.raises(UnauthenticatedError):
            await kept.page(who)
        sandbox.fault("hang", times=1, access_key_id=ADA.access_key_id)
        asking = asyncio.create_task(kept.page(caller("ada"), fresh=True))
        with pytest.raises(UnauthenticatedError):
            await kept.page(who, fresh=True)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    assert [call["status"] for call in sandbox.calls].count(403) == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [("denied", ForbiddenError), ("expired-token-credentials", UnauthenticatedError)],
)
async def test_a_refusal_is_not_kept(
    sandbox: Sandbox, fault: str, error: type[GatewayError]
) -> None:
    """The next question is asked, and answered."""
    sandbox.fault(fault, times=1)
    async with answering(sandbox.url) as kept:
        with pytest.raises(error):
            await kept.page(caller("ada"))
        size = kept.cache.size
        page = await kept.page(caller("ada"))

    assert size == 0
    assert len(page.items) == 100
    assert sandbox.count() == 2


@pytest.mark.parametrize("fault", ["null-row", "missing-field", "odd-timestamp", "html"])
async def test_an_answer_that_makes_no_sense_is_not_kept(sandbox: Sandbox, fault: str) -> None:
    """Only complete successes are."""
    sandbox.fault(fault, times=1)
    async with answering(sandbox.url) as kept:
        with pytest.raises(UpstreamInvalidResponseError):
            await kept.page(caller("ada"))
        size = kept.cache.size

        assert (size, len((await kept.page(caller("ada"))).items)) == (0, 100)


async def test_a_throttle_is_not_kept() -> None:
    """One failure, then success: the next question sees it at once."""
    kept = over(FakeClient(ThrottledError("Wait.")))
    with pytest.raises(ThrottledError):
        await kept.page(caller("ada"))

    assert len((await kept.page(caller("ada"))).items) == 1
    assert kept.announced == 2


async def test_everybody_who_waits_sees_the_failure(sandbox: Sandbox) -> None:
    """One refused call for twenty who asked at once, and none of them asks again by itself."""
    sandbox.fault("denied")
    async with answering(sandbox.url) as kept:
        errors = await asyncio.gather(
            *(kept.page(caller("ada")) for _ in range(20)), return_exceptions=True
        )

    assert {type(error) for error in errors} == {ForbiddenError}
    assert sandbox.count() == 1


@pytest.fixture
def own_sandbox() -> Iterator[Sandbox]:
    """Serve a small sandbox of one's own, to start jobs in."""
    with serve(create_sandbox(jobs=12)) as url:
        yield Sandbox(url)


async def test_a_fresh_question_reads_past_the_cache_and_refreshes_it(own_sandbox: Sandbox) -> None:
    """Who asks without it afterwards sees the newer answer, and no call is made for it."""
    async with answering(own_sandbox.url) as kept:
        before = await kept.page(caller("ada"))
        order = {"access_key_id": ADA.access_key_id}
        async with httpx.AsyncClient() as control:
            started = await control.post(f"{own_sandbox.url}/_sandbox/jobs", json=order)
        started.raise_for_status()
        stale = await kept.page(caller("ada"))
        fresh = await kept.page(caller("ada"), fresh=True)
        after = await kept.page(caller("ada"))

    assert [len(page.items) for page in (before, stale, fresh, after)] == [12, 12, 13, 13]
    assert (own_sandbox.count(), kept.announced) == (2, 2)


async def test_a_fresh_question_does_not_join_an_older_call(sandbox: Sandbox) -> None:
    """A call that began before the question may have the answer of before."""
    sandbox.fault("hang", times=1)
    async with answering(sandbox.url) as kept:
        older = asyncio.create_task(kept.page(caller("ada")))
        await kept.began.wait()
        fresh = await kept.page(caller("ada"), fresh=True)
        waited = not older.done()
        sandbox.reset()
        await older

    assert waited
    assert len(fresh.items) == 100


async def test_an_older_answer_does_not_replace_a_fresher_one() -> None:
    """A slow call that began before a fresh one, and ends after it, has old news."""
    release = asyncio.Event()

    class SlowFirst(FakeClient):
        async def call(self, *asked: Any) -> dict[str, Any]:
            number = len(self.calls) + 1
            answer = await super().call(*asked)
            if number == 1:
                await release.wait()
            answer["nextToken"] = f"answer {number}"
            return answer

    aws = SlowFirst()
    kept = over(aws)
    older = asyncio.create_task(kept.page(caller("ada")))
    await kept.began.wait()
    fresh = await kept.page(caller("ada"), fresh=True)
    release.set()
    await older

    assert fresh.next_token == "answer 2"
    assert (await kept.page(caller("ada"))).next_token == "answer 2"


async def test_a_forbidden_call_is_not_made() -> None:
    """What `before_call` raises reaches who asked, and nothing is asked or kept."""
    aws = FakeClient()
    kept = over(aws)

    def forbid() -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        await kept.answers.fetch(caller("ada"), FIRST_PAGE, cost=RequestCost(), before_call=forbid)

    assert (aws.calls, kept.cache.size) == ([], 0)


async def test_the_upstream_is_asked_for_full_pages() -> None:
    """So that one kept page serves every `first`; filters and token go along."""
    aws = FakeClient()
    kept = over(aws)
    listing = Listing(LIST, "eu-west-1", (("collaborationId", "c"),))
    await kept.page(caller("ada"), PageRequest(listing, None))
    await kept.page(caller("ada"), PageRequest(listing, "t"))

    assert [(region, parameters) for _, region, _, parameters in aws.calls] == [
        ("eu-west-1", {"maxResults": 100, "collaborationId": "c"}),
        ("eu-west-1", {"maxResults": 100, "collaborationId": "c", "nextToken": "t"}),
    ]


DISTINCT: list[PageRequest | ItemRequest] = [
    PageRequest(Listing(LIST, REGION), None),
    PageRequest(Listing(LIST, REGION), ""),
    PageRequest(Listing(LIST, REGION), "null"),
    PageRequest(Listing(LIST, "eu-west-1"), None),
    PageRequest(Listing("ListAudienceModels", REGION), None),
    PageRequest(Listing(LIST, REGION, (("a", "bc"),)), None),
    PageRequest(Listing(LIST, REGION, (("ab", "c"),)), None),
    PageRequest(Listing(LIST, REGION, (("a", ""), ("b", "c"))), None),
    PageRequest(Listing(LIST, REGION, (("a", ""),)), None),
    ItemRequest(GET, REGION, ()),
    ItemRequest(GET, REGION, (("a", "bc"),)),
    ItemRequest(LIST, REGION, (("a", "bc"),)),
    ItemRequest(LIST, REGION, ()),
]


async def test_different_questions_have_different_places() -> None:
    """Each of these differs from the others in one part only, and all are kept apart."""
    kept = over(FakeClient())
    for request in DISTINCT:
        if isinstance(request, PageRequest) and request.listing.operation == LIST:
            await kept.page(caller("ada"), request)
        elif isinstance(request, ItemRequest):
            await kept.answers.fetch(
                caller("ada"), request, cost=RequestCost(), before_call=kept.announce
            )

    assert kept.announced == len(DISTINCT) - 1
    assert len(kept.cache._entries) == len(DISTINCT) - 1


TEXTS = ["", "a", "b", "ab", "null", '"', ",", '","', "]", "é", "e\u0301"]
parts = st.none() | st.sampled_from(TEXTS)
questions = st.lists(parts | st.lists(parts, max_size=3), max_size=4)
PEOPLE = [
    Caller.from_keys("ab", "c", "d"),
    Caller.from_keys("a", "bc", "d"),
    Caller.from_keys("ab", "c", None),
    Caller.from_keys("ab", "c", ""),
    Caller.from_keys("a", "b", "cd"),
]
people = st.sampled_from(PEOPLE)


@given(who=people, other=people, asked=questions, otherwise=questions)
@example(PEOPLE[0], PEOPLE[0], ["ab", "c"], ["a", "bc"])
@example(PEOPLE[0], PEOPLE[0], [None], [""])
@example(PEOPLE[0], PEOPLE[0], [None], [])
@example(PEOPLE[0], PEOPLE[0], [["a"], "b"], ["a", ["b"]])
@example(PEOPLE[0], PEOPLE[1], ["a"], ["a"])
@example(PEOPLE[2], PEOPLE[3], ["a"], ["a"])
def test_a_key_names_one_caller_and_one_question(
    who: Caller, other: Caller, asked: list[Any], otherwise: list[Any]
) -> None:
    """Parts that collide when joined do not collide here; nor do null, "" and absent."""
    assume((who, asked) != (other, otherwise))

    assert cache_key(who, asked) != cache_key(other, otherwise)
    assert cache_key(who, asked) == cache_key(who, list(asked))


@given(who=people, asked=questions)
def test_a_key_tells_nothing(who: Caller, asked: list[Any]) -> None:
    """It is a digest: no credential, question, fingerprint or sealing key can be read off it."""
    key = cache_key(who, asked)

    assert len(key) == 64
    assert set(key) <= set("0123456789abcdef")
    assert who.fingerprint.hex() not in key
    assert who.encryption_key.hex() not in key
