"""The examples and commands of the README work."""

import json
import re
import subprocess
from pathlib import Path

import httpx
import pytest
import yaml

from gateway.auth.oidc_file import read_oidc_file
from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.gateways import TIMEOUT_SECONDS, TLS, Gateway, Sandbox, gateway_over
from tests.makefile import recipe
from tests.sources import files_below

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```graphql\n(query .*?)```", README, re.DOTALL)
SUBSCRIPTIONS = re.findall(r"```graphql\n(subscription .*?)```", README, re.DOTALL)


FLAGS = re.DOTALL | re.MULTILINE


def name_of(operation: str) -> str:
    return operation.split(maxsplit=2)[1].partition("(")[0]


@pytest.mark.parametrize("query", QUERIES, ids=name_of)
def test_the_queries_work(gateway: Gateway, query: str) -> None:
    job = gateway.ask(
        "{ audienceGenerationJobs(first: 1) { nodes { id audienceGenerationJobArn } } }"
    ).data["audienceGenerationJobs"]["nodes"][0]
    variables = {"id": job["id"], "arn": job["audienceGenerationJobArn"]}
    used = {name: value for name, value in variables.items() if f"${name}" in query}
    data = gateway.ask(query, used).data
    assert all(data.values())


@pytest.mark.parametrize("subscription", SUBSCRIPTIONS, ids=name_of)
def test_the_subscriptions_work(gateway: Gateway, subscription: str) -> None:
    """Each is accepted: it begins with a sign of life, then with the job if it watches one."""
    arn = gateway.sandbox.start_job()
    gateway.sandbox.set_job_status(arn, "ACTIVE")
    variables = {"arn": arn} if "$arn" in subscription else {}
    with httpx.stream(
        "POST",
        f"{gateway.url}/graphql",
        json={"query": subscription, "variables": variables},
        headers={**aws_headers(CALLERS["ada"]), "Accept": "text/event-stream"},
        timeout=TIMEOUT_SECONDS,
        verify=TLS,
    ) as response:
        chunks = response.iter_text()
        assert next(chunks) == ":\n\n"
        if variables:
            rest = "".join(chunks)
            assert re.match(r'event: next\ndata: {"data":.*"ACTIVE".*}\n\nevent: complete\n', rest)


def test_the_curl_command_asks_for_entities_as_a_router_does(sandbox: Sandbox) -> None:
    """It is run as it stands, against the address that `gateway dev` prints first."""
    (command,) = re.findall(r"^(curl -s http://127\.0\.0\.1:8000/graphql .*?)^```", README, FLAGS)
    with gateway_over(sandbox) as gateway:
        command = command.replace("http://127.0.0.1:8000", gateway.url)
        answer = subprocess.run(  # noqa: S603  the documented command
            ["/bin/bash", "-c", command], capture_output=True, check=True
        ).stdout
    (entity,) = json.loads(answer)["data"]["_entities"]
    assert len(entity["audienceGenerationJobs"]["nodes"]) == 2


def test_the_oidc_example_is_valid(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "oidc.toml").write_text(example, encoding="utf-8")
    (issuer,) = read_oidc_file(tmp_path / "oidc.toml").values()
    assert len(issuer.role) == 2


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = re.findall(r"(?:^|`)make ([a-z -]+)", README, re.MULTILINE)
    for target in {target for command in commands for target in command.split()}:
        assert f"\n{target}:" in makefile, target


def test_the_image_is_run_and_deployed_under_the_name_it_is_built_with() -> None:
    (run,) = re.findall(r"^docker run .* (\S+)$", README, re.MULTILINE)
    (pushed,) = re.findall(r"^make image IMAGE=(\S+)", README, re.MULTILINE)
    (deployed,) = re.findall(r"--set image\.repository=(\S+)", README)
    chart = yaml.safe_load((ROOT / "deploy/helm/audience-gateway/Chart.yaml").read_text("utf-8"))
    command = recipe("image")

    assert f"--tag {run} " in command
    assert run.partition(":")[2] == chart["appVersion"]
    assert pushed == deployed


SUFFIXES = {".md", ".mjs", ".py", ".sh", ".toml", ".tpl", ".ts", ".tsx", ".txt", ".yaml", ""}


def sources() -> list[Path]:
    """Return the texts in the repository, without this one."""
    return [
        path
        for path in files_below(ROOT)
        if path.suffix in SUFFIXES
        and not path.name.startswith(".")
        and path.name != Path(__file__).name
    ]


BY_NAME = re.compile(
    r"\b(?:install|download|wheel|add|run|uvx|npx)\b[^\n]*?"
    r"(?<![\w/.=-])['\"]?audience[-_]gateway(?:\[|['\"`\s]|$)"
)


@pytest.mark.parametrize(
    ("command", "by_name"),
    [
        ("pip install audience-gateway", True),
        ("pip install 'audience-gateway[otel]'", True),
        ("uv tool install --python 3.13 audience_gateway\n", True),
        ("`uvx audience-gateway`", True),
        ("pip install '.[otel]'", False),
        ("helm install audience deploy/helm/audience-gateway --set a=b", False),
        ("docker run --rm audience-gateway:0.1.0", False),
    ],
)
def test_a_command_that_installs_by_name_is_recognized(command: str, *, by_name: bool) -> None:
    assert bool(BY_NAME.search(command)) is by_name


def test_nothing_installs_the_program_by_name() -> None:
    """It is on no package index, so anybody could take the name there."""
    found = [
        (str(path.relative_to(ROOT)), match[0])
        for path in sources()
        for match in BY_NAME.finditer(path.read_text("utf-8"))
    ]

    assert found == []
