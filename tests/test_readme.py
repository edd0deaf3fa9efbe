"""The examples and commands of the README work."""

import re
from pathlib import Path

import pytest

from gateway.auth.oidc_file import read_oidc_file
from tests.gateways import Gateway

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```graphql\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.split()[1].split("(")[0])
def test_the_queries_work(gateway: Gateway, query: str) -> None:
    job = gateway.ask(
        "{ audienceGenerationJobs(first: 1) { nodes { id audienceGenerationJobArn } } }"
    ).data["audienceGenerationJobs"]["nodes"][0]
    variables = {"id": job["id"], "arn": job["audienceGenerationJobArn"]}
    used = {name: value for name, value in variables.items() if f"${name}" in query}
    data = gateway.ask(query, used).data
    assert all(data.values())


def test_the_oidc_example_is_valid(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "oidc.toml").write_text(example, encoding="utf-8")
    (issuer,) = read_oidc_file(tmp_path / "oidc.toml").values()
    assert len(issuer.role) == 2


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE):
        assert f"\n{target}:" in makefile, target
