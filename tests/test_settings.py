"""Settings: read once and validated at start."""

import os
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from pydantic import ValidationError

from gateway.environment import accepted_values, read_settings, setting_schemas
from gateway.settings import PREFIX, Settings, SettingsError, is_loopback, variable

BAD_TEXTS: dict[str, list[str]] = {
    "callers": [",", "aws", "aws-headers,anybody", "AWS-HEADERS", "aws-headers;aws-headers"],
    "region": [
        "us-east",
        "zz-east-1",
        "useast-1",
        "US-EAST-1",
        "us-east-1 ",
        "us-east-1,eu-west-1",
        "evil.com/#",
        "..",
    ],
    "regions": [
        ",",
        " , ",
        "us-east-1,..",
        "us-east-1 eu-west-1",
        "us-east-1.evil",
        "us-east-1,EU-WEST-1",
    ],
    "upstream_url": [
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
        "https://{zone}.example.com",
        "https://{region.example.com",
        "https://host/{region}",
        "https://[0]",
    ],
    "cache_url": [
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
        "redis://:pa[ss@host",
        "redis://[0]",
    ],
    "cors_origins": [
        ",",
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
    "log_level": ["loud", "INFO ", "trace"],
    "path_prefix": [
        "api",
        "/",
        "//api",
        "/api//audience",
        "/a b",
        "/api?x",
        "/..",
        "/a/./b",
        "/%41",
    ],
}
BAD_TEXTS["sts_url"] = BAD_TEXTS["upstream_url"]

BAD_NUMBERS = {
    "boolean": ["maybe", "2"],
    "integer": ["1.5", "1e6", "64MB", "10,000"],
    "number": ["five", "5s", "10%", "nan", "inf"],
}


def bad_values(name: str) -> Iterator[str]:
    schema = setting_schemas()[name]
    # Any text may be the path of a file.
    is_path = schema.get("format") == "path"
    yield from (
        BAD_TEXTS[name] if name in BAD_TEXTS else [] if is_path else BAD_NUMBERS[schema["type"]]
    )
    for bound, beyond in (("exclusiveMinimum", 0), ("minimum", -1), ("maximum", 1)):
        if bound in schema:
            yield str(schema[bound] + beyond)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in Settings.model_fields for value in bad_values(name)],
)
def test_a_bad_value_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The message names the variable, what it accepts and what it means."""
    monkeypatch.setenv(variable(name), value)
    with pytest.raises(SettingsError) as caught:
        read_settings()

    message = str(caught.value)
    assert message.startswith(f"{variable(name)}: ")
    assert f"Accepted: {accepted_values(setting_schemas()[name])}" in message
    assert message.endswith(str(Settings.model_fields[name].description))


@pytest.mark.parametrize("bound", ["minimum", "maximum"])
def test_bounds_are_inclusive(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    values = {name: schema[bound] for name, schema in setting_schemas().items() if bound in schema}
    for name, value in values.items():
        monkeypatch.setenv(variable(name), str(value))
    settings = read_settings()

    assert {name: getattr(settings, name) for name in values} == values


def test_all_bad_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_LIMIT_IDS", "x")
    monkeypatch.setenv("GATEWAY_REGION", "x")
    with pytest.raises(SettingsError) as caught:
        read_settings()

    assert len(str(caught.value).splitlines()) == 2


def test_the_bad_item_of_a_list_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_REGIONS", "us-east-1,us-east")
    with pytest.raises(SettingsError, match="GATEWAY_REGIONS: `us-east` is invalid"):
        read_settings()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("GATEWAY_REGOIN", r"Did you mean GATEWAY_REGION\?"),
        ("gateway_cache_second", r"Did you mean GATEWAY_CACHE_SECONDS\?"),
        ("GATEWAY_", "Accepted: GATEWAY_CALLERS, "),
        ("GATEWAY__", "Accepted: GATEWAY_CALLERS, "),
    ],
)
def test_an_unknown_name_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, hint: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match=rf"^{name.upper()}: unknown setting\. {hint}"):
        read_settings()


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
    """A Service named `gateway` adds these variables to each pod that starts after it."""
    monkeypatch.setenv(name, "tcp://10.0.0.1:80")

    assert read_settings() == Settings()


@pytest.mark.parametrize("name", ["GATEWAY_CANARY_SERVICE_HOST", "GATEWAY_CANARY_PORT_80_TCP_ADDR"])
def test_what_kubernetes_injects_for_a_similar_service_is_ignored(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A Service named `gateway-canary` in the namespace must not prevent the start."""
    monkeypatch.setenv(name, "10.0.0.1")

    assert read_settings() == Settings()


def test_a_plain_gateway_port_is_an_unknown_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If it were ignored like those of Kubernetes, the gateway would use another port."""
    monkeypatch.setenv("GATEWAY_PORT", "8080")
    with pytest.raises(SettingsError, match="GATEWAY_PORT"):
        read_settings()


def test_variables_without_the_prefix_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REGION", "AWS_REGION", "GATEWAYS_REGION", "API_GATEWAY_REGION", "GATEWAY"):
        monkeypatch.setenv(name, "eu-west-1")

    assert read_settings() == Settings()


def test_valid_values_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
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
        "LOG_LEVEL": "DEBUG",
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


def test_the_default_region_must_be_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_REGIONS", "eu-west-1,eu-central-1")
    with pytest.raises(SettingsError, match=r"GATEWAY_REGIONS .* GATEWAY_REGION, us-east-1\."):
        read_settings()


def test_an_empty_value_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose writes `GATEWAY_REGION=` for `${GATEWAY_REGION:-}`."""
    for name in Settings.model_fields:
        monkeypatch.setenv(variable(name), "")

    assert read_settings() == Settings()
    assert read_settings(region="eu-west-1").region == "eu-west-1"


@pytest.mark.parametrize("partition", botocore.session.get_session().get_available_partitions())
def test_the_regions_of_all_partitions_are_accepted(
    monkeypatch: pytest.MonkeyPatch, partition: str
) -> None:
    for region in botocore.session.get_session().get_available_regions("sts", partition):
        if region.removesuffix("-fips").endswith("-global"):
            continue
        monkeypatch.setenv("GATEWAY_REGION", region)

        assert read_settings().region == region


def test_one_endpoint_for_several_regions_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """All regions would go to one host, whose signatures are for one of them."""
    monkeypatch.setenv("GATEWAY_REGIONS", "us-east-1,eu-west-1")
    monkeypatch.setenv("GATEWAY_UPSTREAM_URL", "https://vpce-1.example.com")
    with pytest.raises(SettingsError, match=r"GATEWAY_UPSTREAM_URL .* several regions"):
        read_settings()


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://ml.{region}.example.com", "https://ml.eu-west-1.example.com"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("", None),
    ],
)
def test_each_of_several_regions_has_an_endpoint(
    monkeypatch: pytest.MonkeyPatch, url: str, endpoint: str | None
) -> None:
    monkeypatch.setenv("GATEWAY_REGIONS", "us-east-1,eu-west-1")
    monkeypatch.setenv("GATEWAY_UPSTREAM_URL", url)

    assert read_settings().endpoint_url("eu-west-1") == endpoint


def test_the_path_prefix_may_end_with_a_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PATH_PREFIX", "/api/audience/")

    assert read_settings().path_prefix == "/api/audience"


def test_a_name_may_be_in_lower_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("gateway_region", "eu-west-1")

    assert read_settings().region == "eu-west-1"


def test_a_setting_in_upper_and_lower_case_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_REGION", "eu-west-1")
    monkeypatch.setenv("gateway_region", "eu-central-1")
    with pytest.raises(SettingsError, match="GATEWAY_REGION"):
        read_settings()


def test_the_environment_overrides_the_defaults_of_a_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GATEWAY_GRAPHIQL", "false")
    settings = read_settings(graphiql=True, introspection=True)

    assert (settings.graphiql, settings.introspection) == (False, True)


def test_settings_are_immutable() -> None:
    with pytest.raises(ValidationError):
        read_settings().region = "eu-west-1"  # type: ignore[misc]  # the assignment under test


def test_dotenv_files_are_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GATEWAY_REGION=eu-west-1\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    assert read_settings().region == "us-east-1"


@pytest.mark.parametrize(
    ("callers", "oidc_file"),
    [("oidc", None), ("aws-headers,oidc", None), ("aws-headers", "x.toml")],
)
def test_oidc_and_its_file_require_each_other(
    monkeypatch: pytest.MonkeyPatch, callers: str, oidc_file: str | None
) -> None:
    monkeypatch.setenv("GATEWAY_CALLERS", callers)
    if oidc_file is not None:
        monkeypatch.setenv("GATEWAY_OIDC_FILE", oidc_file)
    with pytest.raises(SettingsError, match=r"GATEWAY_OIDC_FILE.*GATEWAY_CALLERS"):
        read_settings()


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_cache_url_may_be_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: str
) -> None:
    """The line end that editors add makes no difference."""
    (tmp_path / "url").write_bytes(f"redis://:hunter2@host:6379/0{end}".encode())
    monkeypatch.setenv("GATEWAY_CACHE_URL_FILE", str(tmp_path / "url"))
    settings = read_settings()

    assert settings.read_cache_url() == "redis://:hunter2@host:6379/0"
    assert "hunter2" not in repr(settings)


def test_without_a_file_the_variable_holds_the_cache_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GATEWAY_CACHE_URL", "redis://host")

    assert read_settings().read_cache_url() == "redis://host"


def test_the_cache_url_and_its_file_exclude_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_bad_file_is_named_without_its_content(tmp_path: Path, content: bytes | None) -> None:
    """The message is logged, and the file may contain a password."""
    path = tmp_path / "url"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        Settings(cache_url_file=path).read_cache_url()

    assert str(caught.value).startswith(f"GATEWAY_CACHE_URL_FILE: {path} ")
    assert "hun" not in str(caught.value).replace(str(path), "")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_loopback_hosts_are_known_without_dns() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost"]))
    assert not any(map(is_loopback, ["127.0.0.1.example", "0.0.0.0", "localhost.example", ""]))  # noqa: S104
