"""ID tokens can be verified with the published keys, as by any relying party."""

from datetime import UTC, datetime
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError
from joserfc.jwk import KeySet

from gateway.sandbox import create_sandbox
from tests.sandbox.identities import id_token
from tests.sandbox.wire import DISCOVERY, JWKS, control, logged_calls, send
from tests.serving import serve

ALGORITHMS = ["RS256", "ES256"]


def published(url: str) -> KeySet:
    return KeySet.import_key_set(send(url, JWKS).json())


def verified(url: str, token: str) -> jwt.Token:
    return jwt.decode(token, published(url), ALGORITHMS)


@pytest.mark.parametrize("host", ["", "sandbox:9000"])
def test_the_discovery_document_names_the_issuer_by_the_requested_host(url: str, host: str) -> None:
    """The sandbox has several names in a container network."""
    document = send(url, DISCOVERY, headers={"Host": host} if host else {}).json()
    origin = f"http://{host}" if host else url

    assert document["issuer"] == f"{origin}/oidc"
    assert document["jwks_uri"] == f"{origin}{JWKS}"
    assert document["id_token_signing_alg_values_supported"] == ALGORITHMS


def test_only_public_keys_are_published(url: str) -> None:
    keys = send(url, JWKS).json()["keys"]

    assert [(key["kty"], key["alg"], key["use"]) for key in keys] == [
        ("RSA", "RS256", "sig"),
        ("EC", "ES256", "sig"),
    ]
    assert len({key["kid"] for key in keys}) == 2
    assert all({"d", "p", "q", "dp", "dq", "qi"}.isdisjoint(key) for key in keys)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_can_be_verified_with_the_published_keys(url: str, algorithm: str) -> None:
    token = verified(url, id_token(url, "grace", algorithm=algorithm))

    assert token.header["alg"] == algorithm
    assert token.header["kid"] in {key.kid for key in published(url)}
    assert token.claims["iss"] == f"{url}/oidc"
    assert token.claims["sub"] == "grace"


@pytest.mark.parametrize(
    ("subject", "claims"),
    [
        ("ada", {"email": "ada@example.com", "groups": ["analysts"]}),
        ("grace", {"email": "grace@example.com", "groups": ["analysts", "eu"]}),
        ("edith", {"email": "edith@example.com", "groups": ["guests"]}),
        ("an unknown subject", {}),
    ],
)
def test_users_have_an_email_and_groups(url: str, subject: str, claims: dict[str, object]) -> None:
    found = verified(url, id_token(url, subject)).claims
    registered = {"iss", "sub", "aud", "iat", "exp"}

    assert {name: found[name] for name in found.keys() - registered} == claims
    assert found["aud"] == "audience-gateway"


def test_audience_and_claims_can_be_set(url: str) -> None:
    claims = {"groups": ["eu"], "email": None, "tenant": {"id": 7}}
    found = verified(url, id_token(url, "ada", audience="another-app", claims=claims)).claims

    assert found["aud"] == "another-app"
    assert found["groups"] == ["eu"]
    assert found["tenant"] == {"id": 7}
    assert "email" not in found


@pytest.mark.parametrize("seconds", [60, -60])
def test_a_token_has_the_time_of_the_signing_clock(seconds: int) -> None:
    now = datetime(2026, 3, 4, 5, 6, 7, 890000, tzinfo=UTC)
    with serve(create_sandbox(signing_clock=lambda: now)) as url:
        made = control(url, "POST", "/tokens", {"subject": "ada", "seconds": seconds}).json()
        claims = verified(url, made["token"]).claims

    assert claims["iat"] == int(now.timestamp())
    assert claims["exp"] == made["expires_at"] == claims["iat"] + seconds


def test_rotation_replaces_the_keys() -> None:
    with serve(create_sandbox()) as url:
        old = {algorithm: id_token(url, algorithm=algorithm) for algorithm in ALGORITHMS}
        before = {key.kid for key in published(url)}
        kids = control(url, "POST", "/keys/rotate").json()["kids"]

        assert kids == [key.kid for key in published(url)]
        assert before.isdisjoint(kids)
        for algorithm, token in old.items():
            with pytest.raises(InvalidKeyIdError):
                verified(url, token)
            new = id_token(url, algorithm=algorithm)
            assert verified(url, new).claims["sub"] == "ada"


def test_each_sandbox_has_its_own_keys(url: str) -> None:
    with serve(create_sandbox()) as other:
        body = id_token(other).partition(".")[2]
    header = id_token(url).partition(".")[0]

    with pytest.raises(BadSignatureError):
        verified(url, f"{header}.{body}")


def test_requests_for_documents_are_logged(url: str) -> None:
    send(url, DISCOVERY)
    send(url, f"{JWKS}?a=b")
    first, second = logged_calls(url)

    assert (first["operation"], first["status"]) == ("GetOpenIdConfiguration", 200)
    assert (second["operation"], second["parameters"]) == ("GetJwks", {"a": "b"})
    assert first["access_key_id"] is second["access_key_id"] is None


def test_documents_are_read_only(url: str) -> None:
    assert send(url, JWKS, method="POST").error == (404, "UnknownOperationException")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "a JSON object"),
        ({}, "subject is None. Accepted: printable text"),
        ({"subject": ""}, "subject is ''"),
        ({"subject": "a\nb"}, "subject is 'a\\nb'"),
        ({"subject": "ada", "audience": ["a"]}, "audience is ['a']"),
        ({"subject": "ada", "algorithm": "none"}, "algorithm is 'none'. Accepted: RS256, ES256"),
        ({"subject": "ada", "algorithm": ["RS256"]}, "algorithm is ['RS256']"),
        ({"subject": "ada", "seconds": 1.5}, "seconds is 1.5. Accepted: a whole number"),
        ({"subject": "ada", "seconds": True}, "seconds is True"),
        ({"subject": "ada", "seconds": 10**12}, "seconds is 1000000000000"),
        ({"subject": "ada", "claims": ["groups"]}, "claims is ['groups']. Accepted: an object"),
        ({"subject": "ada", "claims": {"name": "\ud800"}}, "Accepted: an object of valid JSON"),
        ({"subject": "ada", "claims": {"n": float("nan")}}, "Accepted: an object of valid JSON"),
        ({"subject": "ada", "scope": "all"}, "A token has no parameter 'scope'. Accepted: algo"),
    ],
)
def test_an_invalid_token_request_is_explained(url: str, body: Any, words: str) -> None:
    reply = control(url, "POST", "/tokens", body)

    assert reply.status == 400
    assert words in reply.json()["message"]
