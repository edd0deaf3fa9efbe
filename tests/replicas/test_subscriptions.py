"""Subscriptions through load balancers, while replicas come and go: each client sees the end."""

import json
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

import pytest

from tests.certificates import LOOPBACK, CertificateAuthority
from tests.event_streams import (
    CHANGES,
    JOB,
    MULTIPART,
    SSE,
    TRANSPORTS,
    Complete,
    Heartbeat,
    Stream,
    caller_headers,
    subscribed,
    watching,
)
from tests.gateways import TIMEOUT_SECONDS, Sandbox
from tests.processes import sandbox_process, until
from tests.programs import needs
from tests.replicas.fleet import Fleet, running_fleet
from tests.replicas.haproxy import REQUESTS, SUBSCRIPTIONS, load_balancer
from tests.replicas.nginx import nginx
from tests.replicas.subscribers import Subscribers
from tests.telemetry.programs import metric

STATUSES = ("CREATE_PENDING", "CREATE_IN_PROGRESS", "ACTIVE")
JOBS = 10
CLIENTS_PER_JOB = 20
BROWSER_CONNECTIONS = 6
"""As many connections of HTTP/1.1 as a browser opens to a host."""


@pytest.fixture(scope="module")
def shared_fleet() -> Iterator[Fleet]:
    settings = {
        "watch_seconds": 0.2,
        "drain_seconds": 0.5,
        "max_subscriptions": 10_000,
        "caller_calls_per_second": 0,
    }
    with (
        sandbox_process() as upstream,
        running_fleet(Sandbox(upstream.url), dict.fromkeys("AB", settings)) as fleet,
    ):
        yield fleet


@pytest.fixture
def fleet(shared_fleet: Fleet) -> Fleet:
    """Return the fleet with all replicas available and no subscriptions."""
    for replica in shared_fleet.replicas.values():
        if replica.process.has_ended():
            replica.start()
    shared_fleet.wait_until_available()
    until(lambda: open_subscriptions(shared_fleet) == 0)
    return shared_fleet


@pytest.fixture(params=["haproxy", "nginx"])
def balancer_url(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[str]:
    if request.param == "haproxy":
        yield fleet.balancer.url
    else:
        with nginx(ports(fleet)) as url:
            yield url


def ports(fleet: Fleet) -> list[int]:
    return [replica.port for replica in fleet.replicas.values()]


def open_subscriptions(fleet: Fleet) -> int:
    urls = [replica.process.url for replica in fleet.replicas.values()]
    return sum(int(metric(url, "gateway_subscriptions")) for url in urls)


def start_job(sandbox: Sandbox) -> str:
    """Start a job that moves when it is told to."""
    arn = sandbox.start_job()
    sandbox.set_job_status(arn, STATUSES[0])
    return arn


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_events_arrive_one_by_one(fleet: Fleet, balancer_url: str, transport: str) -> None:
    watch_to_the_end(fleet.sandbox, balancer_url, transport)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_nginx_needs_no_configuration_for_events(fleet: Fleet, transport: str) -> None:
    """It speaks HTTP/1.0 then, and would buffer responses that do not forbid it."""
    with nginx(ports(fleet), at_its_defaults=True) as url:
        watch_to_the_end(fleet.sandbox, url, transport)


def watch_to_the_end(sandbox: Sandbox, url: str, transport: str) -> None:
    """Move a job each time once the event before has arrived: none is held back, nor is the end."""
    arn = start_job(sandbox)
    with watching(url, arn, transport=transport) as stream:
        for status in STATUSES:
            sandbox.set_job_status(arn, status)
            assert stream.status() == status

        assert stream.response.headers["cache-control"] == "private, no-store"
        assert stream.rest() == [Complete()]


def test_signs_of_life_arrive_before_any_event(balancer_url: str) -> None:
    with subscribed(balancer_url, CHANGES) as stream:
        assert stream.message() == Heartbeat()


def test_a_client_that_leaves_ends_the_subscription_at_its_replica(
    fleet: Fleet, balancer_url: str
) -> None:
    """At once: a load balancer that only noticed when it sent something would take longer."""
    with watching(balancer_url, start_job(fleet.sandbox)) as stream:
        assert stream.status()
        assert open_subscriptions(fleet) == 1
    until(lambda: open_subscriptions(fleet) == 0)


def test_haproxy_passes_events_on_at_once(fleet: Fleet) -> None:
    """It would hold each but the last for 200 ms, in which a request is answered.

    An event that a replica has sent arrives before the response to a request that is sent then.
    The kernel decides which program runs first, so it is enough that it does once.
    """
    arn = start_job(fleet.sandbox)
    with ExitStack() as stack:
        direct = [
            stack.enter_context(watching(replica.process.url, arn))
            for replica in fleet.replicas.values()
        ]
        balanced = [stack.enter_context(watching(fleet.balancer.url, arn)) for _ in direct]
        assert {stream.status() for stream in direct + balanced} == {STATUSES[0]}
        statuses = cycle([STATUSES[1], STATUSES[0]])

        def is_passed_on() -> bool:
            status = next(statuses)
            fleet.sandbox.set_job_status(arn, status)
            # Both streams of each replica have their events from the same poll.
            assert {stream.status() for stream in direct} == {status}
            assert fleet.gateway.send("GET", "/livez").status == 200
            arrived = all(map(has_arrived, balanced))
            assert {stream.status() for stream in balanced} == {status}
            return arrived

        until(is_passed_on)


def has_arrived(stream: Stream) -> bool:
    """Return whether there is something to read."""
    connection = stream.response.extensions["network_stream"].get_extra_info("socket")
    return bool(select.select([connection], [], [], 0)[0])


def test_haproxy_counts_subscriptions_apart_from_requests(fleet: Fleet) -> None:
    """A replica without any would get all requests if they counted as such."""
    arn, url = start_job(fleet.sandbox), fleet.balancer.url

    def counted(backend: str) -> list[str]:
        return sorted(row["scur"] for row in fleet.balancer.servers(backend).values())

    with watching(url, arn), watching(url, arn, transport=MULTIPART), watching(url, arn):
        # Those of earlier tests may be about to end.
        until(lambda: counted(SUBSCRIPTIONS) == ["0", "0", "1", "2"])
        assert counted(REQUESTS) == ["0"] * 4


def test_one_connection_of_http_2_carries_more_subscriptions_than_a_browser_has_connections(
    fleet: Fleet, tmp_path: Path
) -> None:
    authority = CertificateAuthority(tmp_path)
    arn = start_job(fleet.sandbox)
    fleet.sandbox.set_job_status(arn, STATUSES[-1])
    query = json.dumps({"query": JOB, "variables": {"arn": arn}})
    headers = {**caller_headers(), "Accept": SSE, "Content-Type": "application/json"}
    with load_balancer(ports(fleet), authority.issue(LOOPBACK)) as balancer:
        until(lambda: balancer.available() == set(fleet.replicas))
        options = ("--silent", "--show-error", "--no-buffer", "--http2", "--parallel")
        urls = [f"{balancer.url}/graphql"] * (2 * BROWSER_CONNECTIONS)
        done = subprocess.run(  # noqa: S603  the tests' own command
            [
                *(needs("curl"), *options, "--cacert", authority.file, "--data", query),
                *(word for name, value in headers.items() for word in ("-H", f"{name}: {value}")),
                *urls,
            ],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=True,
        )

        assert done.stdout.count("event: complete") == len(urls)
        assert balancer.accepted_connections() == 1


def test_a_rolling_restart_loses_no_final_state(fleet: Fleet) -> None:
    """The jobs move while no replica is left that the clients subscribed to first."""
    arns = [start_job(fleet.sandbox) for _ in range(JOBS)]
    codes = []
    with Subscribers(fleet.balancer.url, arns * CLIENTS_PER_JOB).running() as subscribers:
        subscribers.wait_for(STATUSES[0])
        for replica, status in zip(fleet.replicas.values(), STATUSES[1:], strict=True):
            codes.append(replica.end(signal.SIGTERM))
            for arn in arns:
                fleet.sandbox.set_job_status(arn, status)
            replica.start()
            fleet.wait_until_available()
        subscribers.wait_for_ends()

    assert codes == [0, 0]
    assert {each.statuses[-1] for each in subscribers.clients} == {STATUSES[-1]}
    assert all(each.completed for each in subscribers.clients)
    # The replicas ended each subscription properly, and each client at least once.
    assert [each.errors for each in subscribers.clients if each.errors] == []
    assert all(each.streams > 1 for each in subscribers.clients)


def test_a_killed_replica_loses_no_final_state(fleet: Fleet, balancer_url: str) -> None:
    """Its clients come back on the other one, and the jobs move in the meantime."""
    arns = [start_job(fleet.sandbox) for _ in range(JOBS)]
    with Subscribers(balancer_url, arns * CLIENTS_PER_JOB).running() as subscribers:
        subscribers.wait_for(STATUSES[0])
        fleet.replicas["B"].end(signal.SIGKILL)
        for arn in arns:
            fleet.sandbox.set_job_status(arn, STATUSES[-1])
        subscribers.wait_for_ends()
    cut_off = [each for each in subscribers.clients if each.errors]

    assert {each.statuses[-1] for each in subscribers.clients} == {STATUSES[-1]}
    assert all(each.completed for each in subscribers.clients)
    assert cut_off
    assert all(each.streams > 1 for each in cut_off)
