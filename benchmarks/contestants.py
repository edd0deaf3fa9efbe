"""The servers that a comparison measures in turn, over one upstream."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import httpx

from benchmarks.processes import ROOT, Process, gateway, python, server, stock_client
from benchmarks.queries import credential_headers
from benchmarks.questions import Question

OURS = "this gateway"
TWO_WORKERS = "this gateway, two workers"
HIVE = "Hive Gateway"
TAILCALL = "Tailcall"
STRAWBERRY = "Strawberry"
AIOBOTO3 = "aioboto3 alone"
CONSTANT = "constant bytes"

PEERS = ROOT / "benchmarks/peers"
PROGRAMS = PEERS / "node_modules/.bin"
CACHE_SECONDS = 5
"""The gateway's default, and that of the peers' configurations."""
REST_SHAPED = {HIVE, TAILCALL}
"""Their schemas follow the upstream's response."""


class UnavailableError(Exception):
    """A contestant does not run on this machine."""


def open_contestants(
    names: Iterable[str], question: Question, upstream: Process, stack: ExitStack
) -> dict[str, Process]:
    """Start the contestants; say which cannot run here, and leave them out."""
    contestants: dict[str, Process] = {}
    for name in names:
        try:
            contestants[name] = stack.enter_context(CONTESTANTS[name](question, upstream))
        except UnavailableError as reason:
            print(f"{name} is left out: {reason}", file=sys.stderr)
    return contestants


def cache_seconds(question: Question) -> int:
    return CACHE_SECONDS if question.cached else 0


def one_worker(question: Question, upstream: Process) -> AbstractContextManager[Process]:
    return gateway(upstream, cache_seconds=cache_seconds(question))


def two_workers(question: Question, upstream: Process) -> AbstractContextManager[Process]:
    return gateway(upstream, workers=2, cache_seconds=cache_seconds(question))


def hive(question: Question, upstream: Process) -> AbstractContextManager[Process]:
    """Run Hive Gateway by benchmarks/peers/hive.config.mjs, with compiled documents."""

    def command(port: str) -> Sequence[str]:
        program = (str(ROOT / "scripts/with-node"), "node", str(PROGRAMS / "hive-gateway"))
        config = ("--jit", "--config-path", str(PEERS / "hive.config.mjs"))
        address = ("--host", "127.0.0.1", "--port", port)
        return (*program, "supergraph", *config, *address, str(PEERS / "supergraph.graphql"))

    environment = {
        "CACHE_SECONDS": str(cache_seconds(question)),
        "NODE_ENV": "production",
        "UPSTREAM_URL": upstream.url,
    }
    return server(command, environment)


@contextmanager
def tailcall(question: Question, upstream: Process) -> Iterator[Process]:
    """Run Tailcall by benchmarks/peers/tailcall.graphql, which has places for port and URL.

    Raises UnavailableError if the program does not run on this machine.
    """
    program = PROGRAMS / "tailcall"
    if not _runs(program):
        raise UnavailableError("its npm package is for Linux on x86-64 with glibc 2.35 or later")
    config = (PEERS / "tailcall.graphql").read_text("utf-8").replace("UPSTREAM_URL", upstream.url)
    if not question.cached:
        config = config.replace("@cache(maxAge: 5000)", "")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.graphql")

        def command(port: str) -> Sequence[str]:
            path.write_text(config.replace("PORT", port), "utf-8")
            return (str(program), "start", str(path))

        # Without the tracker, which would report its start to its makers.
        environment = {"TAILCALL_TRACKER": "false", "TAILCALL_LOG_LEVEL": "error"}
        with server(command, environment) as process:
            yield process


def _runs(program: Path) -> bool:
    """Tell whether npm installed it, and the C library is recent enough."""
    if not program.exists():
        return False
    command = (program, "--version")
    return not subprocess.run(command, capture_output=True, check=False).returncode  # noqa: S603


def strawberry(question: Question, upstream: Process) -> AbstractContextManager[Process]:
    """Run stock Strawberry over a page in memory, or over the stock client."""
    source = () if question.cached else (upstream.url,)
    return server(lambda port: python("-m", "benchmarks.peers.strawberry_app", port, *source))


@contextmanager
def constant(question: Question, upstream: Process) -> Iterator[Process]:
    """Run a uvicorn that answers with the bytes that the gateway answers."""
    headers = {**credential_headers(), "Content-Type": "application/json"}
    with tempfile.NamedTemporaryFile() as file:
        with gateway(upstream) as ours:
            answer = httpx.post(f"{ours.url}/graphql", content=question.body(), headers=headers)
        file.write(answer.content)
        file.flush()
        app = ("-m", "benchmarks.peers.constant_app")
        with server(lambda port: python(*app, port, file.name)) as process:
            yield process


def aioboto3_alone(_: Question, upstream: Process) -> AbstractContextManager[Process]:
    return stock_client(upstream)


CONTESTANTS: dict[str, Callable[[Question, Process], AbstractContextManager[Process]]] = {
    OURS: one_worker,
    TWO_WORKERS: two_workers,
    HIVE: hive,
    TAILCALL: tailcall,
    STRAWBERRY: strawberry,
    CONSTANT: constant,
    AIOBOTO3: aioboto3_alone,
}
