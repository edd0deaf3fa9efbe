"""Tokens in the forms that providers document, with the issuers of docs/oidc.md."""

import re
from collections.abc import Iterator
from pathlib import Path
from time import time
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from gateway.auth.oidc import TokenVerifier, VerifiedToken
from gateway.auth.oidc_file import Issuer, read_oidc_file
from gateway.errors import UnauthenticatedError
from tests.auth.issuers import DISCOVERY, JWKS, LiveIssuer, live_issuer, rsa, token

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/oidc.md").read_text(encoding="utf-8")
EXAMPLES = dict(
    re.findall(r"^## ([^\n]+)\n[^#]*?```toml\n(.*?)```", DOCUMENT, re.DOTALL | re.MULTILINE)
)

NOW = int(time())
TIMES = {"iat": NOW - 10, "exp": NOW + 3600}

JWT: dict[str, Any] = {"typ": "JWT"}
AT_JWT: dict[str, Any] = {"typ": "at+jwt"}

KEYCLOAK = {
    **TIMES,
    "auth_time": NOW - 20,
    "jti": "onrtac:2d7a2c3e-6ff6-4d2b-9a1e-5cc1ad1fd7b6",
    "aud": ["audience-gateway", "account"],
    "sub": "f1c4f64e-2c0c-4cda-8c9f-9f3f8f3a2b0e",
    "typ": "Bearer",
    "azp": "web-app",
    "sid": "4c0a3a8a-3a47-4f2f-8e89-9e5f9b0a0a0a",
    "acr": "1",
    "allowed-origins": ["https://app.example.com"],
    "realm_access": {"roles": ["default-roles-acme", "offline_access", "analyst"]},
    "resource_access": {
        "audience-gateway": {"roles": ["analyst"]},
        "account": {"roles": ["manage-account", "manage-account-links", "view-profile"]},
    },
    "scope": "openid email profile",
    "email_verified": True,
    "name": "Ada Lovelace",
    "preferred_username": "ada",
    "email": "ada@example.com",
}
ENTRA = {
    "aud": "00001111-aaaa-2222-bbbb-3333cccc4444",
    "iat": NOW - 10,
    "nbf": NOW - 10,
    "exp": NOW + 3600,
    "aio": "AXQAi/8IAAAAFm+E/QTG+gFnVxLjWdw8K+61AGrSOuMMF6ebaMj7XO3IbmD3",
    "azp": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
    "azpacr": "0",
    "name": "Ada Lovelace",
    "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
    "preferred_username": "ada@example.com",
    "rh": "I",
    "roles": ["Jobs.Read"],
    "scp": "access_as_user openid",
    "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
    "tid": "aaaabbbb-0000-cccc-1111-dddd2222eeee",
    "uti": "fqiBqXLPj0eQa82S-IYFAA",
    "ver": "2.0",
}
AUTH0_USER = {
    "https://example.com/roles": ["analyst"],
    "sub": "auth0|6553da60a54af58e29493993",
    "aud": ["https://audience.example.com", "https://acme.eu.auth0.com/userinfo"],
    **TIMES,
    "azp": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja",
    "scope": "openid profile email",
    "permissions": [],
}
AUTH0_SERVICE = {
    "sub": "awZfdIir8YFdGZWkvCejDoUb7SjTDicx@clients",
    "aud": "https://audience.example.com",
    **TIMES,
    "scope": "read:jobs",
    "gty": "client-credentials",
    "client_id": "awZfdIir8YFdGZWkvCejDoUb7SjTDicx",
    "jti": "fW1zAFsFyLyQfW1zAFsFyL",
    "permissions": ["read:jobs"],
}
COGNITO = {
    "sub": "aaaaaaaa-bbbb-cccc-dddd-example",
    "cognito:groups": ["analysts", "test-group-b"],
    "email_verified": True,
    "cognito:preferred_role": "arn:aws:iam::111122223333:role/my-test-role",
    "cognito:username": "ada",
    "nonce": "abcdefg",
    "origin_jti": "aaaaaaaa-bbbb-cccc-dddd-example",
    "cognito:roles": ["arn:aws:iam::111122223333:role/my-test-role"],
    "aud": "1example23456789",
    "identities": [{"userId": "amzn1.account.EXAMPLE", "primary": "true"}],
    "event_id": "64f513be-32db-42b0-b78e-b02127b4f463",
    "token_use": "id",
    "auth_time": NOW - 20,
    **TIMES,
    "jti": "aaaaaaaa-bbbb-cccc-dddd-example",
    "email": "ada@example.com",
}
COGNITO_ACCESS = {
    "sub": "aaaaaaaa-bbbb-cccc-dddd-example",
    "cognito:groups": ["analysts"],
    "version": 2,
    "client_id": "1example23456789",
    "origin_jti": "aaaaaaaa-bbbb-cccc-dddd-example",
    "event_id": "64f513be-32db-42b0-b78e-b02127b4f463",
    "token_use": "access",
    "scope": "openid email",
    "auth_time": NOW - 20,
    **TIMES,
    "jti": "aaaaaaaa-bbbb-cccc-dddd-example",
    "username": "ada",
}
OKTA = {
    "ver": 1,
    "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
    "aud": "api://default",
    **TIMES,
    "cid": "0oabskvc6442nkvQO0h7",
    "uid": "00ub0oNGTSWTBKOLGLNR",
    "scp": ["openid", "jobs.read"],
    "auth_time": NOW - 20,
    "sub": "ada@example.com",
    "groups": ["Everyone", "analysts"],
}
GOOGLE = {
    "azp": "1234987819200.apps.googleusercontent.com",
    "aud": "1234987819200.apps.googleusercontent.com",
    "sub": "10769150350006150715113082367",
    "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
    "hd": "example.com",
    "email": "ada@example.com",
    "email_verified": True,
    **TIMES,
    "nonce": "0394852-3190485-2490358",
}
GITHUB = {
    "jti": "example-id",
    "sub": "repo:octo-org/octo-repo:ref:refs/heads/main",
    "aud": "audience-gateway",
    "ref": "refs/heads/main",
    "sha": "example-sha",
    "repository": "octo-org/octo-repo",
    "repository_owner": "octo-org",
    "actor_id": "12",
    "repository_visibility": "private",
    "repository_id": "74",
    "repository_owner_id": "65",
    "run_id": "example-run-id",
    "run_number": "10",
    "run_attempt": "2",
    "runner_environment": "github-hosted",
    "actor": "octocat",
    "workflow": "example-workflow",
    "head_ref": "",
    "base_ref": "",
    "event_name": "workflow_dispatch",
    "ref_type": "branch",
    "job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
    "nbf": NOW - 610,
    **TIMES,
}
GITHUB_ENVIRONMENT = {
    **GITHUB,
    "sub": "repo:octo-org/octo-repo:environment:prod",
    "environment": "prod",
}
KUBERNETES = {
    "aud": ["audience-gateway"],
    **TIMES,
    "jti": "7ee52be0-9045-4653-aa5e-0da57b8dccdc",
    "kubernetes.io": {
        "namespace": "analytics",
        "node": {"name": "ip-10-0-0-1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1"},
        "pod": {"name": "notebook-0", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
        "serviceaccount": {"name": "notebook", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"},
        "warnafter": NOW + 3000,
    },
    "nbf": NOW - 10,
    "sub": "system:serviceaccount:analytics:notebook",
}

TOKENS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("Keycloak", JWT, KEYCLOAK, "analysts"),
    ("Microsoft Entra ID", JWT, ENTRA, "analysts"),
    ("Auth0", JWT, AUTH0_USER, "analysts"),
    ("Auth0", AT_JWT, AUTH0_SERVICE, "services"),
    ("Amazon Cognito", {}, COGNITO, "analysts"),
    ("Okta", {}, OKTA, "analysts"),
    ("Google", JWT, GOOGLE, "analysts"),
    ("GitHub Actions", {**JWT, "x5t": "example-thumbprint"}, GITHUB, "reports"),
    ("GitHub Actions", JWT, GITHUB_ENVIRONMENT, "production-reports"),
    ("Kubernetes", {}, KUBERNETES, "notebooks"),
]

STRANGERS: list[tuple[str, dict[str, Any]]] = [
    ("Keycloak", {**KEYCLOAK, "realm_access": {"roles": ["default-roles-acme"]}}),
    ("Keycloak", {**KEYCLOAK, "email_verified": False}),
    ("Microsoft Entra ID", {**ENTRA, "roles": []}),
    ("Microsoft Entra ID", {**ENTRA, "scp": "User.Read"}),
    ("Auth0", {**AUTH0_USER, "https://example.com/roles": []}),
    ("Auth0", {**AUTH0_SERVICE, "permissions": ["write:jobs"]}),
    ("Amazon Cognito", {**COGNITO, "cognito:groups": ["test-group-b"]}),
    ("Amazon Cognito", {**COGNITO, "email_verified": "true"}),
    ("Okta", {**OKTA, "scp": ["openid"]}),
    ("Okta", {**OKTA, "groups": ["Everyone"]}),
    ("Google", {**GOOGLE, "hd": "example.org"}),
    ("Google", {name: value for name, value in GOOGLE.items() if name != "hd"}),
    ("GitHub Actions", {**GITHUB, "sub": "repo:octo-org/octo-repo:pull_request"}),
    ("GitHub Actions", {**GITHUB_ENVIRONMENT, "repository": "octo-org/other"}),
    ("Kubernetes", {**KUBERNETES, "kubernetes.io": {"namespace": "analytics"}}),
    ("Kubernetes", {**KUBERNETES, "kubernetes.io": "analytics"}),
]


@pytest.fixture(scope="module")
def issuers() -> Iterator[LiveIssuer]:
    """Serve any number of issuers, each under the path of its URL."""
    with live_issuer() as server:
        yield server


def trusted_issuer(server: LiveIssuer, provider: str, folder: Path) -> Issuer:
    """Read the documented example, with the server's address in place of the provider's."""
    path = folder / "oidc.toml"
    example = re.sub(r'(issuer = ")https://[^/"]+', rf"\1{server.url}", EXAMPLES[provider])
    path.write_text(example, encoding="utf-8")
    (issuer,) = read_oidc_file(path).values()

    def answer(requested: str) -> Response | None:
        if requested == JWKS:
            return None
        assert requested == issuer.issuer.removeprefix(server.url).rstrip("/") + DISCOVERY
        return JSONResponse({"issuer": issuer.issuer, "jwks_uri": server.url + JWKS})

    server.answer = answer
    return issuer


async def verify(issuer: Issuer, header: dict[str, Any], claims: dict[str, Any]) -> VerifiedToken:
    text = token(
        {"iss": issuer.issuer, **claims}, rsa(), {"alg": "RS256", "kid": rsa().kid, **header}
    )
    return await TokenVerifier({issuer.issuer: issuer}).verify(text)


def test_each_documented_provider_is_tested() -> None:
    assert list(EXAMPLES) == list(dict.fromkeys(provider for provider, *_ in TOKENS))
    assert DOCUMENT.count("```toml") == len(EXAMPLES)


@pytest.mark.parametrize(("provider", "header", "claims", "role"), TOKENS)
async def test_a_token_maps_to_the_documented_role(
    issuers: LiveIssuer,
    tmp_path: Path,
    provider: str,
    header: dict[str, Any],
    claims: dict[str, Any],
    role: str,
) -> None:
    """It is verified with keys that the issuer's discovery document leads to."""
    issuer = trusted_issuer(issuers, provider, tmp_path)
    found = await verify(issuer, header, claims)

    assert found.role is not None
    assert found.role.role_arn == f"arn:aws:iam::111122223333:role/{role}"
    assert found.subject == claims["sub"]


@pytest.mark.parametrize(("provider", "claims"), STRANGERS)
async def test_a_token_without_the_claims_maps_to_no_role(
    issuers: LiveIssuer, tmp_path: Path, provider: str, claims: dict[str, Any]
) -> None:
    issuer = trusted_issuer(issuers, provider, tmp_path)
    found = await verify(issuer, {}, claims)

    assert found.role is None


@pytest.mark.parametrize(("provider", "header", "claims", "_role"), TOKENS)
async def test_a_token_for_another_audience_is_refused(
    issuers: LiveIssuer,
    tmp_path: Path,
    provider: str,
    header: dict[str, Any],
    claims: dict[str, Any],
    _role: str,
) -> None:
    issuer = trusted_issuer(issuers, provider, tmp_path)
    for audience in ("another", ["another", "account"]):
        with pytest.raises(UnauthenticatedError, match="is for another audience"):
            await verify(issuer, header, {**claims, "aud": audience})


async def test_an_access_token_of_cognito_has_no_audience(
    issuers: LiveIssuer, tmp_path: Path
) -> None:
    """Its `client_id` is no audience."""
    issuer = trusted_issuer(issuers, "Amazon Cognito", tmp_path)
    with pytest.raises(UnauthenticatedError, match=r"has no audience \(`aud`\)"):
        await verify(issuer, {}, COGNITO_ACCESS)


def test_claims_find_their_documented_places(tmp_path: Path) -> None:
    """What the text says of names with dots."""
    text = EXAMPLES["Keycloak"].replace("realm_access.roles", "resource_access.my.client.roles")
    (tmp_path / "oidc.toml").write_text(text, encoding="utf-8")
    (issuer,) = read_oidc_file(tmp_path / "oidc.toml").values()
    nested = {**KEYCLOAK, "resource_access": {"my.client": {"roles": ["analyst"]}}}

    assert issuer.role_for(nested) is issuer.role[0]
    assert issuer.role_for({**nested, "resource_access.my": {}}) is None
