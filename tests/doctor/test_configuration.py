"""What is set: problems named, files read, unsafe choices warned of."""

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.doctor.configuration import is_loopback, unsafe_choices
from gateway.settings import Settings
from tests.doctor.reports import checked
from tests.gateways import Sandbox


@pytest.fixture
def few_files() -> Iterator[None]:
    """Let this process open few files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def warned(**settings: Any) -> set[str]:
    """Give what is warned of."""
    return {row.what for row in unsafe_choices(Settings(**settings))}


def test_the_defaults_are_safe() -> None:
    """There is nothing to warn of."""
    assert warned() == set()


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
def test_an_unsafe_choice_is_a_warning(name: str, value: Any) -> None:
    """It is named as the variable is, and nothing else is."""
    assert warned(**{name: value}) == {f"GATEWAY_{name.upper()}"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("upstream_url", "https://upstream.example"),
        ("upstream_url", "http://localhost:9000"),
        ("sts_url", "http://[::1]:9000"),
        ("cache_url", "rediss://:secret@redis.example"),
        ("cache_url", "redis://:secret@127.0.0.1:6379"),
    ],
)
def test_what_is_encrypted_or_stays_here_is_safe(name: str, value: str) -> None:
    """TLS, or this machine."""
    assert warned(**{name: value}) == set()


def test_which_hosts_are_this_machine() -> None:
    """By address or by its one name; what a resolver says is not asked."""
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost"]))
    assert not any(map(is_loopback, ["127.0.0.1.example", "0.0.0.0", "localhost.example", ""]))  # noqa: S104


def test_a_warning_fails_nothing(sandbox: Sandbox) -> None:
    """The exit code is 0."""
    report = checked(upstream_url=sandbox.url, introspection=True)

    assert report.code == 0
    assert report.state("GATEWAY_INTROSPECTION") == "warn"


def test_few_open_files_are_a_warning(sandbox: Sandbox, few_files: None) -> None:
    """The row says how many connections there are files for, and what limit is enough for all."""
    assert few_files is None
    report = checked(upstream_url=sandbox.url)

    assert report.state("open files") == "warn"
    assert "512 connections" in report.why("open files")
    assert "10512" in report.why("open files")


@pytest.mark.parametrize(
    ("name", "value"), [("cache_seconds", "soon"), ("regon", "us-east-1"), ("region", "here")]
)
def test_a_bad_setting_is_named(name: str, value: Any) -> None:
    """Exit code 2, as `serve` has it; nothing else is tried."""
    report = checked(**{name: value})

    assert report.code == 2
    assert set(report.rows) == {"settings"}
    report.assert_failed("settings", f"GATEWAY_{name.upper()}", "README")


FILES: dict[str, tuple[str, str | None, list[str]]] = {
    "no file": ("oidc_file", None, ["cannot be read"]),
    "no TOML": ("oidc_file", "[[issuer", ["not valid TOML"]),
    "no issuer": ("oidc_file", 'issuer = "x"', ["is invalid", "issuer"]),
    "no secrets": ("router_secret_file", None, ["cannot be read"]),
    "short secret": ("router_secret_file", "SHORT-CANARY", ["line 1", "not a valid secret"]),
}


@pytest.mark.parametrize("fault", FILES)
def test_a_bad_file_is_named_and_the_rest_is_tried(
    sandbox: Sandbox, tmp_path: Path, fault: str
) -> None:
    """Exit code 2, since the gateway would not start; the upstream is tried all the same."""
    name, content, words = FILES[fault]
    path: Any = tmp_path / "file"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    callers = "aws-headers,oidc" if name == "oidc_file" else "aws-headers"
    report = checked(upstream_url=sandbox.url, callers=callers, **{name: path})

    assert report.code == 2
    what = {"oidc_file": "OIDC file", "router_secret_file": "router secrets"}[name]
    assert report.failed == {what}
    report.assert_failed(what, f"GATEWAY_{name.upper()}", str(path), *words)
    assert "CANARY" not in report.printed
    assert report.state("upstream us-east-1") == "ok"


def test_router_secrets_are_counted_and_not_shown(sandbox: Sandbox, tmp_path: Path) -> None:
    """Two lines are two."""
    path = tmp_path / "secrets"
    path.write_text("first-secret-canary\nsecond-secret-canary\n", encoding="ascii")
    report = checked(upstream_url=sandbox.url, router_secret_file=path)

    assert report.code == 0
    assert report.why("router secrets").startswith("2 ")
    assert "canary" not in report.printed
