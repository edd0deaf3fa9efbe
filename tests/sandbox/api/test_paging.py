"""Tokens: opaque, bound to their list, and anchored to an item rather than to a count."""

import base64

import pytest

from gateway.sandbox import CALLERS
from tests.sandbox.clients import client, list_jobs
from tests.sandbox.conftest import Clock
from tests.sandbox.wire import JOBS, Reply, ask, control

ADA, EDITH = CALLERS["ada"], CALLERS["edith"]


def refused(reply: Reply) -> bool:
    """Say whether the answer is AWS's to a token it does not know."""
    known = reply.error == (400, "ValidationException")
    return known and reply.json()["message"] == "Invalid nextToken"


def names(reply: Reply) -> list[str]:
    """Give the ARNs of a page."""
    return [job["audienceGenerationJobArn"] for job in reply.json()["audienceGenerationJobs"]]


@pytest.mark.parametrize("size", [1, 7])
def test_an_exactly_full_last_page_has_no_token(url: str, size: int) -> None:
    """Seven jobs in pages of one or seven end with a full page, and end there."""
    token, pages = None, 0
    while pages == 0 or token:
        query = {"maxResults": str(size), **({"nextToken": token} if token else {})}
        page = ask(url, JOBS, EDITH, **query).json()
        token, pages = page.get("nextToken"), pages + 1

    assert pages * size == 7


def test_a_token_is_bound_to_its_list(url: str) -> None:
    """A token is refused by another account, operation, filter and region."""
    token = ask(url, JOBS, maxResults="5").json()["nextToken"]
    collaboration = next(
        job["collaborationId"] for job in list_jobs(client(url)) if "collaborationId" in job
    )

    assert refused(ask(url, JOBS, CALLERS["grace"], nextToken=token))
    assert refused(ask(url, "/audience-export-job", nextToken=token))
    assert refused(ask(url, JOBS, nextToken=token, collaborationId=collaboration))
    ml = client(url, "ada", "eu-west-1")
    with pytest.raises(ml.exceptions.ValidationException, match="Invalid nextToken"):
        ml.list_audience_generation_jobs(nextToken=token)


def test_a_token_is_not_bound_to_a_key_or_page_size(url: str) -> None:
    """Another identity of the same account may go on, in pages of another size."""
    token = ask(url, JOBS, maxResults="5").json()["nextToken"]

    again = ask(url, JOBS, CALLERS["ada_again"], nextToken=token, maxResults="7")

    assert names(again) == names(ask(url, JOBS, maxResults="12"))[5:]


def test_a_damaged_token_is_refused(url: str) -> None:
    """No letter of a token can be changed, removed or added."""
    token = ask(url, JOBS, maxResults="5").json()["nextToken"]
    damaged = {
        *(token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in (0, 9, 30)),
        token[:-1],
        token + "A",
        token + "=",
        token + "~",
        token + "\n",
        "a",
        "€",
        base64.urlsafe_b64encode(b"x" * 40).decode(),
    }

    assert all(refused(ask(url, JOBS, nextToken=text)) for text in damaged)


def test_a_new_job_does_not_shift_the_pages(moving_url: str, clock: Clock) -> None:
    """A job that starts between two pages is neither on the second nor pushes anything onto it."""
    expected = names(ask(moving_url, JOBS, maxResults="20"))
    first = ask(moving_url, JOBS, maxResults="10")
    clock.advance(seconds=1)

    started = control(moving_url, "POST", "/jobs", {"access_key_id": ADA.access_key_id}).json()
    token = first.json()["nextToken"]
    second = ask(moving_url, JOBS, maxResults="10", nextToken=token)

    assert names(first) + names(second) == expected
    assert names(ask(moving_url, JOBS))[0] == started["audienceGenerationJobArn"]


def test_a_vanished_anchor_loses_nothing(moving_url: str) -> None:
    """When the last item of a page is gone, the next page still begins right after it."""
    expected = names(ask(moving_url, JOBS, maxResults="20"))
    first = ask(moving_url, JOBS, maxResults="10").json()

    order = {"access_key_id": ADA.access_key_id, "audienceGenerationJobArn": expected[9]}
    assert control(moving_url, "DELETE", "/jobs", order).status == 200
    second = ask(moving_url, JOBS, maxResults="10", nextToken=first["nextToken"])

    assert names(second) == expected[10:]
    assert expected[9] not in names(ask(moving_url, JOBS))
