"""The session cache: one exchange per identity, background refresh, no use near the expiry."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from joserfc.util import urlsafe_b64decode

from gateway.auth import sts as module
from gateway.auth.oidc import VerifiedToken
from gateway.auth.oidc_file import Role
from gateway.auth.sts import (
    EXPIRY_MARGIN_SECONDS,
    OPERATION,
    REFRESH_JITTER_SECONDS,
    REFRESH_SECONDS,
    RETRY_SECONDS,
    Session,
    SessionCache,
    StsClient,
    session_name,
)
from gateway.errors import (
    ForbiddenError,
    GatewayError,
    UnauthenticatedError,
    UpstreamUnavailableError,
)
from gateway.sandbox import ROLE_ARNS, create_sandbox
from gateway.upstream.resilience import circuit_breaker
from gateway.upstream.resilience.callers import MAX_REFUSED, REFUSED_SECONDS, ExpiringStore
from gateway.upstream.resilience.circuit_breaker import SERVICE_FAILURES
from gateway.upstream.resilience.client import CircuitOpenError
from gateway.upstream.resilience.rate_limit import (
    WINDOW_SECONDS,
    CallerRateLimiter,
    RateLimitedError,
)
from tests.auth.issuers import as_verified, trusted, verified
from tests.clock import Clock, DateClock
from tests.gateways import Sandbox, http
from tests.sandbox.identities import id_token
from tests.serving import serve

REGION = "us-east-1"
HOUR = 3600.0
NOT_RETRIED = "ServiceUnavailable"
"""An error that the client does not retry, so that each attempt is one call."""


class StsClock(DateClock):
    """The clock of STS and of the cache."""

    def advance_to_expiry(self, session: Session, seconds_left: float) -> None:
        self.advance(seconds=session.expires_at - seconds_left - self.now.timestamp())


@pytest.fixture(scope="module")
def shared_clock() -> StsClock:
    return StsClock()


@pytest.fixture(scope="module")
def shared_sts(shared_clock: StsClock) -> Iterator[Sandbox]:
    with serve(create_sandbox(signing_clock=shared_clock)) as url:
        yield Sandbox(url)


@pytest.fixture
def clock(shared_clock: StsClock) -> StsClock:
    """Return the clock, set to the present."""
    shared_clock.now = datetime.now(UTC)
    return shared_clock


@pytest.fixture
def sandbox(shared_sts: Sandbox) -> Iterator[Sandbox]:
    shared_sts.reset()
    yield shared_sts
    shared_sts.reset()


@pytest.fixture
async def sts(sandbox: Sandbox) -> AsyncIterator[StsClient]:
    async with StsClient.open(REGION, sandbox.url) as client:
        yield client


@pytest.fixture
async def sessions(sts: StsClient, clock: StsClock) -> AsyncIterator[SessionCache]:
    sessions = cache(sts, clock)
    yield sessions
    await sessions.close()


def cache(sts: StsClient, clock: StsClock, jitter: float = 0.0) -> SessionCache:
    return SessionCache(
        sts,
        CallerRateLimiter(0),
        clock=lambda: clock().timestamp(),
        jitter=lambda: jitter,
    )


def role(arn: str = ROLE_ARNS["ada"], **more: Any) -> Role:
    return Role(match={}, role_arn=arn, **more)


def token_of(url: str, subject: str = "ada", **order: object) -> VerifiedToken:
    """Return a token of the sandbox as if it had been verified."""
    text = id_token(url, subject, **{"seconds": 86_400, **order})
    claims = orjson.loads(urlsafe_b64decode(text.split(".")[1].encode()))
    return as_verified(trusted(claims["iss"]), claims, text)


def exchanges(sandbox: Sandbox) -> list[Any]:
    return [call for call in sandbox.calls if call["operation"] == OPERATION]


def clear_faults(sandbox: Sandbox) -> None:
    """Switch all faults off, and keep the log of calls."""
    http("DELETE", f"{sandbox.url}/_sandbox/faults")


async def background_refreshes(sessions: SessionCache) -> None:
    await asyncio.gather(*sessions._refreshes)


async def test_a_session_is_cached(sessions: SessionCache, sandbox: Sandbox) -> None:
    token = token_of(sandbox.url)
    first = await sessions.session_for(token, role())

    assert all([await sessions.session_for(token, role()) is first for _ in range(10)])
    assert len(exchanges(sandbox)) == 1
    assert first.credentials.access_key == exchanges(sandbox)[0]["access_key_id"]


async def test_concurrent_requests_of_many_callers_are_one_exchange_each(
    sessions: SessionCache, sandbox: Sandbox
) -> None:
    tokens = [token_of(sandbox.url, f"subject {number}") for number in range(20)]
    found = await asyncio.gather(*(sessions.session_for(t, role()) for t in tokens * 10))

    assert len({session.credentials.access_key for session in found}) == 20
    assert found == found[:20] * 10
    assert len(exchanges(sandbox)) == 20


async def test_a_cancelled_request_does_not_cancel_the_shared_exchange(
    sessions: SessionCache, sandbox: Sandbox
) -> None:
    token = token_of(sandbox.url)
    sandbox.fault("hang")
    cancelled = asyncio.create_task(sessions.session_for(token, role()))
    waiting = asyncio.create_task(sessions.session_for(token, role()))
    await asyncio.sleep(0)  # both have started
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await asyncio.to_thread(clear_faults, sandbox)

    assert isinstance(await waiting, Session)
    assert len(exchanges(sandbox)) == 1


async def test_no_two_identities_share_a_session(
    sts: StsClient, sandbox: Sandbox, clock: StsClock
) -> None:
    """Each part of an identity counts, even if all others are equal."""
    token, usual = token_of(sandbox.url), role()
    cases = [
        (token, usual),
        (token_of(sandbox.url, "grace"), usual),
        (token_of(sandbox.url, claims={"x": 1}), usual),  # another token of the same subject
        (token_of(sandbox.url, audience="other"), usual),
        (replace(token, subject="grace"), usual),
        (replace(token, audiences=frozenset({"other"})), usual),
        (replace(token, audiences=token.audiences | {"other"}), usual),
        (replace(token, issuer=trusted("https://other.example")), usual),
        (token, role(ROLE_ARNS["grace"])),
        (token, role(session_seconds=900)),
        (token, role(read_only=False)),
    ]
    sessions = cache(sts, clock)
    found = [await sessions.session_for(*case) for case in cases]

    assert len({session.credentials.access_key for session in found}) == len(cases)
    assert [await sessions.session_for(*case) for case in cases] == found
    assert len(exchanges(sandbox)) == len(cases)
    elsewhere = cache(StsClient(sts._client, "eu-west-1"), clock)
    assert elsewhere._key(token, usual) not in sessions._sessions


async def test_the_order_of_audiences_does_not_matter(
    sessions: SessionCache, sandbox: Sandbox
) -> None:
    token = token_of(sandbox.url)
    names = [f"app {number}" for number in range(100)]
    one, other = (replace(token, audiences=frozenset(each)) for each in (names, names[::-1]))
    assert [*one.audiences] != [*other.audiences]

    assert await sessions.session_for(one, role()) is await sessions.session_for(other, role())


async def test_a_subject_has_one_session_name(sessions: SessionCache, sandbox: Sandbox) -> None:
    """It is the same for each token and role, unique to the subject, and hides its text."""
    long = "x" * 64
    subjects = ["ada", "grace", "Ada", "ada ", "ada@example.com", f"{long}a", f"{long}b", "日本 ☂"]
    for subject in subjects:
        token = token_of(sandbox.url, subject)
        await sessions.session_for(token, role())
        await sessions.session_for(token, role(ROLE_ARNS["grace"]))
        await sessions.session_for(token_of(sandbox.url, subject, claims={"x": 1}), role())

    names = [call["parameters"]["RoleSessionName"] for call in exchanges(sandbox)]
    assert names[0::3] == names[1::3] == names[2::3]
    assert len(set(names)) == len(subjects)
    assert all(re.fullmatch(r"gateway-[0-9a-f]{40}", name) for name in names)


def test_a_subject_of_another_issuer_has_another_session_name() -> None:
    ada = verified()

    assert session_name(ada) != session_name(replace(ada, issuer=trusted("https://other.example")))


async def test_a_session_is_refreshed_in_the_background(
    sessions: SessionCache, sandbox: Sandbox, clock: StsClock
) -> None:
    """One exchange refreshes it, and no request waits for it."""
    token = token_of(sandbox.url)
    first = await sessions.session_for(token, role())
    clock.advance_to_expiry(first, REFRESH_SECONDS + 5)
    assert await sessions.session_for(token, role()) is first
    assert not sessions._refreshes

    clock.advance_to_expiry(first, REFRESH_SECONDS - 5)
    sandbox.fault("hang")
    assert all([await sessions.session_for(token, role()) is first for _ in range(100)])
    await asyncio.to_thread(clear_faults, sandbox)
    await background_refreshes(sessions)
    second = await sessions.session_for(token, role())
    assert second.credentials != first.credentials
    assert second.expires_at > first.expires_at + HOUR / 2
    assert len(exchanges(sandbox)) == 2


@pytest.mark.parametrize(("jitter", "refreshed"), [(0.0, False), (0.4, False), (0.6, True)])
async def test_refreshes_are_spread_by_jitter(
    sts: StsClient, sandbox: Sandbox, clock: StsClock, jitter: float, *, refreshed: bool
) -> None:
    sessions, token = cache(sts, clock, jitter), token_of(sandbox.url)
    first = await sessions.session_for(token, role())
    clock.advance_to_expiry(first, REFRESH_SECONDS + REFRESH_JITTER_SECONDS / 2)

    assert await sessions.session_for(token, role()) is first
    await background_refreshes(sessions)
    assert len(exchanges(sandbox)) == 1 + refreshed


def test_the_default_jitter_is_random() -> None:
    drawn = {
        SessionCache(StsClient(None, REGION), CallerRateLimiter(0))._jitter() for _ in range(3)
    }

    assert len(drawn) == 3
    assert all(0 <= each < 1 for each in drawn)


async def test_a_session_is_used_while_refreshes_fail(
    sessions: SessionCache, sandbox: Sandbox, clock: StsClock
) -> None:
    """There is one attempt per RETRY_SECONDS."""
    token = token_of(sandbox.url)
    first = await sessions.session_for(token, role())
    sandbox.fault("sts-error", code=NOT_RETRIED)
    clock.advance_to_expiry(first, REFRESH_SECONDS)
    seconds = int(REFRESH_SECONDS - EXPIRY_MARGIN_SECONDS) - 10
    for _ in range(seconds):
        assert await sessions.session_for(token, role()) is first
        await background_refreshes(sessions)
        clock.advance(seconds=1)

    assert 2 < len(exchanges(sandbox)) <= 1 + seconds / RETRY_SECONDS + 1


async def test_a_session_is_not_used_within_the_margin_of_its_expiry(
    sessions: SessionCache, sandbox: Sandbox, clock: StsClock
) -> None:
    """There is a new session then, or an error."""
    token = token_of(sandbox.url)
    first = await sessions.session_for(token, role())
    sandbox.fault("sts-error", code=NOT_RETRIED)
    clock.advance_to_expiry(first, EXPIRY_MARGIN_SECONDS)
    for _ in range(3):
        with pytest.raises(UpstreamUnavailableError):
            await sessions.session_for(token, role())

    await asyncio.to_thread(clear_faults, sandbox)
    second = await sessions.session_for(token, role())
    assert second.credentials != first.credentials
    assert len(exchanges(sandbox)) == 5


async def test_requests_join_a_refresh_in_progress(
    sessions: SessionCache, sandbox: Sandbox, clock: StsClock
) -> None:
    token = token_of(sandbox.url)
    first = await sessions.session_for(token, role())
    clock.advance_to_expiry(first, REFRESH_SECONDS - 5)
    sandbox.fault("hang")
    assert await sessions.session_for(token, role()) is first
    clock.advance_to_expiry(first, EXPIRY_MARGIN_SECONDS - 1)
    late = [asyncio.create_task(sessions.session_for(token, role())) for _ in range(100)]
    await asyncio.sleep(0)  # all have started
    await asyncio.to_thread(clear_faults, sandbox)
    second = await late[0]

    assert second.credentials != first.credentials
    assert all([await task is second for task in late])
    assert len(exchanges(sandbox)) == 2


async def test_a_session_ends_with_its_token(
    sessions: SessionCache, sandbox: Sandbox, clock: StsClock
) -> None:
    """It is not refreshed before then, and STS rejects the token afterwards."""
    token = token_of(sandbox.url, seconds=1800)
    first = await sessions.session_for(token, role())
    clock.advance(seconds=1700)
    assert await sessions.session_for(token, role()) is first
    assert not sessions._refreshes

    clock.advance(seconds=101)
    with pytest.raises(GatewayError) as caught:
        await sessions.session_for(token, role())
    assert caught.value.code == "UNAUTHENTICATED"
    assert len(exchanges(sandbox)) == 2


async def test_a_token_that_outlives_its_session_gets_new_ones(
    sessions: SessionCache, sandbox: Sandbox, clock: StsClock
) -> None:
    token, short = token_of(sandbox.url, seconds=7200), role(session_seconds=900)
    seen = set()
    while clock().timestamp() < token.expires_at - 1:
        session = await sessions.session_for(token, short)
        await background_refreshes(sessions)
        assert session.expires_at - EXPIRY_MARGIN_SECONDS > clock().timestamp()
        seen.add(session.credentials.access_key)
        clock.advance(seconds=100)

    assert 8 <= len(seen) <= 14


async def test_a_failed_exchange_is_not_cached(sessions: SessionCache, sandbox: Sandbox) -> None:
    """All requests that wait for it get its error, and the next one starts another."""
    token = token_of(sandbox.url)
    sandbox.fault("sts-error", code=NOT_RETRIED, times=1)
    found = await asyncio.gather(
        *(sessions.session_for(token, role()) for _ in range(50)), return_exceptions=True
    )

    assert {type(each) for each in found} == {UpstreamUnavailableError}
    assert len(exchanges(sandbox)) == 1
    assert isinstance(await sessions.session_for(token, role()), Session)
    assert sessions._flight._tasks == {}


@pytest.mark.parametrize(
    ("code", "kind"),
    [("AccessDenied", ForbiddenError), ("InvalidIdentityToken", UnauthenticatedError)],
)
async def test_a_denial_is_repeated_without_a_call_for_a_while(
    sessions: SessionCache,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    kind: type[GatewayError],
) -> None:
    """Another role and another token are not affected."""
    denial_clock = Clock()
    store = ExpiringStore[Any, Any](MAX_REFUSED, REFUSED_SECONDS, clock=denial_clock)
    monkeypatch.setattr(sessions, "_denials", store)
    token, other = token_of(sandbox.url), token_of(sandbox.url, claims={"x": 1})
    sandbox.fault("sts-error", code=code, times=1)
    for _ in range(3):
        with pytest.raises(kind) as caught:
            await sessions.session_for(token, role())
        assert caught.value.aws
        assert caught.value.aws.code == code
    assert len(exchanges(sandbox)) == 1

    for case in ((other, role()), (token, role(ROLE_ARNS["grace"]))):
        assert isinstance(await sessions.session_for(*case), Session)
    denial_clock.now += REFUSED_SECONDS
    assert isinstance(await sessions.session_for(token, role()), Session)


async def test_exchanges_count_in_the_rate_of_the_subject(sts: StsClient, sandbox: Sandbox) -> None:
    """However many tokens it has; other subjects are not affected."""
    sessions = SessionCache(sts, CallerRateLimiter(1))
    tokens = [token_of(sandbox.url, claims={"x": number}) for number in range(20)]
    found = await asyncio.gather(
        *(sessions.session_for(token, role()) for token in tokens), return_exceptions=True
    )

    assert [type(each) for each in found].count(RateLimitedError) == 20 - WINDOW_SECONDS
    assert len(exchanges(sandbox)) == WINDOW_SECONDS
    assert isinstance(await sessions.session_for(token_of(sandbox.url, "grace"), role()), Session)


async def fail_exchanges(sessions: SessionCache, tokens: list[VerifiedToken]) -> list[GatewayError]:
    errors = []
    for token in tokens:
        with pytest.raises(GatewayError) as caught:
            await sessions.session_for(token, role())
        errors.append(caught.value)
    return errors


async def test_a_failing_sts_gets_no_calls_for_a_while(
    sessions: SessionCache, sandbox: Sandbox
) -> None:
    tokens = [token_of(sandbox.url, f"subject {number}") for number in range(20)]
    sandbox.fault("sts-error", code=NOT_RETRIED)
    errors = await fail_exchanges(sessions, tokens)

    assert len(exchanges(sandbox)) == SERVICE_FAILURES
    assert {type(error) for error in errors[SERVICE_FAILURES:]} == {CircuitOpenError}
    assert "circuit breaker open" in errors[-1].message


async def test_an_sts_that_hangs_gets_no_calls_either(
    sessions: SessionCache, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests may give up before a call to STS does."""
    monkeypatch.setattr(circuit_breaker, "UNRESPONSIVE_SECONDS", 0.0)
    tokens = [token_of(sandbox.url, f"subject {number}") for number in range(SERVICE_FAILURES)]
    sandbox.fault("hang")
    for token in tokens:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await sessions.session_for(token, role())
    (error,) = await fail_exchanges(sessions, [token_of(sandbox.url)])

    assert isinstance(error, CircuitOpenError)


async def test_an_issuer_that_sts_cannot_reach_opens_no_breaker(
    sessions: SessionCache, sandbox: Sandbox
) -> None:
    """STS works, and other issuers' tokens may be accepted."""
    tokens = [token_of(sandbox.url, f"subject {number}") for number in range(20)]
    sandbox.fault("sts-error", code="IDPCommunicationError")
    errors = await asyncio.gather(*(fail_exchanges(sessions, [token]) for token in tokens))
    sandbox.reset()

    assert {type(error) for (error,) in errors} == {UpstreamUnavailableError}
    assert isinstance(await sessions.session_for(tokens[0], role()), Session)


async def test_the_cache_is_bounded(
    sessions: SessionCache, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The least recently used session is evicted first."""
    monkeypatch.setattr(module, "MAX_SESSIONS", 3)
    tokens = [token_of(sandbox.url, f"subject {number}") for number in range(6)]
    for token in tokens:
        await sessions.session_for(tokens[0], role())
        await sessions.session_for(token, role())
        assert len(sessions._sessions) <= 3
    assert len(exchanges(sandbox)) == 6

    await sessions.session_for(tokens[0], role())
    await sessions.session_for(tokens[5], role())
    assert len(exchanges(sandbox)) == 6
    await sessions.session_for(tokens[1], role())
    assert len(exchanges(sandbox)) == 7


async def test_close_cancels_refreshes(
    sessions: SessionCache, sandbox: Sandbox, clock: StsClock
) -> None:
    token = token_of(sandbox.url)
    first = await sessions.session_for(token, role())
    clock.advance_to_expiry(first, REFRESH_SECONDS - 5)
    sandbox.fault("hang")
    await sessions.session_for(token, role())
    in_progress = list(sessions._refreshes)
    await sessions.close()

    assert [task.cancelled() for task in in_progress] == [True]
    assert not sessions._refreshes


async def test_the_cache_cannot_print_secrets(sessions: SessionCache, sandbox: Sandbox) -> None:
    token = token_of(sandbox.url)
    session = await sessions.session_for(token, role())
    shown = repr(sessions._sessions)

    assert session.credentials.secret_key not in shown
    assert str(session.credentials.token) not in shown
    assert token.text not in shown
