"""A region's breaker: what fails for one caller is left alone for them, and for nobody else."""

import pytest

from gateway.upstream.resilience.circuit_breaker import (
    CALLER_FAILURES,
    MAX_CALLERS,
    REGION_FAILURES,
    RESET_SECONDS,
    RegionCircuitBreaker,
)
from tests.clock import Clock

ADA, GRACE, EDITH = b"ada", b"grace", b"edith"


@pytest.fixture
def clock() -> Clock:
    """Give a clock to be moved by hand."""
    return Clock(100.0)


@pytest.fixture
def region(clock: Clock) -> RegionCircuitBreaker:
    """Give a region that works."""
    return RegionCircuitBreaker("us-east-1", clock=clock)


def fails_for(region: RegionCircuitBreaker, *callers: bytes, times: int) -> None:
    """Let calls of each fail, as far as they are made."""
    for _ in range(times):
        for caller in callers:
            if region.allows(caller):
                region.record_failure(caller)


def test_a_region_that_fails_for_several_is_left_alone_for_all(
    region: RegionCircuitBreaker,
) -> None:
    """Also for who has not asked as yet."""
    fails_for(region, ADA, GRACE, EDITH, times=CALLER_FAILURES)

    assert not region.allows(b"new")
    assert region.open_for(b"new")


def test_what_fails_for_one_is_left_alone_for_them_alone(region: RegionCircuitBreaker) -> None:
    """However often it fails; it is their account that AWS fails, or their network."""
    fails_for(region, ADA, times=1000)

    assert not region.allows(ADA)
    assert all(region.allows(GRACE) for _ in range(100))


def test_two_do_not_open_it_either(region: RegionCircuitBreaker) -> None:
    """Two of one team may fail for one reason."""
    fails_for(region, ADA, GRACE, times=1000)

    assert region.allows(EDITH)


def test_any_answer_ends_the_caller_failures(region: RegionCircuitBreaker) -> None:
    """What failed before it counts no more."""
    fails_for(region, ADA, GRACE, times=CALLER_FAILURES)
    region.record_success(EDITH)
    fails_for(region, EDITH, times=CALLER_FAILURES)

    assert region.allows(b"new")


def test_who_fails_for_themselves_lets_others_probe_first(
    region: RegionCircuitBreaker, clock: Clock
) -> None:
    """Though they ask more often than anybody: their probe would keep the region closed."""
    fails_for(region, ADA, times=REGION_FAILURES)
    fails_for(region, GRACE, EDITH, times=CALLER_FAILURES)
    clock.now += RESET_SECONDS
    asked = [region.allows(ADA) for _ in range(50)]
    probe = region.allows(GRACE)
    region.record_success(GRACE)

    assert (any(asked), probe) == (False, True)
    assert region.allows(EDITH)


def test_who_asks_alone_probes_in_the_end(region: RegionCircuitBreaker, clock: Clock) -> None:
    """One rest later, if nobody else did; and an answer opens the region again."""
    fails_for(region, ADA, GRACE, EDITH, times=REGION_FAILURES)
    clock.now += 2 * RESET_SECONDS
    fails_for(region, ADA, times=REGION_FAILURES)
    clock.now += 2 * RESET_SECONDS

    assert region.allows(ADA)
    region.record_success(ADA)
    assert all(region.allows(caller) for caller in (ADA, GRACE, b"new"))


def test_a_failed_probe_begins_the_rest_anew(region: RegionCircuitBreaker, clock: Clock) -> None:
    """One call in a rest, whoever makes it."""
    fails_for(region, ADA, GRACE, EDITH, times=CALLER_FAILURES)
    made = 0
    for _ in range(10):
        clock.now += RESET_SECONDS
        for number in range(100):
            if region.allows(b"%d" % number):
                made += 1
                region.record_failure(b"%d" % number)

    assert made == 10


def test_the_callers_it_knows_are_bounded(region: RegionCircuitBreaker) -> None:
    """A hundred thousand who were made up leave no more than the table holds."""
    for number in range(100_000):
        region.record_failure(b"%d" % number)

    assert len(region._caller_breakers) == MAX_CALLERS
    assert sum(region._caller_failures.values()) <= REGION_FAILURES
