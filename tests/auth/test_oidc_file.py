"""The OIDC file: what is read from it, and the errors of an invalid one."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from gateway.app import create_app
from gateway.auth.oidc_file import Issuer, Role, read_oidc_file
from gateway.settings import Settings, SettingsError

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
FULL = with_issuer('algorithms = ["RS256"]\njwks_url = "https://issuer.example/keys"').replace(
    "role_arn =", "session_seconds = 900\nread_only = true\nrole_arn ="
)


def _keys(table: type[BaseModel]) -> list[str]:
    return list(table.model_fields)


ONE = "[[issuer]] 1"
"""The issuer of the texts below."""
ROLE_ONE = f"{ONE}, [[issuer.role]] 1"

WRONG: dict[str, tuple[str, str]] = {
    "nothing": ("", "issuer: missing. Accepted: [[issuer]] tables."),
    "no issuer": ("issuer = []", "issuer: invalid. Accepted: [[issuer]] tables."),
    "an issuer that is no table": (
        'issuer = "x"',
        'issuer: `"x"` is invalid. Accepted: [[issuer]] tables.',
    ),
    "an issuer that is a string": (
        'issuer = ["x"]',
        f'{ONE}: `"x"` is invalid. Accepted: issuer, audiences, algorithms, jwks_url, role.',
    ),
    "a table in place of tables": ("[issuer]", "issuer: invalid. Accepted: [[issuer]] tables."),
    "an unknown key": (f'color = "red"\n{GOOD}', "color: unknown key. Accepted: issuer."),
    "an unknown key of an issuer": (
        with_issuer('color = "red"'),
        f"{ONE}, color: unknown key. Accepted: issuer, audiences, algorithms, jwks_url, role.",
    ),
    "an unknown key of a role": (
        with_role('color = "red"'),
        f"{ROLE_ONE}, color: unknown key. Accepted: match, role_arn, session_seconds, read_only.",
    ),
    "an issuer without its name": (GOOD.replace("issuer =", "#"), f"{ONE}, issuer: missing."),
    "no role": (ISSUER.format(more=""), f"{ONE}, role: missing. Accepted: [[issuer.role]] tables."),
    "an empty list of roles": (ISSUER.format(more="role = []"), f"{ONE}, role: invalid."),
    "a role without a match": (GOOD.replace("match", "#"), f"{ROLE_ONE}, match: missing."),
    "a role without an ARN": (GOOD.replace("role_arn", "#"), f"{ROLE_ONE}, role_arn: missing."),
    "a match that is a string": (
        GOOD.replace('{ sub = "ada" }', '"ada"'),
        f'{ROLE_ONE}, match: `"ada"` is invalid. Accepted: table of claims, such as ',
    ),
    "no audience": (GOOD.replace('["gateway"]', "[]"), f"{ONE}, audiences: invalid. Accepted: "),
    "an empty audience": (GOOD.replace('["gateway"]', '[""]'), f'{ONE}, audiences: `""` is '),
    "an audience that is no list": (
        GOOD.replace('["gateway"]', '"x"'),
        f'{ONE}, audiences: `"x"` is invalid. Accepted: list of strings, such as ',
    ),
    "no audiences": (GOOD.replace("audiences", "#"), f"{ONE}, audiences: missing. Accepted: list"),
    "no algorithm": (with_issuer("algorithms = []"), f"{ONE}, algorithms: invalid. Accepted: list"),
    "a list of no algorithms": (with_issuer("algorithms = [[]]"), f"{ONE}, algorithms: invalid."),
    "not TOML": ("issuer = [", "not valid TOML: Invalid value (at end of document)."),
    "a key twice": (with_role('role_arn = "x"'), "not valid TOML: Cannot overwrite a value (at "),
    "an endless number": (f"issuer = {'9' * 5000}", "not valid TOML: "),
    "deep lists": (f"issuer = {'[' * 20_000}", "not valid TOML: "),
    "an issuer twice": (
        GOOD + GOOD,
        "[[issuer]] 2, issuer: https://issuer.example again. Accepted: each issuer once.",
    ),
    "a second issuer's second role": (
        GOOD + GOOD.replace("issuer.example", "other.example") + ISSUER_ROLE.format(more="x = 1"),
        "[[issuer]] 2, [[issuer.role]] 2, x: unknown key.",
    ),
}


def reject(address: str, problem: str) -> None:
    """Expect this problem of an issuer and of keys at an address."""
    message = f"{problem}. Accepted: https:// URL"
    issuer = GOOD.replace("https://issuer.example", address)
    WRONG[f"the issuer {address}"] = (issuer, f"{ONE}, issuer: {message}")
    WRONG[f"keys at {address}"] = (
        with_issuer(f'jwks_url = "{address}"'),
        f"{ONE}, jwks_url: {message}",
    )


for address in (
    "http://issuer.example",
    "http://localhost.evil.example",
    "http://127.0.0.1.evil.example",
    "http://169.254.169.254/latest",
    "http://[::2]",
    "https://",
    "https:///path",
    "https://issuer.example/#x",
    "https://[issuer.example",
    "https://[::1",
    "https://[1:2]",
    "https://issuer.example:https",
    "https://issuer.example:65536",
    "https://issuer.example:0",
    "http://localhost:65536",
    "https://issuer.example/a b",
    "HTTPS://issuer.example",
    "file:///etc/passwd",
    "issuer.example",
    "",
):
    reject(address, f'`"{address}"` is invalid')

for address in (
    "https://user:password@issuer.example",
    "https://password@issuer.example/#x",
    "http://127.0.0.1@evil.example",
):
    reject(address, "invalid")

WRONG["an issuer with a query"] = (
    GOOD.replace("https://issuer.example", "https://issuer.example/tenant?id=1"),
    'issuer: `"https://issuer.example/tenant?id=1"` is invalid. Accepted: https:// URL without a ',
)

for algorithm in ("none", "None", "HS256", "HS384", "HS512", "RS1", "ES256K", "EdDSA", "rs256", ""):
    WRONG[f"the algorithm {algorithm}"] = (
        with_issuer(f'algorithms = ["RS256", "{algorithm}"]'),
        f'{ONE}, algorithms: `"{algorithm}"` is invalid. Accepted: list of RS256, ',
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
        f'{ROLE_ONE}, role_arn: `"{arn}"` is invalid. Accepted: ARN of an IAM role, such as ',
    )

for seconds in ("899", "43201", "0", "-1", "900.5", "1e9", '"3600"', "true", "[]", "3600.0"):
    WRONG[f"{seconds} seconds"] = (
        with_role(f"session_seconds = {seconds}"),
        "is invalid. Accepted: integer from 900 to 43200."
        if seconds != "[]"
        else f"{ROLE_ONE}, session_seconds: invalid. Accepted: integer from 900 to 43200.",
    )

for value in ('"no"', "0", "1", "[]"):
    WRONG[f"read_only = {value}"] = (
        with_role(f"read_only = {value}"),
        "invalid. Accepted: `true` or `false`.",
    )

for value in ("1", '["ada"]', "1.5", "2026-01-02"):
    WRONG[f"a match of {value}"] = (
        GOOD.replace('"ada"', value),
        f"{ROLE_ONE}, match: `sub` is neither a string nor a boolean. Accepted: table of ",
    )

for table in ("{}", '{ roles = "x" }'):
    WRONG[f"a match of {table}"] = (
        GOOD.replace('"ada"', table),
        f"{ROLE_ONE}, match: `sub` is a table, as it is without quotes around a path.",
    )
WRONG["a path without quotes"] = (
    GOOD.replace("sub =", "realm_access.roles ="),
    f"{ROLE_ONE}, match: `realm_access` is a table, as it is without quotes around a path.",
)
WRONG["a claim without a name"] = (GOOD.replace("sub =", '"" ='), "match: a claim has no name.")

for scope in ('"read write"', '""', '" read"', "true"):
    for name in ("scope", "scp"):
        WRONG[f"{name} = {scope}"] = (
            GOOD.replace('sub = "ada"', f"{name} = {scope}"),
            f"{ROLE_ONE}, match: `{name}` is not one word of a scope.",
        )

MISSPELLED = {
    (GOOD, "audiences", "audience"): f"{ONE}, audience: unknown key. Did you mean audiences?",
    (GOOD, "issuer =", "isuer ="): f"{ONE}, isuer: unknown key. Did you mean issuer?",
    (GOOD, "[[issuer", "[[issuers"): "issuers: unknown key. Did you mean issuer?",
    (GOOD, "[[issuer.role]]", "[[issuer.roles]]"): f"{ONE}, roles: unknown key. Did you mean role?",
    (GOOD, "match", "matches"): f"{ROLE_ONE}, matches: unknown key. Did you mean match?",
    (GOOD, "role_arn", "role-arn"): f"{ROLE_ONE}, role-arn: unknown key. Did you mean role_arn?",
    (with_role("session_seconds = 900"), "session_seconds", "session_second"): (
        f"{ROLE_ONE}, session_second: unknown key. Did you mean session_seconds?"
    ),
    (with_issuer('jwks_url = "x"'), "jwks_url", "jwks_uri"): (
        f"{ONE}, jwks_uri: unknown key. Did you mean jwks_url?"
    ),
}

VALIDATOR_WORDS = re.compile(
    r"Input should|Extra inputs|Field required|Value error|String should|should have|type=|valid "
    r"(string|list|dictionary|integer|boolean)|pydantic|errno|codec|frozenset|tuple",
    re.IGNORECASE,
)


def message_of(path: Path) -> str:
    """Return the error of a file, without what precedes each line."""
    with pytest.raises(SettingsError) as caught:
        read_oidc_file(path)
    message = str(caught.value)
    prefix = f"GATEWAY_OIDC_FILE: {path}: "
    assert all(line.startswith(prefix) and line.endswith(".") for line in message.splitlines())
    assert not VALIDATOR_WORDS.search(message.replace(str(path), ""))
    return message.replace(prefix, "")


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
def test_an_invalid_file_is_described_in_its_own_words(
    tmp_path: Path, text: str, words: str
) -> None:
    """The message names the file, the table and the key, and what is accepted."""
    message = message_of(write_file(tmp_path, text))
    assert words in message
    assert "TOML" in message or "Accepted: " in message


@pytest.mark.parametrize(("change", "words"), MISSPELLED.items(), ids=lambda each: each[-1][:60])
def test_a_misspelled_key_is_one_line(
    tmp_path: Path, change: tuple[str, str, str], words: str
) -> None:
    """The key that was meant is not missing as well."""
    text, right, wrong = change
    message = message_of(write_file(tmp_path, text.replace(right, wrong)))
    assert message.startswith(f"{words} Accepted: ")
    assert "\n" not in message


def test_an_invalid_file_prevents_the_start(tmp_path: Path) -> None:
    path = write_file(tmp_path, "")
    with pytest.raises(SettingsError, match=r"GATEWAY_OIDC_FILE: .* issuer: missing"):
        create_app(Settings(callers=frozenset({"oidc"}), oidc_file=path))


def test_a_message_has_all_invalid_places(tmp_path: Path) -> None:
    text = with_issuer('algorithms = ["none"]\njwks_url = "x"').replace("reader", " ")
    lines = message_of(write_file(tmp_path, text)).splitlines()

    assert [line.partition(":")[0] for line in lines] == [
        f"{ONE}, algorithms",
        f"{ONE}, jwks_url",
        f"{ROLE_ONE}, role_arn",
    ]


toml_values = st.recursive(
    st.sampled_from(
        ["1", "true", '"x"', "1.5", "nan", "2026-01-02", "[]", "{}", '""', "[", "=", ""]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(inner, max_size=2).map(
            lambda items: "{" + ", ".join(f"k{n} = {item}" for n, item in enumerate(items)) + "}"
        )
    ),
    max_leaves=4,
)


@given(
    key=st.sampled_from([*_keys(Issuer), *_keys(Role), "sub", "[[issuer]]", "[[issuer.role]]"]),
    new_key=st.none() | st.text("abcdefghijklmnopqrstuvwxyz_-", min_size=1, max_size=12),
    value=toml_values,
)
def test_any_change_of_a_file_is_valid_or_described(
    tmp_path_factory: pytest.TempPathFactory, key: str, new_key: str | None, value: str
) -> None:
    """No message has the validator's own words."""
    changed = [
        re.sub(rf"\b{re.escape(key)} = .*?(?=$| \}})", f"{new_key or key} = {value}", line)
        if not line.startswith("[[")
        else line.replace(key, f"[[{new_key}]]" if new_key else key)
        for line in FULL.splitlines()
    ]
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text("\n".join(changed), encoding="utf-8")
    try:
        read_oidc_file(path)
    except SettingsError:
        message_of(path)


@pytest.mark.parametrize("content", [None, b"\xff\xfe", "directory"])
def test_an_unreadable_file_is_described(tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "trust.toml"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()
    assert message_of(path).startswith("cannot be read: ")
