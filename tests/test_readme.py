"""The README says what is true: its tables, its queries, its commands."""

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.auth.oidc_file import read_oidc_file
from gateway.errors import error_classes
from gateway.settings import PREFIX, Settings
from tests.gateways import Gateway

README = (Path(__file__).parents[1] / "README.md").read_text()


def table(name: str) -> list[list[str]]:
    """Read the rows of a marked table, without its head."""
    marked = README.split(f"<!-- {name}: checked by a test -->")[1].split(f"<!-- /{name} -->")[0]
    rows = [line.strip("| ").split(" | ") for line in marked.strip().splitlines()]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def shown(default: Any) -> str:
    """Write a default as the README does."""
    if default is None or default == frozenset():
        return ""
    if isinstance(default, frozenset):
        default = ",".join(default)
    if isinstance(default, bool):
        default = str(default).lower()
    return f"`{default}`"


def test_the_settings_table_is_the_settings() -> None:
    """Each setting with its default and its meaning, in the code's words, and no other."""
    expected = [
        [f"`{PREFIX}{name.upper()}`", shown(field.default), field.description]
        for name, field in Settings.model_fields.items()
    ]
    assert table("settings") == expected


def test_the_errors_table_is_the_errors() -> None:
    """Each code that a caller may meet has its row, and no other."""
    assert {row[0] for row in table("errors")} == {f"`{kind.code}`" for kind in error_classes()}


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
