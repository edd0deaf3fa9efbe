"""Inputs are held to the service model's constraints, and refused in AWS's words."""

from urllib.parse import quote

import pytest

from tests.sandbox.clients import unchecked
from tests.sandbox.wire import JOBS, ask

ACCOUNT = "111122223333"
ID = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.mark.parametrize(
    ("query", "member", "words"),
    [
        ("maxResults=0", "maxResults", "value greater than or equal to 1"),
        ("maxResults=-1", "maxResults", "value greater than or equal to 1"),
        ("maxResults=101", "maxResults", "value less than or equal to 100"),
        ("maxResults=abc", "maxResults", "must be an integer"),
        ("maxResults=", "maxResults", "must be an integer"),
        ("maxResults=1.0", "maxResults", "must be an integer"),
        (f"maxResults={'9' * 5000}", "maxResults", "must be an integer"),
        ("maxResults=1&maxResults=2", "maxResults", "more than once"),
        ("nextToken=", "nextToken", "length greater than or equal to 1"),
        (f"nextToken={'a' * 10_241}", "nextToken", "length less than or equal to 10240"),
        (f"collaborationId={ID[:35]}", "collaborationId", "length greater than or equal to 36"),
        (f"collaborationId={ID.upper()}", "collaborationId", "regular expression pattern"),
        (f"collaborationId={ID}%0A", "collaborationId", "length less than or equal to 36"),
        ("configuredAudienceModelArn=arn:aws:s3:::a-bucket-of-mine", "configured", "pattern"),
        (
            f"configuredAudienceModelArn=arn:aws:cleanrooms-ml:us-east-1:{ACCOUNT}:other/1",
            "configuredAudienceModelArn",
            "regular expression pattern",
        ),
    ],
)
def test_a_wrong_input_is_named(url: str, query: str, member: str, words: str) -> None:
    """The answer is a 400 that says which member broke which constraint."""
    reply = ask(url, f"{JOBS}?{query}")

    assert reply.error == (400, "ValidationException")
    assert member in reply.json()["message"]
    assert words in reply.json()["message"]


def test_boto3_raises_the_modeled_exception(url: str) -> None:
    """What boto3 would have refused itself, the server refuses by the modeled exception."""
    ml = unchecked(url)

    with pytest.raises(ml.exceptions.ValidationException) as caught:
        ml.list_audience_generation_jobs(maxResults=0)

    assert caught.value.response["Error"]["Message"] == (
        "1 validation error detected: Value '0' at 'maxResults' failed to satisfy constraint: "
        "Member must have value greater than or equal to 1"
    )


def test_all_errors_are_told_at_once(url: str) -> None:
    """Two wrong members are two errors of one answer."""
    message = ask(url, f"{JOBS}?maxResults=0&nextToken=").json()["message"]

    assert message.startswith("2 validation errors detected: ")


@pytest.mark.parametrize(
    "arn", ["not-an-arn", f"arn:aws:cleanrooms-ml:x:{ACCOUNT}:audience-model/"]
)
def test_a_malformed_arn_in_the_path(url: str, arn: str) -> None:
    """A Get of what cannot be an ARN is invalid, not unfound."""
    reply = ask(url, f"{JOBS}/{quote(arn, safe='')}")

    assert reply.error == (400, "ValidationException")
    assert "audienceGenerationJobArn" in reply.json()["message"]


def test_unknown_parameters_are_ignored(url: str) -> None:
    """A query parameter the operation does not know changes nothing, as in AWS."""
    assert ask(url, f"{JOBS}?maxResults=3&color=red").body == ask(url, f"{JOBS}?maxResults=3").body


@pytest.mark.parametrize(
    "target", ["/", "/nothing", f"{JOBS}/", f"{JOBS}/a/b", "/audience-export-job/x", "//x"]
)
def test_unknown_paths(url: str, target: str) -> None:
    """A path of no operation is 404 by AWS's name for it, with a request id as ever."""
    reply = ask(url, target)

    assert reply.error == (404, "UnknownOperationException")
    assert reply.headers["x-amzn-requestid"]
