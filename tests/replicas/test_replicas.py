"""Four replicas behind the balancer that is shipped, sharing a Redis: nobody misses one that goes.

They end each way that a replica ends, under load.
"""

import signal
from collections.abc import Iterator

import httpx
import pytest

from tests.gateways import Gateway, Sandbox
from tests.hostile.process import sandbox_process
from tests.redis_servers import running_redis, until
from tests.replicas.crowd import Crowd
from tests.replicas.fleet import END_SECONDS, WATCHDOG_SECONDS, Fleet, fleet

PAGE = """query($after: String) { audienceGenerationJobs(first: 5, after: $after) {
  nodes { name } pageInfo { endCursor } } }"""
PAGES = 8
FOR_EVER = 3600
UPSTREAM_SECONDS = 0.2
"""How long a call takes, so that requests are under way at any moment."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Fleet]:
    """Run one fleet for all, over a sandbox that the callers do not slow down."""
    with (
        running_redis() as redis,
        sandbox_process(watchdog_seconds=WATCHDOG_SECONDS) as upstream,
        fleet(
            Sandbox(upstream.url),
            cache_url=redis.url,
            cache_seconds=600,
            caller_calls_per_second=0,
            drain_seconds=1,
        ) as whole,
    ):
        yield whole


@pytest.fixture
def whole(shared: Fleet) -> Iterator[Fleet]:
    """Give the fleet complete, and leave it so."""
    shared.sandbox.reset()
    yield shared
    shared.sandbox.reset()
    shared.settle()


@pytest.fixture
def crowd(whole: Fleet) -> Iterator[Crowd]:
    """Let callers ask during the test, of a slow upstream; each answer must be a good one."""
    whole.sandbox.fault("slow", seconds=UPSTREAM_SECONDS)
    with Crowd(whole.balancer.url).asking() as asking:
        asking.goes_on()
        yield asking
        asking.goes_on()
    assert asking.failed == []


def read(gateways: list[Gateway]) -> list[str]:
    """Read a list on, each page from the next of these gateways; return the names."""
    names: list[str] = []
    after = None
    for turn in range(PAGES):
        answer = gateways[turn % len(gateways)].ask(PAGE, {"after": after}).data
        page = answer["audienceGenerationJobs"]
        names += [each["name"] for each in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
    return names


def test_replicas_are_one_gateway(whole: Fleet) -> None:
    """Each reads on from the others' cursors, and from the pages that they have fetched."""
    each = [replica.gateway for replica in whole.replicas.values()]
    names = read(each[:1])
    whole.sandbox.reset()

    assert len(set(names)) == 5 * PAGES
    assert read(each) == names
    assert read([whole.gateway]) == names
    assert whole.sandbox.count() == 0


@pytest.mark.parametrize("path", ["/metrics", "/metrics?x", "/%6detric%73"])
def test_callers_see_no_metrics(whole: Fleet, path: str) -> None:
    """Which a replica gives to who reaches it past the balancer, however the path is written."""
    through = httpx.get(f"{whole.balancer.url}{path}", trust_env=False)

    assert (through.status_code, through.content) == (404, b"")
    assert httpx.get(f"{whole.balancer.url}/livez", trust_env=False).status_code == 200


def test_one_that_is_killed_is_not_missed(whole: Fleet, crowd: Crowd) -> None:
    """What it was asked is asked again of another, until a new one stands in its place."""
    killed = whole.replicas["B"]
    until(lambda: int(whole.balancer.servers()["B"]["scur"]) > 0)
    killed.end(signal.SIGKILL)
    crowd.goes_on()
    killed.start()
    whole.settle()
    until(lambda: killed.answered() > 0)


def test_all_are_replaced_one_by_one(whole: Fleet, crowd: Crowd) -> None:
    """Each is told to end, drains, leaves with 0, and the next one goes when a new one is ready."""
    codes = []
    for replica in whole.replicas.values():
        codes.append(replica.end(signal.SIGTERM))
        replica.start()
        whole.settle()
    crowd.goes_on()

    assert codes == [0, 0, 0, 0]


def test_one_that_drains_is_asked_no_more(whole: Fleet, crowd: Crowd) -> None:
    """The balancer hears of it from /readyz, while it would still serve."""
    leaving = whole.replicas["D"]
    leaving.end(signal.SIGTERM)
    leaving.start(drain_seconds=FOR_EVER)
    whole.settle()
    until(lambda: leaving.answered() > 0)
    leaving.program.signal(signal.SIGTERM)
    until(lambda: "D" not in whole.balancer.up())
    seen = whole.balancer.servers()["D"]
    until(lambda: whole.balancer.servers()["D"]["scur"] == "0")
    answered = leaving.answered()
    crowd.goes_on()

    assert (seen["check_status"], seen["check_code"]) == ("L7STS", "503")
    assert leaving.answered() == answered
    assert leaving.gateway.ask(PAGE).errors == []
    leaving.program.signal(signal.SIGTERM)  # the second one, which ends it
    assert leaving.program.wait(END_SECONDS) == 0
    leaving.start()
