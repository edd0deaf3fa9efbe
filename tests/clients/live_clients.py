"""Clients that subscribe, all in one program, with the examples of README.md."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from gateway.dev import aws_headers
from gateway.graph.schema import client_sdl
from gateway.sandbox import CALLERS
from tests.clients import running
from tests.processes import Process, clean_environment, process

README = (running.ROOT / "README.md").read_text(encoding="utf-8")


EXAMPLES = {"@apollo/client": "apollo", "@urql/core": "urql", "relay-runtime": "relay"}
"""Package that an example is for -> the name of its module."""


def examples(language: str) -> list[str]:
    """Return the code blocks of README.md in a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


JOB = next(block for block in examples("graphql") if block.startswith("subscription"))
"""The subscription of README.md; Relay's compiler reads one of its own."""

CLIENT_NAMES = ("apollo", "urql", "relay", "graphql-sse")
"""The clients of `live`, as apps use them."""

ADA = dict(aws_headers(CALLERS["ada"]))


def write_examples(folder: Path) -> None:
    """Write the examples in JavaScript as modules, with the packages that they import."""
    for code in examples("js"):
        (name,) = (EXAMPLES[package] for package in EXAMPLES if f'"{package}"' in code)
        (folder / f"{name}.js").write_text(code, encoding="utf-8")
    (folder / "node_modules").symlink_to(running.CLIENTS / "node_modules")


class Program:
    """The running program: takes commands, and prints what happens."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._ids = map(str, count())

    def start(self, command: str, **options: Any) -> "Stream":
        stream = Stream(next(self._ids), self)
        self.send(command, id=stream.id, **options)
        return stream

    def send(self, command: str, **options: Any) -> None:
        self._process.write_line(json.dumps({"command": command, **options}))

    def leave_all(self) -> None:
        """End all subscriptions."""
        self.send("leaveAll")

    def events(self, of_id: str) -> list[Any]:
        assert self._process.errors == []
        events = [json.loads(line) for line in self._process.output if line.startswith("{")]
        return [event for event in events if event.pop("id") == of_id]


@dataclass(frozen=True)
class Stream:
    """One subscription or query."""

    id: str
    program: Program

    @property
    def events(self) -> list[Any]:
        """What the client has been told: `next`, `error`, `complete`."""
        return self.program.events(self.id)

    @property
    def data(self) -> list[Any]:
        return [event["next"] for event in self.events if "next" in event]

    @property
    def statuses(self) -> list[str]:
        """The status of the job in each result."""
        return [data["audienceGenerationJob"]["status"] for data in self.data]

    @property
    def errors(self) -> list[Any]:
        return [event["error"] for event in self.events if "error" in event]

    @property
    def is_complete(self) -> bool:
        return {"complete": True} in self.events

    def leave(self) -> None:
        self.program.send("leave", id=self.id)


@dataclass(frozen=True)
class LiveClient:
    """A client for one endpoint and the headers of one caller."""

    name: str
    program: Program
    url: str
    headers: Mapping[str, str]

    def subscribe(self, query: str, variables: Mapping[str, Any]) -> Stream:
        return self._start("subscribe", query, variables)

    def query(self, query: str, variables: Mapping[str, Any]) -> Stream:
        """Send a query over the same link; its result comes as `next`."""
        return self._start("query", query, variables)

    def _start(self, command: str, query: str, variables: Mapping[str, Any]) -> Stream:
        return self.program.start(
            command,
            client=self.name,
            url=self.url,
            headers=self.headers,
            query=query,
            variables=variables,
        )


def bundle_clients(folder: Path, script: str, *options: str) -> str:
    """Return a script of `live` with the clients; `folder` is an empty one for the examples."""
    running.compile_for_relay(folder, client_sdl())
    write_examples(folder)
    return running.bundle(running.CLIENTS / "live" / script, f"--alias:examples={folder}", *options)


@contextmanager
def run_clients(folder: Path) -> Iterator[Program]:
    """Run the program; `folder` is an empty one for the examples."""
    program = folder / "run.mjs"
    program.write_text(bundle_clients(folder, "run.js", "--format=esm", "--platform=node"))
    command = [str(running.NODE), "node", str(program)]
    with process(command, clean_environment(), ready=re.compile("ready")) as started:
        yield Program(started)
