"""Imports point the way that a request travels."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gateway

ROOT = Path(gateway.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
STAGES = ("entry", "graph", "upstream")

MAY_IMPORT = {
    "caller": set[str](),
    "logs": set[str](),
    "metrics": set[str](),
    "traces": set[str](),
    "otel": {"traces"},
    "errors": set[str](),
    "settings": set[str](),
    "upstream": {"caller", "errors", "logs", "metrics", "settings", "traces"},
    "graph": {"caller", "errors", "logs", "metrics", "settings", "traces", "upstream"},
    "entry": {"caller", "errors", "logs", "metrics", "settings", "traces", "upstream", "graph"},
    "check": {"caller", "errors", "settings", "upstream", "entry"},
    "sandbox": set[str](),
}
"""Part of the package -> the other parts it may know; what is not listed may know all."""

AWS = {"aioboto3", "aiobotocore", "boto3"}


def part_of(path: Path) -> str:
    """Give the part of the package that a module belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[str]:
    """Give the full name of everything a module imports, wherever in it."""
    package = ("gateway", *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"__import__", "importlib.import_module"}, f"{path} hides imports"


def parts_imported(path: Path) -> set[str]:
    """Give the parts of the package that a module imports."""
    names = [name.split(".") for name in imports_of(path)]
    return {
        name[1]
        for name in names
        if name[0] == "gateway" and len(name) > 1 and not name[1].startswith("__")
    }


def id_of(path: Path) -> str:
    """Name a module in a test's id."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize(
    "path", [path for path in MODULES if part_of(path) in MAY_IMPORT], ids=id_of
)
def test_a_module_imports_only_what_comes_after_it(path: Path) -> None:
    """The rule: a stage may import a later one, never an earlier one.

    A request goes entry -> graph -> upstream. `caller`, `errors` and `settings` import no stage.
    The sandbox imports nothing of the gateway, and the stages nothing of the sandbox.
    """
    part = part_of(path)

    assert parts_imported(path) - {part} <= MAY_IMPORT[part]


def test_the_sandbox_is_known_to_the_commands_alone() -> None:
    """The rule: `gateway serve` runs without the emulator; cli and dev are what start it."""
    knowing = {
        part_of(path)
        for path in MODULES
        if part_of(path) != "sandbox" and "sandbox" in parts_imported(path)
    }

    assert knowing <= {"cli", "dev", "welcome"}


def test_one_module_knows_all_the_stages() -> None:
    """The rule: `app` puts the parts together, and no other module outside the stages does."""
    knowing = {
        part_of(path)
        for path in MODULES
        if part_of(path) not in {*STAGES, "sandbox"} and set(STAGES) <= parts_imported(path)
    }

    assert knowing == {"app"}


def test_the_aws_libraries_are_in_one_place() -> None:
    """The rule: aioboto3 and aiobotocore are imported in gateway/upstream/aws*.py and nowhere else.

    Whoever wants to know what may leave the process signed has one file to read.
    """
    using = {
        path for path in MODULES if AWS & {name.partition(".")[0] for name in imports_of(path)}
    }

    assert using
    assert all(path.match("gateway/upstream/aws*.py") for path in using), using


def test_opentelemetry_is_in_one_place() -> None:
    """The rule: what traces need is an extra, and gateway/otel.py alone imports it."""
    using = {
        path.name
        for path in MODULES
        if "opentelemetry" in {name.partition(".")[0] for name in imports_of(path)}
    }

    assert using == {"otel.py"}


def test_the_web_framework_is_not_needed_below_the_entry() -> None:
    """The rule: HTTP ends in the entry; the graph and the upstream know no request."""
    for path in MODULES:
        if part_of(path) in {"graph", "upstream"}:
            roots = {name.partition(".")[0] for name in imports_of(path)}
            assert not roots & {"starlette", "uvicorn", "httptools"}, path


def test_there_is_something_to_hold() -> None:
    """Each part that the rules name exists."""
    assert {part_of(path) for path in MODULES} >= MAY_IMPORT.keys()
