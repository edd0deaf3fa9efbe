"""A process that stops ends its streams first, so that their clients subscribe elsewhere."""

import signal
from contextlib import ExitStack, suppress

import httpx
import pytest

from gateway.http.subscriptions import STOPPING
from tests.event_streams import TRANSPORTS, Complete, Ended, Message, Stream, watching
from tests.gateways import Gateway, Sandbox
from tests.processes import Process, gateway_process, until

STREAMS = 4
"""Of each transport."""

FOREVER = 3600
FAST = 0.05


def open_streams(stack: ExitStack, url: str, arn: str) -> list[Stream]:
    """Open streams of both transports, and read their first event."""
    streams = [
        stack.enter_context(watching(url, arn, transport=transport))
        for transport in TRANSPORTS * STREAMS
    ]
    assert {stream.status() for stream in streams} == {"CREATE_PENDING"}
    return streams


def ends(streams: list[Stream]) -> list[list[Message]]:
    return [stream.rest() for stream in streams]


ALL_ENDED = [[Ended(STOPPING)]] * len(TRANSPORTS) * STREAMS


@pytest.mark.parametrize(
    ("workers", "drain_seconds", "number"),
    [
        (1, 0, signal.SIGTERM),
        (2, 1, signal.SIGTERM),
        (2, FOREVER, signal.SIGINT),
    ],
)
def test_streams_are_ended_for_their_clients_to_come_back(
    sandbox: Sandbox, job: str, workers: int, drain_seconds: int, number: signal.Signals
) -> None:
    """None of them seems to be complete, and none breaks."""
    with (
        gateway_process(
            sandbox.url, workers=workers, drain_seconds=drain_seconds, watch_seconds=FAST
        ) as process,
        ExitStack() as stack,
    ):
        streams = open_streams(stack, process.url, job)
        # As a container runtime and a terminal send them.
        send = process.send_signal if number == signal.SIGTERM else process.signal_group
        send(number)
        ended = ends(streams)
        code = process.wait()

    assert ended == ALL_ENDED
    assert code == 0
    assert [line for line in process.output if '"level":"error"' in line] == []


def is_draining(gateway: Gateway) -> bool:
    with suppress(httpx.TransportError):
        return bool(gateway.send("GET", "/readyz").content == "draining\n")
    return False


def terminate_until_ended(process: Process) -> None:
    """Signal until it ends: a second signal close to the first is taken for its echo."""

    def ended() -> bool:
        process.send_signal(signal.SIGTERM)
        return process.has_ended()

    until(ended)


def test_a_drain_serves_new_streams_and_a_second_signal_ends_it(sandbox: Sandbox, job: str) -> None:
    with (
        gateway_process(sandbox.url, drain_seconds=FOREVER, watch_seconds=FAST) as process,
        ExitStack() as stack,
    ):
        gateway = Gateway(process.url, sandbox)
        streams = open_streams(stack, process.url, job)
        process.send_signal(signal.SIGTERM)
        until(lambda: is_draining(gateway))
        late = stack.enter_context(watching(process.url, job))
        late_status = late.status()
        sandbox.set_job_status(job, "CREATE_IN_PROGRESS")
        moved = {stream.status() for stream in [*streams, late]}
        terminate_until_ended(process)
        ended = ends([*streams, late])
        code = process.wait()

    assert late_status == "CREATE_PENDING"
    assert moved == {"CREATE_IN_PROGRESS"}
    assert ended == [*ALL_ENDED, [Ended(STOPPING)]]
    assert code == 0


def test_a_job_that_is_settled_in_a_drain_completes(sandbox: Sandbox, job: str) -> None:
    with (
        gateway_process(sandbox.url, drain_seconds=FOREVER, watch_seconds=FAST) as process,
        ExitStack() as stack,
    ):
        streams = open_streams(stack, process.url, job)
        process.send_signal(signal.SIGTERM)
        until(lambda: is_draining(Gateway(process.url, sandbox)))
        sandbox.set_job_status(job, "ACTIVE")
        statuses = {stream.status() for stream in streams}
        ended = ends(streams)

    assert statuses == {"ACTIVE"}
    assert ended == [[Complete()]] * len(streams)
