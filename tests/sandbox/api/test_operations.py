"""Stock boto3 takes the sandbox for Clean Rooms ML."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.clients import client, list_all, list_jobs

GETS = [
    ("audience_generation_job", "audienceGenerationJobs", "audienceGenerationJobArn"),
    ("configured_audience_model", "configuredAudienceModels", "configuredAudienceModelArn"),
    ("audience_model", "audienceModels", "audienceModelArn"),
    ("training_dataset", "trainingDatasets", "trainingDatasetArn"),
]


@pytest.mark.parametrize(
    ("name", "count"),
    [("ada", 1234), ("grace", 240), ("edith", 7), ("ada_again", 1234), ("longterm", 1234)],
)
def test_the_paginator_sees_every_job_once(url: str, name: str, count: int) -> None:
    """boto3's paginator lists each job of the account exactly once, newest first."""
    jobs = list_jobs(client(url, name))

    assert len(jobs) == len({job["audienceGenerationJobArn"] for job in jobs}) == count
    assert jobs == sorted(jobs, key=lambda job: job["createTime"], reverse=True)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_the_page_size_changes_nothing(url: str, size: int) -> None:
    """Pages of any size make up the same list."""
    paged = list_jobs(client(url, "edith"), PaginationConfig={"PageSize": size})

    assert paged == list_jobs(client(url, "edith"))


def test_a_page_has_a_hundred_items_unless_asked_otherwise(url: str) -> None:
    """Without maxResults a page is as long as it may be."""
    page = client(url).list_audience_generation_jobs()

    assert len(page["audienceGenerationJobs"]) == 100


@pytest.mark.parametrize(("kind", "member", "arn"), GETS)
def test_get_agrees_with_list(url: str, kind: str, member: str, arn: str) -> None:
    """Whatever a list says of an object, its Get says too."""
    ml = client(url, "edith")
    for row in list_all(ml, f"list_{kind}s", member):
        details = getattr(ml, f"get_{kind}")(**{arn: row[arn]})

        assert row.items() <= details.items()


def test_jobs_refer_to_objects_that_exist(url: str) -> None:
    """From a job one reaches its configuration, model and dataset by Get alone."""
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
def test_filters_keep_what_they_name(url: str, member: str) -> None:
    """A filter gives the jobs that have the value, all of them and in order."""
    ml = client(url)
    everything = list_jobs(ml)
    wanted = next(job[member] for job in everything if member in job)

    filtered = list_jobs(ml, **{member: wanted})

    assert filtered == [job for job in everything if job.get(member) == wanted]
    assert 0 < len(filtered) < len(everything)


def test_exports_belong_to_jobs(url: str) -> None:
    """Exports can be listed for one job, and one job has more than a page of them."""
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


def test_regions_are_worlds_of_their_own(url: str) -> None:
    """The same account has other objects in another region, whose name is in their ARNs."""
    here = list_jobs(client(url, "edith", "us-east-1"))
    there = list_jobs(client(url, "edith", "eu-central-1"))

    assert all(":us-east-1:" in job["audienceGenerationJobArn"] for job in here)
    assert all(":eu-central-1:" in job["audienceGenerationJobArn"] for job in there)


@pytest.mark.parametrize("known", [True, False])
def test_objects_of_others_are_not_found(url: str, known: bool) -> None:  # noqa: FBT001 - a case
    """A job of another account and a job of nobody get the same, modeled error."""
    arn = list_jobs(client(url, "edith"))[0]["audienceGenerationJobArn"]
    arn = arn if known else f"{arn[:-4]}0000"
    ml = client(url, "grace")

    with pytest.raises(ml.exceptions.ResourceNotFoundException) as caught:
        ml.get_audience_generation_job(audienceGenerationJobArn=arn)

    assert caught.value.response["Error"]["Message"] == f"Resource not found: {arn}"


@pytest.mark.parametrize(
    ("name", "code"), [("denied", "AccessDeniedException"), ("expired", "ExpiredTokenException")]
)
def test_some_callers_are_always_refused(url: str, name: str, code: str) -> None:
    """Two callers exist to be refused, each in the one way."""
    with pytest.raises(ClientError) as caught:
        client(url, name).list_audience_models()

    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert caught.value.response["ResponseMetadata"]["RequestId"]
