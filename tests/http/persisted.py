"""Requests that name their document by an id."""

import hashlib
import json
from collections.abc import Mapping
from itertools import count
from typing import Any
from urllib.parse import urlencode

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.gateways import GRAPHQL, Answer, Gateway, http

NUMBERS = count()


def new_document(selection: str = "audienceGenerationJobs(first: 1) { nodes { name } }") -> str:
    """Return a query that no gateway has seen."""
    return f"query Jobs{next(NUMBERS)} {{ {selection} }}"


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def by_hash(sha256_hash: str, **others: Any) -> dict[str, Any]:
    """Return the parameter by which Apollo's clients name a document."""
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": sha256_hash, **others}}}


def send(
    gateway: Gateway,
    parameters: Mapping[str, Any],
    *,
    method: str = "POST",
    caller: str | None = "ada",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    headers = {
        "Accept": GRAPHQL,
        **(aws_headers(CALLERS[caller]) if caller else {}),
        **(headers or {}),
    }
    if method == "POST":
        return gateway.send("POST", json=parameters, headers=headers)
    return gateway.send("GET", f"/graphql?{query_string(parameters)}", headers=headers)


def query_string(parameters: Mapping[str, Any]) -> str:
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in parameters.items()
    }
    return urlencode(texts)


def results(url: str) -> dict[str, float]:
    """Return the requests of each result, as the metrics of a gateway count them."""
    begin = 'gateway_persisted_documents_total{result="'
    lines = http("GET", f"{url}/metrics").text.splitlines()
    found = [line.removeprefix(begin).split('"} ') for line in lines if line.startswith(begin)]
    return {result: float(value) for result, value in found}
