"""`gateway sandbox` serves a sandbox, and controls a running one."""

import subprocess
import sys

import pytest
from click.testing import CliRunner, Result

import gateway.sandbox
from gateway.sandbox import ROLE_ARNS
from gateway.sandbox.cli import sandbox
from tests.clock import DateClock
from tests.processes import gateway_command
from tests.sandbox.clients import client, list_jobs
from tests.sandbox.identities import assume_role
from tests.sandbox.wire import JOBS, JWKS, get, send


def run(*arguments: str) -> Result:
    return CliRunner().invoke(sandbox, arguments)


def test_faults_are_switched_on_listed_and_healed(url: str) -> None:
    limits = ("--operation", "ListAudienceGenerationJobs", "--times", "9")
    on = run("fault", "short-pages", "--set", "size=2", *limits, "--url", url)
    rows = len(get(url, JOBS).json()["audienceGenerationJobs"])
    listed = run("faults", "--url", url)
    healed = run("heal", "--url", url)

    assert on.exit_code == listed.exit_code == healed.exit_code == 0
    assert rows == 2
    assert "fault=short-pages operation=ListAudienceGenerationJobs times=8 size=2" in listed.output
    assert "truncated" in listed.output
    assert healed.output == "Healed: 1\n"


def test_a_token_is_printed(url: str) -> None:
    usual = run("token", "ada", "--url", url)
    special = run("token", "babbage", "--audience", "cli", "--seconds", "60", "--url", url)
    response = assume_role(url, special.output.strip())

    assert usual.exit_code == special.exit_code == 0
    assert assume_role(url, usual.output.strip())["Audience"] == "audience-gateway"
    assert (response["SubjectFromWebIdentityToken"], response["Audience"]) == ("babbage", "cli")


def test_a_job_is_started_and_moved(moving_url: str, clock: DateClock) -> None:
    options = ("--seconds", "30", "--final-status", "CREATE_FAILED", "--region", "eu-west-1")
    started = run("start-job", "--caller", "edith", *options, "--url", moving_url)
    edith = client(moving_url, "edith", "eu-west-1")
    statuses = []
    for _ in range(3):
        statuses.append(list_jobs(edith)[0]["status"])
        clock.advance(seconds=15)
    moved = run("set-job-status", started.output.strip(), "ACTIVE", "--url", moving_url)
    job = list_jobs(edith)[0]

    assert started.exit_code == moved.exit_code == 0
    assert statuses == ["CREATE_PENDING", "CREATE_IN_PROGRESS", "CREATE_FAILED"]
    assert moved.output == "CREATE_FAILED -> ACTIVE\n"
    assert job["audienceGenerationJobArn"] == started.output.strip()
    assert job["status"] == "ACTIVE"


def test_a_job_is_started_for_ada_if_nothing_else_is_said(moving_url: str) -> None:
    started = run("start-job", "--url", moving_url)

    newest = list_jobs(client(moving_url))[0]["audienceGenerationJobArn"]
    assert started.output.strip() == newest


@pytest.mark.parametrize(
    "arguments",
    [
        ("start-job", "--seconds", "0"),
        ("start-job", "--caller", "babbage"),
        ("start-job", "--final-status", "DELETE_FAILED"),
        ("set-job-status", "arn", "DONE"),
    ],
)
def test_an_invalid_job_is_refused_before_the_sandbox_is_asked(arguments: tuple[str, ...]) -> None:
    ended = run(*arguments, "--url", "http://127.0.0.1:9")

    assert ended.exit_code == 2
    assert arguments[-1] in ended.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fault", "flood"), "fault is 'flood'. Accepted: cookie"),
        (("token", ""), "subject is ''"),
        (("set-job-status", "arn", "ACTIVE"), "Accepted: the ARN of an existing job."),
    ],
)
def test_an_error_of_the_control_api_is_printed(
    url: str, arguments: tuple[str, ...], message: str
) -> None:
    ended = run(*arguments, "--url", url)

    assert ended.exit_code == 1
    assert message in ended.output


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "ftp://127.0.0.1"])
def test_an_address_without_a_sandbox_is_named(address: str) -> None:
    ended = run("heal", "--url", address)

    assert ended.exit_code == 1
    assert address in ended.output


@pytest.mark.parametrize("text", ["flood", "slow:seconds=x", "slow:seconds", "slow:size=1"])
def test_an_invalid_fault_prevents_the_start(text: str) -> None:
    ended = run("--fault", text)

    assert ended.exit_code == 2
    assert "Error: " in ended.output


def test_the_command_serves_and_prints_how_to_use_it() -> None:
    options = ("--jobs", "12", "--fault", "short-pages:size=5")
    with gateway_command("sandbox", "--port", "0", *options) as process:
        page = get(process.url, JOBS).json()
        jobs = list_jobs(client(process.url))
        process.terminate()
    printed = "".join(process.output)

    assert len(page["audienceGenerationJobs"]) == 5
    assert len(jobs) == 12
    assert "AWS_ACCESS_KEY_ID=ASIASANDBOXADA" in printed
    assert f"OIDC issuer at {process.url}/oidc" in printed
    assert ROLE_ARNS["edith"] in printed


def test_the_command_responds_to_its_own_host_names_and_to_those_allowed() -> None:
    with gateway_command("sandbox", "--port", "0", "--allowed-host", "sandbox") as process:
        statuses = [
            send(process.url, JWKS, headers={"Host": host}).status
            for host in ("localhost:9000", "sandbox:9000", "evil.example:9000")
        ]

    assert statuses == [200, 200, 421]


def test_five_names_are_public() -> None:
    names = ["CALLERS", "COLLABORATION_ID", "ROLE_ARNS", "SandboxCaller", "create_sandbox"]
    assert sorted(gateway.sandbox.__all__) == names
    assert all(getattr(gateway.sandbox, name) for name in gateway.sandbox.__all__)
    with pytest.raises(AttributeError):
        _ = gateway.sandbox.anything_else


def test_callers_and_command_are_imported_without_the_server() -> None:
    code = (
        "import sys, gateway.sandbox, gateway.sandbox.cli;"
        "sys.exit(bool({'botocore', 'joserfc', 'uvicorn', 'starlette'} & set(sys.modules)))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603 - our own words
