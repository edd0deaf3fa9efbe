"""Clients as programs of their own, and as pages of another origin in a browser."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.serving import serve

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "tests/clients"
NODE = ROOT / "scripts/with-node"
# The first run on a machine without Node fetches one.
SECONDS = 120.0


def output_of(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a program and return its output; fails unless it ends well and writes no errors."""
    done = subprocess.run(  # noqa: S603  the tests' own commands
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def run_in_node(client: str, options: Mapping[str, Any] | Sequence[Any]) -> Any:
    """Run a client beside this file, and return what its function returns."""
    return json.loads(output_of(NODE, "node", CLIENTS / "run.js", client, json.dumps(options)))


def compile_for_relay(folder: Path, schema: str, **options: Any) -> Path:
    """Compile Relay's queries against a schema, and return the folder of what was made."""
    config = {
        **options,
        "src": "./src",
        "schema": "./schema.graphql",
        "artifactDirectory": "./artifacts",
        "language": "javascript",
        "eagerEsModules": True,
    }
    artifacts, source = folder / "artifacts", folder / "src"
    artifacts.mkdir()
    source.mkdir()
    for file in CLIENTS.glob("relay-*.js"):
        shutil.copy(file, source)
    (folder / "schema.graphql").write_text(schema)
    (folder / "package.json").write_text(json.dumps({"type": "module"}))
    (folder / "relay.config.json").write_text(json.dumps(config))
    compiler = CLIENTS / "node_modules/relay-compiler/cli.js"
    output_of(NODE, "node", compiler, "relay.config.json", cwd=folder)
    return artifacts


def bundle(source: Path, *options: str) -> str:
    """Return a module together with all that it imports, as one script."""
    esbuild = CLIENTS / "node_modules/.bin/esbuild"
    return output_of(NODE, "node", esbuild, "--bundle", *options, source)


@contextmanager
def page_with(scripts: Mapping[str, str]) -> Iterator[str]:
    """Serve a page with scripts, each under its name, and yield the page's origin."""

    def route(name: str, script: str) -> Route:
        return Route(f"/{name}.js", lambda _: Response(script, media_type="text/javascript"))

    # Without an icon, the browser would ask for one.
    head = '<!doctype html><title>App</title><link rel="icon" href="data:,">'
    tags = "".join(f'<script src="/{name}.js"></script>' for name in scripts)
    page = Route("/", lambda _: HTMLResponse(head + tags))
    with serve(Starlette(routes=[page, *map(route, scripts, scripts.values())])) as url:
        # Of another site than the gateway, which has an address as its host.
        yield url.replace("127.0.0.1", "localhost")
