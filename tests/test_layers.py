"""Imports point the way that a request travels."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import gateway

ROOT = Path(gateway.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

PARTS = ("server", "http", "auth", "graph", "watch", "upstream")
"""In the order in which a request meets them: a part imports later ones only."""

SHARED = {
    "concurrency",
    "cpu_scheduler",
    "errors",
    "outgoing",
    "setting_files",
    "settings",
    "telemetry",
}
"""Known by all parts; so is `auth.credentials`, the caller as a value."""

MAY_IMPORT = {
    "setting_files": set[str](),
    "setting_types": set[str](),
    "settings": {"setting_files", "setting_types"},
    "environment": {"settings"},
    "errors": set[str](),
    "concurrency": {"errors"},
    "cpu_scheduler": set[str](),
    "outgoing": {"setting_files", "settings"},
    "telemetry": {"errors", "outgoing", "setting_files", "settings"},
    "configuration": SHARED | {"auth", "graph", "http"},
    "listening": set[str](),
    "doctor": SHARED | {"configuration", "environment", *PARTS},
    "sandbox": {"listening"},
    **{part: SHARED | {*PARTS[at + 1 :]} for at, part in enumerate(PARTS)},
    "server": SHARED | {"listening", *PARTS[1:]},
}
"""Part of the package -> the other parts it may import. One that is not listed may import all."""

DEFERRED_IMPORTS = {
    "cli.py",
    "configuration.py",
    "sandbox/__init__.py",
    "sandbox/cli.py",
    "telemetry/otel.py",
}
"""Modules whose functions import what not every command or setting needs."""

CONNECTING = (
    "aiohttp.ClientSession",
    "aiohttp.TCPConnector",
    "aiohttp.request",
    "asyncio.open_connection",
    "http.client",
    "requests.get",
    "requests.post",
    "requests.request",
    "socket.create_connection",
    "ssl.SSLContext",
    "ssl.create_default_context",
    "urllib.request",
)
"""Beginnings of names that make connections, or choose proxies or authorities for them."""

AWS = {"aioboto3", "aiobotocore", "boto3"}


def part_of(path: Path) -> str:
    """Return the part of the package that a module belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def module_name(path: Path) -> str:
    """Return a module's dotted name."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


NAMES = {module_name(path): path for path in MODULES}


def is_type_checking(node: ast.AST) -> bool:
    """Tell whether a statement is an `if TYPE_CHECKING`."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes that run, and so none below an `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if not is_type_checking(node):
            yield node
            yield from statements(node)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(path: Path) -> frozenset[str]:
    """Return the full name of everything a module imports, anywhere in it."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    package = ("gateway", *path.relative_to(ROOT).parts[:-1])
    for node in statements(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"__import__", "importlib.import_module"}, f"{path} hides imports"


def libraries_of(path: Path) -> set[str]:
    """Return the top-level packages that a module imports."""
    return {name.partition(".")[0] for name in imports_of(path)}


def modules_imported(path: Path) -> set[str]:
    """Return the modules of the package that a module imports, by their dotted names."""
    found = set()
    for name in imports_of(path):
        owner = name if name in NAMES else name.rpartition(".")[0]
        if owner in NAMES and owner != "gateway":
            found.add(owner)
    return found


def parts_imported(path: Path) -> set[str]:
    """Return the parts of the package that a module imports."""
    known_by_all = {"gateway.auth.credentials"}
    return {part_of(NAMES[name]) for name in modules_imported(path) - known_by_all}


def id_of(path: Path) -> str:
    """Name a module in a test's id."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize(
    "path", [path for path in MODULES if part_of(path) in MAY_IMPORT], ids=id_of
)
def test_a_module_imports_only_what_comes_after_it(path: Path) -> None:
    """A request goes server, http, auth, graph, upstream; the sandbox shares its sockets only."""
    part = part_of(path)

    assert parts_imported(path) - {part} <= MAY_IMPORT[part]


def test_there_is_no_import_cycle() -> None:
    """Each module can be imported first."""
    graph = {name: modules_imported(path) - {name} for name, path in NAMES.items()}

    assert len([*TopologicalSorter(graph).static_order()]) >= len(NAMES) - 1


def test_no_import_is_deferred_to_hide_a_cycle() -> None:
    """Functions import only where a command or a setting should not pay for others' libraries."""
    deferring = {
        id_of(path)
        for path in MODULES
        for function in ast.walk(tree_of(path))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(function))
    }

    assert deferring <= DEFERRED_IMPORTS


def test_only_the_commands_know_the_sandbox() -> None:
    """`gateway serve` runs without the emulator."""
    knowing = {
        part_of(path)
        for path in MODULES
        if part_of(path) != "sandbox" and "sandbox" in parts_imported(path)
    }

    assert knowing <= {"cli", "dev"}


def test_one_module_knows_all_parts() -> None:
    """`app` composes the application; no other module imports every part."""
    composed = {*PARTS} - {"server"}
    knowing = {
        part_of(path)
        for path in MODULES
        if part_of(path) not in PARTS and composed <= parts_imported(path)
    }

    assert knowing == {"app"}


def test_the_aws_libraries_are_imported_in_one_module() -> None:
    """Replacing aioboto3 is the work of one file."""
    using = {id_of(path) for path in MODULES if AWS & libraries_of(path)}

    assert using == {"upstream/client.py"}


def names_used(path: Path) -> set[str]:
    """Return the full names that a module imports or writes with dots, such as `ssl.SSLContext`."""
    nodes = ast.walk(tree_of(path))
    dotted = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
    return dotted | imports_of(path)


def test_connections_are_made_by_one_rule() -> None:
    """Proxies and authorities are chosen in one module, which all clients use."""
    using = {
        id_of(path)
        for path in MODULES
        if part_of(path) != "sandbox"
        and any(name.startswith(CONNECTING) for name in names_used(path))
    }

    assert using == {"outgoing.py"}


def test_opentelemetry_is_imported_in_one_module() -> None:
    """It is an extra: everything else runs without it."""
    using = {id_of(path) for path in MODULES if "opentelemetry" in libraries_of(path)}

    assert using == {"telemetry/otel.py"}


def test_the_graph_and_the_upstream_know_no_web_framework() -> None:
    """HTTP ends in `http`."""
    for path in MODULES:
        if part_of(path) in {"auth", "graph", "upstream"}:
            assert not libraries_of(path) & {"starlette", "uvicorn", "httptools"}, path


def test_the_rules_name_parts_that_exist() -> None:
    """A rule for a part that was renamed would hold nothing."""
    assert {part_of(path) for path in MODULES} >= MAY_IMPORT.keys()


def test_public_class_names_are_unique() -> None:
    """One name, one thing: a search for a class finds one definition."""
    names = [
        node.name
        for path in MODULES
        for node in tree_of(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]

    assert {name for name in names if names.count(name) > 1} == set()
