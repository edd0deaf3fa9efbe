"""The filter of the job list, through the running gateway."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from gateway.graph.types.audience_generation_job import JOB
from gateway.graph.types.filter import AudienceGenerationJobFilter, item_filter
from gateway.graph.types.statuses import AudienceGenerationJobStatus
from gateway.graph.types.values import DateTime
from tests.gateways import Answer, Gateway, Sandbox, gateway_over, still_sandbox
from tests.serving import serve

ROWS = """query Rows(
  $filter: AudienceGenerationJobFilter, $first: Int, $after: String, $last: Int
) {
  audienceGenerationJobs(filter: $filter, first: $first, after: $after, last: $last) {
    totalCount
    nodes { id name status startedBy createTime updateTime }
    pageInfo { hasNextPage endCursor }
  }
}"""


def ask(gateway: Gateway, caller: str = "grace", **variables: Any) -> Any:
    return gateway.ask(ROWS, variables, caller=caller).data["audienceGenerationJobs"]


@pytest.fixture(scope="module")
def keeping_gateway(shared_sandbox: Sandbox) -> Iterator[Gateway]:
    """Serve a gateway that keeps lists as they were: jobs move between two requests."""
    with gateway_over(shared_sandbox, caller_calls_per_second=0) as gateway:
        yield gateway


@pytest.fixture
def gateway(keeping_gateway: Gateway, sandbox: Sandbox) -> Gateway:
    assert keeping_gateway.sandbox is sandbox
    return keeping_gateway


@pytest.fixture
def everything(gateway: Gateway) -> list[Any]:
    jobs: list[Any] = ask(gateway, first=500)["nodes"]
    return jobs


def parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def middle(jobs: list[Any], member: str) -> str:
    """Return a time with jobs before, at and after it."""
    found: str = sorted(job[member] for job in jobs)[len(jobs) // 2]
    return found


CASES: dict[str, tuple[Callable[[list[Any]], Any], Callable[[Any, Any], bool]]] = {
    "one status": (
        lambda _: {"status": ["CREATE_FAILED"]},
        lambda job, _: job["status"] == "CREATE_FAILED",
    ),
    "some statuses": (
        lambda _: {"status": ["CREATE_FAILED", "DELETE_FAILED", "ACTIVE"]},
        lambda job, selected: job["status"] in selected["status"],
    ),
    "no status": (lambda _: {"status": []}, lambda _, __: True),
    "nulls": (lambda _: {"status": None, "nameContains": None}, lambda _, __: True),
    "part of a name": (
        lambda _: {"nameContains": "BUYERS"},
        lambda job, _: "buyers" in job["name"].casefold(),
    ),
    "an account": (
        lambda jobs: {"startedBy": next(j["startedBy"] for j in jobs if j["startedBy"])},
        lambda job, selected: job["startedBy"] == selected["startedBy"],
    ),
    "made after": (
        lambda jobs: {"createdAfter": middle(jobs, "createTime")},
        lambda job, selected: parse_time(job["createTime"]) > parse_time(selected["createdAfter"]),
    ),
    "made before": (
        lambda jobs: {"createdBefore": middle(jobs, "createTime")},
        lambda job, selected: parse_time(job["createTime"]) < parse_time(selected["createdBefore"]),
    ),
    "changed between": (
        lambda jobs: {
            "updatedAfter": "2000-01-01T00:00:00+02:00",
            "updatedBefore": middle(jobs, "updateTime"),
        },
        lambda job, selected: parse_time(job["updateTime"]) < parse_time(selected["updatedBefore"]),
    ),
    "all at once": (
        lambda jobs: {
            "status": ["ACTIVE"],
            "nameContains": "a",
            "createdBefore": middle(jobs, "createTime"),
        },
        lambda job, selected: (
            job["status"] == "ACTIVE"
            and "a" in job["name"].casefold()
            and parse_time(job["createTime"]) < parse_time(selected["createdBefore"])
        ),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_exactly_the_matching_jobs_are_listed(
    gateway: Gateway, everything: list[Any], case: str
) -> None:
    """In the list's order; `totalCount` counts them."""
    make, passes = CASES[case]
    selected = make(everything)
    expected = [job["id"] for job in everything if passes(job, selected)]
    found = ask(gateway, filter=selected, first=500)
    assert [job["id"] for job in found["nodes"]] == expected
    assert found["totalCount"] == len(expected)
    assert expected


def test_pages_of_matches_are_full(gateway: Gateway, everything: list[Any]) -> None:
    """This holds forwards and backwards."""
    selected = {"status": ["CREATE_FAILED"]}
    expected = [job["id"] for job in everything if job["status"] == "CREATE_FAILED"]
    seen: list[str] = []
    after = None
    while True:
        found = ask(gateway, filter=selected, first=3, after=after)
        seen += [job["id"] for job in found["nodes"]]
        if not found["pageInfo"]["hasNextPage"]:
            break
        assert len(found["nodes"]) == 3
        after = found["pageInfo"]["endCursor"]
    assert seen == expected
    assert [job["id"] for job in ask(gateway, filter=selected, last=2)["nodes"]] == expected[-2:]


def test_a_search_beyond_the_budget_can_be_continued(sandbox: Sandbox) -> None:
    """With a budget of three pages, the first page has no edge, and a later one has the job."""
    with gateway_over(sandbox, max_upstream_calls=20) as plain:
        last = plain.ask(ROWS, {"last": 1}).data["audienceGenerationJobs"]["nodes"][0]
    selected = {"nameContains": last["name"], "createdBefore": "2999-01-01T00:00:00Z"}
    query = ROWS.replace("    totalCount\n", "")
    turns = 0
    with gateway_over(sandbox, max_upstream_calls=3) as gateway:
        after = None
        while True:
            answer = gateway.ask(query, {"filter": selected, "first": 1, "after": after})
            found = answer.data["audienceGenerationJobs"]
            turns += 1
            if found["nodes"] or not found["pageInfo"]["hasNextPage"]:
                break
            (note,) = answer.content["extensions"]["stoppedEarly"]
            assert note == {"path": ["audienceGenerationJobs"], "scanned": 300}
            after = found["pageInfo"]["endCursor"]
    assert [job["id"] for job in found["nodes"]] == [last["id"]]
    assert turns > 3


@pytest.fixture(scope="module")
def long_list() -> Iterator[Sandbox]:
    """Serve 6,000 jobs of ada."""
    with serve(still_sandbox(jobs=6000)) as url:
        yield Sandbox(url)


def pages(gateway: Gateway, **variables: Any) -> Iterator[Answer]:
    """Read a connection to its end, as clients do."""
    query = ROWS.replace("    totalCount\n", "")
    page_info = {"endCursor": None, "hasNextPage": True}
    while page_info["hasNextPage"]:
        answer = gateway.ask(query, {**variables, "after": page_info["endCursor"]})
        yield answer
        page_info = answer.data["audienceGenerationJobs"]["pageInfo"]


def test_no_page_of_6000_jobs_is_empty_by_default(long_list: Sandbox) -> None:
    """A filter matches the oldest 117 only, and the default budget covers the whole list."""
    with gateway_over(long_list, cache_seconds=60) as gateway:
        oldest = ask(gateway, "ada", last=118)["nodes"]
        selected = {"createdBefore": oldest[0]["createTime"]}
        answers = [*pages(gateway, filter=selected, first=20)]

    found = [answer.data["audienceGenerationJobs"]["nodes"] for answer in answers]
    assert [len(nodes) for nodes in found] == [20, 20, 20, 20, 20, 17]
    assert [job for nodes in found for job in nodes] == oldest[1:]
    assert not any("extensions" in answer.content for answer in answers)


def test_the_rate_limit_of_the_caller_ends_a_walk(long_list: Sandbox) -> None:
    """The matches so far are lost, and the error says when to try again."""
    with gateway_over(long_list, cache_seconds=0, caller_calls_per_second=1) as gateway:
        answer = gateway.ask(ROWS, {"filter": {"nameContains": "buyers"}, "first": 500})

    assert answer.content["data"] == {"audienceGenerationJobs": None}
    assert answer.code == "THROTTLED"
    assert answer.errors[0]["extensions"]["retryAfter"] > 0


def test_a_cursor_is_bound_to_its_filter(gateway: Gateway) -> None:
    """Another filter, or none, is another list; an equivalent filter is the same list."""
    one = {"status": ["ACTIVE", "CREATE_FAILED"]}
    after = ask(gateway, filter=one, first=1)["pageInfo"]["endCursor"]
    same = {"status": ["CREATE_FAILED", "ACTIVE", "ACTIVE"], "nameContains": ""}
    assert ask(gateway, filter=same, first=1, after=after)["nodes"]
    for other in ({"status": ["ACTIVE"]}, {**one, "nameContains": "a"}, None):
        variables = {"filter": other, "after": after}
        answer = gateway.ask(ROWS, variables, caller="grace")
        assert answer.code == "INVALID_CURSOR"


@pytest.mark.parametrize(
    ("selected", "named", "accepted"),
    [
        ({"startedBy": "1"}, "`filter.startedBy`", "12 characters"),
        ({"startedBy": ""}, "`filter.startedBy`", "12 characters"),
        ({"nameContains": "x" * 64}, "`filter.nameContains`", "63 characters"),
        (
            {"createdAfter": "2026-01-02T00:00:00Z", "createdBefore": "2026-01-01T00:00:00Z"},
            "`filter.createdAfter`",
            "no item can match",
        ),
        (
            {"updatedAfter": "2026-01-01T01:00:00+01:00", "updatedBefore": "2026-01-01T00:00:00Z"},
            "`filter.updatedAfter`",
            "no item can match",
        ),
        ({"status": ["ACTIVE"] * 9}, "`filter.status` has 9 statuses", "up to 8"),
    ],
)
def test_an_invalid_filter_is_an_error_without_a_call(
    gateway: Gateway, selected: Any, named: str, accepted: str
) -> None:
    answer = gateway.ask(ROWS, {"filter": selected})
    assert answer.code == "BAD_USER_INPUT"
    assert named in answer.errors[0]["message"]
    assert accepted in answer.errors[0]["message"]
    assert gateway.sandbox.calls == []


@pytest.mark.parametrize("value", ["yesterday", "2026-01-01", "2026-01-01T00:00:00", 12, "", {}])
def test_a_date_time_must_have_an_offset(gateway: Gateway, value: Any) -> None:
    answer = gateway.ask(ROWS, {"filter": {"createdAfter": value}})
    assert (answer.status, answer.code) == (400, "BAD_USER_INPUT")
    assert "RFC 3339" in answer.errors[0]["message"]
    assert gateway.sandbox.calls == []


LISTS = [
    "audienceGenerationJobs",
    "audienceExportJobs",
    "configuredAudienceModels",
    "audienceModels",
    "trainingDatasets",
]


def type_of_filter(name: str) -> str:
    return f"{name[0].upper()}{name[1:-1]}Filter"


def ask_list(gateway: Gateway, name: str, selected: Any, **variables: Any) -> Any:
    query = f"""query List($filter: {type_of_filter(name)}, $first: Int, $after: String) {{
      {name}(filter: $filter, first: $first, after: $after) {{
        totalCount nodes {{ id name status createTime updateTime }} pageInfo {{ endCursor }}
      }}
    }}"""
    variables |= {"filter": selected}
    return gateway.ask(query, variables, caller="grace").data[name]


def test_every_list_has_a_filter(gateway: Gateway) -> None:
    """Those of other objects too."""
    query = (
        "{ __schema { types { name fields { name args { name type { name } } type { name } } } } }"
    )
    types = gateway.ask(query).data["__schema"]["types"]
    lists = [
        (field["name"], {each["name"]: each["type"]["name"] for each in field["args"]})
        for each in types
        for field in each["fields"] or ()
        if (field["type"]["name"] or "").endswith("Connection")
    ]
    assert {name for name, _ in lists} >= set(LISTS)
    for name, arguments in lists:
        item = {"exportJobs": "AudienceExportJob"}.get(name, type_of_filter(name)[:-6])
        assert arguments["filter"] == f"{item}Filter", name


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(
    ("make", "passes"),
    [
        (
            lambda items: {"status": [items[0]["status"]]},
            lambda item, selected: item["status"] in selected["status"],
        ),
        (
            lambda items: {"nameContains": items[0]["name"][1:-1].upper()},
            lambda item, selected: selected["nameContains"].lower() in item["name"].lower(),
        ),
        (
            lambda items: {"createdAfter": min(each["createTime"] for each in items)},
            lambda item, selected: item["createTime"] > selected["createdAfter"],
        ),
        (
            lambda items: {"createdBefore": max(each["createTime"] for each in items)},
            lambda item, selected: item["createTime"] < selected["createdBefore"],
        ),
        (
            lambda items: {"updatedAfter": min(each["updateTime"] for each in items)},
            lambda item, selected: item["updateTime"] > selected["updatedAfter"],
        ),
        (
            lambda items: {"updatedBefore": max(each["updateTime"] for each in items)},
            lambda item, selected: item["updateTime"] < selected["updatedBefore"],
        ),
    ],
    ids=["status", "name", "created after", "created before", "updated after", "updated before"],
)
def test_all_lists_are_filtered_alike(
    gateway: Gateway,
    name: str,
    make: Callable[[list[Any]], Any],
    passes: Callable[[Any, Any], bool],
) -> None:
    everything = ask_list(gateway, name, None, first=500)["nodes"]
    selected = make(everything)
    expected = [each for each in everything if passes(each, selected)]

    found = ask_list(gateway, name, selected, first=500)

    assert found["nodes"] == expected
    assert found["totalCount"] == len(expected)


def test_the_exports_of_a_job_are_filtered(gateway: Gateway) -> None:
    query = """query ($filter: AudienceExportJobFilter) {
      audienceExportJobs(first: 1) { nodes { audienceGenerationJob {
        all: exportJobs { nodes { name } } some: exportJobs(filter: $filter) { nodes { name } }
      } } }
    }"""
    (export,) = ask_list(gateway, "audienceExportJobs", None, first=1)["nodes"]
    variables = {"filter": {"nameContains": export["name"]}}
    data = gateway.ask(query, variables, caller="grace").data
    job = data["audienceExportJobs"]["nodes"][0]["audienceGenerationJob"]
    expected = [each for each in job["all"]["nodes"] if export["name"] in each["name"]]
    assert job["some"]["nodes"] == expected != []


def test_a_part_of_a_name_is_measured_in_characters(gateway: Gateway) -> None:
    """As AWS measures names. A character may have four bytes."""
    assert ask(gateway, filter={"nameContains": "\U0001d538" * 63})["nodes"] == []


EARLY, LATE = DateTime("2026-01-02T00:00:00Z"), DateTime("2026-01-03T00:00:00Z")
ACTIVE, UNKNOWN = AudienceGenerationJobStatus.ACTIVE, AudienceGenerationJobStatus.UNKNOWN
CONDITIONS: dict[str, tuple[Any, Any]] = {
    "status": ([ACTIVE], [ACTIVE, UNKNOWN]),
    "name_contains": ("a", "a\nstartedby=111111111111"),
    "started_by": ("1" * 12, "2" * 12),
    "created_after": (EARLY, LATE),
    "created_before": (EARLY, LATE),
    "updated_after": (EARLY, LATE),
    "updated_before": (EARLY, LATE),
}
"""Two values of each condition."""


def key_of(**conditions: Any) -> str:
    found = item_filter(JOB, AudienceGenerationJobFilter(**conditions))
    return "" if found is None else found.key


def test_two_filters_have_different_keys() -> None:
    """A cursor is valid for one filter only."""
    keys = [key_of()]
    for name, values in CONDITIONS.items():
        keys += [key_of(**{name: value}) for value in values]
        others = {
            other: first for other, (first, _) in CONDITIONS.items() if "_before" not in other
        }
        if name in others:
            keys += [key_of(**{**others, name: value}) for value in values[1:]]

    assert len({*keys}) == len(keys)
    assert key_of(status=[ACTIVE, UNKNOWN]) == key_of(status=[UNKNOWN, ACTIVE, UNKNOWN])
