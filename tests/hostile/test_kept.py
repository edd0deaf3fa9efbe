"""What a gateway keeps of the largest objects that AWS can return."""

from gateway.graph.node import to_global_id
from tests.hostile.costs import measured, post, warm
from tests.hostile.maximal_upstream import arn_of, maximal_upstream
from tests.processes import gateway_process

MEGABYTE = 1_000_000
NODES = "query($ids: [ID!]!) { nodes(ids: $ids) { ... on AudienceGenerationJob { status } } }"


def test_objects_with_the_longest_sql_take_the_memory_of_what_is_shown() -> None:
    """500 jobs with 500,000 characters each. Of the rest, their tags, the cache keeps 38 MB."""
    arns = [arn_of("audienceGenerationJobArn", number) for number in range(500)]
    ids = [to_global_id("AudienceGenerationJob", arn) for arn in arns]
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
