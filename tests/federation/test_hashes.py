"""Routers that send the hash of a query first send the query once, and then hashes alone."""

import json

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.federation.routers import run_in_node
from tests.gateways import Gateway
from tests.http.persisted import new_document, results


def test_routers_with_automatic_persisted_queries(gateway: Gateway) -> None:
    """Apollo Gateway and Hive Gateway, where the option is off by default."""
    text = new_document()
    headers = json.dumps(dict(aws_headers(CALLERS["ada"])))
    before = results(gateway.url)
    answers = run_in_node("hashes.mjs", f"{gateway.url}/graphql", text, headers)
    counts = {name: count - before.get(name, 0) for name, count in results(gateway.url).items()}
    expected = {"data": gateway.ask(text).data}

    assert answers == {"apollo": [expected] * 2, "hive": [expected] * 2}
    # Each prints the query in its own way. Hive Gateway reads the schema first, so too.
    assert counts["new"] >= 2
    assert counts["remembered"] >= 2
