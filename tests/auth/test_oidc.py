"""People with tokens of a trusted issuer, from their first request to their last."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.auth.sts import OPERATION
from gateway.sandbox import CALLERS, ROLE_ARNS
from tests.auth.issuers import claims_of, curve, sandbox_file, token
from tests.gateways import GRAPHQL, Answer, Gateway, Sandbox, gateway_over
from tests.sandbox.identities import id_token

# Without the status, which moves between one question and the next.
JOBS = "{ audienceGenerationJobs(first: 20) { nodes { name } pageInfo { endCursor } } }"
DETAILS = "{ audienceGenerationJobs(first: 2) { nodes { id name includeSeedInOutput } } }"
LIST = "ListAudienceGenerationJobs"


def bearer(text: str) -> dict[str, str]:
    """Give the header that a token comes in."""
    return {"Authorization": f"Bearer {text}"}


def ask(gateway: Gateway, text: str, query: str = JOBS, **headers: str) -> Answer:
    """Ask with a token."""
    return gateway.ask(query, caller=None, headers={**bearer(text), **headers})


def served(
    sandbox: Sandbox, folder: Path, roles: Mapping[str, str] = ROLE_ARNS, **settings: Any
) -> AbstractContextManager[Gateway]:
    """Serve a gateway over the sandbox that trusts its issuer."""
    given = {
        "callers": {"aws-headers", "oidc"},
        "oidc_file": sandbox_file(folder, sandbox.url, roles),
        "sts_url": sandbox.url,
        "cache_seconds": 60,
        **settings,
    }
    return gateway_over(sandbox, **given)


@pytest.fixture
def gateway(sandbox: Sandbox, tmp_path: Path) -> Iterator[Gateway]:
    """Give a gateway with a cache of its own."""
    with served(sandbox, tmp_path) as gateway:
        yield gateway


def asked(sandbox: Sandbox, operation: str = LIST) -> list[str]:
    """Give the key ids under which an operation was called."""
    return [call["access_key_id"] for call in sandbox.calls if call["operation"] == operation]


@pytest.mark.parametrize("name", ROLE_ARNS)
@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_token_shows_the_account_that_its_claims_lead_to(
    gateway: Gateway, name: str, algorithm: str
) -> None:
    """The same jobs as the account's own keys, with details, by a session that may only read."""
    text = id_token(gateway.sandbox.url, name, algorithm=algorithm)
    for query in (JOBS, DETAILS):
        own = gateway.ask(query, caller=name).data
        assert own["audienceGenerationJobs"]["nodes"]
        assert ask(gateway, text, query).data == own

    (exchange,) = [call for call in gateway.sandbox.calls if call["operation"] == OPERATION]
    assert exchange["parameters"]["RoleArn"] == ROLE_ARNS[name]
    assert "cleanrooms-ml:List*" in exchange["parameters"]["Policy"]
    by_key = asked(gateway.sandbox)
    assert by_key == [CALLERS[name].access_key_id, exchange["access_key_id"]]


def test_a_page_goes_on_and_an_object_is_found_again(gateway: Gateway) -> None:
    """Cursors and ids are the same thing to a token as to keys."""
    text = id_token(gateway.sandbox.url)
    first = ask(gateway, text).data["audienceGenerationJobs"]
    after = first["pageInfo"]["endCursor"]
    query = f'{{ audienceGenerationJobs(first: 20, after: "{after}") {{ nodes {{ id name }} }} }}'
    second = ask(gateway, text, query).data["audienceGenerationJobs"]["nodes"]
    found = ask(gateway, text, f'{{ node(id: "{second[0]["id"]}") {{ id }} }}').data["node"]

    assert found["id"] == second[0]["id"]
    assert not {node["name"] for node in second} & {node["name"] for node in first["nodes"]}


def test_the_schema_can_be_asked_for_with_and_without_a_token(gateway: Gateway) -> None:
    """It is everybody's; so it is for who is known and has no role."""
    query = "{ __schema { queryType { name } } }"
    url = gateway.sandbox.url
    answers = [
        gateway.ask(query, caller=None),
        ask(gateway, id_token(url), query),
        ask(gateway, id_token(url, "somebody"), query),
    ]

    assert [answer.data["__schema"]["queryType"] for answer in answers] == [{"name": "Query"}] * 3


def test_nobody_is_asked_to_come_with_a_token(sandbox: Sandbox, tmp_path: Path) -> None:
    """Data without one is 401, and the challenge says what is wanted."""
    with served(sandbox, tmp_path, callers={"oidc"}) as gateway:
        answer = gateway.ask(JOBS, caller=None)

    assert (answer.status, answer.code) == (401, "UNAUTHENTICATED")
    assert "data" not in answer.content
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer" in answer.errors[0]["message"]
    assert sandbox.calls == []


def test_claims_that_lead_nowhere_are_forbidden(gateway: Gateway) -> None:
    """An error of the field, without an exchange, and not a 401: another token will not help."""
    answer = ask(gateway, id_token(gateway.sandbox.url, "somebody"))

    assert (answer.status, answer.code) == (200, "FORBIDDEN")
    assert answer.content["data"] == {"audienceGenerationJobs": None}
    assert asked(gateway.sandbox, OPERATION) == asked(gateway.sandbox) == []


def test_a_bad_token_of_a_warm_caller_gets_nothing(gateway: Gateway) -> None:
    """While ada's page is cached, what only looks like her token is 401, and asks nobody."""
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


def test_two_kinds_of_credentials_are_one_too_many(gateway: Gateway) -> None:
    """Both good, and of the same person."""
    answer = gateway.ask(JOBS, caller="ada", headers=bearer(id_token(gateway.sandbox.url)))

    assert (answer.status, answer.code) == (401, "UNAUTHENTICATED")
    assert "data" not in answer.content
    assert gateway.sandbox.calls == []


@pytest.mark.parametrize(
    ("scheme", "words"),
    [("aws-headers", "X-Aws-Access-Key-Id"), ("oidc", "Authorization: Bearer")],
)
def test_a_kind_that_is_not_served_is_refused(
    sandbox: Sandbox, tmp_path: Path, scheme: str, words: str
) -> None:
    """The refusal says what is."""
    settings: dict[str, Any] = {} if scheme == "oidc" else {"oidc_file": None}
    with served(sandbox, tmp_path, callers={scheme}, **settings) as gateway:
        if scheme == "oidc":
            answer = gateway.ask(JOBS, caller="ada")
        else:
            answer = ask(gateway, id_token(sandbox.url))

    assert (answer.status, answer.code) == (401, "UNAUTHENTICATED")
    assert words in answer.errors[0]["message"]
    assert sandbox.calls == []


def test_everybody_asks_under_a_key_of_their_own(sandbox: Sandbox, tmp_path: Path) -> None:
    """Two people in one role, two tokens of one person, two audiences: nobody shares a page."""
    with served(sandbox, tmp_path, dict.fromkeys(ROLE_ARNS, ROLE_ARNS["ada"])) as gateway:
        people = [
            id_token(sandbox.url, "ada"),
            id_token(sandbox.url, "grace"),
            id_token(sandbox.url, "ada", claims={"x": 1}),
            id_token(sandbox.url, "ada", audience="another-audience"),
        ]
        answers = [ask(gateway, text).data for text in people * 2]

    assert [answer == answers[0] for answer in answers] == [True] * 8
    assert asked(sandbox) == asked(sandbox, OPERATION)
    assert len(set(asked(sandbox))) == len(people)


def test_a_warm_caller_costs_nothing(gateway: Gateway) -> None:
    """No key, no exchange and no page is asked for twice; `no-cache` asks for the page alone."""
    text = id_token(gateway.sandbox.url)
    assert ask(gateway, text).data
    first = [call["operation"] for call in gateway.sandbox.calls]
    for _ in range(5):
        assert ask(gateway, text).data
    assert [call["operation"] for call in gateway.sandbox.calls] == first
    assert sorted(first) == [OPERATION, "GetJwks", "GetOpenIdConfiguration", LIST]

    assert ask(gateway, text, **{"Cache-Control": "no-cache"}).data
    assert [call["operation"] for call in gateway.sandbox.calls] == [*first, LIST]


async def test_many_first_requests_cost_what_one_does(gateway: Gateway) -> None:
    """Two hundred at once: the keys, the exchange and the page are asked for once each."""
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
def test_a_failure_on_the_way_to_a_session_has_its_code(
    gateway: Gateway, fault: dict[str, Any], code: str, status: int
) -> None:
    """It is the field's, and the schema can be asked for all the while."""
    text = id_token(gateway.sandbox.url)
    gateway.sandbox.fault(**fault)
    answer = ask(gateway, text)

    assert (answer.status, answer.code) == (status, code)
    assert answer.content.get("data") == (
        {"audienceGenerationJobs": None} if status == 200 else None
    )
    assert CALLERS["ada"].account_id not in str(answer.content)
    assert ask(gateway, text, "{ __typename }").data == {"__typename": "Query"}


def test_a_failure_is_over_when_it_is_over(gateway: Gateway) -> None:
    """What STS refused a moment ago is asked for anew."""
    text = id_token(gateway.sandbox.url)
    gateway.sandbox.fault("sts-error", code="AccessDenied", times=1)

    assert ask(gateway, text).code == "FORBIDDEN"
    assert ask(gateway, text).data


def test_an_issuer_s_outage_is_not_noticed_by_who_is_known(gateway: Gateway) -> None:
    """The keys that were fetched verify on, also tokens that were never seen before."""
    url = gateway.sandbox.url
    assert ask(gateway, id_token(url)).data
    gateway.sandbox.fault("unavailable", operation="GetJwks")
    gateway.sandbox.fault("unavailable", operation="GetOpenIdConfiguration")

    assert ask(gateway, id_token(url, "grace")).data


def test_no_line_of_the_log_shows_a_token(
    gateway: Gateway, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nor what it was exchanged for, whether all goes well or nothing does."""
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
    assert not [key for key in asked(gateway.sandbox) if key in shown]
