"""What a gateway keeps of the largest objects that AWS can return, and how it finds them again."""

from base64 import b64encode

import orjson

from tests.hostile.costs import measured, post, warm
from tests.hostile.maximal_upstream import maximal_upstream
from tests.processes import gateway_process

MEGABYTE = 1_000_000
ARN = "arn:aws:cleanrooms-ml:us-east-1:123456789012"
JOB = f"{ARN}:audience-generation-job/{{:08}}-0000-4000-8000-000000000000"
TIME = "2026-01-02T03:04:05.678Z"
NODES = "query($ids: [ID!]!) { nodes(ids: $ids) { ... on AudienceGenerationJob { status } } }"


def global_id(type_name: str, key: str) -> str:
    return b64encode(f"{type_name}:{key}".encode()).decode()


def test_objects_with_the_longest_sql_take_the_memory_of_what_is_shown() -> None:
    """500 jobs with 500,000 characters each. Of the rest, their tags, the cache keeps 38 MB."""
    ids = [global_id("AudienceGenerationJob", JOB.format(number)) for number in range(500)]
    with (
        maximal_upstream() as (upstream_url, upstream),
        gateway_process(
            upstream_url, cache_seconds=60, caller_calls_per_second=0, deadline_seconds=60
        ) as gateway,
    ):
        warm(gateway.url)
        with measured(gateway) as cold:
            response = post(gateway.url, NODES, {"ids": ids})
        with measured(gateway) as cached:
            again = post(gateway.url, NODES, {"ids": ids})

    assert response.json()["data"]["nodes"] == [{"status": "CREATE_PENDING"}] * 500
    assert again.json() == response.json()
    assert upstream.calls["GetAudienceGenerationJob"] == 500
    assert cold.grown_bytes < 75 * MEGABYTE
    assert cached.grown_bytes < 20 * MEGABYTE


def test_absent_exports_cost_one_reading_of_their_list() -> None:
    """500 of them, ten times over, in a list of 2,000: each id cost a scan of the list."""
    ids = [
        global_id("AudienceExportJob", orjson.dumps([JOB.format(1), f"absent {n}", TIME]).decode())
        for n in range(500)
    ]
    fields = " ".join(f"a{n}: nodes(ids: $ids) {{ id }}" for n in range(10))
    query = f"query($ids: [ID!]!) {{ {fields} }}"
    with (
        maximal_upstream(pages=20) as (upstream_url, upstream),
        gateway_process(upstream_url, cache_seconds=60, caller_calls_per_second=0) as gateway,
    ):
        warm(gateway.url)
        post(gateway.url, query, {"ids": ids})
        with measured(gateway) as cached:
            response = post(gateway.url, query, {"ids": ids})

    assert response.json()["data"] == {f"a{n}": [None] * 500 for n in range(10)}
    assert upstream.calls["ListAudienceExportJobs"] == 20
    assert cached.cpu_seconds < 0.3
