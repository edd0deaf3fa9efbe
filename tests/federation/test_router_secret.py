"""With a router's secret set, who does not show it gets no schema and no entity."""

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
def guarded(shared_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Serve a gateway behind a router that changes its secret."""
    file = tmp_path_factory.mktemp("router") / "secrets"
    file.write_text(f"{OLD}\n{NEW}\n")
    with gateway_over(shared_sandbox, cache_seconds=0, router_secret_file=file) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def _healthy(sandbox: Sandbox) -> None:
    assert sandbox.calls == []


def shown(secret: str) -> dict[str, str]:
    """Show a secret."""
    return {NAME: secret}


def refused(answer: Answer) -> bool:
    """Whether a field was refused, without a word of schema or data."""
    assert answer.content.get("data") is None
    assert "type " not in str(answer.content)
    return (answer.status, answer.code) == (200, "FORBIDDEN")


WRONG: dict[str, list[tuple[str, str]]] = {
    "none": [],
    "empty": [(NAME, "")],
    "cut": [(NAME, OLD[:-1])],
    "longer": [(NAME, OLD + "x")],
    "other case": [(NAME, OLD.upper())],
    "both in one": [(NAME, f"{OLD}, {NEW}")],
    "other header": [("Router-Secret", OLD)],
    "twice": [(NAME, OLD), (NAME, OLD)],
    "and a wrong one": [(NAME, OLD), (NAME, "x")],
}


@pytest.mark.parametrize("shows", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("caller", [{}, ADA], ids=["nobody", "ada"])
def test_who_does_not_show_it_is_refused(
    guarded: Gateway, shows: list[tuple[str, str]], caller: dict[str, str]
) -> None:
    """Known caller or not: no SDL, no entity, and the upstream hears nothing."""
    headers = [*shows, *caller.items()]
    asked: tuple[tuple[str, Any], ...] = (
        ("{ _service { sdl } }", None),
        ("{ __typename other: _service { sdl } }", None),
        ("{ ...A } fragment A on Query { _service { __typename } }", None),
        (ENTITIES, NAMED),
        (ENTITIES, {"r": []}),
    )
    for query, variables in asked:
        content = {"query": query, "variables": variables}
        assert refused(guarded.send("POST", json=content, headers=headers))
        assert refused(guarded.send("GET", params={"query": "{_service{sdl}}"}, headers=headers))
    assert guarded.sandbox.calls == []


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_the_router_is_answered(guarded: Gateway, secret: str) -> None:
    """By the old secret and the new one, with the schema and what the caller may see."""
    sdl = guarded.ask("{ _service { sdl } }", caller=None, headers=shown(secret))
    assert "type AudienceGenerationJob" in sdl.data["_service"]["sdl"]
    one = guarded.ask(JOBS).data["audienceGenerationJobs"]["nodes"][0]
    named = {"r": [{**NAMED["r"][0], "audienceGenerationJobArn": one["audienceGenerationJobArn"]}]}
    mine = guarded.ask(ENTITIES, named, headers=shown(secret))
    assert mine.data["_entities"] == [{"name": one["name"]}]
    others = guarded.ask(ENTITIES, named, caller="grace", headers=shown(secret))
    assert others.data["_entities"] == [None]


def test_the_router_is_no_caller(guarded: Gateway) -> None:
    """Its secret reads no data."""
    entities = guarded.ask(ENTITIES, NAMED, caller=None, headers=shown(OLD))
    assert entities.content["data"]["_entities"] == [None]
    assert entities.code == "UNAUTHENTICATED"
    assert guarded.ask(JOBS, caller=None, headers=shown(OLD)).status == 401
    assert guarded.sandbox.calls == []


def test_the_other_fields_need_no_secret(guarded: Gateway) -> None:
    """Whoever is right, wrong or silent about it."""
    for headers in ({}, shown(OLD), shown("wrong")):
        assert guarded.ask(JOBS, headers=headers).data["audienceGenerationJobs"]["nodes"]


@pytest.mark.parametrize(
    ("content", "named"),
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
def test_a_file_that_is_none_stops_the_start(
    tmp_path: Path, content: bytes | None, named: str
) -> None:
    """The setting and the line are named; what is in it is not."""
    file = tmp_path / "secrets"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        create_app(Settings(router_secret_file=file))
    message = str(caught.value)
    assert message.startswith("GATEWAY_ROUTER_SECRET_FILE: ")
    assert str(file) in message
    assert named in message
    assert "canary" not in message.replace(str(file), "")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """Nor is it a crash."""
    with pytest.raises(SettingsError, match=r"GATEWAY_ROUTER_SECRET_FILE: .* cannot be read"):
        RouterSecrets.read(tmp_path)


def test_the_secret_cannot_be_printed(tmp_path: Path) -> None:
    """Whatever logs or shows the object."""
    file = tmp_path / "secrets"
    file.write_bytes(b"canary-0123456789\r\ncanary-9876543210")
    secrets = RouterSecrets.read(file)
    assert "canary" not in f"{secrets} {secrets!r}"
    assert secrets.match([(b"x-router-secret", b"canary-9876543210")])
