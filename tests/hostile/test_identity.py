"""OIDC callers of an issuer and an STS that are slow, and callers with many tokens."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway.auth.sts import OPERATION
from gateway.sandbox import ROLE_ARNS
from tests.auth.issuers import oidc_gateway
from tests.gateways import Answer, Gateway, Sandbox, bearer, request_bytes
from tests.hostile.target import JOBS, NO_JOBS
from tests.http.wire import connect
from tests.processes import until
from tests.sandbox.identities import id_token

DEADLINE_SECONDS = 1.5
MAX_IN_FLIGHT = 4
LIST = "ListAudienceGenerationJobs"
CALLS_PER_WINDOW = 12
"""With a rate of 1 call a second. Where two windows meet there may be twice as many."""


def ask(gateway: Gateway, token: str, query: str = JOBS) -> Answer:
    return gateway.ask(query, caller=None, headers=bearer(token))


@pytest.mark.parametrize(
    "faults",
    [
        [{"name": "hang", "operation": OPERATION}],
        [{"name": "slow", "operation": OPERATION, "seconds": 0.9 * DEADLINE_SECONDS}],
        [{"name": "hang", "operation": "GetJwks"}],
        [{"name": "slow", "operation": "GetOpenIdConfiguration", "seconds": 0.3}, {"name": "hang"}],
    ],
    ids=["STS hangs", "STS is slow and the upstream hangs", "the issuer hangs", "all of them"],
)
def test_the_deadline_includes_the_time_to_identify_the_caller(
    sandbox: Sandbox, tmp_path: Path, faults: list[dict[str, Any]]
) -> None:
    """A later request, of a caller who needs no identification, is answered after it."""
    token = id_token(sandbox.url)
    with (
        oidc_gateway(
            sandbox, tmp_path, deadline_seconds=DEADLINE_SECONDS, cache_seconds=0
        ) as gateway,
        ThreadPoolExecutor(1) as pool,
    ):
        for fault in (*faults, {"name": "hang", "operation": LIST}):
            sandbox.fault(**fault)
        asking = pool.submit(ask, gateway, token)
        until(lambda: sandbox.calls)
        later = gateway.ask(JOBS)
        answer = asking.result(DEADLINE_SECONDS / 2)

    for each in (answer, later):
        assert (each.status, each.code) == (200, "UPSTREAM_TIMEOUT")
        assert each.content["data"] == NO_JOBS


def test_requests_that_wait_for_sts_hold_a_slot(sandbox: Sandbox, tmp_path: Path) -> None:
    subjects = [f"cold-{number}" for number in range(40)]
    roles = dict.fromkeys(("ada", *subjects), ROLE_ARNS["ada"])
    tokens = [id_token(sandbox.url, subject) for subject in subjects]
    with (
        oidc_gateway(
            sandbox, tmp_path, roles, max_in_flight=MAX_IN_FLIGHT, cache_seconds=0
        ) as gateway,
        ThreadPoolExecutor(len(tokens)) as pool,
    ):
        assert ask(gateway, id_token(sandbox.url), "{ __typename }").data  # fetches the keys
        sandbox.reset()
        sandbox.fault("hang", operation=OPERATION)
        held = [pool.submit(ask, gateway, token) for token in tokens[:MAX_IN_FLIGHT]]
        until(lambda: sandbox.count(OPERATION) == MAX_IN_FLIGHT)
        others = list(pool.map(lambda token: ask(gateway, token), tokens[MAX_IN_FLIGHT:]))
        calls = sandbox.count(OPERATION)
        sandbox.reset()
        answers = [each.result() for each in held]

    assert {(answer.status, answer.code) for answer in others} == {(503, "OVERLOADED")}
    assert calls == MAX_IN_FLIGHT
    assert all(answer.data for answer in answers)


def test_a_client_that_disconnects_frees_its_slot_at_sts(sandbox: Sandbox, tmp_path: Path) -> None:
    with oidc_gateway(sandbox, tmp_path, max_in_flight=1, cache_seconds=0) as gateway:
        sandbox.fault("hang", operation=OPERATION)
        with connect(gateway.url) as client:
            client.sendall(request_bytes(JOBS, bearer(id_token(sandbox.url))))
            until(lambda: sandbox.count(OPERATION) == 1)
            held = gateway.ask("{ __typename }", caller=None)
        until(lambda: gateway.ask("{ __typename }", caller=None).status == 200)

    assert (held.status, held.code) == (503, "OVERLOADED")


def test_all_tokens_of_a_subject_share_one_rate(sandbox: Sandbox, tmp_path: Path) -> None:
    """The exchanges of its tokens count too. Another subject is not affected."""
    tokens = [id_token(sandbox.url, claims={"x": number}) for number in range(5)]
    with oidc_gateway(sandbox, tmp_path, caller_calls_per_second=1, cache_seconds=0) as gateway:
        answers = [ask(gateway, token) for token in tokens * 8]
        calls = sandbox.count() + sandbox.count(OPERATION)
        other = ask(gateway, id_token(sandbox.url, "grace"))

    codes = Counter(answer.code for answer in answers if answer.errors)
    assert CALLS_PER_WINDOW <= calls <= 2 * CALLS_PER_WINDOW
    assert codes.keys() == {"THROTTLED"}
    assert codes.total() >= len(answers) - 2 * CALLS_PER_WINDOW
    assert other.data


def test_a_subject_that_sts_denies_spends_its_rate(sandbox: Sandbox, tmp_path: Path) -> None:
    """With one token there is one call; with many there are as many as anybody has."""
    same = id_token(sandbox.url)
    others = [id_token(sandbox.url, claims={"x": number}) for number in range(30)]
    with oidc_gateway(sandbox, tmp_path, caller_calls_per_second=1, cache_seconds=0) as gateway:
        sandbox.fault("sts-error", code="AccessDenied")
        denied = [ask(gateway, same) for _ in range(30)]
        calls_with_one_token = sandbox.count(OPERATION)
        codes = Counter(ask(gateway, token).code for token in others)
        calls = sandbox.count(OPERATION)

    assert {(answer.status, answer.code) for answer in denied} == {(200, "FORBIDDEN")}
    assert calls_with_one_token == 1
    assert calls <= 2 * CALLS_PER_WINDOW
    assert codes.keys() == {"FORBIDDEN", "THROTTLED"}
