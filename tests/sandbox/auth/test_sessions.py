"""Temporary credentials are good for their account, for what their policy says, and for a time."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from gateway.sandbox import SandboxCaller, create_sandbox
from gateway.sandbox.auth.sts import UNRESTRICTED, SandboxSessions
from tests.sandbox.clients import Client
from tests.sandbox.identities import ShiftedClock, assume_role, id_token, refusal, session_client
from tests.sandbox.wire import JOBS, ask, control
from tests.serving import serve

EXPIRED = (403, "ExpiredTokenException")
UNKNOWN = (403, "UnrecognizedClientException")
END = datetime(2026, 1, 2, 3, tzinfo=UTC)


@pytest.fixture
def signing_clock() -> ShiftedClock:
    """Give a clock that can run ahead of the real one."""
    return ShiftedClock()


@pytest.fixture
def own_url(signing_clock: ShiftedClock) -> Iterator[str]:
    """Serve a sandbox that judges signatures, tokens and sessions by that clock."""
    with serve(create_sandbox(signing_clock=signing_clock)) as url:
        yield url


def session(url: str, role: str = "ada", **inputs: object) -> SandboxCaller:
    """Give the credentials of a new session, as one who can sign."""
    given = assume_role(url, id_token(url, role), role, **inputs)["Credentials"]
    keys = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    return SandboxCaller("session", "", *keys, note="")


def give(sessions: SandboxSessions, account_id: str = "1", name: str = "ada") -> SandboxCaller:
    """Begin a session."""
    return sessions.create(account_id, name, END, UNRESTRICTED).caller


def test_sessions_end_by_the_clock(own_url: str, signing_clock: ShiftedClock) -> None:
    """Credentials are good until their last second, then refused as AWS refuses them."""
    caller = session(own_url, DurationSeconds=900)
    longer = session(own_url, DurationSeconds=1800)

    signing_clock.advance(seconds=850)
    assert ask(own_url, JOBS, caller).status == 200
    signing_clock.advance(seconds=51)
    assert ask(own_url, JOBS, caller).error == EXPIRED
    assert ask(own_url, JOBS, longer).error == (403, "InvalidSignatureException")
    signing_clock.advance(seconds=-60)
    assert ask(own_url, JOBS, longer).status == 200


def test_a_session_is_all_three_parts(url: str) -> None:
    """Key, secret and token of two sessions cannot be mixed, nor the token left away."""
    ada, grace = session(url, "ada"), session(url, "grace")

    mixed = replace(ada, session_token=grace.session_token)
    assert ask(url, JOBS, mixed).error == UNKNOWN
    assert ask(url, JOBS, replace(ada, session_token=None)).error == UNKNOWN
    mixed = replace(ada, secret_access_key=grace.secret_access_key)
    assert ask(url, JOBS, mixed).error == (403, "InvalidSignatureException")


def test_names_are_only_names(url: str) -> None:
    """A session called like a caller who is always refused is not refused."""
    for name in ("denied", "expired"):
        assert ask(url, JOBS, session(url, RoleSessionName=name)).status == 200


def test_sessions_are_the_same_each_time_and_never_twice() -> None:
    """The first session of a seed is always the same, another one or another's is not."""
    sessions, again, other = SandboxSessions(7), SandboxSessions(7), SandboxSessions(8)
    first = give(sessions)

    assert first == give(again)
    assert first.session_token != give(sessions).session_token
    assert first.session_token != give(other).session_token
    assert first.access_key_id != give(SandboxSessions(7), account_id="2").access_key_id
    assert first.access_key_id != give(SandboxSessions(7), name="grace").access_key_id


def test_the_oldest_session_is_forgotten() -> None:
    """The memory of sessions has an end; the callers' own keys stay for ever."""
    sessions = SandboxSessions(7, limit=2)
    fixed = len(sessions.access_key_ids())
    first, second, third = (give(sessions) for _ in range(3))

    assert sessions.find(first.access_key_id) is None
    assert sessions.access_key_ids()[fixed:] == [second.access_key_id, third.access_key_id]


def test_a_session_has_an_end() -> None:
    """The moment of the end is no part of the session any more."""
    begun = SandboxSessions(7).create("1", "ada", END, UNRESTRICTED)

    assert not begun.has_expired(END - timedelta(microseconds=1))
    assert begun.has_expired(END)


def may(ml: Client, operation: str) -> bool:
    """Say whether a call is permitted."""
    try:
        getattr(ml, operation)()
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDeniedException":
            raise
        return False
    return True


@pytest.mark.parametrize(
    ("effect", "jobs", "models"),
    [
        ({"Effect": "Allow", "Action": "*"}, True, True),
        ({"Effect": "Allow", "Action": "cleanrooms-ml:List*"}, True, True),
        ({"Effect": "Allow", "Action": ["CleanRooms-ML:list?udienceModels"]}, False, True),
        ({"Effect": "Allow", "Action": "cleanrooms-ml:Get*"}, False, False),
        ({"Effect": "Allow", "Action": "s3:*"}, False, False),
        ({"Effect": "Allow", "NotAction": "cleanrooms-ml:ListAudienceModels"}, True, False),
        ({"Effect": "Deny", "Action": "s3:*"}, False, False),
    ],
)
def test_a_policy_narrows_the_session(
    url: str, effect: dict[str, object], *, jobs: bool, models: bool
) -> None:
    """A session can do what its policy allows and nothing else; the role alone can do all."""
    policy = {"Version": "2012-10-17", "Statement": [{**effect, "Resource": "*"}]}
    answer = assume_role(url, id_token(url), Policy=json.dumps(policy))
    ml = session_client(url, answer)

    assert may(ml, "list_audience_generation_jobs") is jobs
    assert may(ml, "list_audience_models") is models
    assert 1 <= answer["PackedPolicySize"] <= 100


def test_a_denial_counts_more(url: str) -> None:
    """What one statement allows another can deny."""
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    denial = {"Effect": "Deny", "Action": "cleanrooms-ml:ListAudienceModels", "Resource": "*"}
    policy = json.dumps({"Statement": [everything, denial]})
    ml = session_client(url, assume_role(url, id_token(url), Policy=policy))

    assert may(ml, "list_audience_generation_jobs")
    with pytest.raises(ClientError, match="assumed-role/clean-rooms-reader/test is not authorized"):
        ml.list_audience_models()


@pytest.mark.parametrize(
    "policy",
    [
        "{",
        "[" * 2000,
        "[]",
        "{}",
        '{"Statement": []}',
        '{"Statement": "Allow"}',
        '{"Version": "2020-01-01", "Statement": {"Effect":"Allow","Action":"*","Resource":"*"}}',
        '{"Statement": {"Effect": "Perhaps", "Action": "*", "Resource": "*"}}',
        '{"Statement": {"Effect": "Allow", "Resource": "*"}}',
        '{"Statement": {"Effect": "Allow", "Action": "*", "NotAction": "*", "Resource": "*"}}',
        '{"Statement": {"Effect": "Allow", "Action": "*"}}',
        '{"Statement": {"Effect": "Allow", "Action": "ListJobs", "Resource": "*"}}',
        '{"Statement": {"Effect": "Allow", "Action": [1], "Resource": "*"}}',
    ],
)
def test_a_malformed_policy(url: str, policy: str) -> None:
    """A document that is no policy is refused, and no session begins."""
    assert refusal(url, id_token(url), Policy=policy)[:2] == ("MalformedPolicyDocument", 400)


def test_a_fault_can_be_for_one_session(url: str) -> None:
    """A session can be ended before its time, and the other sessions go on."""
    ended, other = session(url), session(url)
    order = {"fault": "expired-token-credentials", "access_key_id": ended.access_key_id}
    control(url, "POST", "/faults", order)

    assert ask(url, JOBS, ended).error == EXPIRED
    assert ask(url, JOBS, other).status == 200
