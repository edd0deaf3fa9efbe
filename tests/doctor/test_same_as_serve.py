"""`gateway check` accepts what `gateway serve` accepts, and rejects the rest in the same words."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.environment import setting_schemas
from gateway.http.graphiql import GraphiQL
from gateway.outgoing import AUTHORITIES, PROXIES
from gateway.server import lifecycle
from gateway.settings import Settings, SettingsError, variable
from gateway.telemetry import logging
from tests.doctor.reports import OIDC_FILE, check
from tests.gateways import Sandbox

FILES = [
    name
    for name, each in Settings.model_fields.items()
    if Path in (each.annotation, *get_args(each.annotation))
]
REQUIRED = {"oidc_file": {"callers": "aws-headers,oidc"}}
"""Setting -> what it requires of others."""

VALID_CONTENT = {
    "oidc_file": OIDC_FILE.format(issuer="https://issuer.invalid", more=""),
    "cache_url_file": "redis://127.0.0.1:1/0",
    "router_secret_file": "a-secret-of-a-router\n",
    "persisted_documents_file": '{"a": "{ __typename }"}',
}
INVALID_CONTENT = {
    "missing": None,
    "empty": b"",
    "binary": b"\xff\xfe\x00",
    "text": b"one\ntwo\n",
    "TOML": b"[[issuer]]\nname = 1\n",
    "JSON": b'{"a": 1}',
}


@pytest.fixture(autouse=True)
def _nothing_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "serve", lambda *_, **__: None)
    monkeypatch.setattr(logging, "configure_logs", lambda *_, **__: None)


def errors_of_serve(environment: Mapping[str, str]) -> list[str]:
    """Return the lines by which `gateway serve` refuses to start."""
    result = CliRunner().invoke(main, ["serve", "--port", "0"], env=environment)
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert result.exit_code == (2 if result.stderr else 0)
    return result.stderr.removeprefix("gateway: ").splitlines()


def assert_both_fail_alike(
    sandbox: Sandbox, variables: Mapping[str, str] | None = None, /, **settings: Any
) -> list[str]:
    """Assert that the check fails as `serve` does, if it does; return the lines that say why.

    `variables` are those of the environment that are no settings.
    """
    variables = variables or {}
    settings = {"upstream_url": sandbox.url, **settings}
    given = {variable(name): str(value) for name, value in settings.items()}
    errors = errors_of_serve({**given, **variables})
    report = check(aws=variables, **settings)
    failed = [row for row in json.loads(report.printed)["rows"] if row["state"] == "FAIL"]
    found = [line for row in failed for line in row["detail"].splitlines()]
    assert sorted(found) == sorted(errors)
    assert (report.code == 2) == bool(errors)
    return errors


def invalid_value(schema: Mapping[str, Any]) -> str:
    return "-1" if schema["type"] in {"integer", "number"} else "no such value"


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name not in FILES])
def test_an_invalid_setting(sandbox: Sandbox, name: str) -> None:
    errors = assert_both_fail_alike(sandbox, **{name: invalid_value(setting_schemas()[name])})

    assert [line for line in errors if line.startswith(f"{variable(name)}: ")]


@pytest.mark.parametrize(
    "settings",
    [
        {"regoin": "us-east-1"},
        {"callers": "oidc"},
        {"regions": "eu-west-1"},
        {"cache_url": "memory://", "cache_url_file": "/nowhere"},
        {"region": "here", "cache_seconds": "soon", "typo": "1"},
        {"regions": ""},
    ],
)
def test_settings_that_do_not_fit(sandbox: Sandbox, settings: dict[str, str]) -> None:
    """An empty value is an unset one for both."""
    assert bool(assert_both_fail_alike(sandbox, **settings)) == (settings != {"regions": ""})


@pytest.mark.parametrize("content", INVALID_CONTENT.values(), ids=INVALID_CONTENT)
@pytest.mark.parametrize("name", FILES)
def test_an_invalid_file(
    sandbox: Sandbox, tmp_path: Path, name: str, content: bytes | None
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    errors = assert_both_fail_alike(sandbox, **REQUIRED.get(name, {}), **{name: path})

    if content is None:
        assert errors[0].startswith(f"{variable(name)}: {path}")
        assert "cannot be read" in errors[0]


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_place_of_a_file(sandbox: Sandbox, tmp_path: Path, name: str) -> None:
    assert assert_both_fail_alike(sandbox, **REQUIRED.get(name, {}), **{name: tmp_path})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "/nowhere") for name in AUTHORITIES),
        *((name, "ftp://x") for name in PROXIES.values()),
    ],
)
def test_an_invalid_variable_of_outgoing_connections(
    sandbox: Sandbox, name: str, value: str
) -> None:
    assert name in assert_both_fail_alike(sandbox, {name: value})[0]


def test_several_invalid_files_are_all_named(sandbox: Sandbox, tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in FILES}
    given = {"callers": "aws-headers,oidc", **files}
    errors = assert_both_fail_alike(sandbox, {"AWS_CA_BUNDLE": "/nowhere"}, **given)

    names = {line.partition(":")[0] for line in errors}
    assert names == {"AWS_CA_BUNDLE", *map(variable, FILES)}


def test_an_explorer_that_is_not_built(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> GraphiQL:
        raise SettingsError("GATEWAY_GRAPHIQL: not built.")

    monkeypatch.setattr(GraphiQL, "load", fail)

    assert assert_both_fail_alike(sandbox, graphiql="true")


def test_an_extra_that_is_not_installed(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gateway.telemetry.otel", None)

    assert assert_both_fail_alike(sandbox, trace_ratio="1")


class OpenedFiles:
    """The files that Python opens; an audit hook lasts as long as the process."""

    def __init__(self) -> None:
        self._paths: set[str] | None = None
        sys.addaudithook(self._audit)

    @contextmanager
    def recorded(self) -> Iterator[set[str]]:
        paths: set[str] = set()
        self._paths = paths
        try:
            yield paths
        finally:
            self._paths = None

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._paths is not None and event == "open":
            self._paths.add(str(arguments[0]))


OPENED = OpenedFiles()


def test_both_read_the_same_files(sandbox: Sandbox, tmp_path: Path) -> None:
    """They read the file of each setting."""
    files = {name: tmp_path / name for name in FILES}
    for name, path in files.items():
        path.write_text(VALID_CONTENT[name], encoding="utf-8")
    settings: dict[str, Any] = {name: str(path) for name, path in files.items()}
    settings |= {"callers": "aws-headers,oidc", "upstream_url": sandbox.url, "graphiql": "true"}
    with OPENED.recorded() as by_serve:
        assert errors_of_serve({variable(name): each for name, each in settings.items()}) == []
    with OPENED.recorded() as by_check:
        check(**settings)

    def of_settings(paths: set[str]) -> set[str]:
        return {path for path in paths if path.startswith(str(tmp_path)) or "/explorer/" in path}

    assert of_settings(by_serve) == of_settings(by_check)
    assert of_settings(by_serve) >= {str(path) for path in files.values()}
