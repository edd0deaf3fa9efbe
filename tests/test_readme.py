"""The README says what is true: its tables, its queries, its commands."""

import re
from pathlib import Path

import pytest

from gateway.auth.oidc_file import read_oidc_file
from tests.gateways import Gateway

README = (Path(__file__).parents[1] / "README.md").read_text()


QUERIES = re.findall(r"```graphql\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.split()[1].split("(")[0])
def test_the_queries_work(gateway: Gateway, query: str) -> None:
    """Each query can be pasted."""
    one = gateway.ask(
        "{ audienceGenerationJobs(first: 1) { nodes { id audienceGenerationJobArn } } }"
    ).data["audienceGenerationJobs"]["nodes"][0]
    variables = {"id": one["id"], "arn": one["audienceGenerationJobArn"]}
    wanted = {name: value for name, value in variables.items() if f"${name}" in query}
    data = gateway.ask(query, wanted).data
    assert all(data.values())


def test_the_oidc_example_is_one(tmp_path: Path) -> None:
    """The file in the README is accepted as it stands."""
    (example,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "oidc.toml").write_text(example, encoding="utf-8")
    (issuer,) = read_oidc_file(tmp_path / "oidc.toml").values()
    assert len(issuer.role) == 2


def test_the_make_targets_exist() -> None:
    """What the README tells to type is in the Makefile."""
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    for target in re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE):
        assert f"\n{target}:" in makefile, target
