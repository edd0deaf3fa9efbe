"""The AWS call of a page: signed, sent, read and checked."""

from statistics import median

import aiohttp
import orjson

from benchmarks.processes import upstream_process
from benchmarks.queries import credentials
from benchmarks.stock import stock_client
from benchmarks.table import Row, at_most, reference
from benchmarks.timing import compare_cpu_ms
from gateway.auth.credentials import Caller
from gateway.upstream.client import CleanRoomsClient
from gateway.upstream.values import Listing, PageRequest

REGION = "us-east-1"
OPERATION = "ListAudienceGenerationJobs"
TARGET_MS = 1.0


async def measure() -> list[Row]:
    """Compare it with the stock client's, and with one that neither signs nor checks."""
    request = PageRequest(Listing(OPERATION, REGION), None)
    own = credentials()
    caller = Caller.from_keys(own.access_key, own.secret_key, own.token)
    with upstream_process() as upstream:
        async with (
            CleanRoomsClient.open({REGION: upstream.url}) as aws,
            stock_client(upstream.url) as client,
            aiohttp.ClientSession() as session,
        ):

            async def ours() -> None:
                page = request.parse(
                    await aws.call(caller, REGION, OPERATION, dict(request.parameters))
                )
                assert len(page.items) == 100

            async def stock() -> None:
                answer = await client.list_audience_generation_jobs(maxResults=100)
                assert len(answer["audienceGenerationJobs"]) == 100

            async def bare() -> None:
                url = f"{upstream.url}/audience-generation-job?maxResults=100"
                async with session.get(url) as response:
                    answer = orjson.loads(await response.read())
                assert len(answer["audienceGenerationJobs"]) == 100

            costs = [median(figures) for figures in await compare_cpu_ms(ours, stock, bare)]
    return [
        at_most("AWS call of 100 rows: CPU", costs[0], TARGET_MS, "ms"),
        reference("  stock aioboto3 client", costs[1], "ms"),
        reference("  bare aiohttp and orjson, unsigned", costs[2], "ms"),
    ]
