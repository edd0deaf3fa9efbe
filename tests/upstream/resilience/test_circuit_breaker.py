"""The breaker against what it promises: few tries of what is down, and none too few."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.resilience.circuit_breaker import CircuitBreaker
from tests.clock import Clock

FAILURES = 3
REST = 10.0


@pytest.fixture
def clock() -> Clock:
    """Give a clock to be moved by hand."""
    return Clock(1000.0)


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    """Give a closed breaker."""
    return CircuitBreaker(FAILURES, REST, clock=clock)


@pytest.fixture
def opened(breaker: CircuitBreaker) -> CircuitBreaker:
    """Give one that has just opened."""
    for _ in range(FAILURES):
        breaker.record_failure()
    return breaker


def test_it_opens_after_so_many_failures_in_a_row(breaker: CircuitBreaker) -> None:
    """Until then all may try; the one that opens it is told so."""
    seen = [(breaker.allows(), breaker.record_failure(), breaker.open) for _ in range(FAILURES)]

    assert seen == [(True, False, False), (True, False, False), (True, True, True)]
    assert not breaker.allows()


def test_a_success_in_between_begins_the_count_anew(breaker: CircuitBreaker) -> None:
    """What fails now and then is not down, and its success is no news."""
    for _ in range(20):
        breaker.record_failure()
        breaker.record_failure()
        assert breaker.record_success() is False

    assert breaker.allows()
    assert not breaker.open


def test_after_the_rest_one_may_probe(opened: CircuitBreaker, clock: Clock) -> None:
    """Whoever asks first, and nobody else until that has come to something."""
    clock.now += REST - 0.001
    before = opened.allows()
    clock.now += 0.001

    assert [before, *(opened.allows() for _ in range(4))] == [False, True, False, False, False]


def test_a_probe_that_fails_means_another_rest(opened: CircuitBreaker, clock: Clock) -> None:
    """It is no news that it is down, and the rest counts from this failure."""
    clock.now += REST
    assert opened.allows()
    clock.now += 5
    assert opened.record_failure() is False
    clock.now += REST - 0.001
    before = opened.allows()
    clock.now += 0.001

    assert (before, opened.allows()) == (False, True)


def test_a_probe_that_is_given_up_does_not_close_the_way_for_ever(
    opened: CircuitBreaker, clock: Clock
) -> None:
    """Its client may have left: after another rest somebody else probes."""
    clock.now += REST
    probes = [opened.allows(), opened.allows()]
    clock.now += REST

    assert [*probes, opened.allows()] == [True, False, True]


def test_a_success_closes_it_and_is_news_once(opened: CircuitBreaker, clock: Clock) -> None:
    """All may try again at once, and as many failures as ever open it again."""
    clock.now += REST
    assert opened.allows()

    assert [opened.record_success(), opened.record_success()] == [True, False]
    assert all(opened.allows() for _ in range(20))
    assert [opened.record_failure() for _ in range(FAILURES)] == [False, False, True]


def test_failures_that_were_under_way_prolong_the_rest_only(
    opened: CircuitBreaker, clock: Clock
) -> None:
    """Many can have asked before it opened: it opens once."""
    clock.now += 1
    told = [opened.record_failure() for _ in range(50)]
    clock.now += REST - 0.001
    before = opened.allows()
    clock.now += 0.001

    assert not any(told)
    assert (before, opened.allows()) == (False, True)


STEPS = st.lists(
    st.tuples(st.sampled_from(["works", "fails", "is given up"]), st.floats(0, 2 * REST)),
    max_size=60,
)


@given(steps=STEPS)
def test_what_is_down_is_tried_once_a_rest(steps: list[tuple[str, float]]) -> None:
    """Whatever happens: while open, two tries are a whole rest apart, and one always comes."""
    clock = Clock(1000.0)
    breaker = CircuitBreaker(FAILURES, REST, clock=clock)
    failed, last_try = 0, clock.now
    for what, pause in steps:
        clock.now += pause
        was_open = failed >= FAILURES
        allowed = breaker.allows()
        assert allowed is (not was_open or clock.now - last_try >= REST)
        if not allowed:
            continue
        last_try = clock.now
        if what == "works":
            assert breaker.record_success() is was_open
            failed = 0
        elif what == "fails":
            failed += 1
            assert breaker.record_failure() is (failed == FAILURES)
