"""A session is one identity's: got once, renewed behind its back, never used beyond its end."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
from joserfc.util import urlsafe_b64decode

from gateway.auth import sessions as module
from gateway.auth.oidc_file import Role
from gateway.auth.sessions import (
    HARD_SECONDS,
    RETRY_SECONDS,
    SOFT_JITTER_SECONDS,
    SOFT_SECONDS,
    Sessions,
)
from gateway.auth.sts import OPERATION, Session, Sts
from gateway.auth.tokens import VerifiedToken
from gateway.errors import ForbiddenError, GatewayError, UpstreamUnavailableError
from gateway.sandbox import ROLE_ARNS, create_sandbox
from tests.auth.issuers import trusted, verified
from tests.gateways import Sandbox
from tests.sandbox.identities import id_token
from tests.serving import serve

REGION = "us-east-1"
HOUR = 3600.0
DOWN = "ServiceUnavailable"
"""A failure that the client does not repeat by itself, so that each try is one call."""


class StandingClock:
    """A clock that stands until it is moved: however slow the machine, no second passes."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        """Give the moment it shows."""
        return self.now

    def advance(self, **duration: float) -> None:
        """Move on."""
        self.now += timedelta(**duration)


@pytest.fixture(scope="module")
def shared_clock() -> StandingClock:
    """Give the one clock of STS and of the sessions."""
    return StandingClock()


@pytest.fixture(scope="module")
def shared_sts(shared_clock: StandingClock) -> Iterator[Sandbox]:
    """Serve a sandbox whose STS goes by the clock."""
    with serve(create_sandbox(signing_clock=shared_clock)) as url:
        yield Sandbox(url)


@pytest.fixture
def clock(shared_clock: StandingClock) -> StandingClock:
    """Give the clock, showing the present."""
    shared_clock.now = datetime.now(UTC)
    return shared_clock


@pytest.fixture
def sandbox(shared_sts: Sandbox) -> Iterator[Sandbox]:
    """Give the sandbox healthy, and leave it so."""
    shared_sts.reset()
    yield shared_sts
    shared_sts.reset()


@pytest.fixture
async def sts(sandbox: Sandbox) -> AsyncIterator[Sts]:
    """Give a client of the sandbox's STS."""
    async with Sts.open(REGION, sandbox.url) as client:
        yield client


@pytest.fixture
async def sessions(sts: Sts, clock: StandingClock) -> AsyncIterator[Sessions]:
    """Give the sessions of nobody yet, renewed as late as may be."""
    sessions = made(sts, clock)
    yield sessions
    await sessions.close()


def made(sts: Sts, clock: StandingClock, region: str = REGION, jitter: float = 0.0) -> Sessions:
    """Make sessions by this clock."""
    return Sessions(sts, region, clock=lambda: clock().timestamp(), jitter=lambda: jitter)


def role(arn: str = ROLE_ARNS["ada"], **more: Any) -> Role:
    """Give a role for everybody."""
    return Role(match={}, role_arn=arn, **more)


def token_of(url: str, subject: str = "ada", **order: object) -> VerifiedToken:
    """Have the sandbox make a token, and take it for verified."""
    text = id_token(url, subject, **{"seconds": 86_400, **order})
    claims = orjson.loads(urlsafe_b64decode(text.split(".")[1].encode()))
    return VerifiedToken(trusted(claims["iss"]), claims, claims["exp"], text)


def exchanges(sandbox: Sandbox) -> list[Any]:
    """Give the calls of STS."""
    return [call for call in sandbox.calls if call["operation"] == OPERATION]


def heal(sandbox: Sandbox) -> None:
    """Switch all faults off, without forgetting the calls."""
    httpx.delete(f"{sandbox.url}/_sandbox/faults")


async def renewals(sessions: Sessions) -> None:
    """Wait for what is done behind everybody's back."""
    await asyncio.gather(*sessions._renewals)


def until_end(session: Session, clock: StandingClock, seconds: float) -> None:
    """Move on until the session has so many seconds left."""
    clock.advance(seconds=session.expires_at - seconds - clock().timestamp())


async def test_a_session_is_got_once(sessions: Sessions, sandbox: Sandbox) -> None:
    """Whoever comes with the same token in the same role gets the same."""
    token = token_of(sandbox.url)
    first = await sessions.session_for(token, role())

    assert all([await sessions.session_for(token, role()) is first for _ in range(10)])
    assert len(exchanges(sandbox)) == 1
    assert first.keys.access_key == exchanges(sandbox)[0]["access_key_id"]


async def test_many_first_requests_are_one_exchange(sessions: Sessions, sandbox: Sandbox) -> None:
    """All get what it gave."""
    token = token_of(sandbox.url)
    found = await asyncio.gather(*(sessions.session_for(token, role()) for _ in range(200)))

    assert len({id(session) for session in found}) == 1
    assert len(exchanges(sandbox)) == 1


async def test_many_callers_are_as_many_exchanges(sessions: Sessions, sandbox: Sandbox) -> None:
    """Nobody is served with what another was given, though all come at once."""
    tokens = [token_of(sandbox.url, f"person {number}") for number in range(20)]
    found = await asyncio.gather(*(sessions.session_for(t, role()) for t in tokens * 3))

    assert len({session.keys.access_key for session in found}) == 20
    assert found[:20] == found[20:40] == found[40:]
    assert len(exchanges(sandbox)) == 20


async def test_a_first_request_that_leaves_takes_nothing_with_it(
    sessions: Sessions, sandbox: Sandbox
) -> None:
    """Those who came after it are served by the exchange that it began."""
    token = token_of(sandbox.url)
    sandbox.fault("hang")
    leaving = asyncio.create_task(sessions.session_for(token, role()))
    staying = asyncio.create_task(sessions.session_for(token, role()))
    await asyncio.sleep(0)  # both have begun
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await asyncio.to_thread(heal, sandbox)

    assert isinstance(await staying, Session)
    assert len(exchanges(sandbox)) == 1


async def test_identities_share_no_session(
    sts: Sts, sandbox: Sandbox, clock: StandingClock
) -> None:
    """Each of what makes one counts, even if all the rest is the same."""
    token, usual = token_of(sandbox.url), role()
    claims = dict(token.claims)
    other_issuer = trusted("https://other.example")
    cases = [
        (token, usual),
        (token_of(sandbox.url, "grace"), usual),  # another subject in the same role
        (token_of(sandbox.url, claims={"x": 1}), usual),  # another token of the same subject
        (token_of(sandbox.url, audience="other"), usual),
        (replace(token, claims={**claims, "sub": "grace"}), usual),
        (replace(token, claims={**claims, "aud": "other"}), usual),
        (replace(token, claims={**claims, "aud": [claims["aud"], "other"]}), usual),
        (replace(token, issuer=other_issuer), usual),
        (token, role(ROLE_ARNS["grace"])),  # the same token in another role
        (token, role(session_seconds=900)),
        (token, role(read_only=False)),
    ]
    sessions, elsewhere = made(sts, clock), made(sts, clock, "eu-west-1")
    found = [await sessions.session_for(*case) for case in cases]
    found.append(await elsewhere.session_for(token, usual))

    assert len({session.keys.access_key for session in found}) == len(cases) + 1
    assert [await sessions.session_for(*case) for case in cases] == found[:-1]
    assert len(exchanges(sandbox)) == len(cases) + 1


async def test_the_order_of_audiences_is_no_difference(
    sessions: Sessions, sandbox: Sandbox
) -> None:
    """They are a set."""
    token = token_of(sandbox.url)
    one, other = (replace(token, claims={**token.claims, "aud": list(aud)}) for aud in ("ab", "ba"))

    assert await sessions.session_for(one, role()) is await sessions.session_for(other, role())


async def test_a_person_has_one_name_in_aws_s_logs(sessions: Sessions, sandbox: Sandbox) -> None:
    """It is the same for each token and role, differs from everybody's, and says no address."""
    long = "x" * 64
    people = ["ada", "grace", "Ada", "ada ", "ada@example.com", f"{long}a", f"{long}b", "日本語 ☂"]
    for subject in people:
        token = token_of(sandbox.url, subject)
        await sessions.session_for(token, role())
        await sessions.session_for(token, role(ROLE_ARNS["grace"]))
        await sessions.session_for(token_of(sandbox.url, subject, claims={"x": 1}), role())

    names = [call["parameters"]["RoleSessionName"] for call in exchanges(sandbox)]
    assert names[0::3] == names[1::3] == names[2::3]
    assert len(set(names)) == len(people)
    assert all(re.fullmatch(r"[\w+=,.@-]{2,64}", name, re.ASCII) for name in names)
    assert all(re.fullmatch(r"gateway-[0-9a-f]{40}", name) for name in names)


def test_the_same_subject_of_two_issuers_is_two_people() -> None:
    """Their names in AWS's logs are two as well."""
    ada = verified()
    other = replace(ada, issuer=trusted("https://other.example"))

    assert module._session_name(ada) != module._session_name(other)


async def test_a_session_is_renewed_behind_everybody_s_back(
    sessions: Sessions, sandbox: Sandbox, clock: StandingClock
) -> None:
    """Some time before its end: one exchange, for which nobody waits; then the new one serves."""
    token = token_of(sandbox.url)
    first = await sessions.session_for(token, role())
    until_end(first, clock, SOFT_SECONDS + 5)
    assert await sessions.session_for(token, role()) is first
    assert not sessions._renewals

    until_end(first, clock, SOFT_SECONDS - 5)
    sandbox.fault("hang")
    assert all([await sessions.session_for(token, role()) is first for _ in range(100)])
    await asyncio.to_thread(heal, sandbox)
    await renewals(sessions)
    second = await sessions.session_for(token, role())
    assert second.keys != first.keys
    assert second.expires_at > first.expires_at + HOUR / 2
    assert len(exchanges(sandbox)) == 2


@pytest.mark.parametrize(("jitter", "renewed"), [(0.0, False), (0.4, False), (0.6, True)])
async def test_not_all_are_renewed_at_once(
    sts: Sts,
    sandbox: Sandbox,
    clock: StandingClock,
    jitter: float,
    renewed: bool,  # noqa: FBT001
) -> None:
    """Chance says who is a little earlier than need be."""
    sessions, token = made(sts, clock, jitter=jitter), token_of(sandbox.url)
    first = await sessions.session_for(token, role())
    until_end(first, clock, SOFT_SECONDS + SOFT_JITTER_SECONDS / 2)

    assert await sessions.session_for(token, role()) is first
    await renewals(sessions)
    assert len(exchanges(sandbox)) == 1 + renewed


def test_chance_is_drawn_anew_for_each() -> None:
    """Replicas that start together do not stay together."""
    drawn = {Sessions(Sts(None, REGION), REGION)._jitter() for _ in range(3)}

    assert len(drawn) == 3
    assert all(0 <= each < 1 for each in drawn)


async def test_sts_may_be_down_for_minutes(
    sessions: Sessions, sandbox: Sandbox, clock: StandingClock
) -> None:
    """While a session can still be renewed nobody notices, and STS is not pressed for it."""
    token = token_of(sandbox.url)
    first = await sessions.session_for(token, role())
    sandbox.fault("sts-error", code=DOWN)
    until_end(first, clock, SOFT_SECONDS)
    seconds = int(SOFT_SECONDS - HARD_SECONDS) - 10
    for _ in range(seconds):
        assert await sessions.session_for(token, role()) is first
        await renewals(sessions)
        clock.advance(seconds=1)

    assert 2 < len(exchanges(sandbox)) <= 1 + seconds / RETRY_SECONDS + 1


async def test_no_session_is_used_to_its_last_moment(
    sessions: Sessions, sandbox: Sandbox, clock: StandingClock
) -> None:
    """A call must end while it is good: from then on there is a new one, or an error."""
    token = token_of(sandbox.url)
    first = await sessions.session_for(token, role())
    sandbox.fault("sts-error", code=DOWN)
    until_end(first, clock, HARD_SECONDS)
    for _ in range(3):
        with pytest.raises(UpstreamUnavailableError):
            await sessions.session_for(token, role())

    await asyncio.to_thread(heal, sandbox)
    second = await sessions.session_for(token, role())
    assert second.keys != first.keys
    assert len(exchanges(sandbox)) == 5


async def test_a_late_request_waits_for_the_renewal_under_way(
    sessions: Sessions, sandbox: Sandbox, clock: StandingClock
) -> None:
    """It is not asked for twice."""
    token = token_of(sandbox.url)
    first = await sessions.session_for(token, role())
    until_end(first, clock, SOFT_SECONDS - 5)
    sandbox.fault("hang")
    assert await sessions.session_for(token, role()) is first
    until_end(first, clock, HARD_SECONDS - 1)
    late = [asyncio.create_task(sessions.session_for(token, role())) for _ in range(100)]
    await asyncio.sleep(0)  # all have begun
    await asyncio.to_thread(heal, sandbox)
    second = await late[0]

    assert second.keys != first.keys
    assert all([await task is second for task in late])
    assert len(exchanges(sandbox)) == 2


async def test_a_session_ends_with_its_token(
    sessions: Sessions, sandbox: Sandbox, clock: StandingClock
) -> None:
    """Then STS decides, and says no; and for what is left of a token nothing is renewed."""
    token = token_of(sandbox.url, seconds=1800)
    first = await sessions.session_for(token, role())
    clock.advance(seconds=1700)
    assert await sessions.session_for(token, role()) is first
    assert not sessions._renewals

    clock.advance(seconds=101)
    with pytest.raises(GatewayError) as caught:
        await sessions.session_for(token, role())
    assert caught.value.code == "UNAUTHENTICATED"
    assert len(exchanges(sandbox)) == 2


async def test_a_token_outlives_its_sessions(
    sessions: Sessions, sandbox: Sandbox, clock: StandingClock
) -> None:
    """A short session is replaced as often as need be, until the token ends."""
    token, short = token_of(sandbox.url, seconds=7200), role(session_seconds=900)
    ends, seen = token.expires_at, set()
    while clock().timestamp() < ends - 1:
        session = await sessions.session_for(token, short)
        await renewals(sessions)
        assert session.expires_at - HARD_SECONDS > clock().timestamp()
        seen.add(session.keys.access_key)
        clock.advance(seconds=100)

    assert 8 <= len(seen) <= 14


async def test_a_failed_exchange_is_not_remembered(sessions: Sessions, sandbox: Sandbox) -> None:
    """It reaches all who waited for it; who comes next is exchanged for anew."""
    token = token_of(sandbox.url)
    sandbox.fault("sts-error", code="AccessDenied", times=1)
    found = await asyncio.gather(
        *(sessions.session_for(token, role()) for _ in range(50)), return_exceptions=True
    )

    assert {type(each) for each in found} == {ForbiddenError}
    assert len(exchanges(sandbox)) == 1
    assert isinstance(await sessions.session_for(token, role()), Session)
    assert sessions._flight._tasks == {}


async def test_so_many_sessions_are_held_and_no_more(
    sessions: Sessions, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was not seen for longest goes first, and is exchanged for anew."""
    monkeypatch.setattr(module, "MAX_SESSIONS", 3)
    tokens = [token_of(sandbox.url, f"person {number}") for number in range(6)]
    for token in tokens:
        await sessions.session_for(tokens[0], role())
        await sessions.session_for(token, role())
        assert len(sessions._held) <= 3
    assert len(exchanges(sandbox)) == 6

    await sessions.session_for(tokens[0], role())
    await sessions.session_for(tokens[5], role())
    assert len(exchanges(sandbox)) == 6
    await sessions.session_for(tokens[1], role())
    assert len(exchanges(sandbox)) == 7


async def test_the_end_of_the_application_ends_renewals(
    sessions: Sessions, sandbox: Sandbox, clock: StandingClock
) -> None:
    """Nothing is left that would outlive it."""
    token = token_of(sandbox.url)
    first = await sessions.session_for(token, role())
    until_end(first, clock, SOFT_SECONDS - 5)
    sandbox.fault("hang")
    await sessions.session_for(token, role())
    under_way = list(sessions._renewals)
    await sessions.close()

    assert [task.cancelled() for task in under_way] == [True]
    assert not sessions._renewals


async def test_nothing_that_is_held_shows_a_secret(sessions: Sessions, sandbox: Sandbox) -> None:
    """Neither what is kept nor under what it is kept."""
    token = token_of(sandbox.url)
    session = await sessions.session_for(token, role())
    shown = repr(sessions._held)

    assert session.keys.secret_key not in shown
    assert str(session.keys.token) not in shown
    assert token.text not in shown
