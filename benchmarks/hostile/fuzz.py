"""Random documents, valid and invalid: none blocks the event loop for long."""

import asyncio
import json
import time
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

from benchmarks.client import Connection, get, post
from benchmarks.processes import gateway, upstream_process
from benchmarks.queries import credentials
from benchmarks.table import Row, at_most, reference
from gateway.graph.schema import build_schema, executable_schema
from tests.hostile.documents import Document, mutated_documents, token_lists, valid_documents
from tests.hostile.values import Known

DOCUMENTS = 3000
HELD_MS = 100.0
KNOWN = Known(["AAAA"], ["QXVkaWVuY2VNb2RlbDp4"], ["arn:aws:cleanrooms-ml:us-east-1:1:x/y"])


async def measure() -> list[Row]:
    """Send each once, while /livez is requested without a pause."""
    documents = await asyncio.to_thread(_documents)
    latencies: list[float] = []
    statuses: set[int] = set()
    with upstream_process() as upstream, gateway(upstream, introspection=True) as ours:
        asker, prober = await Connection.to(ours.port), await Connection.to(ours.port)
        probe = asyncio.create_task(_probe(prober, latencies))
        started = time.perf_counter()
        for document in documents:
            statuses.add((await asker.exchange(_request(document))).status)
        seconds = time.perf_counter() - started
        probe.cancel()
        asker.close()
        prober.close()
    assert max(statuses) < 500, statuses
    return [
        at_most(
            f"{len(documents)} documents of any kind: /livez meanwhile, slowest",
            max(latencies),
            HELD_MS,
            "ms",
        ),
        reference("  a document, in the middle", 1000 * seconds / len(documents), "ms"),
    ]


async def _probe(connection: Connection, latencies: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await connection.exchange(get("/livez"))
        latencies.append(1000 * (time.perf_counter() - began))


def _documents() -> list[Document]:
    schema = executable_schema(build_schema())
    found: list[Document] = []

    @settings(
        max_examples=DOCUMENTS,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(valid_documents(schema, KNOWN) | mutated_documents(schema, KNOWN) | token_lists)
    def collect(document: Document) -> None:
        found.append(document)

    collect()
    return found


def _request(document: Document) -> bytes:
    own = credentials()
    headers = {
        "X-Aws-Access-Key-Id": own.access_key,
        "X-Aws-Secret-Access-Key": own.secret_key,
        "X-Aws-Session-Token": own.token or "",
    }
    body: dict[str, Any] = {"query": document.query, "variables": document.variables}
    return post("/graphql", json.dumps(body).encode(), headers)
