"""Both transports of subscriptions, over real HTTP."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.http import streams
from gateway.watch import sources
from tests.event_streams import (
    CHANGES,
    CONTENT_TYPES,
    JOB,
    MULTIPART,
    OPENINGS,
    SSE,
    TRANSPORTS,
    Complete,
    Heartbeat,
    Result,
    requested,
    subscribed,
    watching,
)
from tests.gateways import Gateway, Sandbox, gateway_over

PENDING, IN_PROGRESS, ACTIVE = "CREATE_PENDING", "CREATE_IN_PROGRESS", "ACTIVE"
FAST = 0.02
"""Seconds between two polls."""


@pytest.fixture(scope="module")
def shared_fast(shared_sandbox: Sandbox) -> Iterator[Gateway]:
    with gateway_over(shared_sandbox, watch_seconds=FAST, caller_calls_per_second=0) as gateway:
        yield gateway


@pytest.fixture
def fast(shared_fast: Gateway, sandbox: Sandbox) -> Gateway:
    """Give a gateway that polls all the time."""
    assert shared_fast.sandbox is sandbox
    return shared_fast


def event_of(status: str) -> dict[str, Any]:
    return {"data": {"audienceGenerationJob": {"status": status}}}


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_job_is_followed_until_it_is_settled(
    fast: Gateway, job: str, transport: str, method: str
) -> None:
    with watching(fast.url, job, transport=transport, method=method) as stream:
        first = stream.status()
        fast.sandbox.set_job_status(job, IN_PROGRESS)
        second = stream.status()
        fast.sandbox.set_job_status(job, ACTIVE)
        rest = stream.rest()

    assert (first, second) == (PENDING, IN_PROGRESS)
    assert rest == [Result(event_of(ACTIVE)), Complete()]


SETTLED = b'{"data":{"audienceGenerationJob":{"status":"ACTIVE"}}}'

BODIES = {
    SSE: b":\n\nevent: next\ndata: %b\n\nevent: complete\ndata:\n\n" % SETTLED,
    MULTIPART: b"\r\n--graphql\r\ncontent-type: application/json\r\n\r\n"
    b'{"payload":%b}\r\n--graphql--\r\n' % SETTLED,
}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_bytes_of_a_stream(fast: Gateway, job: str, transport: str) -> None:
    fast.sandbox.set_job_status(job, ACTIVE)
    with watching(fast.url, job, transport=transport) as stream:
        stream.rest()

    assert stream.data == BODIES[transport]
    headers = stream.response.headers
    assert headers["x-request-id"]
    assert {
        name: headers[name] for name in headers if name not in {"date", "server", "x-request-id"}
    } == {
        "content-type": CONTENT_TYPES[transport],
        "cache-control": "private, no-store",
        "x-accel-buffering": "no",
        "x-content-type-options": "nosniff",
        "transfer-encoding": "chunked",
    }


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_changes_of_a_list_are_streamed(
    fast: Gateway, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first reading is no event: it is what the changes are changes of."""
    monkeypatch.setattr(sources, "SECONDS_PER_PAGE", FAST)
    query = CHANGES.replace("}", " audienceGenerationJob { status } }", 1)
    list_calls = "ListAudienceGenerationJobs"
    with subscribed(fast.url, query, transport=transport, caller="grace") as stream:
        assert fast.sandbox.count(list_calls) >= 1
        arn = fast.sandbox.start_job("grace")
        created = stream.result()["data"]["audienceGenerationJobChanges"]
        fast.sandbox.set_job_status(arn, ACTIVE)
        updated = stream.result()["data"]["audienceGenerationJobChanges"]

    assert created == {
        "kind": "CREATED",
        "audienceGenerationJobArn": arn,
        "audienceGenerationJob": {"status": PENDING},
    }
    assert (updated["kind"], updated["audienceGenerationJob"]) == ("UPDATED", {"status": ACTIVE})


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_stream_begins_before_its_first_event(fast: Gateway, transport: str) -> None:
    """Proxies and clients see at once that the subscription is open."""
    with subscribed(fast.url, CHANGES, transport=transport) as stream:
        assert next(stream.response.iter_bytes()) == OPENINGS[transport]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_signs_of_life_are_sent_while_nothing_happens(
    fast: Gateway, job: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", FAST)
    with watching(fast.url, job, transport=transport) as stream:
        assert stream.status() == PENDING
        assert [stream.message() for _ in range(5)] == [Heartbeat()] * 5
        fast.sandbox.set_job_status(job, IN_PROGRESS)
        assert stream.status() == IN_PROGRESS


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_signs_of_life_are_sent_while_an_event_is_made(
    fast: Gateway, job: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS may be slow with what an event selects beyond the job."""
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", FAST)
    fast.sandbox.fault("hang", operation="ListAudienceExportJobs")
    query = JOB.replace("status }", "status exportJobs { nodes { name } } }")
    with subscribed(fast.url, query, {"arn": job}, transport=transport) as stream:
        heartbeats = [stream.message() for _ in range(5)]
        fast.sandbox.reset()
        result = stream.result()

    assert heartbeats == [Heartbeat()] * 5
    assert result["data"]["audienceGenerationJob"]["status"] == PENDING


def test_an_event_is_followed_by_a_part_soon(
    fast: Gateway, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some parsers hold a part back until the next one begins: 10 seconds would be too long."""
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 3600)
    with watching(fast.url, job, transport=MULTIPART) as stream:
        messages = [stream.message() for _ in range(2)]

    assert messages == [Result(event_of(PENDING)), Heartbeat()]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_no_cache_is_obeyed_by_each_event(fast: Gateway, job: str, transport: str) -> None:
    """The links of a job are read again for each event."""
    query = JOB.replace("status }", "status exportJobs { nodes { name } } }")
    headers = {"Cache-Control": "no-cache"}
    with subscribed(fast.url, query, {"arn": job}, transport=transport, headers=headers) as stream:
        for number, status in enumerate((IN_PROGRESS, PENDING, IN_PROGRESS), 1):
            assert stream.result()["data"]
            assert fast.sandbox.count("ListAudienceExportJobs") == number
            fast.sandbox.set_job_status(job, status)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_event_of_a_failing_field_has_its_error(fast: Gateway, job: str, transport: str) -> None:
    """The stream goes on."""
    fast.sandbox.fault("denied", operation="ListAudienceExportJobs")
    query = JOB.replace("status }", "status exportJobs { nodes { name } } }")
    with subscribed(fast.url, query, {"arn": job}, transport=transport) as stream:
        first = stream.result()
        fast.sandbox.reset()
        fast.sandbox.set_job_status(job, ACTIVE)
        second = stream.result()

    assert first["data"]["audienceGenerationJob"] == {"status": PENDING, "exportJobs": None}
    assert [error["extensions"]["code"] for error in first["errors"]] == ["FORBIDDEN"]
    assert second["data"]["audienceGenerationJob"]["exportJobs"] is not None
    assert "errors" not in second


COST = {"X-Gateway-Cost": "1"}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_cost_of_an_event_is_in_the_event(fast: Gateway, job: str, transport: str) -> None:
    with watching(fast.url, job, transport=transport, headers=COST) as stream:
        assert "estimate" in stream.result()["extensions"]["cost"]


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_query_is_a_stream_of_one_result(fast: Gateway, transport: str, method: str) -> None:
    query = "query Q($first: Int) { audienceGenerationJobs(first: $first) { nodes { name } } }"
    with subscribed(fast.url, query, {"first": 2}, transport=transport, method=method) as stream:
        (result, end) = stream.rest()

    assert isinstance(result, Result)
    assert len(result.content["data"]["audienceGenerationJobs"]["nodes"]) == 2
    assert end == Complete()
    assert stream.response.headers["cache-control"] == "private, no-store"
    assert int(stream.response.headers["content-length"]) == len(stream.data)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_each_query_over_a_stream_is_executed(fast: Gateway, transport: str) -> None:
    """The same as JSON before does not make it JSON, nor the other way round."""
    query = "{ audienceGenerationJobs(first: 1) { nodes { name } } }"
    for accepted in (transport, "application/json", transport, "application/json"):
        with requested(fast.url, query, headers={"Accept": accepted}) as response:
            content_type = response.headers["content-type"]
        assert content_type.startswith(CONTENT_TYPES.get(accepted, accepted))


def test_a_subscription_of_a_settled_job_costs_one_call(fast: Gateway, job: str) -> None:
    fast.sandbox.set_job_status(job, ACTIVE)
    with watching(fast.url, job) as stream:
        stream.rest()

    assert fast.sandbox.count("GetAudienceGenerationJob") == 1


async def test_a_future_that_was_done_before_ends_no_silence() -> None:
    """Its callback comes late: its event may have been sent already."""
    alarm, done = streams.Alarm(), asyncio.get_running_loop().create_future()
    alarm.call_when_done(done)
    done.set_result(None)

    assert not await alarm.wait(streams.HEARTBEAT_SECONDS)
    assert await alarm.wait(0)
