"""The gateway with OIDC tokens, end to end."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.auth.sts import OPERATION
from gateway.sandbox import CALLERS, ROLE_ARNS
from tests.auth.issuers import claims_of, curve, oidc_gateway, token
from tests.gateways import GRAPHQL, Answer, Gateway, Sandbox, bearer
from tests.sandbox.identities import id_token

# Without the status, which changes between two queries.
JOBS = "{ audienceGenerationJobs(first: 20) { nodes { name } pageInfo { endCursor } } }"
DETAILS = "{ audienceGenerationJobs(first: 2) { nodes { id name includeSeedInOutput } } }"
LIST = "ListAudienceGenerationJobs"


def ask(gateway: Gateway, text: str, query: str = JOBS, **headers: str) -> Answer:
    return gateway.ask(query, caller=None, headers={**bearer(text), **headers})


@pytest.fixture
def gateway(sandbox: Sandbox, tmp_path: Path) -> Iterator[Gateway]:
    with oidc_gateway(sandbox, tmp_path) as gateway:
        yield gateway


def access_keys(sandbox: Sandbox, operation: str = LIST) -> list[str]:
    """Return the access key ids of the calls of an operation."""
    return [call["access_key_id"] for call in sandbox.calls if call["operation"] == operation]


@pytest.mark.parametrize("name", ROLE_ARNS)
@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_token_reads_the_account_of_its_role(gateway: Gateway, name: str, algorithm: str) -> None:
    """A read-only session returns the same data as the account's own credentials."""
    text = id_token(gateway.sandbox.url, name, algorithm=algorithm)
    for query in (JOBS, DETAILS):
        own = gateway.ask(query, caller=name).data
        assert own["audienceGenerationJobs"]["nodes"]
        assert ask(gateway, text, query).data == own

    (exchange,) = [call for call in gateway.sandbox.calls if call["operation"] == OPERATION]
    assert exchange["parameters"]["RoleArn"] == ROLE_ARNS[name]
    assert "cleanrooms-ml:List*" in exchange["parameters"]["Policy"]
    by_key = access_keys(gateway.sandbox)
    assert by_key == [CALLERS[name].access_key_id, exchange["access_key_id"]]


def test_cursors_and_ids_work_with_a_token(gateway: Gateway) -> None:
    text = id_token(gateway.sandbox.url)
    first = ask(gateway, text).data["audienceGenerationJobs"]
    after = first["pageInfo"]["endCursor"]
    query = f'{{ audienceGenerationJobs(first: 20, after: "{after}") {{ nodes {{ id name }} }} }}'
    second = ask(gateway, text, query).data["audienceGenerationJobs"]["nodes"]
    found = ask(gateway, text, f'{{ node(id: "{second[0]["id"]}") {{ id }} }}').data["node"]

    assert found["id"] == second[0]["id"]
    assert not {node["name"] for node in second} & {node["name"] for node in first["nodes"]}


def test_introspection_needs_no_token_and_no_role(gateway: Gateway) -> None:
    query = "{ __schema { queryType { name } } }"
    url = gateway.sandbox.url
    answers = [
        gateway.ask(query, caller=None),
        ask(gateway, id_token(url), query),
        ask(gateway, id_token(url, "somebody"), query),
    ]

    assert [answer.data["__schema"]["queryType"] for answer in answers] == [{"name": "Query"}] * 3


def test_data_without_credentials_is_a_401_with_a_challenge(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    with oidc_gateway(sandbox, tmp_path, callers={"oidc"}) as gateway:
        answer = gateway.ask(JOBS, caller=None)

    assert (answer.status, answer.code) == (401, "UNAUTHENTICATED")
    assert "data" not in answer.content
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer" in answer.errors[0]["message"]
    assert sandbox.calls == []


def test_claims_without_a_role_are_forbidden(gateway: Gateway) -> None:
    """The field fails without an exchange: another token would not help."""
    answer = ask(gateway, id_token(gateway.sandbox.url, "somebody"))

    assert (answer.status, answer.code) == (200, "FORBIDDEN")
    assert answer.content["data"] == {"audienceGenerationJobs": None}
    assert access_keys(gateway.sandbox, OPERATION) == access_keys(gateway.sandbox) == []


def test_an_invalid_token_reads_no_cached_data(gateway: Gateway) -> None:
    """A page of the caller that it imitates is cached, and the token causes no call."""
    url = gateway.sandbox.url
    good = id_token(url)
    assert ask(gateway, good).data
    before = len(gateway.sandbox.calls)
    header, claims, signature = good.split(".")
    _, other, _ = id_token(url, "grace").split(".")
    own = claims_of(f"{url}/oidc", aud="audience-gateway", exp=4e9, iat=0)
    forged = {
        "another signature": f"{header}.{claims}.{signature[:-4]}AAAA",
        "no signature": f"{header}.{claims}.",
        "grace's claims": f"{header}.{other}.{signature}",
        "expired": id_token(url, seconds=-60),
        "expires now": id_token(url, seconds=0),
        "another audience": id_token(url, audience="canary"),
        "another issuer": id_token(url, claims={"iss": "https://canary.example"}),
        "a key of its own": token(own, curve()),
    }
    for text in forged.values():
        answer = ask(gateway, text)
        assert (answer.status, answer.code) == (401, "UNAUTHENTICATED")
        assert "data" not in answer.content
        assert "Bearer" in answer.headers["www-authenticate"]
        assert not [part for part in text.split(".") if part and part in str(answer.content)]

    assert len(gateway.sandbox.calls) == before
    assert ask(gateway, good).data
    assert len(gateway.sandbox.calls) == before


def test_credentials_of_two_schemes_are_refused(gateway: Gateway) -> None:
    """Both are valid and belong to the same caller."""
    answer = gateway.ask(JOBS, caller="ada", headers=bearer(id_token(gateway.sandbox.url)))

    assert (answer.status, answer.code) == (401, "UNAUTHENTICATED")
    assert "data" not in answer.content
    assert gateway.sandbox.calls == []


@pytest.mark.parametrize(
    ("scheme", "words"),
    [("aws-headers", "X-Aws-Access-Key-Id"), ("oidc", "Authorization: Bearer")],
)
def test_a_scheme_that_is_not_enabled_is_refused(
    sandbox: Sandbox, tmp_path: Path, scheme: str, words: str
) -> None:
    settings: dict[str, Any] = {} if scheme == "oidc" else {"oidc_file": None}
    with oidc_gateway(sandbox, tmp_path, callers={scheme}, **settings) as gateway:
        if scheme == "oidc":
            answer = gateway.ask(JOBS, caller="ada")
        else:
            answer = ask(gateway, id_token(sandbox.url))

    assert (answer.status, answer.code) == (401, "UNAUTHENTICATED")
    assert words in answer.errors[0]["message"]
    assert sandbox.calls == []


def test_callers_share_no_session_and_no_page(sandbox: Sandbox, tmp_path: Path) -> None:
    """Neither two subjects of one role do, nor two tokens or two audiences of one subject."""
    with oidc_gateway(sandbox, tmp_path, dict.fromkeys(ROLE_ARNS, ROLE_ARNS["ada"])) as gateway:
        tokens = [
            id_token(sandbox.url, "ada"),
            id_token(sandbox.url, "grace"),
            id_token(sandbox.url, "ada", claims={"x": 1}),
            id_token(sandbox.url, "ada", audience="another-audience"),
        ]
        answers = [ask(gateway, text).data for text in tokens * 2]

    assert [answer == answers[0] for answer in answers] == [True] * 8
    assert access_keys(sandbox) == access_keys(sandbox, OPERATION)
    assert len(set(access_keys(sandbox))) == len(tokens)


def test_keys_session_and_page_are_cached(gateway: Gateway) -> None:
    """`no-cache` fetches only the page again."""
    text = id_token(gateway.sandbox.url)
    assert ask(gateway, text).data
    first = [call["operation"] for call in gateway.sandbox.calls]
    for _ in range(5):
        assert ask(gateway, text).data
    assert [call["operation"] for call in gateway.sandbox.calls] == first
    assert sorted(first) == [OPERATION, "GetJwks", "GetOpenIdConfiguration", LIST]

    assert ask(gateway, text, **{"Cache-Control": "no-cache"}).data
    assert [call["operation"] for call in gateway.sandbox.calls] == [*first, LIST]


async def test_concurrent_first_requests_share_all_calls(gateway: Gateway) -> None:
    headers = {**bearer(id_token(gateway.sandbox.url)), "Accept": GRAPHQL}
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:
        answers = await asyncio.gather(
            *(
                client.post(f"{gateway.url}/graphql", json={"query": JOBS}, headers=headers)
                for _ in range(200)
            )
        )

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    for operation in ("GetOpenIdConfiguration", "GetJwks", OPERATION, LIST):
        assert gateway.sandbox.count(operation) == 1


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        ({"name": "sts-error", "code": "ServiceUnavailable"}, "UPSTREAM_UNAVAILABLE", 200),
        ({"name": "sts-error", "code": "AccessDenied"}, "FORBIDDEN", 200),
        ({"name": "sts-error", "code": "Throttling"}, "THROTTLED", 200),
        ({"name": "sts-error", "code": "InvalidIdentityToken"}, "UNAUTHENTICATED", 401),
        ({"name": "html", "operation": OPERATION}, "UPSTREAM_INVALID_RESPONSE", 200),
        ({"name": "unavailable", "operation": "GetJwks"}, "UPSTREAM_UNAVAILABLE", 200),
        ({"name": "html", "operation": "GetOpenIdConfiguration"}, "UPSTREAM_UNAVAILABLE", 200),
        ({"name": "expired-token-credentials"}, "UNAUTHENTICATED", 401),
        ({"name": "denied", "operation": LIST}, "FORBIDDEN", 200),
    ],
)
def test_a_failure_of_issuer_or_sts_has_its_code(
    gateway: Gateway, fault: dict[str, Any], code: str, status: int
) -> None:
    """The field fails, and introspection still works."""
    text = id_token(gateway.sandbox.url)
    gateway.sandbox.fault(**fault)
    answer = ask(gateway, text)

    assert (answer.status, answer.code) == (status, code)
    assert answer.content.get("data") == (
        {"audienceGenerationJobs": None} if status == 200 else None
    )
    assert CALLERS["ada"].account_id not in str(answer.content)
    assert ask(gateway, text, "{ __typename }").data == {"__typename": "Query"}


def test_no_log_line_has_a_token_or_session(
    gateway: Gateway, capfd: pytest.CaptureFixture[str]
) -> None:
    url = gateway.sandbox.url
    texts = [id_token(url), id_token(url, "grace"), id_token(url, seconds=-60)]
    for text in texts:
        ask(gateway, text)
    gateway.sandbox.fault("sts-error", code="AccessDenied")
    texts.append(id_token(url, "edith"))
    ask(gateway, texts[-1])
    shown = "".join(capfd.readouterr())

    for text in texts:
        assert not [part for part in text.split(".") if part in shown]
    assert not [key for key in access_keys(gateway.sandbox) if key in shown]
