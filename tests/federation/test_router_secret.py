"""With a router secret, federation fields are for requests with it alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.app import create_app
from gateway.auth.authenticator import RouterSecrets
from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from gateway.settings import Settings, SettingsError
from tests.gateways import Answer, Gateway, Sandbox, gateway_over

NAME = "X-Router-Secret"
OLD, NEW = "old-secret-0123456789", "new-secret-9876543210"
ADA = dict(aws_headers(CALLERS["ada"]))
ARN = "arn:aws:cleanrooms-ml:us-east-1:111122223333:audience-generation-job/abcdef"
ENTITIES = """query E($r: [_Any!]!) {
  _entities(representations: $r) { ... on AudienceGenerationJob { name } }
}"""
NAMED = {"r": [{"__typename": "AudienceGenerationJob", "audienceGenerationJobArn": ARN}]}
JOBS = "{ audienceGenerationJobs(first: 1) { nodes { name audienceGenerationJobArn } } }"


@pytest.fixture(scope="module")
def secured_gateway(
    shared_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """Serve a gateway that accepts two secrets, as during a rotation."""
    file = tmp_path_factory.mktemp("router") / "secrets"
    file.write_text(f"{OLD}\n{NEW}\n")
    with gateway_over(shared_sandbox, cache_seconds=0, router_secret_file=file) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def _healthy(sandbox: Sandbox) -> None:
    assert sandbox.calls == []


def secret_header(secret: str) -> dict[str, str]:
    return {NAME: secret}


def is_forbidden(answer: Answer) -> bool:
    """Check that the answer has neither schema nor data."""
    assert answer.content.get("data") is None
    assert "type " not in str(answer.content)
    return (answer.status, answer.code) == (200, "FORBIDDEN")


INVALID: dict[str, list[tuple[str, str]]] = {
    "none": [],
    "empty": [(NAME, "")],
    "truncated": [(NAME, OLD[:-1])],
    "longer": [(NAME, OLD + "x")],
    "upper case": [(NAME, OLD.upper())],
    "both in one header": [(NAME, f"{OLD}, {NEW}")],
    "another header": [("Router-Secret", OLD)],
    "twice": [(NAME, OLD), (NAME, OLD)],
    "valid and invalid": [(NAME, OLD), (NAME, "x")],
}


@pytest.mark.parametrize("secret_headers", INVALID.values(), ids=INVALID)
@pytest.mark.parametrize("caller", [{}, ADA], ids=["anonymous", "ada"])
def test_federation_fields_without_the_secret_are_forbidden(
    secured_gateway: Gateway, secret_headers: list[tuple[str, str]], caller: dict[str, str]
) -> None:
    """Credentials make no difference, and there is no upstream call."""
    headers = [*secret_headers, *caller.items()]
    requests: tuple[tuple[str, Any], ...] = (
        ("{ _service { sdl } }", None),
        ("{ __typename other: _service { sdl } }", None),
        ("{ ...A } fragment A on Query { _service { __typename } }", None),
        (ENTITIES, NAMED),
        (ENTITIES, {"r": []}),
    )
    for query, variables in requests:
        content = {"query": query, "variables": variables}
        assert is_forbidden(secured_gateway.send("POST", json=content, headers=headers))
        assert is_forbidden(
            secured_gateway.send("GET", params={"query": "{_service{sdl}}"}, headers=headers)
        )
    assert secured_gateway.sandbox.calls == []


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_with_either_secret_federation_fields_are_answered(
    secured_gateway: Gateway, secret: str
) -> None:
    """Entities are those that the caller may see."""
    sdl = secured_gateway.ask("{ _service { sdl } }", caller=None, headers=secret_header(secret))
    assert "type AudienceGenerationJob" in sdl.data["_service"]["sdl"]
    one = secured_gateway.ask(JOBS).data["audienceGenerationJobs"]["nodes"][0]
    variables = {
        "r": [{**NAMED["r"][0], "audienceGenerationJobArn": one["audienceGenerationJobArn"]}]
    }
    mine = secured_gateway.ask(ENTITIES, variables, headers=secret_header(secret))
    assert mine.data["_entities"] == [{"name": one["name"]}]
    others = secured_gateway.ask(ENTITIES, variables, caller="grace", headers=secret_header(secret))
    assert others.data["_entities"] == [None]


def test_the_secret_authenticates_no_caller(secured_gateway: Gateway) -> None:
    entities = secured_gateway.ask(ENTITIES, NAMED, caller=None, headers=secret_header(OLD))
    assert entities.content["data"]["_entities"] == [None]
    assert entities.code == "UNAUTHENTICATED"
    assert secured_gateway.ask(JOBS, caller=None, headers=secret_header(OLD)).status == 401
    assert secured_gateway.sandbox.calls == []


def test_the_other_fields_need_no_secret(secured_gateway: Gateway) -> None:
    """Neither a valid nor an invalid one changes them."""
    for headers in ({}, secret_header(OLD), secret_header("wrong")):
        assert secured_gateway.ask(JOBS, headers=headers).data["audienceGenerationJobs"]["nodes"]


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"", "is empty"),
        (b"\n", "line 1"),
        (b"short\n", "line 1"),
        (b"canary-01234567\n", "line 1"),
        (b"canary-0123456789\n\n", "line 2"),
        (b"canary-0123456789\ncanary 0123456789\n", "line 2"),
        (b"canary-0123456789\xc3\xa4", "line 1"),
        (b"canary-0123456789\x00", "line 1"),
        (b"canary-" * 200, "line 1"),
        (None, "cannot be read"),
    ],
)
def test_an_invalid_file_prevents_the_start(
    tmp_path: Path, content: bytes | None, detail: str
) -> None:
    """The message names the setting and the line, and repeats no content."""
    file = tmp_path / "secrets"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        create_app(Settings(router_secret_file=file))
    message = str(caught.value)
    assert message.startswith("GATEWAY_ROUTER_SECRET_FILE: ")
    assert str(file) in message
    assert detail in message
    assert "canary" not in message.replace(str(file), "")


def test_a_folder_is_an_invalid_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"GATEWAY_ROUTER_SECRET_FILE: .* cannot be read"):
        RouterSecrets.read(tmp_path)


def test_the_secret_cannot_be_printed(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_bytes(b"canary-0123456789\r\ncanary-9876543210")
    secrets = RouterSecrets.read(file)
    assert "canary" not in f"{secrets} {secrets!r}"
    assert secrets.match([(b"x-router-secret", b"canary-9876543210")])
