"""The invented data: valid, repeatable, and moving with the clock."""

import ast
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from gateway.sandbox import CALLERS, create_sandbox
from gateway.sandbox.api.model import compile_pattern, operation_model
from gateway.sandbox.api.operations import OPERATIONS
from gateway.sandbox.data.accounts import Accounts
from tests.sandbox.conftest import Clock
from tests.sandbox.data.shapes import faults_of
from tests.sandbox.wire import JOBS, Reply, ask, control
from tests.serving import serve

ADA, EDITH = CALLERS["ada"], CALLERS["edith"]
LISTS = [name for name in OPERATIONS if name.startswith("List")]
GETS = [name for name in OPERATIONS if name.startswith("Get")]


def path_of(operation: str) -> str:
    """Give the fixed part of an operation's path."""
    return str(operation_model(operation).http["requestUri"]).split("/{")[0]


def rows(url: str, operation: str) -> list[Any]:
    """Give every item of ada's list."""
    found: list[Any] = []
    query: dict[str, str] = {}
    while True:
        page = ask(url, path_of(operation), ADA, **query).json()
        query = {"nextToken": page.pop("nextToken", "")}
        found += next(iter(page.values()))
        if not query["nextToken"]:
            return found


@pytest.mark.parametrize("operation", LISTS)
def test_every_list_answer_satisfies_its_shape(url: str, operation: str) -> None:
    """No item of any list lacks, adds or misspells anything."""
    shape = operation_model(operation).output_shape
    page = ask(url, path_of(operation)).json()
    member = next(name for name in page if name != "nextToken")
    assert shape

    assert list(faults_of({**page, member: rows(url, operation)}, shape)) == []


@pytest.mark.parametrize("operation", GETS)
def test_every_get_answer_satisfies_its_shape(url: str, operation: str) -> None:
    """No object, of whatever status, lacks, adds or misspells anything."""
    (member,) = operation_model(operation).input_shape.members  # type: ignore[union-attr]
    shape = operation_model(operation).output_shape
    listed = rows(url, operation.replace("Get", "List") + "s")
    assert shape

    for row in listed[:150]:
        got = ask(url, f"{path_of(operation)}/{quote(row[member], safe='')}")
        assert list(faults_of(got.json(), shape)) == []


def test_names_and_descriptions_match_their_patterns(url: str) -> None:
    """Names in every script, emoji among them, are what the model allows."""
    shape = operation_model("GetAudienceGenerationJob").output_shape
    assert shape
    for row in rows(url, "ListAudienceGenerationJobs"):
        for member in ("name", "description"):
            pattern = compile_pattern(shape.members[member].metadata["pattern"])
            assert pattern.fullmatch(row.get(member, "-"))


def test_the_list_has_hard_cases_in_it(url: str) -> None:
    """Every status is there, and names beyond ASCII, and rows without the optional members."""
    jobs = rows(url, "ListAudienceGenerationJobs")
    status = operation_model("GetAudienceGenerationJob").output_shape

    assert status
    assert {job["status"] for job in jobs} == set(status.members["status"].enum)  # type: ignore[attr-defined]
    assert any(max(job["name"]) > "\uffff" for job in jobs)
    for optional in ("description", "collaborationId", "startedBy"):
        assert 0 < sum(optional in job for job in jobs) < len(jobs)


def answers(clock: Clock, **options: Any) -> list[Reply]:
    """Give what a new sandbox says to the same few questions."""
    with serve(create_sandbox(clock=clock, **options)) as url:
        first = ask(url, JOBS, maxResults="50")
        second = ask(url, JOBS, nextToken=first.json()["nextToken"])
        return [first, second, ask(url, "/audience-export-job"), ask(url, "/training-dataset")]


def test_two_sandboxes_agree_to_the_byte(clock: Clock) -> None:
    """Same seed and same clock: same bytes, tokens and request ids; another seed: other data."""
    one, two, other = answers(clock), answers(clock), answers(clock, seed=1)

    assert [reply.body for reply in one] == [reply.body for reply in two]
    assert [r.headers["x-amzn-requestid"] for r in one] == [
        r.headers["x-amzn-requestid"] for r in two
    ]
    assert one[0].body != other[0].body


def test_statuses_move_with_the_clock(moving_url: str, clock: Clock) -> None:
    """A new job waits, works and ends as time goes by, and its updateTime says when it moved."""
    order = {"access_key_id": EDITH.access_key_id}
    arn = control(moving_url, "POST", "/jobs", order).json()["audienceGenerationJobArn"]
    seen: list[str] = []
    updated: list[str] = []
    for _ in range(80):
        job = ask(moving_url, JOBS, EDITH, maxResults="1").json()["audienceGenerationJobs"][0]
        details = ask(moving_url, f"{JOBS}/{quote(arn, safe='')}", EDITH).json()
        assert job.items() <= details.items()
        assert ("metrics" in details) == (job["status"] == "ACTIVE")
        if job["status"] not in seen:
            seen.append(job["status"])
            updated.append(job["updateTime"])
        clock.advance(seconds=15)

    assert seen[:2] == ["CREATE_PENDING", "CREATE_IN_PROGRESS"]
    assert seen[2:] in (["ACTIVE"], ["CREATE_FAILED"])
    assert updated == sorted(set(updated))


def test_in_the_end_everything_is_settled(moving_url: str, clock: Clock) -> None:
    """Hours later nothing is under way, and nothing has vanished."""
    before = rows(moving_url, "ListAudienceGenerationJobs")
    clock.now += timedelta(hours=6)
    after = rows(moving_url, "ListAudienceGenerationJobs")

    counted = Counter(job["status"] for job in after)
    assert counted.keys() == {"ACTIVE", "CREATE_FAILED", "DELETE_FAILED"}
    assert len(before) == len(after)


@pytest.mark.parametrize("jobs", [0, 1, 5, 10_000])
def test_the_longest_list_is_as_long_as_asked(clock: Clock, jobs: int) -> None:
    """`jobs` sets the length of ada's list; a page of it costs a page, not the list."""
    accounts = Accounts(1, round(clock().timestamp() * 1000), jobs)
    shelf = accounts.get(ADA.account_id, "us-east-1").generation_jobs
    page = [shelf[position] for position in range(min(100, jobs))]

    assert len(shelf) == jobs
    assert len(shelf._records) == len(page)


def test_the_sandbox_imports_nothing_of_the_gateway() -> None:
    """It stands on its own, so that anyone can use it."""
    sources = Path(__file__).parents[2].joinpath("gateway/sandbox").glob("*.py")
    imported: set[str] = set()
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0
                imported.add(str(node.module))
            elif isinstance(node, ast.Import):
                imported.update(alias.name for alias in node.names)
    ours = {name for name in imported if name.startswith("gateway")}

    assert all(name.startswith("gateway.sandbox") for name in ours)
