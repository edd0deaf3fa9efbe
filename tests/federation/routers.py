"""Compositions and routers: real ones from npm, run by Node."""

import contextlib
import json
import os
import select
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).parents[2]
NODE = ("scripts/with-node", "node")
# The first run on a machine without Node fetches one.
START_SECONDS = 120.0
STOP_SECONDS = 60.0

ROUTERS = {"apollo.mjs": "apollo", "hive.mjs": "guild"}
"""Routers, each with the composition of its makers.

Apollo Gateway, and Hive Gateway, which merges its fetches into one document.
"""

COMPOSITIONS = ("apollo", "guild", "cosmo")

Subgraphs = Mapping[str, tuple[str, str]]
"""Name -> URL and SDL."""


@dataclass(frozen=True)
class Composition:
    """What a composition makes of a graph."""

    supergraph: str | None
    """For routers; Cosmo has no text for it."""
    api: str | None
    """The schema that clients see."""
    errors: list[Any]
    hints: list[Any]
    """Each with its message, and its code where there are codes. The Guild's has no hints."""


def compose(
    graphs: Mapping[str, Subgraphs], *compositions: str
) -> dict[str, dict[str, Composition]]:
    """Compose graphs; return for each what each composition made of it."""
    given = {
        graph: [{"name": name, "url": url, "sdl": sdl} for name, (url, sdl) in subgraphs.items()]
        for graph, subgraphs in graphs.items()
    }
    composed = run_in_node("compose.mjs", *compositions, given=json.dumps(given))
    return {
        graph: {name: Composition(**result) for name, result in results.items()}
        for graph, results in composed.items()
    }


def run_in_node(script: str, *arguments: str, given: str = "") -> Any:
    """Run a program, which must write no errors, and return the JSON that it prints."""
    done = subprocess.run(  # noqa: S603  a fixed command
        [*NODE, f"tests/federation/{script}", *arguments],
        cwd=ROOT,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout)


@contextlib.contextmanager
def router_over(script: str, folder: Path, subgraphs: Subgraphs) -> Iterator[str]:
    """Run a router over subgraphs that sends credentials to the one called `audience`."""
    composition = ROUTERS[script]
    composed = compose({"graph": subgraphs}, composition)["graph"][composition]
    assert composed.supergraph, composed.errors
    path = folder / "supergraph.graphql"
    path.write_text(composed.supergraph)
    with node_server(script, str(path), "audience") as url:
        yield url


@contextlib.contextmanager
def node_server(script: str, *arguments: str) -> Iterator[str]:
    """Run a server and yield the URL that it prints.

    It ends when its stdin does. Raises RuntimeError if it fails then, or wrote to stderr.
    """
    command = [*NODE, f"tests/federation/{script}", *arguments]
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(  # noqa: S603  a fixed command
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            # Its libraries would look for a cloud's metadata service, and warn that there is none.
            env={**os.environ, "METADATA_SERVER_DETECTION": "none"},
            text=True,
        ) as process:
            try:
                yield _url(process, errors)
            finally:
                _end(process)
        error = _read(errors)
        if process.returncode or error:
            raise RuntimeError(f"{script} ended with {process.returncode}: {error}")


def _url(process: subprocess.Popen[str], errors: TextIO) -> str:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    url = process.stdout.readline().strip() if ready else ""
    if not url:
        raise RuntimeError(f"The server did not start: {_read(errors)}")
    return url


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _read(file: TextIO) -> str:
    file.seek(0)
    return file.read()
