"""The roles of claims."""

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.auth.oidc_file import Issuer
from tests.auth.issuers import ROLE, trusted

CLAIMS: list[tuple[Mapping[str, str | bool], Mapping[str, Any], bool]] = [
    # booleans
    ({"admin": True}, {"admin": True}, True),
    ({"admin": False}, {"admin": False}, True),
    ({"admin": True}, {"admin": False}, False),
    ({"admin": False}, {}, False),
    ({"admin": False}, {"admin": None}, False),
    ({"admin": True}, {"admin": 1}, False),
    ({"admin": False}, {"admin": 0}, False),
    ({"admin": True}, {"admin": "true"}, False),
    ({"admin": "true"}, {"admin": "true"}, True),
    ({"admin": True}, {"admin": [False, True]}, True),
    ({"admin": True}, {"admin": [1, "true"]}, False),
    # paths
    ({"realm_access.roles": "a"}, {"realm_access": {"roles": ["b", "a"]}}, True),
    ({"realm_access.roles": "a"}, {"realm_access": {"roles": "a"}}, True),
    ({"realm_access.roles": "a"}, {"realm_access": {"roles": ["b"]}}, False),
    ({"realm_access.roles": "a"}, {"realm_access": ["roles", "a"]}, False),
    ({"realm_access.roles": "a"}, {"realm_access": [{"roles": ["a"]}]}, False),
    ({"realm_access.roles": "a"}, {"realm_access": "roles.a"}, False),
    ({"realm_access.roles": "a"}, {"roles": ["a"]}, False),
    ({"realm_access": "roles"}, {"realm_access": {"roles": ["a"]}}, False),
    ({"a.b.c.d": "x"}, {"a": {"b": {"c": {"d": "x"}}}}, True),
    ({"a.": "x"}, {"a": "x"}, False),
    ({"a.": "x"}, {"a": {"": "x"}}, True),
    (
        {"resource_access.my-client.roles": "a"},
        {"resource_access": {"my-client": {"roles": ["a"]}}},
        True,
    ),
    # names with dots: the longest that exists is meant
    ({"https://example.com/roles": "a"}, {"https://example.com/roles": ["a"]}, True),
    ({"https://example.com/app.roles": "a"}, {"https://example.com/app": {"roles": ["a"]}}, True),
    ({"kubernetes.io.namespace": "a"}, {"kubernetes.io": {"namespace": "a"}}, True),
    (
        {"resource_access.my.client.roles": "a"},
        {"resource_access": {"my.client": {"roles": ["a"]}}},
        True,
    ),
    ({"a.b": "x"}, {"a.b": "x", "a": {"b": "y"}}, True),
    ({"a.b": "y"}, {"a.b": "x", "a": {"b": "y"}}, False),
    ({"a.b": "y"}, {"a.b": None, "a": {"b": "y"}}, False),
    ({"a.b.c": "x"}, {"a.b": {"c": "x"}, "a": {"b": {"c": "y"}}}, True),
    ({"a.b.c": "y"}, {"a.b": {"c": "x"}, "a": {"b": {"c": "y"}}}, False),
    ({"a.b.c": "y"}, {"a.b": "x", "a": {"b": {"c": "y"}}}, False),
    # words of a scope
    ({"scope": "read"}, {"scope": "openid read"}, True),
    ({"scope": "read"}, {"scope": "read"}, True),
    ({"scope": "read"}, {"scope": ["openid", "read"]}, True),
    ({"scope": "read"}, {"scope": "openid read:jobs"}, False),
    ({"scope": "read"}, {"scope": "openid\tread"}, False),
    ({"scope": "read"}, {"scope": ""}, False),
    ({"scope": "read"}, {"scope": {"read": True}}, False),
    ({"scp": "read"}, {"scp": "openid read"}, True),
    ({"scp": "read"}, {"scp": ["openid", "read"]}, True),
    ({"scp": "read"}, {"scope": "read"}, False),
    ({"groups": "read"}, {"groups": "openid read"}, False),
    ({"token.scope": "read"}, {"token": {"scope": "openid read"}}, False),
]


@pytest.mark.parametrize(
    ("match", "claims", "matches"),
    [
        ({}, {}, True),
        ({"sub": "ada"}, {"sub": "ada"}, True),
        ({"sub": "ada"}, {"sub": "Ada"}, False),
        ({"sub": "ada"}, {"sub": "ada "}, False),
        ({"sub": "ada"}, {"sub": "adam"}, False),
        ({"sub": "ada"}, {}, False),
        ({"groups": "eu"}, {"groups": ["analysts", "eu"]}, True),
        ({"groups": "eu"}, {"groups": "eu"}, True),
        ({"groups": "eu"}, {"groups": "eu analysts"}, False),
        ({"groups": "eu"}, {"groups": []}, False),
        ({"groups": "eu"}, {"groups": [["eu"]]}, False),
        ({"groups": "eu"}, {"groups": {"eu": True}}, False),
        ({"groups": "eu"}, {"groups": "europe"}, False),
        ({"admin": "true"}, {"admin": True}, False),
        ({"level": "1"}, {"level": 1}, False),
        ({"level": "None"}, {"level": None}, False),
        ({"name": "é"}, {"name": "e\u0301"}, False),
        ({"sub": "ada", "groups": "eu"}, {"sub": "ada", "groups": ["eu"]}, True),
        ({"sub": "ada", "groups": "eu"}, {"sub": "ada", "groups": ["us"]}, False),
        ({"sub": "ada", "groups": "eu"}, {"groups": ["eu"]}, False),
        *CLAIMS,
    ],
)
def test_a_role_needs_all_of_its_claims_to_match_exactly(
    match: Mapping[str, str | bool],
    claims: Mapping[str, Any],
    matches: bool,  # noqa: FBT001 - a case
) -> None:
    issuer = trusted("https://issuer.example", role=[{"match": match, "role_arn": ROLE}])

    assert (issuer.role_for(claims) is issuer.role[0]) is matches
    assert (issuer.role_for(claims) is None) is not matches


def test_the_first_matching_role_in_the_order_of_the_file_is_used() -> None:
    arns = [f"{ROLE}{number}" for number in range(3)]
    matches: list[Mapping[str, str]] = [{"groups": "eu"}, {"sub": "ada"}, {}]
    issuer: Issuer = trusted(
        "https://issuer.example",
        role=[{"match": m, "role_arn": a} for m, a in zip(matches, arns, strict=True)],
    )

    def found(**claims: Any) -> str | None:
        role = issuer.role_for(claims)
        return role.role_arn if role else None

    assert found(sub="ada", groups=["eu"]) == arns[0]
    assert found(sub="ada", groups=[]) == arns[1]
    assert found(sub="grace") == arns[2]
