"""Settings: read once, checked at start; what is wrong is named, and stops it."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.settings import PREFIX, Settings, SettingsError, read_settings

DOCUMENTED: dict[str, Any] = {
    "callers": {"aws-headers"},
    "region": "us-east-1",
    "regions": set(),
    "upstream_url": None,
    "sts_url": None,
    "cache_url": "memory://",
    "cache_url_file": None,
    "cache_seconds": 5,
    "cache_bytes": 64 * 1024 * 1024,
    "deadline_seconds": 20,
    "max_upstream_calls": 20,
    "max_detail_calls": 500,
    "cors_origins": set(),
    "router_secret_file": None,
    "root_node": True,
    "graphiql": False,
    "introspection": False,
    "allow_long_term_keys": False,
    "log_level": "info",
    "trace_ratio": 0,
    "limit_tokens": 2000,
    "limit_depth": 15,
    "limit_aliases": 30,
    "limit_root_fields": 10,
    "limit_directives": 50,
    "limit_selections": 10000,
    "limit_fields": 50000,
    "limit_body_bytes": 262144,
    "limit_ids": 500,
    "max_in_flight": 1000,
    "drain_seconds": 5,
    "stale_seconds": 0,
    "caller_calls_per_second": 50,
    "oidc_file": None,
}
"""The contract: names are public, and a default is a promise."""

BAD: dict[str, list[str]] = {
    "CALLERS": ["", ",", "aws", "aws-headers,anybody", "AWS-HEADERS", "aws-headers;aws-headers"],
    "REGION": ["", "us-east", "US-EAST-1", "us-east-1 ", "us-east-1,eu-west-1", "evil.com/#", ".."],
    "REGIONS": ["us-east-1,..", "us-east-1 eu-west-1", "us-east-1.evil", "us-east-1,EU-WEST-1"],
    "OIDC_FILE": [""],
    "ROUTER_SECRET_FILE": [""],
    "CACHE_URL_FILE": [""],
    "UPSTREAM_URL": [
        "",
        "localhost:9000",
        "ftp://host",
        "http://",
        "http://host/path",
        "http://host?x",
        "http://host#x",
        "http://user:pass@host",
        "http://a b",
        "http://host\n",
        "http://host:port",
        "http://host:99999",
        "http://:80",
    ],
    "CACHE_URL": [
        "",
        "memory",
        "memcached://host",
        "MEMORY://",
        "redis://",
        "redis://host/path",
        "redis://host/1/2",
        "redis://a b",
        "rediss:/host",
        "redis://host:abc",
        "redis://host:99999",
        "redis://host?socket_timeout=5",
        "redis://:pa#ss@host",
        "redis://:pa?ss@host",
    ],
    "CACHE_SECONDS": ["", "-1", "five", "nan", "inf", "3601", "5s"],
    "MAX_IN_FLIGHT": ["", "0", "-1", "1.5", "many", "1000001"],
    "DRAIN_SECONDS": ["", "-1", "nan", "inf", "3601", "5s"],
    "STALE_SECONDS": ["", "-1", "nan", "inf", "86401", "5s"],
    "CALLER_CALLS_PER_SECOND": ["", "-1", "1.5", "fifty", "1000001"],
    "CACHE_BYTES": ["", "-1", "64MB", "1.5", "1e6"],
    "DEADLINE_SECONDS": ["", "0", "-1", "nan", "inf", "301", "20s"],
    "MAX_UPSTREAM_CALLS": ["", "0", "-1", "many", "1.5"],
    "MAX_DETAIL_CALLS": ["", "0", "-1", "many", "1.5"],
    "CORS_ORIGINS": [
        "*",
        "null",
        "app.example.com",
        "https://*.example.com",
        "https://app.example.com/",
        "https://app.example.com/path",
        "https://app.example.com?x",
        "https://APP.example.com",
        "HTTPS://app.example.com",
        "https://user@app.example.com",
        "https://app.example.com:443",
        "http://app.example.com:80",
        "http://app.example.com:0",
        "http://app.example.com:65536",
        "http://app.example.com:",
        "https://",
        "https://app.example.com\nhttps://other.example.com",
        "https://app.example.com https://other.example.com",
        "https://app.example.com,*",
        "https://b\u00fccher.example",
        "ws://app.example.com",
        "file://",
    ],
    "ROOT_NODE": ["", "maybe", "2"],
    "GRAPHIQL": ["", "maybe", "2"],
    "INTROSPECTION": ["", "maybe", "2"],
    "ALLOW_LONG_TERM_KEYS": ["", "maybe", "2"],
    "LOG_LEVEL": ["", "loud", "INFO ", "trace"],
    "TRACE_RATIO": ["", "-0.1", "1.1", "nan", "inf", "half", "10%"],
    "LIMIT_TOKENS": ["", "0", "-1", "x"],
    "LIMIT_DEPTH": ["", "0", "-1", "x"],
    "LIMIT_ALIASES": ["", "-1", "x", "1e3", "1000000001"],
    "LIMIT_ROOT_FIELDS": ["", "0", "-1", "x", "1000000001"],
    "LIMIT_DIRECTIVES": ["", "-1", "x", "1000000001"],
    "LIMIT_SELECTIONS": ["", "0", "-1", "10,000", "1000000001"],
    "LIMIT_BODY_BYTES": ["", "0", "-1", "256k"],
    "LIMIT_FIELDS": ["", "0", "-1", "x"],
    "LIMIT_IDS": ["", "0", "-1", "x"],
}

BAD["STS_URL"] = BAD["UPSTREAM_URL"]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)


def test_the_defaults_are_the_documented_ones() -> None:
    """Without any variable; a setting that is not documented is not there."""
    values = read_settings().model_dump()

    assert values.keys() <= DOCUMENTED.keys()
    assert values == {name: DOCUMENTED[name] for name in values}
    assert read_settings().served_regions == {"us-east-1"}


def test_every_setting_says_what_it_means() -> None:
    """The description is shown where a value is wrong."""
    assert [n for n, field in Settings.model_fields.items() if not field.description] == []


def test_a_bad_value_is_tried_for_every_setting() -> None:
    """A new setting comes with its bad values here."""
    assert {name.upper() for name in Settings.model_fields} <= BAD.keys()


@pytest.mark.parametrize(("name", "value"), [(n, value) for n in BAD for value in BAD[n]])
def test_a_bad_value_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The message names the variable and says what it means."""
    monkeypatch.setenv(f"GATEWAY_{name}", value)
    with pytest.raises(SettingsError) as caught:
        read_settings()

    message = str(caught.value)
    assert f"GATEWAY_{name}: " in message
    assert str(Settings.model_fields[name.lower()].description) in message
    assert "pydantic" not in message


def test_all_bad_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who repairs them need not start once for each."""
    monkeypatch.setenv("GATEWAY_LIMIT_IDS", "x")
    monkeypatch.setenv("GATEWAY_REGION", "x")
    with pytest.raises(SettingsError) as caught:
        read_settings()

    assert len(str(caught.value).splitlines()) == 2


def test_an_unknown_name_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error is not a default; all of them are named, and so is what is accepted."""
    for name in ("GATEWAY_REGON", "GATEWAY_CACHE_SECOND", "GATEWAY_", "gateway_limit", "GATEWAY__"):
        monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError) as caught:
        read_settings()

    unknown = str(caught.value).split("Accepted")[0]
    assert "GATEWAY_REGON" in unknown
    assert "GATEWAY_CACHE_SECOND" in unknown
    assert "GATEWAY_LIMIT" in unknown
    assert "GATEWAY_REGION" in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "GATEWAY_SERVICE_HOST",
        "GATEWAY_SERVICE_PORT",
        "GATEWAY_SERVICE_PORT_HTTP",
        "GATEWAY_SERVICE_PORT_HTTP_METRICS",
        "GATEWAY_PORT",
        "GATEWAY_PORT_80_TCP",
        "GATEWAY_PORT_80_TCP_PROTO",
        "GATEWAY_PORT_80_TCP_PORT",
        "GATEWAY_PORT_80_TCP_ADDR",
        "GATEWAY_PORT_53_UDP",
        "GATEWAY_PORT_53_UDP_ADDR",
    ],
)
def test_what_kubernetes_injects_is_ignored(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """For a Service called `gateway`, in each pod that is started after it."""
    monkeypatch.setenv(name, "tcp://10.0.0.1:80")

    assert read_settings() == Settings()


@pytest.mark.parametrize("name", ["GATEWAY_CANARY_SERVICE_HOST", "GATEWAY_CANARY_PORT_80_TCP_ADDR"])
def test_so_is_what_it_injects_for_a_service_next_door(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A Service called `gateway-canary` in the namespace must not stop every restart of ours."""
    monkeypatch.setenv(name, "10.0.0.1")

    assert read_settings() == Settings()


def test_a_port_that_a_person_sets_is_not_taken_for_kubernetes_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is no such setting, and to ignore it in silence would be to serve elsewhere."""
    monkeypatch.setenv("GATEWAY_PORT", "8080")
    with pytest.raises(SettingsError, match="GATEWAY_PORT"):
        read_settings()


def test_other_people_s_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the prefix makes one ours."""
    for name in ("REGION", "AWS_REGION", "GATEWAYS_REGION", "API_GATEWAY_REGION", "GATEWAY"):
        monkeypatch.setenv(name, "eu-west-1")

    assert read_settings() == Settings()


def test_good_values_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in the form that an environment has."""
    for name, value in {
        "REGION": "eu-west-1",
        "REGIONS": " eu-west-1, us-gov-east-1 ,eu-west-1,",
        "UPSTREAM_URL": "http://[::1]:9000/",
        "CORS_ORIGINS": "https://app.example.com, http://localhost:3000,http://[::1]:8080",
        "CACHE_SECONDS": "0",
        "CACHE_BYTES": "0",
        "DEADLINE_SECONDS": "0.5",
        "INTROSPECTION": "true",
        "GRAPHIQL": "1",
        "LOG_LEVEL": "debug",
    }.items():
        monkeypatch.setenv(f"GATEWAY_{name}", value)
    settings = read_settings()

    assert settings.served_regions == {"eu-west-1", "us-gov-east-1"}
    assert settings.upstream_url == "http://[::1]:9000"
    assert settings.cors_origins == {
        "https://app.example.com",
        "http://localhost:3000",
        "http://[::1]:8080",
    }
    assert (settings.cache_seconds, settings.cache_bytes) == (0, 0)
    assert (settings.deadline_seconds, settings.log_level) == (0.5, "debug")
    assert settings.introspection
    assert settings.graphiql


def test_the_default_region_is_one_that_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise every request without a region would be refused."""
    monkeypatch.setenv("GATEWAY_REGIONS", "eu-west-1,eu-central-1")
    with pytest.raises(SettingsError, match=r"GATEWAY_REGIONS lacks GATEWAY_REGION, us-east-1\."):
        read_settings()


def test_an_empty_list_of_regions_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one region, as if the variable were not there."""
    monkeypatch.setenv("GATEWAY_REGIONS", "")

    assert read_settings().served_regions == {"us-east-1"}


def test_a_name_may_be_in_lower_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read, not passed over as somebody else's."""
    monkeypatch.setenv("gateway_region", "eu-west-1")

    assert read_settings().region == "eu-west-1"


def test_one_setting_under_two_names_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of them counts would be chance."""
    monkeypatch.setenv("GATEWAY_REGION", "eu-west-1")
    monkeypatch.setenv("gateway_region", "eu-central-1")
    with pytest.raises(SettingsError, match="GATEWAY_REGION"):
        read_settings()


def test_the_environment_goes_before_the_program_s_own_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`gateway dev` has defaults of its own, which a variable overrides."""
    monkeypatch.setenv("GATEWAY_GRAPHIQL", "false")
    settings = read_settings(graphiql=True, introspection=True)

    assert (settings.graphiql, settings.introspection) == (False, True)


def test_settings_do_not_change() -> None:
    """They are read once."""
    with pytest.raises(ValidationError):
        read_settings().region = "eu-west-1"  # type: ignore[misc]  # which is the point


def test_no_file_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A `.env` that lies about is somebody else's."""
    (tmp_path / ".env").write_text("GATEWAY_REGION=eu-west-1\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    assert read_settings().region == "us-east-1"


@pytest.mark.parametrize(
    ("callers", "oidc_file"),
    [("oidc", None), ("aws-headers,oidc", None), ("aws-headers", "x.toml")],
)
def test_oidc_and_its_file_go_together(
    monkeypatch: pytest.MonkeyPatch, callers: str, oidc_file: str | None
) -> None:
    """A scheme without its file, or a file that nobody reads, is a mistake."""
    monkeypatch.setenv("GATEWAY_CALLERS", callers)
    if oidc_file is not None:
        monkeypatch.setenv("GATEWAY_OIDC_FILE", oidc_file)
    with pytest.raises(SettingsError, match=r"GATEWAY_OIDC_FILE.*GATEWAY_CALLERS"):
        read_settings()


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_address_of_the_cache_may_be_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: str
) -> None:
    """So that its password is in no variable; editors end the line."""
    (tmp_path / "url").write_bytes(f"redis://:hunter2@host:6379/0{end}".encode())
    monkeypatch.setenv("GATEWAY_CACHE_URL_FILE", str(tmp_path / "url"))
    settings = read_settings()

    assert settings.read_cache_url() == "redis://:hunter2@host:6379/0"
    assert "hunter2" not in repr(settings)


def test_without_a_file_the_variable_says_where_the_cache_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As it always did."""
    monkeypatch.setenv("GATEWAY_CACHE_URL", "redis://host")

    assert read_settings().read_cache_url() == "redis://host"


def test_there_is_one_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable and a file for the same: which of them counts would be chance."""
    monkeypatch.setenv("GATEWAY_CACHE_URL", "memory://")
    monkeypatch.setenv("GATEWAY_CACHE_URL_FILE", "url")
    with pytest.raises(SettingsError, match=r"GATEWAY_CACHE_URL and GATEWAY_CACHE_URL_FILE"):
        read_settings()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hunter2",
        b"redis://:hun#ter2@host",
        b"redis://:hunter2@host\n\n# the old one",
        b"redis://:hunter2@host extra",
        b"redis://:hunter2\xff@host",
        None,
    ],
)
def test_a_bad_file_is_named_and_not_shown(tmp_path: Path, content: bytes | None) -> None:
    """Its message is logged, and it may hold a password."""
    path = tmp_path / "url"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        Settings(cache_url_file=path).read_cache_url()

    assert str(caught.value).startswith(f"GATEWAY_CACHE_URL_FILE: {path} ")
    assert "hun" not in str(caught.value).replace(str(path), "")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
