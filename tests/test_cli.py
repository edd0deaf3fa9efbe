"""The command line: what it prints, how it exits, and that the printed commands work."""

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from graphql import build_schema

from gateway.cli import main
from tests.gateways import Sandbox, gateway_over

SCHEMA = Path(__file__).parents[1] / "schema.graphql"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("GATEWAY_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_schema_prints_the_committed_schema() -> None:
    """`make schema` regenerates it."""
    printed = run("schema")

    assert printed.exit_code == 0
    assert printed.output == SCHEMA.read_text(encoding="utf-8")


@pytest.mark.parametrize("root_node", ["true", "false"])
def test_schema_prints_the_schema_that_is_served(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, root_node: str
) -> None:
    """Both printed forms have `node` and `nodes` if the gateway with these settings has them."""
    monkeypatch.setenv("GATEWAY_ROOT_NODE", root_node)
    with gateway_over(sandbox, root_node=root_node == "true") as gateway:
        query = "{ _service { sdl } __schema { queryType { fields { name } } } }"
        served = gateway.ask(query, caller=None).data
    assert run("schema").output.strip() == served["_service"]["sdl"].strip()
    names = {field["name"] for field in served["__schema"]["queryType"]["fields"]}
    printed = build_schema(run("schema", "--client").output)
    assert printed.query_type is not None
    assert printed.query_type.fields.keys() == names - {"_service", "_entities"}
    assert ("node" in names, "nodes" in names) == (root_node == "true",) * 2


def test_schema_with_invalid_settings_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_ROOT_NODE", "perhaps")
    printed = run("schema")
    assert (printed.exit_code, printed.stdout) == (2, "")
    assert "GATEWAY_ROOT_NODE" in printed.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["serve", "--prot", "1"], "--prot"),
        (["serve", "--port", "65536"], "'--port'"),
        (["serve", "--port", "http"], "'--port'"),
        (["serve", "--workers", "0"], "'--workers'"),
        (["dev", "--workers", "2"], "--workers"),
        (["schema", "extra"], "extra"),
        (["server"], "No such command 'server'"),
    ],
)
def test_an_invalid_command_line_is_explained(arguments: list[str], text: str) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert text in result.output


@pytest.mark.parametrize(
    ("command", "name", "values"),
    [
        ("dev", "CACHE_SECONDS", {"CACHE_SECONDS": "soon"}),
        ("dev", "REGON", {"REGON": "us-east-1"}),
        ("serve", "CACHE_SECONDS", {"CACHE_SECONDS": "soon"}),
        ("serve", "REGON", {"REGON": "us-east-1"}),
        ("serve", "CACHE_URL", {"CACHE_URL": "redis://:hunter2hunter2@a b"}),
        ("serve", "MAX_IN_FLIGHT", {"MAX_IN_FLIGHT": "0"}),
        ("serve", "CORS_ORIGINS", {"CORS_ORIGINS": "*"}),
        ("serve", "CACHE_URL_FILE", {"CACHE_URL_FILE": "/nowhere/url"}),
        ("serve", "OIDC_FILE", {"CALLERS": "oidc", "OIDC_FILE": "/nowhere/oidc.toml"}),
        ("serve", "ROUTER_SECRET_FILE", {"ROUTER_SECRET_FILE": "/nowhere/secrets"}),
    ],
)
def test_an_invalid_setting_prevents_the_start(
    monkeypatch: pytest.MonkeyPatch, command: str, name: str, values: dict[str, str]
) -> None:
    """The exit code is 2; the message has the variable's name, and no value of a secret."""
    for variable, value in values.items():
        monkeypatch.setenv(f"GATEWAY_{variable}", value)
    ports = ["--port", "0", *(["--sandbox-port", "0"] if command == "dev" else [])]
    result = run(command, *ports)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("gateway: ")
    assert f"GATEWAY_{name}" in result.stderr
    assert "Traceback" not in result.stderr
    assert "hunter2" not in result.stderr


def test_help_and_version_are_printed() -> None:
    """`--help` names all five commands, and `-h` is the same."""
    output = run("--help").output

    assert all(f"\n  {name} " in output for name in ("serve", "check", "dev", "sandbox", "schema"))
    assert run("-h").output == output
    assert re.fullmatch(r"gateway, version \d+\.\d+\.\d+\n", run("--version").output)


@pytest.fixture
def _signal_mask() -> Iterator[None]:
    """Restore what `serve` blocks, for the processes that later tests start."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


TAKEN = "TAKEN"
"""A port that another process listens on."""


@pytest.mark.parametrize("command", ["serve", "serve --workers 2", "dev", "sandbox"])
@pytest.mark.parametrize(
    ("arguments", "place", "reason"),
    [
        (["--port", TAKEN], f"127.0.0.1:{TAKEN}", "Address already in use"),
        (["--host", "::", "--port", TAKEN], f"[::]:{TAKEN}", "Address already in use"),
        (["--host", "203.0.113.9", "--port", "0"], "203.0.113.9:0", "Cannot assign requested"),
        (["--host", "2001:db8::9", "--port", "0"], "[2001:db8::9]:0", "Cannot assign requested"),
        (["--host", "no.invalid", "--port", "0"], "no.invalid:0", "Name or service not known"),
    ],
)
@pytest.mark.usefixtures("_signal_mask")
def test_an_address_that_cannot_be_listened_on_is_one_line(
    command: str, arguments: list[str], place: str, reason: str, taken_port: int
) -> None:
    """It is on stderr, nothing else is printed, and the exit code is 1."""
    arguments = [each.replace(TAKEN, str(taken_port)) for each in arguments]
    result = run(*command.split(), *arguments)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(
        f"gateway: cannot listen on {place.replace(TAKEN, str(taken_port))}: {reason}"
    )
    assert result.stderr.endswith(". Choose another address with --host or --port.\n")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["serve", "serve --workers 2", "dev --sandbox-port 0"])
@pytest.mark.usefixtures("_signal_mask")
def test_another_port_that_is_taken_is_named_with_its_option(
    monkeypatch: pytest.MonkeyPatch, command: str, taken_port: int
) -> None:
    monkeypatch.setenv("GATEWAY_ADMIN_PORT", str(taken_port))
    admin = run(*command.split(), "--port", "0")
    sandbox = run("dev", "--port", "0", "--sandbox-port", str(taken_port))

    for result, option in ((admin, "GATEWAY_ADMIN_PORT"), (sandbox, "--sandbox-port")):
        assert result.exit_code == 1
        assert result.stdout == ""
        assert result.stderr == (
            f"gateway: cannot listen on 127.0.0.1:{taken_port}: Address already in use. "
            f"Choose another address with --host or {option}.\n"
        )


@pytest.mark.usefixtures("_signal_mask")
def test_a_socket_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "no" / "gateway.sock"
    result = run("serve", "--uds", str(path))

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        f"gateway: cannot listen on {path}: No such file or directory. "
        "Choose another path with --uds.\n"
    )


@pytest.mark.parametrize("option", [["--host", "127.0.0.1"], ["--port", "8000"]])
def test_a_socket_excludes_an_address(option: list[str]) -> None:
    """Also one that equals the default."""
    result = run("serve", "--uds", "gateway.sock", *option)

    assert result.exit_code == 2
    assert "--uds excludes --host and --port. Accepted: --uds, or --host and --port." in (
        result.stderr
    )
