"""Jobs that are started move through their statuses with the clock, or when told to."""

from datetime import datetime
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest

from gateway.sandbox import CALLERS, COLLABORATION_ID, create_sandbox
from gateway.sandbox.api.model import operation_model
from gateway.sandbox.data.jobs import JOB_STATUSES
from tests.clock import DateClock
from tests.sandbox.data.shapes import violations
from tests.sandbox.wire import JOBS, control, get
from tests.serving import serve

EDITH = CALLERS["edith"]
SHAPE: Any = operation_model("GetAudienceGenerationJob").output_shape

WITH_METRICS = {"ACTIVE", "DELETE_PENDING", "DELETE_IN_PROGRESS", "DELETE_FAILED"}
WITH_DETAILS = {"CREATE_FAILED", "DELETE_FAILED"}


def start(url: str, **options: object) -> str:
    """Start a job of edith, and return its ARN."""
    body = {"access_key_id": EDITH.access_key_id, **options}
    arn: str = control(url, "POST", "/jobs", body).json()["audienceGenerationJobArn"]
    return arn


def set_status(url: str, arn: str, status: str) -> Any:
    body = {"audienceGenerationJobArn": arn, "status": status}
    return control(url, "POST", "/jobs/status", body).json()


def remove(url: str, arn: str) -> None:
    body = {"access_key_id": EDITH.access_key_id, "audienceGenerationJobArn": arn}
    assert control(url, "DELETE", "/jobs", body).status == 200


def listed(url: str) -> list[Any]:
    rows: list[Any] = get(url, JOBS, EDITH).json()["audienceGenerationJobs"]
    return rows


def job(url: str, arn: str) -> Any:
    """Return the details of a job, after checks that all it says fits its status."""
    details = get(url, f"{JOBS}/{quote(arn, safe='')}", EDITH).json()
    row = next(each for each in listed(url) if each["audienceGenerationJobArn"] == arn)
    assert row.items() <= details.items()
    assert list(violations(details, SHAPE)) == []
    assert ("metrics" in details) == (details["status"] in WITH_METRICS)
    assert ("statusDetails" in details) == (details["status"] in WITH_DETAILS)
    return details


def test_all_statuses_of_the_model_are_known() -> None:
    assert sorted(JOB_STATUSES) == sorted(SHAPE.members["status"].enum)


@pytest.mark.parametrize("final_status", ["ACTIVE", "CREATE_FAILED"])
@pytest.mark.parametrize("seconds", [1, 30, 100, 86_400])
def test_a_started_job_has_its_final_status_after_its_duration(
    moving_url: str, clock: DateClock, seconds: int, final_status: str
) -> None:
    arn = start(moving_url, seconds=seconds, final_status=final_status)
    begun_ms, ended_ms = seconds * 1000 // 3, seconds * 1000
    started = clock()
    statuses, updates = [], []
    for at_ms in (0, begun_ms - 1, begun_ms, ended_ms - 1, ended_ms, 2 * ended_ms):
        clock.now = started
        clock.advance(milliseconds=at_ms)
        details = job(moving_url, arn)
        updated = datetime.fromisoformat(details["updateTime"]) - started
        statuses.append(details["status"])
        updates.append(round(updated.total_seconds() * 1000))

    waiting, working = ["CREATE_PENDING"] * 2, ["CREATE_IN_PROGRESS"] * 2
    assert statuses == [*waiting, *working, final_status, final_status]
    assert updates == [0, 0, begun_ms, begun_ms, ended_ms, ended_ms]


@pytest.mark.parametrize("final_status", ["ACTIVE", "CREATE_FAILED"])
def test_a_job_without_a_duration_takes_minutes(
    moving_url: str, clock: DateClock, final_status: str
) -> None:
    """They are never more than 16, and a minute is not enough."""
    arns = [start(moving_url, final_status=final_status) for _ in range(20)]
    seen = []
    for minutes in (0, 1, 16):
        clock.advance(minutes=minutes)
        seen.append({job(moving_url, arn)["status"] for arn in arns})

    assert seen == [{"CREATE_PENDING"}, {"CREATE_IN_PROGRESS"}, {final_status}]


def test_a_started_job_becomes_active_if_nothing_else_is_said(
    moving_url: str, clock: DateClock
) -> None:
    arns = [start(moving_url) for _ in range(30)]
    clock.advance(hours=1)

    assert {job(moving_url, arn)["status"] for arn in arns} == {"ACTIVE"}


def test_any_status_can_follow_any_other_while_the_clock_stands_still(moving_url: str) -> None:
    arn = start(moving_url)
    before = job(moving_url, arn)
    for pair in product(JOB_STATUSES, repeat=2):
        for status in pair:
            moved = set_status(moving_url, arn, status)
            after = job(moving_url, arn)

            assert moved == {"previous_status": before["status"], "status": status}
            assert after["status"] == status
            assert after["createTime"] <= before["updateTime"] < after["updateTime"]
            before = after


@pytest.mark.parametrize("status", JOB_STATUSES)
def test_a_status_that_was_set_stays(moving_url: str, clock: DateClock, status: str) -> None:
    arn = start(moving_url, seconds=30)
    clock.advance(seconds=15)
    set_status(moving_url, arn, status)
    at_once = job(moving_url, arn)
    clock.advance(hours=1)

    assert at_once["updateTime"] == "2026-01-02T03:04:20.678Z"
    assert job(moving_url, arn) == at_once


def test_the_list_keeps_its_order(moving_url: str) -> None:
    """Its rows are by creation, and the other ones do not change."""
    started = [start(moving_url, seconds=30) for _ in range(3)]
    before = listed(moving_url)
    arns = [row["audienceGenerationJobArn"] for row in before]
    moved = {arns[1], arns[4], arns[-1]}
    for arn in moved:
        set_status(moving_url, arn, "DELETE_IN_PROGRESS")
    after = listed(moving_url)

    assert arns[:3] == started[::-1]
    assert [row["audienceGenerationJobArn"] for row in after] == arns
    for old, new in zip(before, after, strict=True):
        assert (old != new) == (new["audienceGenerationJobArn"] in moved)


def test_the_row_of_a_settled_job_changes_with_its_status(
    moving_url: str, clock: DateClock
) -> None:
    """Though the sandbox renders such rows once."""
    arn = start(moving_url)
    clock.advance(hours=1)
    for status in JOB_STATUSES:
        set_status(moving_url, arn, status)
        clock.advance(hours=1)

        assert job(moving_url, arn)["status"] == job(moving_url, arn)["status"] == status


def test_all_started_jobs_are_in_one_collaboration(moving_url: str) -> None:
    """It has others too, but not all of them: a list of its jobs is shorter."""
    for _ in range(4):
        start(moving_url)
    collaborations = [row.get("collaborationId") for row in listed(moving_url)]
    started, generated = collaborations[:4], collaborations[4:]

    assert started == [COLLABORATION_ID] * 4
    assert {COLLABORATION_ID} < set(generated)


def change(url: str) -> list[Any]:
    """Start, move and remove jobs; return all jobs."""
    arn = start(url, seconds=30)
    set_status(url, arn, "CREATE_IN_PROGRESS")
    generated = [row["audienceGenerationJobArn"] for row in listed(url)][1:]
    for each in generated:
        set_status(url, each, "CREATE_FAILED")
    remove(url, generated[3])
    return [job(url, row["audienceGenerationJobArn"]) for row in listed(url)]


def test_sandboxes_with_the_same_requests_agree(clock: DateClock) -> None:
    results = []
    for _ in range(2):
        with serve(create_sandbox(clock=clock)) as url:
            results.append(change(url))

    assert results[0] == results[1]


def test_exports_do_not_depend_on_when_they_are_first_read(clock: DateClock) -> None:
    def exports(url: str) -> Any:
        return get(url, "/audience-export-job", EDITH).json()["audienceExportJobs"]

    with serve(create_sandbox(clock=clock)) as url:
        first = exports(url)
        change(url)
        assert exports(url) == first
    with serve(create_sandbox(clock=clock)) as url:
        change(url)
        assert exports(url) == first
    assert first
