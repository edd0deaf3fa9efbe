"""Routers that send the hash of a query first fall back to the query."""

from tests.federation.routers import run_in_node
from tests.gateways import Gateway

QUERY = "{ __schema { queryType { name } } }"
OUTCOME = 'outcome="PERSISTED_QUERY_NOT_SUPPORTED"'


def refused_hashes(gateway: Gateway) -> float:
    metrics = str(gateway.send("GET", "/metrics").content).splitlines()
    counts = [
        line for line in metrics if line.startswith("gateway_requests_total{") and OUTCOME in line
    ]
    return sum(float(line.rpartition(" ")[2]) for line in counts)


def test_routers_with_automatic_persisted_queries(gateway: Gateway) -> None:
    """Apollo Gateway and Hive Gateway, where the option is off by default."""
    before = refused_hashes(gateway)
    results = run_in_node("hashes.mjs", f"{gateway.url}/graphql", QUERY)

    expected = {"data": {"__schema": {"queryType": {"name": "Query"}}}}
    assert results == {"apollo": expected, "hive": expected}
    assert refused_hashes(gateway) >= before + 2
