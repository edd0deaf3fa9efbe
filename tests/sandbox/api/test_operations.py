"""Stock boto3 and the AWS CLI read lists and details, and tokens keep their place."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from gateway.sandbox import CALLERS, SandboxCaller
from tests.clock import DateClock
from tests.sandbox.clients import client, list_all, list_jobs
from tests.sandbox.wire import JOBS, Reply, control, get

ADA, EDITH = CALLERS["ada"], CALLERS["edith"]
AWS = Path(sys.executable).parent / "aws"


@pytest.mark.parametrize(
    ("name", "count"),
    [("ada", 1234), ("grace", 240), ("edith", 7), ("ada_again", 1234), ("longterm", 1234)],
)
def test_the_paginator_lists_each_job_once_newest_first(url: str, name: str, count: int) -> None:
    jobs = list_jobs(client(url, name))

    assert len(jobs) == len({job["audienceGenerationJobArn"] for job in jobs}) == count
    assert jobs == sorted(jobs, key=lambda job: job["createTime"], reverse=True)


@pytest.mark.parametrize(("size", "pages"), [(1, 7), (3, 3), (7, 1)])
def test_pages_of_any_size_make_up_the_same_list(url: str, size: int, pages: int) -> None:
    """An exactly full last page has no token."""
    paginator = client(url, "edith").get_paginator("list_audience_generation_jobs")
    found = list(paginator.paginate(PaginationConfig={"PageSize": size}))

    assert len(found) == pages
    assert [job for page in found for job in page["audienceGenerationJobs"]] == list_jobs(
        client(url, "edith")
    )


def test_a_page_has_a_hundred_items_by_default(url: str) -> None:
    page = client(url).list_audience_generation_jobs()

    assert len(page["audienceGenerationJobs"]) == 100


@pytest.mark.parametrize(
    ("kind", "member", "arn"),
    [
        ("audience_generation_job", "audienceGenerationJobs", "audienceGenerationJobArn"),
        ("configured_audience_model", "configuredAudienceModels", "configuredAudienceModelArn"),
        ("audience_model", "audienceModels", "audienceModelArn"),
        ("training_dataset", "trainingDatasets", "trainingDatasetArn"),
    ],
)
def test_details_agree_with_the_list(url: str, kind: str, member: str, arn: str) -> None:
    ml = client(url, "edith")
    for row in list_all(ml, f"list_{kind}s", member):
        details = getattr(ml, f"get_{kind}")(**{arn: row[arn]})

        assert row.items() <= details.items()


def test_jobs_refer_to_resources_that_exist_and_are_older(url: str) -> None:
    ml = client(url)
    job = list_jobs(ml)[-1]

    configured = ml.get_configured_audience_model(
        configuredAudienceModelArn=job["configuredAudienceModelArn"]
    )
    model = ml.get_audience_model(audienceModelArn=configured["audienceModelArn"])
    dataset = ml.get_training_dataset(trainingDatasetArn=model["trainingDatasetArn"])

    assert dataset["createTime"] < model["createTime"] < configured["createTime"]
    assert configured["createTime"] < job["createTime"]


@pytest.mark.parametrize("member", ["collaborationId", "configuredAudienceModelArn"])
def test_a_filter_selects_all_matching_jobs_in_order(url: str, member: str) -> None:
    ml = client(url)
    jobs = list_jobs(ml)
    value = next(job[member] for job in jobs if member in job)

    filtered = list_jobs(ml, **{member: value})

    assert filtered == [job for job in jobs if job.get(member) == value]
    assert 0 < len(filtered) < len(jobs)


def test_exports_can_be_listed_for_one_job_which_may_have_several_pages(url: str) -> None:
    ml = client(url)
    exports = list_all(ml, "list_audience_export_jobs", "audienceExportJobs")
    by_job: dict[str, list[Any]] = {}
    for export in exports:
        by_job.setdefault(export["audienceGenerationJobArn"], []).append(export)
    arn, own = max(by_job.items(), key=lambda item: len(item[1]))

    listed = list_all(
        ml, "list_audience_export_jobs", "audienceExportJobs", audienceGenerationJobArn=arn
    )

    assert listed == own
    assert len(own) > 100


def test_each_region_has_its_own_resources(url: str) -> None:
    for region in ("us-east-1", "eu-central-1"):
        jobs = list_jobs(client(url, "edith", region))

        assert all(f":{region}:" in job["audienceGenerationJobArn"] for job in jobs)


@pytest.mark.parametrize("ending", ["", "0000"], ids=["of another account", "of nobody"])
def test_other_resources_are_not_found(url: str, ending: str) -> None:
    arn = list_jobs(client(url, "edith"))[0]["audienceGenerationJobArn"]
    arn = arn[: len(arn) - len(ending)] + ending
    ml = client(url, "grace")

    with pytest.raises(ml.exceptions.ResourceNotFoundException) as caught:
        ml.get_audience_generation_job(audienceGenerationJobArn=arn)

    assert caught.value.response["Error"]["Message"] == f"Resource not found: {arn}"


@pytest.mark.parametrize(
    ("name", "code"), [("denied", "AccessDeniedException"), ("expired", "ExpiredTokenException")]
)
def test_two_callers_always_get_an_error(url: str, name: str, code: str) -> None:
    with pytest.raises(ClientError) as caught:
        client(url, name).list_audience_models()

    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert caught.value.response["ResponseMetadata"]["RequestId"]


def aws(url: str, caller: SandboxCaller, home: Path, *arguments: str) -> Any:
    """Run the AWS CLI with the credentials of a caller, and no other settings."""
    command = [str(AWS), "cleanroomsml", *arguments, "--endpoint-url", url, "--output", "json"]
    environment = {
        "HOME": str(home),
        "PATH": str(AWS.parent),
        "AWS_ACCESS_KEY_ID": caller.access_key_id,
        "AWS_SECRET_ACCESS_KEY": caller.secret_access_key,
        "AWS_SESSION_TOKEN": caller.session_token or "",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)  # noqa: S603 - our own words
    assert ended.returncode == 0, ended.stderr.decode()
    return json.loads(ended.stdout)


@pytest.mark.skipif(not AWS.exists(), reason="the AWS CLI is not installed beside Python")
def test_the_aws_cli_lists_and_gets(url: str, tmp_path: Path) -> None:
    listed = aws(url, EDITH, tmp_path, "list-audience-generation-jobs", "--page-size", "3")
    job = listed["audienceGenerationJobs"][0]
    arn = job["audienceGenerationJobArn"]
    details = aws(
        url, EDITH, tmp_path, "get-audience-generation-job", "--audience-generation-job-arn", arn
    )

    assert len(listed["audienceGenerationJobs"]) == 7
    assert job.items() <= details.items()


def is_invalid_token(reply: Reply) -> bool:
    is_error = reply.error == (400, "ValidationException")
    return is_error and reply.json()["message"] == "Invalid nextToken"


def arns(reply: Reply) -> list[str]:
    return [job["audienceGenerationJobArn"] for job in reply.json()["audienceGenerationJobs"]]


def test_a_token_is_bound_to_its_account_operation_filter_and_region(url: str) -> None:
    token = get(url, JOBS, maxResults="5").json()["nextToken"]
    collaboration = next(
        job["collaborationId"] for job in list_jobs(client(url)) if "collaborationId" in job
    )

    assert is_invalid_token(get(url, JOBS, CALLERS["grace"], nextToken=token))
    assert is_invalid_token(get(url, "/audience-export-job", nextToken=token))
    assert is_invalid_token(get(url, JOBS, nextToken=token, collaborationId=collaboration))
    ml = client(url, "ada", "eu-west-1")
    with pytest.raises(ml.exceptions.ValidationException, match="Invalid nextToken"):
        ml.list_audience_generation_jobs(nextToken=token)


def test_a_token_is_not_bound_to_a_key_or_page_size(url: str) -> None:
    token = get(url, JOBS, maxResults="5").json()["nextToken"]

    following = get(url, JOBS, CALLERS["ada_again"], nextToken=token, maxResults="7")

    assert arns(following) == arns(get(url, JOBS, maxResults="12"))[5:]


def test_a_damaged_token_is_invalid(url: str) -> None:
    token = get(url, JOBS, maxResults="5").json()["nextToken"]
    damaged = {
        *(token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in (0, 9, 30)),
        token[:-1],
        *(token + ending for ending in ("A", "=", "~", "\n")),
        "a",
        "€",
        base64.urlsafe_b64encode(b"x" * 40).decode(),
    }

    assert all(is_invalid_token(get(url, JOBS, nextToken=text)) for text in damaged)


def test_a_new_job_does_not_shift_the_pages(moving_url: str, clock: DateClock) -> None:
    expected = arns(get(moving_url, JOBS, maxResults="20"))
    first = get(moving_url, JOBS, maxResults="10")
    clock.advance(seconds=1)

    started = control(moving_url, "POST", "/jobs", {"access_key_id": ADA.access_key_id}).json()
    token = first.json()["nextToken"]
    second = get(moving_url, JOBS, maxResults="10", nextToken=token)

    assert arns(first) + arns(second) == expected
    assert arns(get(moving_url, JOBS))[0] == started["audienceGenerationJobArn"]


def test_paging_continues_after_an_item_that_was_removed(moving_url: str) -> None:
    expected = arns(get(moving_url, JOBS, maxResults="20"))
    first = get(moving_url, JOBS, maxResults="10").json()

    body = {"access_key_id": ADA.access_key_id, "audienceGenerationJobArn": expected[9]}
    assert control(moving_url, "DELETE", "/jobs", body).status == 200
    second = get(moving_url, JOBS, maxResults="10", nextToken=first["nextToken"])

    assert arns(second) == expected[10:]
    assert expected[9] not in arns(get(moving_url, JOBS))
