"""What many expensive requests of one caller, sent at once, take of memory."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from tests.gateways import request_bytes
from tests.hostile.costs import ADA_HEADERS, measured, post, warm
from tests.hostile.maximal_upstream import maximal_upstream
from tests.http.wire import connect, read_to_end
from tests.processes import gateway_process

REQUESTS = 40
GROWN_BYTES = 250_000_000

TAGS = "{ audienceGenerationJobs(first: 80) { nodes { tags { key value } } } }"


def test_requests_whose_bodies_come_late_are_computed_one_after_the_other() -> None:
    """Each reads 6 MB from the cache, and returns as much."""
    request = request_bytes(TAGS, {**ADA_HEADERS, "Connection": "close"})
    with (
        maximal_upstream() as (url, _),
        gateway_process(url, cache_seconds=600, caller_calls_per_second=0) as process,
        ThreadPoolExecutor(REQUESTS) as pool,
        ExitStack() as stack,
    ):
        warm(process.url)
        size = len(post(process.url, TAGS).content)
        clients = [stack.enter_context(connect(process.url)) for _ in range(REQUESTS)]
        with measured(process) as cost:
            for client in clients:
                client.sendall(request[:-1])
            for client in clients:
                client.sendall(request[-1:])
            responses = [len(each) for each in pool.map(read_to_end, clients)]

    assert min(responses) > size
    assert cost.grown_bytes < GROWN_BYTES
