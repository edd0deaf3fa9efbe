"""The command line: what it prints, how it exits, and that the printed commands work."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result
from graphql import build_schema

from gateway.cli import main
from gateway.dev import url_of
from tests.gateways import TLS, Sandbox, gateway_over
from tests.processes import Process, clean_environment, gateway_command

TIMEOUT_SECONDS = 30
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


@pytest.mark.parametrize("option", ["--port", "--sandbox-port"])
def test_dev_reports_a_port_that_is_taken(taken_port: int, option: str) -> None:
    """The message is one line, and names the option that selects another port."""
    ports = {"--port": "0", "--sandbox-port": "0", option: str(taken_port)}
    result = run("dev", *(word for pair in ports.items() for word in pair))

    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{taken_port}" in result.output
    assert f"or {option}." in result.output


def test_serve_reports_a_port_that_is_taken(taken_port: int) -> None:
    """There is no traceback."""
    done = subprocess.run(  # noqa: S603  a fixed command
        [sys.executable, "-m", "gateway", "serve", "--port", str(taken_port)],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    output = done.stdout + done.stderr

    assert done.returncode in {1, 3}
    assert str(taken_port) in output
    assert "address already in use" in output.lower()
    assert "Traceback" not in output


@contextmanager
def running_dev(host: str = "127.0.0.1") -> Iterator[Process]:
    ports = ("--port", "0", "--sandbox-port", "0")
    with gateway_command("dev", "--host", host, *ports, ready=re.compile("Ctrl-C")) as process:
        yield process


@pytest.fixture(scope="module")
def printed() -> Iterator[str]:
    """Run `gateway dev`, and return what it prints."""
    with running_dev() as process:
        yield "".join(process.output)


@pytest.mark.parametrize("scheme", ["X-Aws-Access-Key-Id", "Authorization: Bearer"])
def test_the_commands_that_dev_prints_work(printed: str, scheme: str) -> None:
    """The curl command of each authentication scheme returns jobs."""
    (line,) = [line for line in printed.splitlines() if "curl" in line and scheme in line]
    done = subprocess.run(  # noqa: S603  as a user would
        ["bash", "-c", line],  # noqa: S607  any bash
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_SECONDS,
    )
    jobs = json.loads(done.stdout)["data"]["audienceGenerationJobs"]

    assert len(jobs["nodes"]) == 3
    assert jobs["pageInfo"]["endCursor"]


def test_the_url_that_dev_prints_is_graphiql(printed: str) -> None:
    """Introspection is enabled."""
    (url,) = re.findall(r"^  (http://127\.0\.0\.1:\d+/graphql)$", printed, re.MULTILINE)
    page = httpx.get(url, headers={"Accept": "text/html"}, verify=TLS)
    query = {"query": "{ __schema { queryType { name } } }"}
    schema = httpx.post(url, json=query, verify=TLS)

    assert page.headers["content-type"].startswith("text/html")
    assert schema.json() == {"data": {"__schema": {"queryType": {"name": "Query"}}}}


def test_the_callers_that_dev_prints_are_valid(printed: str) -> None:
    """Their headers can be pasted into GraphiQL."""
    (url,) = re.findall(r"^  (http://127\.0\.0\.1:\d+/graphql)$", printed, re.MULTILINE)
    callers = re.findall(r"^  (\w+): .*\n  (\{.*?\})", printed, re.MULTILINE)
    query = {"query": "{ audienceGenerationJobs(first: 1) { nodes { name } } }"}
    answers = [
        httpx.post(url, json=query, headers=json.loads(headers), verify=TLS).json()
        for _, headers in callers
    ]

    assert [name for name, _ in callers] == ["ada", "grace", "edith"]
    assert all("errors" not in answer for answer in answers)


def test_dev_responds_to_its_own_host_names_only(printed: str) -> None:
    """No page can reach it, or its sandbox, by a name that resolves to this machine."""
    (url,) = re.findall(r"^  (http://127\.0\.0\.1:\d+)/graphql$", printed, re.MULTILINE)
    (sandbox_url,) = re.findall(r"The sandbox at (http://127\.0\.0\.1:\d+) ", printed)
    for address in (f"{url}/graphql", f"{url}/livez", f"{sandbox_url}/_sandbox/faults"):
        answers = [
            httpx.get(address, headers={"Host": host, "Accept": "text/html"}, verify=TLS)
            for host in ("localhost", "[::1]:8000", "evil.example")
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 421]
    refused = httpx.get(f"{url}/graphql", headers={"Host": "evil.example"}, verify=TLS)
    (error,) = refused.json()["errors"]

    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["message"].endswith("Add names with --allowed-host.")
    assert refused.headers["x-request-id"]


@pytest.mark.parametrize(
    ("address", "url"),
    [("0.0.0.0", "http://127.0.0.1:80"), ("::", "http://[::1]:80"), ("::1", "http://[::1]:80")],  # noqa: S104  not bound
)
def test_dev_reaches_a_server_on_all_addresses_by_a_loopback_address(
    address: str, url: str
) -> None:
    """The sandbox's issuer has this URL, and http:// is accepted for loopback addresses only."""
    assert url_of((address, 80)) == url


@pytest.mark.parametrize("host", ["::1", "localhost"])
def test_dev_listens_on_the_given_host_until_ctrl_c(host: str) -> None:
    """The host is a name or an IPv6 address, the printed URL works, and there is no traceback."""
    with running_dev(host) as process:
        output = "".join(process.output)
        (url,) = re.findall(r"^  (http://\S+)/graphql$", output, re.MULTILINE)
        answer = httpx.get(f"{url}/livez", verify=TLS)
        process.send_signal(signal.SIGINT)
        code = process.wait(TIMEOUT_SECONDS)

    assert answer.status_code == 200
    assert code in {0, 1, 130, -signal.SIGINT}
    assert "Traceback" not in "".join(process.output)
