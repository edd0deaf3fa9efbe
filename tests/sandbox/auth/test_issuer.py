"""The issuer's tokens verify against the keys it publishes, as any relying party would do it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError
from joserfc.jwk import KeySet

from gateway.sandbox import create_sandbox
from tests.sandbox.identities import calls, id_token
from tests.sandbox.wire import control, send
from tests.serving import serve

DISCOVERY = "/oidc/.well-known/openid-configuration"
JWKS = "/oidc/jwks"


def published(url: str) -> KeySet:
    """Give the keys as a relying party reads them."""
    return KeySet.import_key_set(send(url, JWKS).json())


def read(url: str, token: str) -> jwt.Token:
    """Verify a token against the published keys."""
    return jwt.decode(token, published(url), ["RS256", "ES256"])


def test_discovery_leads_to_the_keys(url: str) -> None:
    """The document names the issuer, and its keys, by the address it was asked at."""
    document = send(url, DISCOVERY).json()

    assert document["issuer"] == f"{url}/oidc"
    assert document["jwks_uri"] == f"{url}{JWKS}"
    assert document["id_token_signing_alg_values_supported"] == ["RS256", "ES256"]


def test_the_issuer_has_the_name_it_was_called_by(url: str) -> None:
    """On a container network the sandbox has another name, and its documents follow."""
    document = send(url, DISCOVERY, headers={"Host": "sandbox:9000"}).json()

    assert document["issuer"] == "http://sandbox:9000/oidc"
    assert document["jwks_uri"] == "http://sandbox:9000/oidc/jwks"


def test_only_public_halves_are_published(url: str) -> None:
    """One RSA and one elliptic curve key are there, with ids of their own and nothing secret."""
    keys = send(url, JWKS).json()["keys"]

    assert [(key["kty"], key["alg"], key["use"]) for key in keys] == [
        ("RSA", "RS256", "sig"),
        ("EC", "ES256", "sig"),
    ]
    assert len({key["kid"] for key in keys}) == 2
    assert all({"d", "p", "q", "dp", "dq", "qi"}.isdisjoint(key) for key in keys)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_tokens_verify_against_the_published_keys(url: str, algorithm: str) -> None:
    """A token of either algorithm names its key, and the signature is that key's."""
    token = read(url, id_token(url, "grace", algorithm=algorithm))

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
        ("nobody you know", {}),
    ],
)
def test_people_have_their_claims(url: str, subject: str, claims: dict[str, object]) -> None:
    """Those the issuer knows have an address and groups; anybody else has neither."""
    found = read(url, id_token(url, subject)).claims
    registered = {"iss", "sub", "aud", "iat", "exp"}

    assert {name: found[name] for name in found.keys() - registered} == claims
    assert found["aud"] == "audience-gateway"


def test_what_is_ordered_is_claimed(url: str) -> None:
    """Audience and claims are as ordered; a claim that is null is left out."""
    claims = {"groups": ["eu"], "email": None, "tenant": {"id": 7}}
    found = read(url, id_token(url, "ada", audience="another-app", claims=claims)).claims

    assert found["aud"] == "another-app"
    assert found["groups"] == ["eu"]
    assert found["tenant"] == {"id": 7}
    assert "email" not in found


@pytest.mark.parametrize("seconds", [3600, 60, -60])
def test_tokens_are_dated_by_the_sandboxs_clock(seconds: int) -> None:
    """A token begins now and ends after so many seconds, or has ended so long ago."""
    now = datetime(2026, 3, 4, 5, 6, 7, 890000, tzinfo=UTC)
    with serve(create_sandbox(signing_clock=lambda: now)) as url:
        made = control(url, "POST", "/tokens", {"subject": "ada", "seconds": seconds}).json()
        claims = read(url, made["token"]).claims

    assert claims["iat"] == int(now.timestamp())
    assert (
        claims["exp"] == made["expires_at"] == int((now + timedelta(seconds=seconds)).timestamp())
    )


def test_rotation_puts_new_keys_in_the_place_of_the_old() -> None:
    """After a rotation old tokens have no key any more, and new ones have."""
    with serve(create_sandbox()) as url:
        old = {algorithm: id_token(url, algorithm=algorithm) for algorithm in ("RS256", "ES256")}
        before = {key.kid for key in published(url)}
        kids = control(url, "POST", "/keys/rotate").json()["kids"]

        assert kids == [key.kid for key in published(url)]
        assert before.isdisjoint(kids)
        for algorithm, token in old.items():
            with pytest.raises(InvalidKeyIdError):
                read(url, token)
            assert read(url, id_token(url, algorithm=algorithm)).claims["sub"] == "ada"


def test_sandboxes_have_keys_of_their_own(url: str) -> None:
    """Another sandbox's token is not this one's, whatever key it says it was signed with."""
    with serve(create_sandbox()) as other:
        body = id_token(other).partition(".")[2]
    header = id_token(url).partition(".")[0]

    with pytest.raises(BadSignatureError):
        read(url, f"{header}.{body}")


def test_the_log_counts_the_issuers_pages(url: str) -> None:
    """Every look at the discovery document and at the keys is in the log, signed by nobody."""
    send(url, DISCOVERY)
    send(url, f"{JWKS}?a=b")
    first, second = calls(url)

    assert (first["operation"], first["status"]) == ("GetOpenIdConfiguration", 200)
    assert (second["operation"], second["parameters"]) == ("GetJwks", {"a": "b"})
    assert first["access_key_id"] is second["access_key_id"] is None


def test_the_pages_can_only_be_read(url: str) -> None:
    """Nothing can be posted to the issuer."""
    assert send(url, JWKS, method="POST").error == (404, "UnknownOperationException")


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ([], "a JSON object"),
        ({}, "subject is None. Accepted: printable text"),
        ({"subject": ""}, "subject is ''"),
        ({"subject": 7}, "subject is 7"),
        ({"subject": "a\nb"}, "subject is 'a\\nb'"),
        ({"subject": "ada", "audience": ["a"]}, "audience is ['a']"),
        (
            {"subject": "ada", "algorithm": "none"},
            "algorithm is 'none'. Accepted: RS256, ES256",
        ),
        ({"subject": "ada", "algorithm": ["RS256"]}, "algorithm is ['RS256']"),
        ({"subject": "ada", "seconds": 1.5}, "seconds is 1.5. Accepted: a whole number"),
        ({"subject": "ada", "seconds": True}, "seconds is True"),
        ({"subject": "ada", "seconds": 10**12}, "seconds is 1000000000000"),
        ({"subject": "ada", "claims": ["groups"]}, "claims is ['groups']. Accepted: an object"),
        ({"subject": "ada", "claims": {"name": "\ud800"}}, "Accepted: an object of valid JSON"),
        ({"subject": "ada", "claims": {"size": float("nan")}}, "Accepted: an object of valid JSON"),
        (
            {"subject": "ada", "scope": "all"},
            "A token has no parameter 'scope'. Accepted: algo",
        ),
    ],
)
def test_a_bad_token_order_is_explained(url: str, order: Any, words: str) -> None:
    """The answer names what was wrong and what would be accepted."""
    reply = control(url, "POST", "/tokens", order)

    assert reply.status == 400
    assert words in reply.json()["message"]
