"""Sessions expire, belong to one account, and are restricted by a policy."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from gateway.sandbox import SandboxCaller, create_sandbox
from gateway.sandbox.auth.sts import UNRESTRICTED, SandboxSessions
from tests.sandbox.clients import Client
from tests.sandbox.identities import assume_role, exchange_error, id_token, session_client
from tests.sandbox.wire import JOBS, get, switch_on
from tests.serving import serve

EXPIRED = (403, "ExpiredTokenException")
UNKNOWN = (403, "UnrecognizedClientException")
EXPIRATION = datetime(2026, 1, 2, 3, tzinfo=UTC)


class ShiftedClock:
    """The real time plus an offset."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset


@pytest.fixture
def signing_clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
def own_url(signing_clock: ShiftedClock) -> Iterator[str]:
    with serve(create_sandbox(signing_clock=signing_clock)) as url:
        yield url


def session(url: str, role: str = "ada", **inputs: object) -> SandboxCaller:
    credentials = assume_role(url, id_token(url, role), role, **inputs)["Credentials"]
    keys = (credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"])
    return SandboxCaller("session", "", *keys, note="")


def create(sessions: SandboxSessions, account_id: str = "1", name: str = "ada") -> SandboxCaller:
    return sessions.create(account_id, name, EXPIRATION, UNRESTRICTED).caller


def test_sessions_expire_by_the_signing_clock(own_url: str, signing_clock: ShiftedClock) -> None:
    caller = session(own_url, DurationSeconds=900)
    longer = session(own_url, DurationSeconds=1800)

    signing_clock.offset += timedelta(seconds=850)
    assert get(own_url, JOBS, caller).status == 200
    signing_clock.offset += timedelta(seconds=51)
    assert get(own_url, JOBS, caller).error == EXPIRED
    assert get(own_url, JOBS, longer).error == (403, "InvalidSignatureException")
    signing_clock.offset += timedelta(seconds=-60)
    assert get(own_url, JOBS, longer).status == 200


def test_the_parts_of_two_sessions_cannot_be_mixed(url: str) -> None:
    ada, grace = session(url, "ada"), session(url, "grace")

    mixed = replace(ada, session_token=grace.session_token)
    assert get(url, JOBS, mixed).error == UNKNOWN
    assert get(url, JOBS, replace(ada, session_token=None)).error == UNKNOWN
    mixed = replace(ada, secret_access_key=grace.secret_access_key)
    assert get(url, JOBS, mixed).error == (403, "InvalidSignatureException")


def test_a_session_can_have_the_name_of_a_caller(url: str) -> None:
    for name in ("denied", "expired"):
        assert get(url, JOBS, session(url, RoleSessionName=name)).status == 200


def test_sessions_are_repeatable_and_unique() -> None:
    sessions, again, other = SandboxSessions(7), SandboxSessions(7), SandboxSessions(8)
    first = create(sessions)

    assert first == create(again)
    assert first.session_token != create(sessions).session_token
    assert first.session_token != create(other).session_token
    assert first.access_key_id != create(SandboxSessions(7), account_id="2").access_key_id
    assert first.access_key_id != create(SandboxSessions(7), name="grace").access_key_id


def test_the_number_of_sessions_is_limited() -> None:
    sessions = SandboxSessions(7, limit=2)
    fixed = len(sessions.access_key_ids())
    first, second, third = (create(sessions) for _ in range(3))

    assert sessions.find(first.access_key_id) is None
    assert sessions.access_key_ids()[fixed:] == [second.access_key_id, third.access_key_id]


def test_a_session_has_expired_at_its_expiration() -> None:
    session = SandboxSessions(7).create("1", "ada", EXPIRATION, UNRESTRICTED)

    assert not session.has_expired(EXPIRATION - timedelta(microseconds=1))
    assert session.has_expired(EXPIRATION)


def is_permitted(ml: Client, operation: str) -> bool:
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
def test_a_policy_restricts_a_session(
    url: str, effect: dict[str, object], *, jobs: bool, models: bool
) -> None:
    policy = {"Version": "2012-10-17", "Statement": [{**effect, "Resource": "*"}]}
    response = assume_role(url, id_token(url), Policy=json.dumps(policy))
    ml = session_client(url, response)

    assert is_permitted(ml, "list_audience_generation_jobs") is jobs
    assert is_permitted(ml, "list_audience_models") is models
    assert 1 <= response["PackedPolicySize"] <= 100


def test_a_denial_overrides_a_permission(url: str) -> None:
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    denial = {"Effect": "Deny", "Action": "cleanrooms-ml:ListAudienceModels", "Resource": "*"}
    policy = json.dumps({"Statement": [everything, denial]})
    ml = session_client(url, assume_role(url, id_token(url), Policy=policy))

    assert is_permitted(ml, "list_audience_generation_jobs")
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
    assert exchange_error(url, id_token(url), Policy=policy)[:2] == ("MalformedPolicyDocument", 400)


def test_a_fault_can_apply_to_one_session(url: str) -> None:
    ended, other = session(url), session(url)
    switch_on(url, "expired-token-credentials", access_key_id=ended.access_key_id)

    assert get(url, JOBS, ended).error == EXPIRED
    assert get(url, JOBS, other).status == 200
