"""Clients subscribe again, by themselves, when their replica has ended."""

import signal
from collections.abc import Iterator

import pytest

from tests.clients.live_clients import ADA, CLIENT_NAMES, JOB, LiveClient, Program
from tests.gateways import Sandbox
from tests.processes import until
from tests.replicas.fleet import Fleet, running_fleet

SETTINGS = {"watch_seconds": 0.2, "drain_seconds": 1}


@pytest.fixture(scope="module")
def fleet(shared_sandbox: Sandbox) -> Iterator[Fleet]:
    """Run a fleet of which one replica serves; each test replaces it by the other."""
    with running_fleet(shared_sandbox, {"A": SETTINGS, "B": SETTINGS}) as fleet:
        fleet.replicas["B"].end(signal.SIGKILL)
        until(lambda: fleet.balancer.available() == {"A"})
        yield fleet


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda each: each.name)
def test_no_client_misses_the_final_state_when_its_replica_ends(
    fleet: Fleet, live_program: Program, number: signal.Signals
) -> None:
    """The job is settled while all clients are on their way to another replica."""
    (serving,) = (
        each for name, each in fleet.replicas.items() if name in fleet.balancer.available()
    )
    (other,) = (each for each in fleet.replicas.values() if each is not serving)
    url, arn = f"{fleet.balancer.url}/graphql", fleet.sandbox.start_job()
    clients = [LiveClient(name, live_program, url, ADA) for name in CLIENT_NAMES]
    streams = [client.subscribe(JOB, {"arn": arn}) for client in clients]
    until(lambda: all(stream.statuses for stream in streams))
    other.start()
    fleet.wait_until_available()
    serving.end(number)
    fleet.sandbox.set_job_status(arn, "ACTIVE")
    until(lambda: all(stream.is_complete for stream in streams))

    for stream in streams:
        assert (stream.statuses[0], stream.statuses[-1]) == ("CREATE_PENDING", "ACTIVE")
        assert stream.errors == []
