"""Replicas behind the load balancer, with a shared Redis: no request fails when one ends.

They end in each way that a replica ends, under load.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.gateways import GRAPHQL, TIMEOUT_SECONDS, TLS, Gateway, Sandbox
from tests.processes import PATIENT, sandbox_process, until
from tests.redis_servers import running_redis
from tests.replicas.fleet import Fleet, running_fleet

PAGE = """query($after: String) { audienceGenerationJobs(first: 5, after: $after) {
  nodes { name } pageInfo { endCursor } } }"""
PAGES = 8
FOREVER = 3600
UPSTREAM_SECONDS = 0.2
"""The duration of a call, so that requests are in flight at any moment."""
CALLER_COUNT = 8
JOBS = "{ audienceGenerationJobs(first: 2) { nodes { name status } pageInfo { endCursor } } }"


class Load:
    """Callers that send one request after the other, each on a kept connection."""

    def __init__(self, url: str) -> None:
        self.succeeded = 0
        self.failures: list[str] = []
        self._url = f"{url}/graphql"
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator["Load"]:
        threads = [threading.Thread(target=self._send_requests) for _ in range(CALLER_COUNT)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()

    def wait_for_responses(self, count: int = 40) -> None:
        target = self.succeeded + count
        until(lambda: self.succeeded >= target or self.failures, TIMEOUT_SECONDS)

    def _send_requests(self) -> None:
        headers = {"Accept": GRAPHQL, "Cache-Control": "no-cache", **aws_headers(CALLERS["ada"])}
        with httpx.Client(verify=TLS, timeout=TIMEOUT_SECONDS, headers=headers) as client:
            while not self._stopped.is_set():
                failure = self._failure(client)
                with self._lock:
                    if failure is None:
                        self.succeeded += 1
                    else:
                        self.failures.append(failure)

    def _failure(self, client: httpx.Client) -> str | None:
        try:
            answer = client.post(self._url, json={"query": JOBS})
        except httpx.TransportError as error:
            return repr(error)
        succeeded = answer.status_code == httpx.codes.OK and "errors" not in answer.json()
        return None if succeeded else f"{answer.status_code}: {answer.text}"


@pytest.fixture(scope="module")
def shared_fleet() -> Iterator[Fleet]:
    """Run a fleet over a sandbox in a process of its own, which the load does not slow down."""
    with running_redis() as redis, sandbox_process() as upstream:
        settings = {
            "module": PATIENT,
            "cache_url": redis.url,
            "cache_seconds": 600,
            "caller_calls_per_second": 0,
            "drain_seconds": 1,
        }
        forever = {**settings, "drain_seconds": FOREVER}
        replicas = {"A": settings, "B": settings, "C": forever}
        with running_fleet(Sandbox(upstream.url), replicas) as fleet:
            yield fleet


@pytest.fixture
def fleet(shared_fleet: Fleet) -> Iterator[Fleet]:
    """Return the fleet with all replicas available and no faults."""
    for replica in shared_fleet.replicas.values():
        if replica.process.has_ended():
            replica.start()
    shared_fleet.sandbox.reset()
    shared_fleet.wait_until_available()
    yield shared_fleet
    shared_fleet.sandbox.reset()


@pytest.fixture
def load(fleet: Fleet) -> Iterator[Load]:
    """Run load over a slow upstream during the test; no request may fail."""
    fleet.sandbox.fault("slow", seconds=UPSTREAM_SECONDS)
    with Load(fleet.balancer.url).running() as load:
        load.wait_for_responses()
        yield load
        load.wait_for_responses()
    assert load.failures == []


def job_names(gateways: list[Gateway]) -> list[str]:
    """Page through a list, with each page from the next gateway."""
    names: list[str] = []
    after = None
    for number in range(PAGES):
        answer = gateways[number % len(gateways)].ask(PAGE, {"after": after}).data
        page = answer["audienceGenerationJobs"]
        names += [each["name"] for each in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
    return names


def test_replicas_share_cursors_and_cached_pages(fleet: Fleet) -> None:
    gateways = [replica.gateway for replica in fleet.replicas.values()]
    names = job_names(gateways[:1])
    fleet.sandbox.reset()

    assert len(set(names)) == 5 * PAGES
    assert job_names(gateways) == names
    assert job_names([fleet.gateway]) == names
    assert fleet.sandbox.count() == 0


@pytest.mark.parametrize("path", ["/metrics", "/metrics?x", "/%6detric%73", "/api/metrics"])
def test_the_load_balancer_hides_metrics(fleet: Fleet, path: str) -> None:
    """The encoding of the path makes no difference, nor does a path prefix."""
    answer = fleet.gateway.send("GET", path)

    assert (answer.status, answer.content) == (404, "")
    assert fleet.gateway.send("GET", "/livez").status == 200


def test_no_request_fails_when_a_replica_is_killed(fleet: Fleet, load: Load) -> None:
    """Its requests are sent to another one, until a new one replaces it."""
    killed = fleet.replicas["B"]
    until(lambda: int(fleet.balancer.servers()["B"]["scur"]) > 0)
    killed.end(signal.SIGKILL)
    load.wait_for_responses()
    killed.start()
    fleet.wait_until_available()
    until(lambda: killed.request_count() > 0)


def test_no_request_fails_when_replicas_are_replaced_one_by_one(fleet: Fleet, load: Load) -> None:
    """Each drains and exits with 0, and the next one ends when the new one is available."""
    codes = []
    for name in "AB":
        codes.append(fleet.replicas[name].end(signal.SIGTERM))
        fleet.replicas[name].start()
        fleet.wait_until_available()
    load.wait_for_responses()

    assert codes == [0, 0]


def test_a_draining_replica_gets_no_more_requests(fleet: Fleet, load: Load) -> None:
    """The load balancer reads it from /readyz, while the replica would still serve."""
    draining = fleet.replicas["C"]
    until(lambda: int(fleet.balancer.servers()["C"]["stot"]) > 0)
    draining.process.send_signal(signal.SIGTERM)
    until(lambda: "C" not in fleet.balancer.available())
    until(lambda: fleet.balancer.servers()["C"]["scur"] == "0")
    before = fleet.balancer.servers()["C"]
    load.wait_for_responses()
    after = fleet.balancer.servers()["C"]

    assert (before["check_status"], before["check_code"]) == ("L7STS", "503")
    assert int(before["stot"]) > 0
    assert after["stot"] == before["stot"]
    assert draining.gateway.ask(PAGE).errors == []
    draining.process.send_signal(signal.SIGTERM)  # the second one ends it
    assert draining.process.wait() == 0
