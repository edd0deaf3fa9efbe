"""Clients as programs of their own, and as pages of another origin in a browser."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.serving import serve

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "tests/clients"
NODE = "scripts/with-node"
# The first run on a machine without Node fetches one.
SECONDS = 120.0


def output_of(*command: str | Path) -> str:
    """Run a program and return its output; fails unless it ends well and writes no errors."""
    done = subprocess.run(  # noqa: S603  the tests' own commands
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def run_in_node(client: str, options: Mapping[str, Any]) -> Any:
    """Run a client beside this file, and return what its function returns."""
    return json.loads(output_of(NODE, "node", CLIENTS / "run.js", client, json.dumps(options)))


@contextmanager
def page_with(*clients: str) -> Iterator[str]:
    """Serve a page that has the functions of these clients, and yield its origin."""
    esbuild = (NODE, "node", CLIENTS / "node_modules/.bin/esbuild", "--bundle", "--format=iife")

    def script(client: str) -> Route:
        source = CLIENTS / f"{client}.js"
        bundle = output_of(*esbuild, f"--global-name={client}", source)
        return Route(f"/{client}.js", lambda _: Response(bundle, media_type="text/javascript"))

    # Without an icon, the browser would ask for one.
    head = '<!doctype html><title>App</title><link rel="icon" href="data:,">'
    tags = "".join(f'<script src="/{client}.js"></script>' for client in clients)
    page = Route("/", lambda _: HTMLResponse(head + tags))
    with serve(Starlette(routes=[page, *map(script, clients)])) as url:
        # Of another site than the gateway, which has an address as its host.
        yield url.replace("127.0.0.1", "localhost")
