"""Inputs are validated against the service model, with AWS's messages."""

from urllib.parse import quote

import pytest

from tests.sandbox.clients import UNCHECKED, client
from tests.sandbox.wire import JOBS, get

ACCOUNT = "111122223333"
ID = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.mark.parametrize(
    ("query", "member", "words"),
    [
        ("maxResults=0", "maxResults", "value greater than or equal to 1"),
        ("maxResults=101", "maxResults", "value less than or equal to 100"),
        ("maxResults=", "maxResults", "must be an integer"),
        ("maxResults=1.0", "maxResults", "must be an integer"),
        (f"maxResults={'9' * 5000}", "maxResults", "must be an integer"),
        ("maxResults=1&maxResults=2", "maxResults", "more than once"),
        ("nextToken=", "nextToken", "length greater than or equal to 1"),
        (f"nextToken={'a' * 10_241}", "nextToken", "length less than or equal to 10240"),
        (f"collaborationId={ID.upper()}", "collaborationId", "regular expression pattern"),
        (f"collaborationId={ID}%0A", "collaborationId", "length less than or equal to 36"),
        (
            f"configuredAudienceModelArn=arn:aws:cleanrooms-ml:us-east-1:{ACCOUNT}:other/1",
            "configuredAudienceModelArn",
            "regular expression pattern",
        ),
    ],
)
def test_an_invalid_input_is_named(url: str, query: str, member: str, words: str) -> None:
    reply = get(url, f"{JOBS}?{query}")

    assert reply.error == (400, "ValidationException")
    assert member in reply.json()["message"]
    assert words in reply.json()["message"]


def test_boto3_raises_the_modeled_exception(url: str) -> None:
    ml = client(url, config=UNCHECKED)

    with pytest.raises(ml.exceptions.ValidationException) as caught:
        ml.list_audience_generation_jobs(maxResults=0)

    assert caught.value.response["Error"]["Message"] == (
        "1 validation error detected: Value '0' at 'maxResults' failed to satisfy constraint: "
        "Member must have value greater than or equal to 1"
    )


def test_all_errors_are_reported_together(url: str) -> None:
    message = get(url, f"{JOBS}?maxResults=0&nextToken=").json()["message"]

    assert message.startswith("2 validation errors detected: ")


@pytest.mark.parametrize(
    "arn", ["not-an-arn", f"arn:aws:cleanrooms-ml:x:{ACCOUNT}:audience-model/"]
)
def test_a_malformed_arn_in_the_path_is_invalid_rather_than_not_found(url: str, arn: str) -> None:
    reply = get(url, f"{JOBS}/{quote(arn, safe='')}")

    assert reply.error == (400, "ValidationException")
    assert "audienceGenerationJobArn" in reply.json()["message"]


def test_unknown_query_parameters_are_ignored(url: str) -> None:
    assert get(url, f"{JOBS}?maxResults=3&color=red").body == get(url, f"{JOBS}?maxResults=3").body


@pytest.mark.parametrize(
    "target", ["/", "/nothing", f"{JOBS}/", f"{JOBS}/a/b", "/audience-export-job/x", "//x"]
)
def test_an_unknown_path_is_no_operation(url: str, target: str) -> None:
    reply = get(url, target)

    assert reply.error == (404, "UnknownOperationException")
    assert reply.headers["x-amzn-requestid"]
