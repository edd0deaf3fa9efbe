"""The OIDC file: its validation, and the roles of claims."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.app import create_app
from gateway.auth.oidc import Issuer, read_oidc_file
from gateway.settings import Settings, SettingsError
from tests.auth.issuers import ROLE, trusted

EXAMPLE = """
[[issuer]]
issuer = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example"
audiences = ["4f1example", "another"]
algorithms = ["RS256"]
jwks_url = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example/.well-known/jwks.json"

[[issuer.role]]
match = { "cognito:groups" = "analysts", email_domain = "example.com" }
role_arn = "arn:aws:iam::111122223333:role/analysts"
session_seconds = 900
read_only = false

[[issuer.role]]
match = {}
role_arn = "arn:aws-us-gov:iam::111122223333:role/path/to/everybody"

[[issuer]]
issuer = "http://127.0.0.1:9000/oidc"
audiences = ["audience-gateway"]

[[issuer.role]]
match = { sub = "ada" }
role_arn = "arn:aws:iam::111122223333:role/clean-rooms-reader"
"""

ISSUER = """
[[issuer]]
issuer = "https://issuer.example"
audiences = ["gateway"]
{more}
"""
ISSUER_ROLE = """
[[issuer.role]]
match = {{ sub = "ada" }}
role_arn = "arn:aws:iam::111122223333:role/reader"
{more}
"""


def write_file(folder: Path, text: str) -> Path:
    path = folder / "trust.toml"
    path.write_text(text, encoding="utf-8")
    return path


def with_issuer(more: str) -> str:
    return ISSUER.format(more=more) + ISSUER_ROLE.format(more="")


def with_role(more: str) -> str:
    return ISSUER.format(more="") + ISSUER_ROLE.format(more=more)


GOOD = with_role("")

WRONG: dict[str, tuple[str, str]] = {
    "nothing": ("", "issuer: Field required"),
    "no issuer": ("issuer = []", "issuer: "),
    "an issuer that is no table": ('issuer = "x"', "issuer: "),
    "an unknown key": (f'color = "red"\n{GOOD}', "color: Extra inputs"),
    "an unknown key of an issuer": (with_issuer('color = "red"'), "issuer.0.color: Extra inputs"),
    "an unknown key of a role": (with_role('color = "red"'), "issuer.0.role.0.color: Extra inputs"),
    "an issuer without its name": (GOOD.replace("issuer =", "name ="), "issuer.0.issuer: Field"),
    "no role": (ISSUER.format(more=""), "issuer.0.role: Field required"),
    "an empty list of roles": (ISSUER.format(more="role = []"), "issuer.0.role: "),
    "a role without a match": (GOOD.replace("match", "#"), "issuer.0.role.0.match: Field"),
    "a role without an ARN": (GOOD.replace("role_arn", "#"), "issuer.0.role.0.role_arn: Field"),
    "no audience": (GOOD.replace('["gateway"]', "[]"), "issuer.0.audiences: "),
    "an empty audience": (GOOD.replace('["gateway"]', '[""]'), "issuer.0.audiences.0: "),
    "an audience that is no list": (GOOD.replace('["gateway"]', '"x"'), "issuer.0.audiences: "),
    "no audiences": (GOOD.replace("audiences", "#"), "issuer.0.audiences: Field required"),
    "no algorithm": (with_issuer("algorithms = []"), "issuer.0.algorithms: "),
    "a list of no algorithms": (with_issuer("algorithms = [[]]"), "issuer.0.algorithms.0: "),
    "not TOML": ("issuer = [", "is not valid TOML"),
    "a key twice": (with_role('role_arn = "x"'), "is not valid TOML"),
    "an issuer twice": (GOOD + GOOD, "has the issuer https://issuer.example twice"),
}

for address in (
    "http://issuer.example",
    "http://localhost.evil.example",
    "http://127.0.0.1@evil.example",
    "http://127.0.0.1.evil.example",
    "http://169.254.169.254/latest",
    "http://[::2]",
    "https://",
    "https:///path",
    "https://user@issuer.example",
    "https://issuer.example/#x",
    "https://issuer.example/a b",
    "HTTPS://issuer.example",
    "file:///etc/passwd",
    "issuer.example",
    "",
):
    message = "not an https:// URL"
    WRONG[f"the issuer {address}"] = (
        GOOD.replace("https://issuer.example", address),
        f"issuer.0.issuer: {message}",
    )
    WRONG[f"keys at {address}"] = (
        with_issuer(f'jwks_url = "{address}"'),
        f"issuer.0.jwks_url: {message}",
    )

WRONG["an issuer with a query"] = (
    GOOD.replace("https://issuer.example", "https://issuer.example/tenant?id=1"),
    "issuer.0.issuer: not an https:// URL without a query",
)

for algorithm in ("none", "None", "HS256", "HS384", "HS512", "RS1", "ES256K", "EdDSA", "rs256", ""):
    WRONG[f"the algorithm {algorithm}"] = (
        with_issuer(f'algorithms = ["RS256", "{algorithm}"]'),
        "issuer.0.algorithms.1: ",
    )

for arn in (
    "",
    "reader",
    "arn:aws:iam::111122223333:user/ada",
    "arn:aws:iam::11112222333:role/reader",
    "arn:aws:iam::111122223333:role/",
    "arn:aws:iam:us-east-1:111122223333:role/reader",
    "arn:aws:sts::111122223333:assumed-role/reader/ada",
    "arn:aws:iam::111122223333:role/rea der",
    "arn:aws:iam::111122223333:role/*",
    "arn:aws:iam::١١١١٢٢٢٢٣٣٣٣:role/reader",
    "arn:aws:iam::111122223333:role/reader\\n",
):
    WRONG[f"the role {arn}"] = (
        GOOD.replace("arn:aws:iam::111122223333:role/reader", arn),
        "issuer.0.role.0.role_arn: not the ARN of an IAM role",
    )

for seconds in ("899", "43201", "0", "-1", "900.5", "1e9", '"3600"', "true", "[]", "3600.0"):
    WRONG[f"{seconds} seconds"] = (
        with_role(f"session_seconds = {seconds}"),
        "issuer.0.role.0.session_seconds: ",
    )

for value in ('"no"', "0", "1", "[]"):
    WRONG[f"read_only = {value}"] = (
        with_role(f"read_only = {value}"),
        "issuer.0.role.0.read_only: ",
    )

for value in ("1", "true", '["ada"]', "{}", "1.5", "2026-01-02"):
    WRONG[f"a match of {value}"] = (GOOD.replace('"ada"', value), "issuer.0.role.0.match.sub: ")


def test_the_documented_example_is_read(tmp_path: Path) -> None:
    issuers = read_oidc_file(write_file(tmp_path, EXAMPLE))
    cognito, local = issuers.values()

    assert list(issuers) == [cognito.issuer, local.issuer]
    assert cognito.audiences == {"4f1example", "another"}
    assert cognito.algorithms == {"RS256"}
    assert cognito.jwks_url == f"{cognito.issuer}/.well-known/jwks.json"
    assert [(role.session_seconds, role.read_only) for role in cognito.role] == [
        (900, False),
        (3600, True),
    ]
    assert cognito.role[0].match == {"cognito:groups": "analysts", "email_domain": "example.com"}
    assert local.algorithms == {"RS256", "ES256"}
    assert local.jwks_url is None
    assert local.role[0].role_arn.endswith("role/clean-rooms-reader")


@pytest.mark.parametrize(
    "address",
    ["http://localhost", "http://localhost:8080/realms/x", "http://127.0.0.1:1", "http://[::1]:9/"],
)
def test_an_issuer_on_a_loopback_host_needs_no_tls(tmp_path: Path, address: str) -> None:
    text = GOOD.replace("https://issuer.example", address)

    assert list(read_oidc_file(write_file(tmp_path, text))) == [address]


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_an_invalid_file_prevents_the_start(tmp_path: Path, text: str, words: str) -> None:
    """The message names the file and the place in it."""
    path = write_file(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        create_app(Settings(callers=frozenset({"oidc"}), oidc_file=path))

    assert f"GATEWAY_OIDC_FILE: {path} " in str(caught.value)
    assert words in str(caught.value)


def test_a_message_has_all_invalid_places(tmp_path: Path) -> None:
    text = with_issuer('algorithms = ["none"]\njwks_url = "x"').replace("reader", " ")
    with pytest.raises(SettingsError) as caught:
        read_oidc_file(write_file(tmp_path, text))

    for place in ("issuer.0.algorithms.0", "issuer.0.jwks_url", "issuer.0.role.0.role_arn"):
        assert f"\n  {place}: " in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe", "directory"])
def test_an_unreadable_file_prevents_the_start(tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "trust.toml"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()
    with pytest.raises(SettingsError, match="cannot be read") as caught:
        read_oidc_file(path)

    assert f"GATEWAY_OIDC_FILE: {path} " in str(caught.value)


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
    ],
)
def test_a_role_needs_all_of_its_claims_to_match_exactly(
    match: Mapping[str, str],
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
