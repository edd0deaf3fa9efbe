"""Circuit breakers: few calls to what is down, and no effect of a caller on others."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    AwsErrorDetails,
    ForbiddenError,
    GatewayError,
    UpstreamInvalidResponseError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from gateway.upstream.resilience.callers import UNPROVED
from gateway.upstream.resilience.circuit_breaker import (
    CALLER_FAILURES,
    MAX_CALLERS,
    RESET_SECONDS,
    SERVICE_FAILURES,
    UNRESPONSIVE_SECONDS,
    CircuitBreaker,
    ServiceCircuitBreaker,
)
from tests.clock import Clock

FAILURES = 3
RESET = 10.0
ADA, GRACE, EDITH = b"ada", b"grace", b"edith"


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def closed(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(FAILURES, RESET, clock=clock)


@pytest.fixture
def opened(closed: CircuitBreaker) -> CircuitBreaker:
    for _ in range(FAILURES):
        closed.record_failure()
    return closed


def allowed_when(breaker: CircuitBreaker, clock: Clock, seconds: float) -> tuple[bool, bool]:
    """Return whether a call is allowed just before, and at, so many seconds from now."""
    clock.now += seconds - 0.001
    before = breaker.allows()
    clock.now += 0.001
    return before, breaker.allows()


def test_it_opens_after_consecutive_failures(closed: CircuitBreaker) -> None:
    """`record_failure` returns whether it has opened."""
    seen = [(closed.allows(), closed.record_failure(), closed.open) for _ in range(FAILURES)]

    assert seen == [(True, False, False), (True, False, False), (True, True, True)]
    assert not closed.allows()


def test_a_success_resets_the_count(closed: CircuitBreaker) -> None:
    for _ in range(20):
        closed.record_failure()
        closed.record_failure()
        assert closed.record_success() is False

    assert closed.allows()
    assert not closed.open


def test_one_probe_is_allowed_after_the_reset_time(opened: CircuitBreaker, clock: Clock) -> None:
    assert allowed_when(opened, clock, RESET) == (False, True)
    assert not any(opened.allows() for _ in range(4))


def test_a_failed_probe_starts_the_reset_time_again(opened: CircuitBreaker, clock: Clock) -> None:
    clock.now += RESET
    assert opened.allows()
    clock.now += 5
    assert opened.record_failure() is False

    assert allowed_when(opened, clock, RESET) == (False, True)


def test_an_abandoned_probe_is_followed_by_another(opened: CircuitBreaker, clock: Clock) -> None:
    """The client that would have recorded its result may be gone."""
    clock.now += RESET
    probes = [opened.allows(), opened.allows()]
    clock.now += RESET

    assert [*probes, opened.allows()] == [True, False, True]


def test_a_success_closes_it_and_reports_that_once(opened: CircuitBreaker, clock: Clock) -> None:
    clock.now += RESET
    assert opened.allows()

    assert [opened.record_success(), opened.record_success()] == [True, False]
    assert all(opened.allows() for _ in range(20))
    assert [opened.record_failure() for _ in range(FAILURES)] == [False, False, True]


def test_late_failures_only_prolong_the_reset_time(opened: CircuitBreaker, clock: Clock) -> None:
    """Many calls may have started before it opened: it opens once."""
    clock.now += 1
    opens = [opened.record_failure() for _ in range(50)]

    assert not any(opens)
    assert allowed_when(opened, clock, RESET) == (False, True)


STEPS = st.lists(
    st.tuples(st.sampled_from(["success", "failure", "abandoned"]), st.floats(0, 2 * RESET)),
    max_size=60,
)


@given(steps=STEPS)
def test_an_open_breaker_always_allows_one_probe_per_reset_time(
    steps: list[tuple[str, float]],
) -> None:
    clock = Clock(1000.0)
    breaker = CircuitBreaker(FAILURES, RESET, clock=clock)
    failures, last_call = 0, clock.now
    for outcome, pause in steps:
        clock.now += pause
        was_open = failures >= FAILURES
        allowed = breaker.allows()
        assert allowed is (not was_open or clock.now - last_call >= RESET)
        if not allowed:
            continue
        last_call = clock.now
        if outcome == "success":
            assert breaker.record_success() is was_open
            failures = 0
        elif outcome == "failure":
            failures += 1
            assert breaker.record_failure() is (failures == FAILURES)


@pytest.fixture
def region(clock: Clock) -> ServiceCircuitBreaker:
    return ServiceCircuitBreaker("us-east-1", clock=clock)


def fail_calls(region: ServiceCircuitBreaker, *callers: bytes, times: int) -> None:
    """Fail calls of each caller, as far as they are allowed."""
    for _ in range(times):
        for caller in callers:
            if region.allows(caller):
                region.record_failure(caller)


def test_failures_of_three_callers_open_the_region(region: ServiceCircuitBreaker) -> None:
    fail_calls(region, ADA, GRACE, EDITH, times=CALLER_FAILURES)

    assert not region.allows(b"new")
    assert region.open_for(b"new")


def test_failures_of_one_or_two_callers_open_it_for_them_only(
    region: ServiceCircuitBreaker,
) -> None:
    """The reason may be their account, or their team's, however often they fail."""
    fail_calls(region, ADA, GRACE, times=1000)

    assert not region.allows(ADA)
    assert not region.allows(GRACE)
    assert all(region.allows(EDITH) for _ in range(100))


def test_any_success_resets_the_count_of_the_region(region: ServiceCircuitBreaker) -> None:
    fail_calls(region, ADA, GRACE, times=CALLER_FAILURES)
    region.record_success(EDITH)
    fail_calls(region, EDITH, times=CALLER_FAILURES)

    assert region.allows(b"new")


def test_a_caller_who_fails_alone_leaves_the_probe_to_others(
    region: ServiceCircuitBreaker, clock: Clock
) -> None:
    """A busy caller whose probes fail would otherwise keep the region closed to all."""
    fail_calls(region, ADA, times=SERVICE_FAILURES)
    fail_calls(region, GRACE, EDITH, times=CALLER_FAILURES)
    clock.now += RESET_SECONDS
    own_probes = [region.allows(ADA) for _ in range(50)]
    probe = region.allows(GRACE)
    region.record_success(GRACE)

    assert (any(own_probes), probe) == (False, True)
    assert region.allows(EDITH)


def test_a_caller_without_others_probes_one_reset_time_later(
    region: ServiceCircuitBreaker, clock: Clock
) -> None:
    fail_calls(region, ADA, GRACE, EDITH, times=SERVICE_FAILURES)
    clock.now += 2 * RESET_SECONDS
    fail_calls(region, ADA, times=SERVICE_FAILURES)
    clock.now += 2 * RESET_SECONDS

    assert region.allows(ADA)
    region.record_success(ADA)
    assert all(region.allows(caller) for caller in (ADA, GRACE, b"new"))


def test_an_open_region_gets_one_probe_per_reset_time(
    region: ServiceCircuitBreaker, clock: Clock
) -> None:
    fail_calls(region, ADA, GRACE, EDITH, times=CALLER_FAILURES)
    calls = 0
    for _ in range(10):
        clock.now += RESET_SECONDS
        for number in range(100):
            if region.allows(b"%d" % number):
                calls += 1
                region.record_failure(b"%d" % number)

    assert calls == 10


@pytest.mark.parametrize(
    ("error", "fails"),
    [
        (UpstreamTimeoutError("late"), True),
        (UpstreamUnavailableError("down"), True),
        (UpstreamUnavailableError("", aws=AwsErrorDetails("", "IDPCommunicationError", "")), False),
        (UpstreamInvalidResponseError("from a proxy"), False),
        (ForbiddenError("no"), False),
    ],
    ids=["timeout", "unavailable", "issuer unreachable", "invalid", "forbidden"],
)
def test_the_outcome_of_a_call_is_recorded(
    region: ServiceCircuitBreaker, error: GatewayError, *, fails: bool
) -> None:
    for _ in range(SERVICE_FAILURES):
        with suppress(GatewayError), region.record_call(lambda: ADA):
            raise error

    assert region.open_for(ADA) is fails


def test_a_call_that_proves_its_caller_is_recorded_for_that_caller(
    region: ServiceCircuitBreaker,
) -> None:
    fail_calls(region, ADA, times=SERVICE_FAILURES)
    keys = [UNPROVED]
    with region.record_call(lambda: keys[0]):
        keys[0] = ADA

    assert not region.open_for(ADA)


@pytest.mark.parametrize(
    ("seconds", "fails"), [(UNRESPONSIVE_SECONDS - 0.1, False), (UNRESPONSIVE_SECONDS, True)]
)
def test_a_call_that_is_cancelled_late_has_failed(
    region: ServiceCircuitBreaker, clock: Clock, seconds: float, *, fails: bool
) -> None:
    """Nobody waits for its response any longer, and there was none for a while."""
    for _ in range(SERVICE_FAILURES):
        with suppress(asyncio.CancelledError), region.record_call(lambda: ADA):
            clock.now += seconds
            raise asyncio.CancelledError

    assert region.open_for(ADA) is fails


def test_its_memory_of_callers_is_bounded(region: ServiceCircuitBreaker) -> None:
    for number in range(100_000):
        region.record_failure(b"%d" % number)

    assert len(region._caller_breakers) == MAX_CALLERS
    assert sum(region._caller_failures.values()) <= SERVICE_FAILURES
