"""What is remembered of callers: for a while, in bounded memory, and nothing of their secrets."""

import gc
import weakref
from dataclasses import replace

import pytest

from gateway.auth.credentials import Caller
from gateway.errors import UnauthenticatedError
from gateway.upstream.resilience import callers
from gateway.upstream.resilience.callers import (
    PROVED_SECONDS,
    REFUSED_SECONDS,
    UNPROVED,
    ExpiringStore,
    ProvedCallers,
    RefusedCredentials,
    RefusedCredentialsError,
)
from tests.clock import Clock
from tests.upstream.clients import REGION, caller

ADA = caller("ada")


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_caller_is_proved_for_ten_minutes_after_each_accepted_call(clock: Clock) -> None:
    proved = ProvedCallers(clock=clock)
    keys = [proved.limit_key(ADA)]
    for _ in range(2):
        proved.add(ADA)
        clock.now += PROVED_SECONDS - 1
        keys.append(proved.limit_key(ADA))
    clock.now += 1
    keys.append(proved.limit_key(ADA))

    assert keys == [UNPROVED, ADA.limit_key, ADA.limit_key, UNPROVED]


def test_refused_credentials_prove_nothing_any_more(clock: Clock) -> None:
    proved = ProvedCallers(clock=clock)
    proved.add(ADA)
    proved.discard(ADA)

    assert proved.limit_key(ADA) == UNPROVED


def test_a_verified_token_proves_its_caller(clock: Clock) -> None:
    """All tokens of a subject have one key."""
    tokens = [
        Caller.from_token(ADA.credentials, text, "role", REGION, 0, limit_key=b"subject")
        for text in ("a.b.c", "d.e.f")
    ]
    proved = ProvedCallers(clock=clock)

    assert {proved.limit_key(each) for each in tokens} == {b"subject"}
    assert proved.limit_key(replace(ADA, limit_key=b"subject")) == UNPROVED


def test_a_refusal_is_of_all_credentials_in_one_region(clock: Clock) -> None:
    refused = RefusedCredentials(clock=clock)
    refused.add(ADA, REGION, UnauthenticatedError("Who?"))
    other = Caller.from_keys(ADA.credentials.access_key, "other", ADA.credentials.token)
    refused.check(ADA, "eu-west-1")
    refused.check(other, REGION)
    with pytest.raises(RefusedCredentialsError, match=r"Who\?"):
        refused.check(ADA, REGION)

    clock.now += REFUSED_SECONDS
    refused.check(ADA, REGION)


def test_a_refusal_keeps_nothing_of_the_call(clock: Clock) -> None:
    """An error has its traceback, and the traceback the caller, the request and the response."""
    refused = RefusedCredentials(clock=clock)

    class Response:
        pass

    responses = []

    def call() -> None:
        response = Response()
        responses.append(weakref.ref(response))
        raise UnauthenticatedError("Who?")

    try:
        call()
    except UnauthenticatedError as error:
        refused.add(ADA, REGION, error)
    gc.collect()

    assert responses[0]() is None
    with pytest.raises(RefusedCredentialsError):
        refused.check(ADA, REGION)


def test_a_flood_evicts_the_oldest(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(callers, "MAX_REFUSED", 1000)
    refused = RefusedCredentials(clock=clock)
    flood = [replace(ADA, fingerprint=b"%d" % number) for number in range(3000)]
    for each in flood:
        refused.add(each, REGION, UnauthenticatedError("Who?"))
    refused.check(flood[1999], REGION)

    assert len(refused._refused) == 1000
    with pytest.raises(RefusedCredentialsError):
        refused.check(flood[2000], REGION)


def test_an_expired_entry_takes_no_memory_once_it_was_looked_up(clock: Clock) -> None:
    store = ExpiringStore[str, int](10, 5, clock=clock)
    store.set("a", 1)
    found = [store.get("a"), store.get("b")]
    clock.now += 5
    found.append(store.get("a"))

    assert found == [1, None, None]
    assert len(store) == 0
