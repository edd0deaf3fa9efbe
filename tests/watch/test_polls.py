"""One poll for all subscriptions of a caller to a thing: when it reads, and how it ends."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.auth.credentials import Caller
from gateway.errors import (
    ForbiddenError,
    GatewayError,
    InternalError,
    LimitExceededError,
    NotFoundError,
    ThrottledError,
    UnauthenticatedError,
    UpstreamInvalidResponseError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from gateway.telemetry.metrics import POLLS, WATCHED_BYTES, WATCHES
from gateway.upstream.resilience.callers import RefusedCredentialsError
from gateway.upstream.resilience.client import CircuitOpenError
from gateway.upstream.resilience.rate_limit import RateLimitedError
from gateway.watch.poll import Reading
from gateway.watch.watcher import Watch
from tests.upstream.clients import caller
from tests.watch.doubles import ADA, SECONDS, Upstream, Watching, job

UNAVAILABLE = UpstreamUnavailableError("Clean Rooms ML failed.")


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Each test closes what it has opened, or its polls have ended."""
    before = [WATCHES._value.get(), WATCHED_BYTES._value.get()]
    yield
    assert [WATCHES._value.get(), WATCHED_BYTES._value.get()] == before


def watched() -> float:
    count: float = WATCHES._value.get()
    return count


def polls(result: str) -> float:
    count: float = POLLS.labels(result)._value.get()
    return count


def spring(status: str = "CREATE_IN_PROGRESS") -> Upstream:
    upstream = Upstream()
    upstream.jobs["spring"] = job("spring", status)
    return upstream


async def close(*watches: Watch[Any]) -> None:
    """Leave the polls, and wait until those that stop have ended."""
    tasks = [watch._poll._task for watch in watches]
    for watch in watches:
        watch.close()
    stopped = [task for task in tasks if task.cancelling()]
    await asyncio.gather(*stopped, return_exceptions=True)


async def settle() -> None:
    """Let all that can go on without time or calls do so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def next_of(watch: Watch[Any]) -> Reading[Any] | None:
    async with asyncio.timeout(10):
        return await watch.next()


async def begin_reading(watching: Watching) -> None:
    """Let the next reading begin, whose call returns when the upstream is opened."""
    watching.upstream.open.clear()
    watching.upstream.started.clear()
    await watching.time.pass_sleep()
    await watching.upstream.started.wait()


async def status(watch: Watch[Any]) -> str | None:
    """Return the status of the next reading; None at the end."""
    reading = await next_of(watch)
    return reading.state.item["status"] if reading else None


# When it reads


@pytest.mark.parametrize(("jitter", "longest"), [(0.0, 12.5), (1.0, 15.0)])
async def test_the_interval_grows_to_three_times_at_most_until_something_changes(
    jitter: float, longest: float
) -> None:
    upstream = spring()
    found = [polls("changed"), polls("unchanged")]
    watching = Watching(upstream, jitter=jitter)
    watch = await watching.watch_job()
    quiet = [await watching.time.pass_sleep() for _ in range(8)]
    upstream.jobs["spring"]["description"] = "new"
    after_change = await watching.time.pass_sleep()

    assert quiet == sorted(quiet)
    assert quiet[0] == after_change == SECONDS * (1 + jitter / 5)
    assert quiet[-2:] == [longest, longest]
    assert len(upstream.calls) == 9
    assert [polls("changed"), polls("unchanged")] == [found[0] + 2, found[1] + 7]
    await close(watch)


async def test_a_list_is_read_no_more_often_than_two_seconds_a_page() -> None:
    """Less often while nothing changes; also when a walk fails late, or has to be repeated."""
    upstream = Upstream(*[[job(f"job{number}")] for number in range(8)])
    watching = Watching(upstream)
    watch = await watching.watch_list()
    taken = []

    async def interval() -> None:
        """Let the interval after the last reading pass, which took so many calls."""
        seconds = await watching.time.pass_sleep()
        taken.append((len(upstream.calls), seconds))
        upstream.calls.clear()

    def fail_at_the_seventh_call() -> None:
        if len(upstream.calls) == 6:
            upstream.failures.append(UNAVAILABLE)

    await interval()
    await interval()
    upstream.pages[3] = []
    await interval()
    upstream.before_call = fail_at_the_seventh_call
    await interval()

    assert taken == [(8, 16.0), (8, 20.0), (16, 32.0), (7, 14.0)]
    await close(watch)


# Sharing


async def test_five_hundred_subscriptions_of_a_caller_are_one_call_an_interval() -> None:
    upstream, before = spring(), watched()
    watching = Watching(upstream)
    watches = await asyncio.gather(*(watching.watch_job() for _ in range(500)))
    for number in range(1, 4):
        found = await asyncio.gather(*(status(watch) for watch in watches))
        assert set(found) == {upstream.jobs["spring"]["status"]}
        assert len(upstream.calls) == number
        upstream.jobs["spring"]["status"] = f"STATUS_{number}"
        await watching.time.pass_sleep()

    assert watched() - before == 1
    await close(*watches)


async def test_each_caller_and_each_thing_has_a_poll_of_its_own() -> None:
    """The calls are made with the subscriber's own credentials."""
    upstream, before = spring(), watched()
    upstream.jobs["autumn"] = job("autumn")
    watching = Watching(upstream)
    watches = [
        await watching.watch(watching.job_source(name), caller=caller(who))
        for who in ("ada", "grace")
        for name in ("spring", "autumn", "spring")
    ]
    watches.append(await watching.watch_list())

    assert watched() - before == 5
    assert [each for each, *_ in upstream.calls] == [
        ADA,
        ADA,
        caller("grace"),
        caller("grace"),
        ADA,
    ]
    for watch in watches[:3]:
        reading = await next_of(watch)
        assert reading is not None
        assert reading.caller == ADA
    await close(*watches)


async def test_sessions_that_are_limited_together_have_polls_of_their_own() -> None:
    """Tokens of one subject may have different permissions."""
    upstream, other_session = spring(), replace(ADA, fingerprint=b"other")
    watching = Watching(upstream)
    watches = [await watching.watch_job(caller=each) for each in (ADA, other_session)]

    assert [each for each, *_ in upstream.calls] == [ADA, other_session]
    await close(*watches)


async def test_who_joins_in_the_middle_gets_the_newest_state_at_once() -> None:
    """Without a call. Those who have it get nothing again."""
    upstream = spring()
    watching = Watching(upstream)
    first = await watching.watch_job()
    assert await status(first) == "CREATE_IN_PROGRESS"
    upstream.jobs["spring"]["status"] = "DELETE_PENDING"
    await watching.time.pass_sleep()
    assert await status(first) == "DELETE_PENDING"
    second = await watching.watch_job()
    again = asyncio.create_task(next_of(first))

    assert await status(second) == "DELETE_PENDING"
    await settle()
    assert not again.done()
    assert len(upstream.calls) == 2
    again.cancel()
    await close(first, second)


async def test_who_joins_gets_the_state_as_of_the_last_reading() -> None:
    """What events show need be no older, although nothing has changed since the first reading."""
    watching = Watching(spring())
    first = await watching.watch_job()
    for _ in range(3):
        await watching.time.pass_sleep()
        await settle()
    second = await watching.watch_job()
    reading = await next_of(second)

    assert reading is not None
    assert (reading.version, reading.read_at) == (1, watching.time.now)
    await close(first, second)


async def test_a_reading_that_was_taken_without_waiting_is_not_returned_again() -> None:
    upstream = spring()
    watching = Watching(upstream)
    watch = await watching.watch_job()
    taken = watch.next_nowait()
    upstream.jobs["spring"]["status"] = "DELETE_PENDING"
    following = asyncio.create_task(status(watch))
    await settle()
    is_waiting = not following.done()
    await watching.time.pass_sleep()

    assert taken is not None
    assert is_waiting
    assert await following == "DELETE_PENDING"
    await close(watch)


async def test_a_slow_subscriber_gets_the_newest_state_only() -> None:
    upstream = spring()
    watching = Watching(upstream)
    watch = await watching.watch_job()
    for number in range(5):
        upstream.jobs["spring"]["status"] = f"STATUS_{number}"
        await watching.time.pass_sleep()
        await settle()

    assert await status(watch) == "STATUS_4"
    await close(watch)


# Its end


async def test_a_job_that_is_settled_costs_no_further_call() -> None:
    """Each subscription gets its last state, and then the end, however late it asks."""
    upstream, before = spring(), watched()
    watching = Watching(upstream)
    first, late = [await watching.watch_job() for _ in range(2)]
    assert await status(first) == "CREATE_IN_PROGRESS"
    upstream.jobs["spring"]["status"] = "ACTIVE"
    await watching.time.pass_sleep()
    seen = [await status(first), await status(first), await status(late), await status(late)]

    assert seen == ["ACTIVE", None, "ACTIVE", None]
    await settle()
    assert watched() == before
    assert len(upstream.calls) == 2
    # Who comes later starts another poll, which reads once.
    newcomer = await watching.watch_job()
    assert [await status(newcomer), await status(newcomer)] == ["ACTIVE", None]
    assert len(upstream.calls) == 3
    await close(first, late, newcomer)
    assert watching.watcher._watched == {}


async def test_a_job_that_is_gone_is_the_last_state() -> None:
    upstream = spring()
    watching = Watching(upstream)
    watch = await watching.watch_job()
    await status(watch)
    upstream.jobs.clear()
    await watching.time.pass_sleep()
    reading = await next_of(watch)

    assert reading is not None
    assert (reading.state.item, reading.state.missing) == (None, None)
    assert await next_of(watch) is None
    watch.close()


async def test_an_empty_list_is_watched_on() -> None:
    upstream = Upstream()
    watching = Watching(upstream)
    watch = await watching.watch_list()
    await next_of(watch)
    upstream.pages = [[job("first")]]
    await watching.time.pass_sleep()
    reading = await next_of(watch)

    assert reading is not None
    assert len(reading.state.rows) == 1
    await close(watch)


async def test_the_poll_stops_with_its_last_subscription() -> None:
    """One that leaves while others stay changes nothing for these."""
    upstream, before = spring(), watched()
    watching = Watching(upstream)
    first, second = [await watching.watch_job() for _ in range(2)]
    await status(second)
    first.close()
    first.close()
    upstream.jobs["spring"]["status"] = "DELETE_PENDING"
    await watching.time.pass_sleep()
    assert await status(second) == "DELETE_PENDING"
    assert watched() - before == 1
    await close(second)
    assert watched() == before
    assert watching.watcher._watched == {}

    # The same again, without anything of the poll before.
    third = await watching.watch_job()
    assert await status(third) == "DELETE_PENDING"
    await close(third)


async def test_a_call_that_nobody_waits_for_any_more_is_cancelled() -> None:
    upstream = Upstream([job("a")])
    upstream.jobs["spring"] = job("spring")
    watching = Watching(upstream)
    watches = [await watching.watch_job(), await watching.watch_list()]
    for _ in watches:
        await begin_reading(watching)
    await settle()
    assert len(upstream.calls) == 4
    await close(*watches)
    await settle()

    assert upstream.cancelled == 2
    flights = watching.client._flights
    assert (flights._tasks, flights._waiters) == ({}, {})


async def test_a_subscription_that_is_cancelled_before_the_first_reading_leaves_nothing() -> None:
    """Before the poll has begun, and during its first call."""
    upstream, before = spring(), watched()
    upstream.open.clear()
    watching = Watching(upstream)
    starting = watching.watch_job()
    starting.send(None)
    assert watched() - before == 1
    starting.close()
    await settle()
    assert (watched(), upstream.calls) == (before, [])

    subscribing = asyncio.create_task(watching.watch_job())
    await upstream.started.wait()
    subscribing.cancel()
    await asyncio.gather(subscribing, return_exceptions=True)
    await settle()
    assert (watched(), upstream.cancelled) == (before, 1)
    assert watching.watcher._watched == {}
    flights = watching.client._flights
    assert (flights._tasks, flights._waiters) == ({}, {})


async def test_one_of_two_that_wait_for_the_first_reading_leaves() -> None:
    upstream = spring()
    upstream.open.clear()
    watching = Watching(upstream)
    leaving, staying = [asyncio.create_task(watching.watch_job()) for _ in range(2)]
    await upstream.started.wait()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    upstream.open.set()
    watch = await staying

    assert await status(watch) == "CREATE_IN_PROGRESS"
    assert len(upstream.calls) == 1
    await close(watch)


async def test_a_slow_first_reading_comes_after_the_deadline() -> None:
    """The subscription has begun by then, and goes on."""
    upstream = spring()
    upstream.open.clear()
    watching = Watching(upstream)
    watch = await watching.watch_job(deadline=-1)
    reading = asyncio.create_task(status(watch))
    await upstream.started.wait()
    assert not reading.done()
    upstream.open.set()

    assert await reading == "CREATE_IN_PROGRESS"
    assert len(upstream.calls) == 1
    await close(watch)


# Failures


async def test_a_crash_is_logged_where_it_happened() -> None:
    """Once, for all subscriptions, and without its text, which may hold secrets."""
    upstream = spring()
    watching = Watching(upstream)
    watches = [await watching.watch_job() for _ in range(2)]
    for watch in watches:
        await status(watch)
    upstream.failure = RuntimeError("a secret")
    with capture_logs() as logs:
        await watching.time.pass_sleep()
        for watch in watches:
            with pytest.raises(RuntimeError):
                await next_of(watch)
            watch.close()

    (line,) = logs
    assert (line["event"], line["log_level"]) == ("poll crashed", "error")
    assert line["exception"] == "RuntimeError"
    assert "doubles.py" in line["where"][-1]
    assert "secret" not in str(line)


@pytest.mark.parametrize(("called", "lines"), [(True, 1), (False, 0)])
async def test_only_readings_that_were_calls_are_logged_as_failures(
    called: bool,  # noqa: FBT001  a parameter of the test
    lines: int,
) -> None:
    """While the circuit breaker of a region is open, thousands of polls go on failing."""
    upstream = spring()
    watching = Watching(upstream)
    watch = await watching.watch_job()
    await status(watch)
    upstream.failures = [UNAVAILABLE if called else CircuitOpenError("Calls keep failing.")]
    with capture_logs() as logs:
        await watching.time.pass_sleep()
        await watching.time.pass_sleep()

    assert [line["event"] for line in logs] == ["upstream failed"] * lines
    await close(watch)


TRANSIENT = [
    UNAVAILABLE,
    UpstreamTimeoutError("No response in time."),
    UpstreamInvalidResponseError("An invalid response."),
    ThrottledError("AWS throttles this caller."),
    RateLimitedError("Rate limit exceeded.", retry_after=1.0),
    CircuitOpenError("Calls are paused."),
]
LASTING = [
    ForbiddenError("AWS does not allow the caller this operation."),
    UnauthenticatedError("The AWS credentials have expired."),
    RefusedCredentialsError("AWS has refused these credentials."),
    LimitExceededError("Too long."),
    InternalError("A defect."),
    RuntimeError("A defect."),
]


def by_type(error: Exception) -> str:
    return type(error).__name__


@pytest.mark.parametrize("failure", TRANSIENT, ids=by_type)
async def test_failures_of_the_upstream_are_waited_out_for_a_minute(failure: GatewayError) -> None:
    """Then each subscription is told, once, and the poll ends."""
    upstream, failed = spring(), polls("failed")
    watching = Watching(upstream, jitter=0.5)
    watches = [await watching.watch_job() for _ in range(3)]
    for watch in watches:
        await status(watch)
    waiting = [asyncio.create_task(next_of(watch)) for watch in watches]
    upstream.failure = failure
    await watching.time.pass_sleep()
    began, waited = watching.time.now, 0.0
    while waited < 60:
        assert not any(task.done() for task in waiting)
        await watching.time.pass_sleep()
        waited = watching.time.now - began
    told = await asyncio.gather(*waiting, return_exceptions=True)

    assert waited == 60
    assert told == [failure] * 3
    await settle()
    assert len(upstream.calls) - 1 == polls("failed") - failed
    for watch in watches:
        with pytest.raises(type(failure)):
            await next_of(watch)
        watch.close()
    assert watching.watcher._watched == {}


@pytest.mark.parametrize("failure", LASTING, ids=by_type)
async def test_what_waiting_does_not_cure_is_told_at_once(failure: Exception) -> None:
    upstream = spring()
    watching = Watching(upstream)
    first, second = [await watching.watch_job() for _ in range(2)]
    await status(first)
    upstream.failure = failure
    await watching.time.pass_sleep()

    with pytest.raises(type(failure)):
        await next_of(first)
    # One that is slow gets the state that was read before, as it was when it was read.
    assert await status(second) == "CREATE_IN_PROGRESS"
    with pytest.raises(type(failure)):
        await next_of(second)
    assert len(upstream.calls) == 2
    # Who comes later is told by a poll of their own, and instead of a subscription.
    with pytest.raises(type(failure)):
        await watching.watch_job()
    assert len(upstream.calls) == 3
    first.close()
    second.close()
    assert watching.watcher._watched == {}


async def test_an_error_does_not_grow_with_those_who_are_told() -> None:
    """Nor does it keep what was in progress when it was raised."""
    upstream = spring()
    watching = Watching(upstream)
    watches = [await watching.watch_job() for _ in range(3)]
    upstream.failure = ForbiddenError("AWS does not allow the caller this operation.")
    await watching.time.pass_sleep()
    await settle()
    kept = upstream.failure.__traceback__
    frames = []
    for watch in watches:
        await status(watch)
        with pytest.raises(ForbiddenError) as told:
            await next_of(watch)
        frames.append(len(told.traceback))
        watch.close()

    assert kept is None
    assert len(set(frames)) == 1


async def test_a_success_in_between_restarts_the_minute() -> None:
    upstream = spring()
    watching = Watching(upstream)
    watch = await watching.watch_job()
    await status(watch)
    next_status = asyncio.create_task(status(watch))
    for _ in range(5):
        upstream.failure = UNAVAILABLE
        await watching.time.pass_sleep()
        began = watching.time.now
        while watching.time.now - began < 50:
            await watching.time.pass_sleep()
        upstream.failure = None
        await watching.time.pass_sleep()
        await settle()

    assert not next_status.done()
    upstream.jobs["spring"]["status"] = "ACTIVE"
    await watching.time.pass_sleep()
    assert await next_status == "ACTIVE"
    watch.close()


async def test_a_first_reading_that_fails_may_still_come() -> None:
    """The subscription begins at once, without an event."""
    upstream = spring()
    upstream.failures = [UNAVAILABLE, ThrottledError("AWS throttles this caller.")]
    watching = Watching(upstream)
    watch = await watching.watch_job()
    first = asyncio.create_task(status(watch))
    joined = await watching.watch_job()
    assert len(upstream.calls) == 1
    for _ in range(2):
        assert not first.done()
        await watching.time.pass_sleep()

    assert await first == await status(joined) == "CREATE_IN_PROGRESS"
    await close(watch, joined)


@pytest.mark.parametrize("make", [ThrottledError, RateLimitedError])
async def test_a_throttled_caller_waits_as_long_as_asked(make: type[ThrottledError]) -> None:
    upstream = spring()
    watching = Watching(upstream)
    watch = await watching.watch_job()
    upstream.failures = [make("Slower.", retry_after=seconds) for seconds in (20.0, 0.5, 17.5)]
    waits = [await watching.time.pass_sleep() for _ in range(4)]

    assert waits == [SECONDS, 20.0, SECONDS, 17.5]
    await close(watch)


async def test_a_throttled_caller_is_told_at_once_if_the_wait_is_longer_than_the_minute() -> None:
    """Rather than to be asked again before that."""
    upstream = spring()
    watching = Watching(upstream)
    watch = await watching.watch_job()
    await status(watch)
    upstream.failures = [
        ThrottledError("Slower.", retry_after=30.0),
        ThrottledError("Slower.", retry_after=31.0),
    ]
    waits = [await watching.time.pass_sleep() for _ in range(2)]

    with pytest.raises(ThrottledError) as told:
        await next_of(watch)
    assert waits == [SECONDS, 30.0]
    assert told.value.extensions() == {"code": "THROTTLED", "retryAfter": 31.0}
    assert len(upstream.calls) == 3
    watch.close()


async def test_a_list_that_grows_too_long_is_told_once_in_words() -> None:
    upstream = Upstream([job("a")], [job("b")])
    watching = Watching(upstream, max_pages=2)
    watch = await watching.watch_list()
    await next_of(watch)
    upstream.pages.append([job("c")])
    await watching.time.pass_sleep()

    with pytest.raises(LimitExceededError, match="more than 2 pages"):
        await next_of(watch)
    with pytest.raises(LimitExceededError, match="more than 2 pages"):
        await watching.watch_list()
    watch.close()


async def test_a_job_that_never_existed_is_a_state_with_its_error() -> None:
    watching = Watching(Upstream())
    watch = await watching.watch_job()
    reading = await next_of(watch)

    assert reading is not None
    assert isinstance(reading.state.missing, NotFoundError)
    assert await next_of(watch) is None
    watch.close()


# Credentials that expire


class Session:
    """Identifies a caller as long as the token is valid; renews the session of AWS."""

    def __init__(self, watching: Watching, *, token: float, session: float) -> None:
        """Both last for some seconds from now; a session, from when it is made."""
        self._time = watching.time
        self.token_until = watching.time.now + token
        self._session_seconds = session
        self.made = 0
        self._until = 0.0

    async def __call__(self) -> Caller:
        now = self._time.now
        if now >= self.token_until:
            raise UnauthenticatedError("The bearer token has expired.")
        if now >= self._until:
            self.made += 1
            self._until = now + self._session_seconds
        return replace(ADA, expires_at=min(self._until, self.token_until))


async def test_a_subscription_ends_with_the_token() -> None:
    """In time, although nothing changes, and although the interval is longer."""
    upstream = spring()
    watching = Watching(upstream)
    token = Session(watching, token=42.0, session=3600.0)
    watch = await watching.watch_job(identify=token)
    await status(watch)
    waiting = asyncio.create_task(next_of(watch))
    while watching.time.now < token.token_until:
        assert not waiting.done()
        await watching.time.pass_sleep()

    with pytest.raises(UnauthenticatedError, match="has expired"):
        await waiting
    assert watching.time.now == token.token_until
    # After 0, 5, 11.25, 19.1, 28.8 and 41 seconds.
    assert len(upstream.calls) == 6
    watch.close()


async def test_a_session_that_is_renewed_goes_on() -> None:
    upstream = spring()
    watching = Watching(upstream)
    token = Session(watching, token=3600.0, session=60.0)
    watch = await watching.watch_job(identify=token)
    await status(watch)
    while token.made < 4:
        await watching.time.pass_sleep()
        await settle()
    upstream.jobs["spring"]["status"] = "ACTIVE"
    await watching.time.pass_sleep()
    reading = await next_of(watch)

    assert reading is not None
    assert reading.caller.expires_at is not None
    assert reading.caller.expires_at > watching.time.now
    watch.close()


async def test_nothing_is_told_after_the_expiry() -> None:
    """Neither what a call returns that had begun before it."""
    upstream = spring()
    watching = Watching(upstream)
    token = Session(watching, token=12.0, session=3600.0)
    watch = await watching.watch_job(identify=token)
    await status(watch)
    await begin_reading(watching)
    upstream.jobs["spring"]["status"] = "ACTIVE"
    watching.time.now = token.token_until
    upstream.open.set()

    with pytest.raises(UnauthenticatedError, match="has expired"):
        await next_of(watch)
    watch.close()


async def test_a_session_that_ends_during_a_call_is_renewed_for_its_event() -> None:
    """The details of the event are read with it."""
    upstream = spring()
    watching = Watching(upstream)
    token = Session(watching, token=3600.0, session=12.0)
    watch = await watching.watch_job(identify=token)
    await status(watch)
    await begin_reading(watching)
    upstream.jobs["spring"]["status"] = "ACTIVE"
    watching.time.now += 12.0
    upstream.open.set()
    reading = await next_of(watch)

    assert reading is not None
    assert reading.caller.expires_at == watching.time.now + 12.0
    watch.close()


async def test_sessions_that_seem_to_have_expired_do_not_make_it_read_without_pause() -> None:
    """If the clock is ahead of AWS's by more than a session lasts."""
    upstream = spring()
    watching = Watching(upstream)
    token = Session(watching, token=3600.0, session=-1.0)
    watch = await watching.watch_job(identify=token)
    await status(watch)

    assert [await watching.time.pass_sleep() for _ in range(2)] == [SECONDS, SECONDS * 1.25]
    await close(watch)


async def test_a_failing_issuer_is_waited_out_as_aws_is() -> None:
    upstream = spring()
    watching = Watching(upstream)
    failures: list[GatewayError] = []

    async def identify() -> Caller:
        if failures:
            raise failures.pop()
        return ADA

    watch = await watching.watch_job(identify=identify)
    await status(watch)
    failures.append(UpstreamUnavailableError("The issuer's keys cannot be fetched."))
    await watching.time.pass_sleep()
    upstream.jobs["spring"]["status"] = "ACTIVE"
    await watching.time.pass_sleep()

    assert await status(watch) == "ACTIVE"
    assert (failures, len(upstream.calls)) == ([], 2)
    watch.close()
