"""The documentation agrees with the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from gateway import outgoing
from gateway.errors import error_classes
from gateway.settings import Settings
from scripts.generate_docs import generated, metrics_table
from tests.gateways import Gateway
from tests.sources import files_below

ROOT = Path(__file__).parents[1]
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
FOLDERS = ("gateway", "scripts", "tests", "deploy", "benchmarks", "examples", "docs")
OTHERS_FILES = {"config.yaml", "relay.config.json", "router.config.yaml", "supergraph.yaml"}
"""Files of other products."""
GENERATED = generated()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_runbook_has_an_entry_for_each_error_code() -> None:
    runbook = OPERATIONS.partition("## Runbook by error code")[2].partition("\n## ")[0]

    assert set(re.findall(r"^### ([A-Z_]+)$", runbook, re.MULTILINE)) == {
        kind.code for kind in error_classes()
    }


@pytest.mark.parametrize(
    ("query", "caller"),
    [
        ("{", "ada"),
        ("{ audienceGenerationJob }", "ada"),
        ("{ audienceGenerationJobs { totalCount } }", None),
    ],
)
def test_responses_have_the_documented_status(
    gateway: Gateway, query: str, caller: str | None
) -> None:
    answer = gateway.ask(query, caller=caller)
    statuses = {kind.code: kind.http_status for kind in error_classes()}

    assert answer.status == statuses[answer.errors[0]["extensions"]["code"]]


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_generated_files_are_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == GENERATED[path], "run `make docs`"


def test_metrics_that_are_named_exist() -> None:
    """The text around the generated table names them."""
    documented = re.findall(r"^\| `(gateway_[a-z_]+)`", metrics_table(), re.MULTILINE)

    assert set(re.findall(r"`(gateway_[a-z_]+)`", OPERATIONS)) == set(documented)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_are_named_exist(page: Path) -> None:
    """Prefixes and suffixes of names (`GATEWAY_LIMIT_…`) are not checked."""
    known = {f"GATEWAY_{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(r"\bGATEWAY_[A-Z_]+[A-Z]\b(?!_|\*|…)", page.read_text(encoding="utf-8")))

    assert named <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_resolve(page: Path) -> None:
    """Each leads to a file, and to a heading in it."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {_anchor(heading) for heading in headings}, target


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_the_table_of_events_has_each_that_is_logged() -> None:
    """With all of its fields, apart from those of the `request` line and of exceptions."""
    rows = dict(re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \| .*? \|(.*)\|$", OPERATIONS, re.MULTILINE))
    documented = {event: fields for events, fields in rows.items() for event in _quoted(events)}
    for event, fields in _logged():
        assert event in documented
        assert fields <= set(_quoted(documented[event])), event


def _quoted(text: str) -> list[str]:
    return re.findall("`([^`]+)`", text)


def _logged() -> Iterator[tuple[str, set[str]]]:
    """Yield the events that `gateway serve` logs, each with its fields."""
    for path in (ROOT / "gateway").rglob("*.py"):
        if {"sandbox", "doctor"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        value=ast.Name("log"), attr="debug" | "info" | "warning" | "error"
                    ),
                    args=[ast.Constant(str(event))],
                ):
                    yield event, {keyword.arg for keyword in node.keywords if keyword.arg}


def test_rejections_that_are_named_can_occur() -> None:
    """The values of `limit` are in the code, as texts or as the names of settings."""
    table = OPERATIONS.partition("| `limit` | Meaning |")[2].partition("\n\n")[0]
    code = "".join(path.read_text("utf-8") for path in (ROOT / "gateway").rglob("*.py"))
    named = re.findall(r"`([a-z_]+)`", table)

    assert named
    assert [name for name in named if not re.search(rf"\b(limit_|max_)?{name}\b", code)] == []


def test_classes_of_errors_that_are_named_exist() -> None:
    """`cause` in the log is the name of a class."""
    named = re.findall(r"`(\w+Error)`", OPERATIONS)

    assert named
    assert [
        name for name in named if not hasattr(aiohttp, name) and not hasattr(outgoing, name)
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    files = {path.name for folder in FOLDERS for path in files_below(ROOT / folder)}
    paths = re.findall(r"`([\w./-]+\.(?:py|yaml|cfg|json))`", page.read_text(encoding="utf-8"))

    assert [path for path in paths if Path(path).name not in files | OTHERS_FILES] == []


@pytest.mark.parametrize("part", ["server", "http", "auth", "graph/execution", "watch", "upstream"])
def test_the_architecture_names_each_module(part: str) -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    modules = {path.name for path in (ROOT / "gateway" / part).rglob("*.py")} - {"__init__.py"}

    assert {name for name in modules if not re.search(rf"[`/]{name}`", text)} == set()


def test_the_table_of_alerts_has_each_rule() -> None:
    """Each rule links to a heading that exists."""
    rules = (ROOT / "deploy/helm/audience-gateway/alerts.yaml").read_text(encoding="utf-8")
    headings = set(map(_anchor, re.findall(r"^#+ (.+)$", OPERATIONS, re.MULTILINE)))

    assert set(re.findall(r"alert: (\w+)", rules)) == set(
        re.findall(r"`(Gateway[A-Z]\w+)`", OPERATIONS)
    )
    assert set(re.findall(r"docs/operations\.md#([a-z_-]+)", rules)) <= headings


def test_the_changelog_has_each_heading_once_in_a_release() -> None:
    """A merge can leave two lists of the same kind."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    kinds = ["Security", "Added", "Changed", "Fixed"]
    for release in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        headings = re.findall(r"^### (.+)$", release, re.MULTILINE)
        assert headings == [kind for kind in kinds if kind in headings]
        entries = re.findall(r"^- .*(?:\n  .*)*", release, re.MULTILINE)
        assert len(entries) == len(set(entries))
