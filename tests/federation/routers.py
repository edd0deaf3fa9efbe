"""Apollo's composition, routers and another subgraph: real ones from npm, run by Node."""

import contextlib
import json
import os
import select
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).parents[2]
NODE = ("scripts/with-node", "node")
# The first run on a machine without Node fetches one.
START_SECONDS = 120.0
STOP_SECONDS = 60.0

ROUTERS = ("apollo.mjs", "hive.mjs")
"""Apollo Gateway, and Hive Gateway, which merges its fetches into one document."""

REVIEWS_SDL = (ROOT / "tests/federation/reviews.graphql").read_text()


def compose(folder: Path, subgraphs: Mapping[str, tuple[str, str]]) -> Any:
    """Compose subgraphs, each with its URL and SDL; return the supergraph, errors and hints."""
    arguments = []
    for name, (url, sdl) in subgraphs.items():
        path = folder / f"{name}.graphql"
        path.write_text(sdl)
        arguments.append(f"{name}={url}={path}")
    return run_in_node("compose.mjs", *arguments)


def run_in_node(script: str, *arguments: str) -> Any:
    """Run a program, which must write no errors, and return the JSON that it prints."""
    done = subprocess.run(  # noqa: S603  a fixed command
        [*NODE, f"tests/federation/{script}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@contextlib.contextmanager
def router_over(
    script: str, folder: Path, subgraphs: Mapping[str, tuple[str, str]]
) -> Iterator[str]:
    """Run a router over subgraphs that sends credentials to the one called `audience`."""
    supergraph = folder / "supergraph.graphql"
    supergraph.write_text(compose(folder, subgraphs)["supergraphSdl"])
    with node_server(script, str(supergraph), "audience") as url:
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
