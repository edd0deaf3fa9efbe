"""Errors of limits say what was requested, what is accepted, and what to request instead."""

import pytest

from tests.graph.execution.test_executor import JOBS, Account, run

DETAILS = "audienceGenerationJobs(first: 60) { nodes { name tags { key } } }"
ORDER = "orderBy: { field: NAME, direction: ASC }"
ALIASED = "{ a: __typename ...F } fragment F on Query { b: __typename c: __typename }"


@pytest.mark.parametrize(
    ("setting", "limit", "query", "asked", "remedy"),
    [
        ("limit_tokens", 5, f"{{ {DETAILS} }}", "more than 5 tokens", "several requests"),
        ("limit_depth", 2, f"{{ {DETAILS} }}", "is 4 fields deep", "by their ids"),
        ("limit_aliases", 2, ALIASED, "With its fragments the operation has 3", "several"),
        ("limit_root_fields", 2, ALIASED, "has 3 fields at its root", "several requests"),
        ("limit_directives", 1, "{ a @skip(if: true) @include(if: true) }", "has 2 dir", "several"),
        ("limit_selections", 3, ALIASED, "has 4 selections", "several requests"),
        ("limit_ids", 1, '{ nodes(ids: ["a", "b"]) { id } }', "`ids` has 2 ids", ""),
        (
            "max_upstream_calls",
            2,
            "{ audienceGenerationJobs(first: 300) { nodes { name } } }",
            "may need 3 upstream calls for pages",
            "fewer rows",
        ),
        ("max_detail_calls", 59, f"{{ {DETAILS} }}", "may need 60 upstream calls", "fewer rows"),
        (
            "limit_fields",
            100,
            "{ audienceGenerationJobs(first: 60) { nodes { name id } } }",
            "might have 122 fields",
            "fewer rows",
        ),
        (
            "limit_rows",
            59,
            f"{{ audienceGenerationJobs(first: 1, {ORDER}) {{ nodes {{ name }} }} }}",
            "examines more than 59 rows",
            "fewer lists at once: filters, `orderBy`, `last` and counts read a list to its end",
        ),
        (
            "limit_answer_bytes",
            100,
            "{ audienceGenerationJobs(first: 60) { nodes { name } } }",
            "returns more than 100 bytes",
            "fewer rows",
        ),
    ],
)
async def test_an_error_of_a_limit_says_what_to_do(
    setting: str, limit: int, query: str, asked: str, remedy: str
) -> None:
    result = await run(Account(JOBS), query, {}, **{setting: limit})

    (error,) = result.errors
    assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
    said, _, accepted = error["message"].partition("Accepted: ")
    assert asked in said
    assert f"up to {limit} (GATEWAY_{setting.upper()})" in accepted
    assert remedy in accepted
