"""Checks of the configuration: invalid settings and files, unsafe choices, open files."""

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.doctor.configuration import unsafe_choices
from gateway.settings import Settings
from tests.doctor.reports import check
from tests.gateways import Sandbox


@pytest.fixture
def _few_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def warnings_of(**settings: Any) -> set[str]:
    chosen = Settings(**settings)
    return {row.what for row in unsafe_choices(chosen, chosen.read_cache_url())}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("graphiql", True),
        ("introspection", True),
        ("allow_long_term_keys", True),
        ("caller_calls_per_second", 0),
        ("upstream_url", "http://upstream.example"),
        ("sts_url", "http://192.0.2.1:8080"),
        ("cache_url", "redis://:secret@redis.example:6379/0"),
        ("cache_url", "redis://[2001:db8::1]"),
    ],
)
def test_an_unsafe_choice_is_a_warning_that_names_the_variable(name: str, value: Any) -> None:
    assert warnings_of(**{name: value}) == {f"GATEWAY_{name.upper()}"}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"upstream_url": "https://upstream.example"},
        {"upstream_url": "http://localhost:9000"},
        {"sts_url": "http://[::1]:9000"},
        {"cache_url": "rediss://:secret@redis.example"},
        {"cache_url": "redis://:secret@127.0.0.1:6379"},
    ],
)
def test_defaults_tls_and_loopback_are_safe(settings: dict[str, Any]) -> None:
    assert warnings_of(**settings) == set()


@pytest.mark.usefixtures("_few_files")
def test_warnings_do_not_affect_the_exit_code(sandbox: Sandbox) -> None:
    report = check(upstream_url=sandbox.url, introspection=True)

    assert report.code == 0
    assert report.state("GATEWAY_INTROSPECTION") == report.state("open files") == "warn"
    assert "512 connections" in report.text("open files")
    assert "10512" in report.text("open files")


@pytest.mark.parametrize(
    ("name", "value"), [("cache_seconds", "soon"), ("regon", "us-east-1"), ("region", "here")]
)
def test_an_invalid_setting_ends_the_check(name: str, value: Any) -> None:
    """The exit code is that of `gateway serve`."""
    report = check(**{name: value})

    assert report.code == 2
    assert set(report.rows) == {"settings"}
    report.assert_failed("settings", f"GATEWAY_{name.upper()}", "reference.md")


INVALID_FILES: dict[str, tuple[str, str | None, list[str]]] = {
    "missing": ("oidc_file", None, ["cannot be read"]),
    "no TOML": ("oidc_file", "[[issuer", ["not valid TOML"]),
    "no issuer": ("oidc_file", 'issuer = "x"', ["is invalid", "issuer"]),
    "missing cache URL": ("cache_url_file", None, ["cannot be read"]),
    "invalid cache URL": ("cache_url_file", "CANARY://x", ["not a single line with a cache URL"]),
    "missing secrets": ("router_secret_file", None, ["cannot be read"]),
    "missing manifest": ("persisted_documents_file", None, ["cannot be read"]),
    "invalid document": (
        "persisted_documents_file",
        '{"listing": "{ jobs }"}',
        ["an invalid document", "`listing`", "Cannot query field 'jobs'"],
    ),
    "short secret": ("router_secret_file", "SHORT-CANARY", ["line 1", "not a valid secret"]),
}


@pytest.mark.parametrize(("name", "content", "words"), INVALID_FILES.values(), ids=INVALID_FILES)
def test_an_invalid_file_fails_and_the_rest_is_checked(
    sandbox: Sandbox, tmp_path: Path, name: str, content: str | None, words: list[str]
) -> None:
    path: Any = tmp_path / "file"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    callers = "aws-headers,oidc" if name == "oidc_file" else "aws-headers"
    report = check(upstream_url=sandbox.url, callers=callers, **{name: path})

    what = {
        "oidc_file": "OIDC file",
        "cache_url_file": "cache URL",
        "router_secret_file": "router secrets",
        "persisted_documents_file": "persisted documents",
    }[name]
    assert report.code == 2
    assert report.failed == {what}
    report.assert_failed(what, f"GATEWAY_{name.upper()}", str(path), *words)
    assert "CANARY" not in report.printed
    assert report.state("upstream us-east-1") == "ok"


def test_persisted_documents_are_counted(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "documents.json"
    path.write_text('{"a": "{ __typename }", "b": "{ __typename }"}')
    report = check(upstream_url=sandbox.url, persisted_documents_file=path)

    assert report.code == 0
    assert "2" in report.text("persisted documents")


def test_router_secrets_are_counted_and_not_shown(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    path.write_text("first-secret-canary\nsecond-secret-canary\n", encoding="ascii")
    report = check(upstream_url=sandbox.url, router_secret_file=path)

    assert report.code == 0
    assert "2" in report.text("router secrets")
    assert "canary" not in report.printed
