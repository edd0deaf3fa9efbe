"""`gateway dev`: what it prints works when it is pasted, wherever it listens."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import httpx
import pytest

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.gateways import Sandbox, bearer, http
from tests.graphiql_page import content_of
from tests.processes import Process, clean_environment, gateway_command, until
from tests.programs import needs

TIMEOUT_SECONDS = 60
READY = re.compile("Ctrl-C")
QUERY = "{ audienceGenerationJobs(first: 3) { nodes { name } } }"
PORTS = ("--port", "0", "--sandbox-port", "0")


@contextmanager
def running_dev(
    host: str = "127.0.0.1", *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    arguments = ("dev", "--host", host, *options, *PORTS)
    with gateway_command(*arguments, environment=environment, ready=READY) as process:
        yield process


def paste(line: str) -> str:
    """Run a line as a user would, and return its output."""
    needs("curl")
    return subprocess.run(  # noqa: S603  a printed line
        ["bash", "-c", line],  # noqa: S607  any bash
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_SECONDS,
    ).stdout


@contextmanager
def pasted(line: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a line as a user would, whose output is read while it runs."""
    needs("curl")
    command = ["bash", "-c", line]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            yield process
        finally:
            process.kill()


def events_of(watch: "subprocess.Popen[str]") -> Iterator[dict[str, str]]:
    """Yield the states of the job that a command watches."""
    for line in watch.stdout or ():
        name, _, data = line.strip().partition(": ")
        if name == "data":
            yield json.loads(data)["data"]["audienceGenerationJob"]


def code_of(answer: str) -> str | None:
    """Return the code of the only error, or None if there are jobs."""
    content = json.loads(answer)
    if "errors" not in content:
        assert len(content["data"]["audienceGenerationJobs"]["nodes"]) == 3
        return None
    (error,) = content["errors"]
    code: str = error["extensions"]["code"]
    return code


@pytest.fixture(scope="module")
def printed() -> Iterator[str]:
    """Run `gateway dev` in a region that is not the sandbox's default, and return its output."""
    environment = {"GATEWAY_REGION": "eu-west-1", "GATEWAY_WATCH_SECONDS": "0.1"}
    with running_dev(environment=environment) as process:
        yield "".join(process.output)


@pytest.mark.parametrize("scheme", ["X-Aws-Access-Key-Id", "Authorization: Bearer"])
def test_the_commands_that_dev_prints_work(printed: str, scheme: str) -> None:
    """The curl command of each authentication scheme returns jobs."""
    (line,) = [line for line in printed.splitlines() if "curl -s " in line and scheme in line]
    jobs = json.loads(paste(line))["data"]["audienceGenerationJobs"]

    assert len(jobs["nodes"]) == 3
    assert jobs["pageInfo"]["endCursor"]


def test_the_watch_that_dev_prints_shows_a_job_until_it_is_done(printed: str) -> None:
    """The job is started by the command, and moved by the test."""
    (line,) = re.findall(r"^  (curl -sN .*)$", printed, re.MULTILINE)
    (sandbox_url,) = re.findall(r"The sandbox at (http://\S+) ", printed)
    sandbox = Sandbox(sandbox_url)
    with pasted(line) as watch:
        states = events_of(watch)
        first = next(states)
        arn = sandbox.calls[-1]["parameters"]["audienceGenerationJobArn"]
        sandbox.set_job_status(arn, "CREATE_IN_PROGRESS")
        second = next(states)
        sandbox.set_job_status(arn, "ACTIVE")
        rest = list(states)
        code = watch.wait(TIMEOUT_SECONDS)

    assert [each["status"] for each in (first, second, *rest)] == [
        "CREATE_PENDING",
        "CREATE_IN_PROGRESS",
        "ACTIVE",
    ]
    assert code == 0


def test_the_url_that_dev_prints_is_graphiql(printed: str) -> None:
    """Introspection is enabled."""
    (url,) = re.findall(r"^  (http://127\.0\.0\.1:\d+/graphql)$", printed, re.MULTILINE)
    page = http("GET", url, headers={"Accept": "text/html"})
    query = {"query": "{ __schema { queryType { name } } }"}
    schema = http("POST", url, json=query)

    assert page.headers["content-type"].startswith("text/html")
    assert schema.json() == {"data": {"__schema": {"queryType": {"name": "Query"}}}}


def test_the_callers_that_dev_prints_are_valid(printed: str) -> None:
    """Their headers can be pasted into GraphiQL."""
    (url,) = re.findall(r"^  (http://127\.0\.0\.1:\d+/graphql)$", printed, re.MULTILINE)
    callers = re.findall(r"^  (\w+): .*\n  (\{.*?\})", printed, re.MULTILINE)
    query = {"query": "{ audienceGenerationJobs(first: 1) { nodes { name } } }"}
    answers = [
        http("POST", url, json=query, headers=json.loads(headers)).json() for _, headers in callers
    ]

    assert [name for name, _ in callers] == ["ada", "grace", "edith"]
    assert all("errors" not in answer for answer in answers)


def test_the_callers_that_dev_prints_can_be_chosen_in_graphiql(printed: str) -> None:
    (url,) = re.findall(r"^  (http://127\.0\.0\.1:\d+/graphql)$", printed, re.MULTILINE)
    page = http("GET", url, headers={"Accept": "text/html"}).text
    callers = re.findall(r"^  (\w+): (.*)\n  (\{.*?\})", printed, re.MULTILINE)

    assert [
        (each["name"], each["note"], each["headers"]) for each in content_of(page)["headerSets"]
    ] == [(name, note, json.loads(headers)) for name, note, headers in callers]


def test_dev_responds_to_its_own_host_names_only(printed: str) -> None:
    """No page can reach it, or its sandbox, by a name that resolves to this machine."""
    (url,) = re.findall(r"^  (http://127\.0\.0\.1:\d+)/graphql$", printed, re.MULTILINE)
    (sandbox_url,) = re.findall(r"The sandbox at (http://127\.0\.0\.1:\d+) ", printed)
    for address in (f"{url}/graphql", f"{url}/livez", f"{sandbox_url}/_sandbox/faults"):
        answers = [
            http("GET", address, headers={"Host": host, "Accept": "text/html"})
            for host in ("localhost", "[::1]:8000", "evil.example")
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 421]
    refused = http("GET", f"{url}/graphql", headers={"Host": "evil.example"})
    (error,) = refused.json()["errors"]

    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["message"].endswith("Add names with --allowed-host.")
    assert refused.headers["x-request-id"]


def test_the_faults_that_dev_prints_are_seen_at_once(printed: str) -> None:
    """The printed query goes past the cache."""
    (curl, _) = re.findall(r"^  (curl -s .*)$", printed, re.MULTILINE)
    (throttle, heal) = re.findall(r"^  (\S.* sandbox (?:fault|heal) .*)$", printed, re.MULTILINE)
    codes = [code_of(paste(curl))]
    paste(throttle)
    codes.append(code_of(paste(curl)))
    paste(heal)
    codes.append(code_of(paste(curl)))

    assert codes == [None, "THROTTLED", None]


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.5"])  # noqa: S104  of a test
def test_what_dev_prints_works_wherever_it_listens(host: str) -> None:
    """In a container too, whose port may be published as another one."""
    with running_dev(host, "--allowed-host", "vm.example") as process:
        output = "".join(process.output)
        (url,) = re.findall(r"^  (http://\S+)/graphql$", output, re.MULTILINE)
        (sandbox_url,) = re.findall(r"The sandbox at (http://\S+) ", output)
        curls = re.findall(r"^  (curl -s .*)$", output, re.MULTILINE)
        codes = [code_of(paste(curl)) for curl in curls]
        published = [code_of(paste(as_published(curl, url))) for curl in curls]
        token = issue_token(f"http://localhost:{sandbox_url.rpartition(':')[2]}")
        with_token = http("POST", f"{url}/graphql", json={"query": QUERY}, headers=bearer(token))
        statuses = [
            http("GET", f"{url}/livez", headers={"Host": name}).status_code
            for name in ("vm.example:8000", "vm.elsewhere:8000")
        ]
        process.send_signal(signal.SIGINT)
        code = process.wait()

    assert httpx.URL(url).host == ("localhost" if host == "0.0.0.0" else host)  # noqa: S104
    assert codes == published == [None, None]
    assert code_of(with_token.text) is None
    assert statuses == [200, 421]
    assert code == 0
    assert "Traceback" not in "".join(process.output)


def as_published(curl: str, url: str) -> str:
    """Return a command for a container's port that is published as 18000."""
    port = url.rpartition(":")[2]
    via = f"--connect-to localhost:18000:{httpx.URL(url).host}:{port}"
    return curl.replace(f"{url}/graphql", f"http://localhost:18000/graphql {via}")


def issue_token(sandbox_url: str) -> str:
    answer = http("POST", f"{sandbox_url}/_sandbox/tokens", json={"subject": "ada"})
    token: str = answer.json()["token"]
    return token


def test_the_log_is_text_on_a_terminal() -> None:
    """No line of a request shows its credentials."""
    with dev_on_a_terminal() as (output, process):
        until(lambda: b"Ctrl-C" in bytes(output))
        (url,) = re.findall(r"^  (http://127\.0\.0\.1:\d+)/graphql", text_of(output), re.MULTILINE)
        start = len(output)
        answer = http(
            "POST",
            f"{url}/graphql",
            json={"query": QUERY},
            headers=aws_headers(CALLERS["ada"]),
        )
        until(lambda: b"/graphql" in bytes(output[start:]))
        process.send_signal(signal.SIGINT)
        process.wait(TIMEOUT_SECONDS)
    (line,) = [line for line in text_of(output[start:]).splitlines() if "/graphql" in line]

    assert answer.status_code == 200
    assert re.match(
        r"\d\d:\d\d:\d\d \[info *\] request method=POST path=/graphql status=200 ", line
    )
    assert f"request_id={answer.headers['x-request-id']}" in line
    assert CALLERS["ada"].access_key_id not in line


def text_of(output: bytearray) -> str:
    """Return what a terminal has shown, without its colours."""
    return re.sub(r"\x1b\[\d*m", "", output.decode())


@contextmanager
def dev_on_a_terminal() -> Iterator[tuple[bytearray, "subprocess.Popen[bytes]"]]:
    """Run `gateway dev` on a terminal of its own, and yield what it shows there."""
    terminal, its_end = pty.openpty()
    output = bytearray()

    def read() -> None:
        with suppress(OSError):  # the terminal ends with its last process
            while data := os.read(terminal, 65536):
                output.extend(data)

    command = [sys.executable, "-m", "gateway", "dev", *PORTS]
    reader = threading.Thread(target=read, daemon=True)
    with subprocess.Popen(command, stdout=its_end, env=clean_environment()) as process:  # noqa: S603
        os.close(its_end)
        reader.start()
        try:
            yield output, process
        finally:
            process.kill()
            process.wait()
            reader.join(TIMEOUT_SECONDS)
            os.close(terminal)
