"""The generated data is valid and repeatable, and changes with the clock."""

from collections import Counter
from typing import Any
from urllib.parse import quote

import pytest

from gateway.sandbox import CALLERS, create_sandbox
from gateway.sandbox.api.model import compile_pattern, operation_model
from gateway.sandbox.api.operations import GET_OPERATIONS, LIST_OPERATIONS
from gateway.sandbox.data.accounts import Accounts
from tests.clock import DateClock
from tests.sandbox.data.shapes import violations
from tests.sandbox.wire import JOBS, Reply, get
from tests.serving import serve

ADA = CALLERS["ada"]
LIST_JOBS = "ListAudienceGenerationJobs"


def output_shape(operation: str) -> Any:
    return operation_model(operation).output_shape


def path_of(operation: str) -> str:
    """Return the path of an operation without its parameters."""
    return str(operation_model(operation).http["requestUri"]).split("/{")[0]


def rows(url: str, operation: str) -> list[Any]:
    """Return all items of ada's list."""
    found: list[Any] = []
    query: dict[str, str] = {}
    while True:
        page = get(url, path_of(operation), ADA, **query).json()
        query = {"nextToken": page.pop("nextToken", "")}
        found += page[LIST_OPERATIONS[operation].member]
        if not query["nextToken"]:
            return found


@pytest.mark.parametrize("operation", LIST_OPERATIONS)
def test_lists_have_the_shape_of_the_model(url: str, operation: str) -> None:
    page = {LIST_OPERATIONS[operation].member: rows(url, operation)}

    assert list(violations(page, output_shape(operation))) == []


@pytest.mark.parametrize("operation", GET_OPERATIONS)
def test_details_have_the_shape_of_the_model(url: str, operation: str) -> None:
    """This holds in each status."""
    member = GET_OPERATIONS[operation].member
    for row in rows(url, operation.replace("Get", "List") + "s")[:150]:
        details = get(url, f"{path_of(operation)}/{quote(row[member], safe='')}")

        assert list(violations(details.json(), output_shape(operation))) == []


def test_the_list_contains_difficult_cases(url: str) -> None:
    """They are all statuses, names beyond ASCII, and rows without the optional members."""
    jobs = rows(url, LIST_JOBS)
    members = output_shape("GetAudienceGenerationJob").members

    assert {job["status"] for job in jobs} == set(members["status"].enum)
    assert any(max(job["name"]) > "\uffff" for job in jobs)
    for optional in ("description", "collaborationId", "startedBy"):
        assert 0 < sum(optional in job for job in jobs) < len(jobs)
    for name in ("name", "description"):
        pattern = compile_pattern(members[name].metadata["pattern"])
        assert all(pattern.fullmatch(job.get(name, "-")) for job in jobs)


def replies(clock: DateClock, **options: Any) -> list[Reply]:
    """Return the replies of a new sandbox to the same requests."""
    with serve(create_sandbox(clock=clock, **options)) as url:
        first = get(url, JOBS, maxResults="50")
        second = get(url, JOBS, nextToken=first.json()["nextToken"])
        return [first, second, get(url, "/audience-export-job"), get(url, "/training-dataset")]


def test_sandboxes_with_the_same_seed_and_clock_agree_to_the_byte(clock: DateClock) -> None:
    one, two, other = replies(clock), replies(clock), replies(clock, seed=1)

    assert [reply.body for reply in one] == [reply.body for reply in two]
    assert [reply.headers["x-amzn-requestid"] for reply in one] == [
        reply.headers["x-amzn-requestid"] for reply in two
    ]
    assert one[0].body != other[0].body


def test_all_jobs_are_settled_in_the_end_and_none_has_vanished(
    moving_url: str, clock: DateClock
) -> None:
    before = rows(moving_url, LIST_JOBS)
    clock.advance(hours=6)
    after = rows(moving_url, LIST_JOBS)

    statuses = Counter(job["status"] for job in after)
    assert statuses.keys() == {"ACTIVE", "CREATE_FAILED", "DELETE_FAILED"}
    assert len(before) == len(after)


@pytest.mark.parametrize("jobs", [0, 1, 5, 10_000])
def test_jobs_are_made_when_read(clock: DateClock, jobs: int) -> None:
    accounts = Accounts(1, round(clock().timestamp() * 1000), jobs)
    collection = accounts.get(ADA.account_id, "us-east-1").generation_jobs
    page = [collection[index] for index in range(min(100, jobs))]

    assert len(collection) == jobs
    assert len(collection._records) == len(page)


def test_callers_do_not_print_their_secrets() -> None:
    for caller in CALLERS.values():
        assert caller.secret_access_key not in repr(caller)
        assert str(caller.session_token) not in repr(caller)
