"""Completing objects in batches returns what graphql-core returns for the same data as dicts."""

import asyncio
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, cast
from uuid import UUID

import orjson
import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    build_schema,
    execute_sync,
    get_named_type,
    is_leaf_type,
    parse,
    validate,
)
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.credentials import Caller
from gateway.errors import GatewayError, NotFoundError, ThrottledError
from gateway.graph.context import Context
from gateway.graph.execution.batch import Batch, ObjectBatch
from gateway.graph.execution.engine import Engine, GraphRequest, GraphResult
from gateway.graph.meter import Meter
from gateway.graph.node import to_global_id
from gateway.graph.projections import projections
from gateway.graph.schema import build_schema as build_gateway_schema
from gateway.graph.schema import client_sdl, executable_schema
from gateway.graph.types.audience_generation_job import JOB
from gateway.settings import Settings
from gateway.upstream.cache.cached_client import CachedClient
from gateway.upstream.cache.memory import Stored, Version
from gateway.upstream.loader import (
    DETAIL_CALLS,
    PAGE_CALLS,
    CallBudget,
    RequestLoader,
)
from gateway.upstream.values import Item, Page, UpstreamRequest

SCHEMA = executable_schema(build_gateway_schema())
REFERENCE = build_schema(client_sdl())
SETTINGS = Settings(limit_aliases=10_000, limit_directives=10_000, limit_tokens=100_000)
ARN = "arn:aws:cleanrooms-ml:us-east-1:123456789012"
TIMES = {"createTime": "2026-01-02T03:04:05.678Z", "updateTime": "2026-01-02T03:04:05Z"}
MAX_DEPTH = 6


def arn(kind: str, number: int) -> str:
    return f"{ARN}:{kind}/{number:08}-0000-4000-8000-000000000000"


def job_row(number: int, model: int, *, full: bool, status: str) -> dict[str, Any]:
    required = {
        "audienceGenerationJobArn": arn("audience-generation-job", number),
        "configuredAudienceModelArn": arn("configured-audience-model", model),
        "name": f"job {number} é",
        "status": status,
        **TIMES,
    }
    optional = {"collaborationId": str(UUID(int=1)), "description": "d", "startedBy": "1" * 12}
    return required | optional if full else required


def job_detail(row: dict[str, Any], tags: dict[str, str], size: int | None) -> dict[str, Any]:
    detail: dict[str, Any] = {**row, "tags": tags, "includeSeedInOutput": bool(tags)}
    if size is not None:
        detail["metrics"] = {
            "relevanceMetrics": [
                {"audienceSize": {"type": "PERCENTAGE", "value": n}, "score": n}
                for n in range(size)
            ],
            "recallMetric": 0.5,
        }
        detail["seedAudience"] = {
            "roleArn": "role",
            "sqlComputeConfiguration": {"worker": {"type": "CR.1X", "number": 2}},
        }
        detail["statusDetails"] = {"statusCode": "X"}
    return detail


def model_row(number: int) -> dict[str, Any]:
    return {
        "configuredAudienceModelArn": arn("configured-audience-model", number),
        "audienceModelArn": arn("audience-model", number),
        "name": f"model {number}",
        "status": "ACTIVE",
        "outputConfig": {"destination": {"s3Destination": {"s3Uri": "s3://b"}}, "roleArn": "r"},
        **TIMES,
    }


def model_detail(number: int) -> dict[str, Any]:
    return {
        **model_row(number),
        "sharedAudienceMetrics": ["ALL", "SOMETHING_NEW"],
        "audienceSizeConfig": {"audienceSizeType": "ABSOLUTE", "audienceSizeBins": [1, 2, 3]},
        "tags": {},
    }


def export_row(job: str, number: int) -> dict[str, Any]:
    return {
        "audienceGenerationJobArn": job,
        "name": f"export {number}",
        "status": "ACTIVE",
        "audienceSize": {"type": "ABSOLUTE", "value": number},
        **TIMES,
    }


class Account:
    """The data of one caller: stands in for CachedClient, and returns the expected objects."""

    def __init__(self, jobs: list[dict[str, Any]]) -> None:
        self.projections = projections()
        self._jobs = {each["audienceGenerationJobArn"]: each for each in jobs}
        self.errors: dict[str, GatewayError] = {}
        """ARN -> the error of its Get operation."""

    async def cached(self, *_: Any, **__: Any) -> None:
        """Nothing is cached."""

    async def fetch(self, _: Caller, request: UpstreamRequest[Any], **__: Any) -> Any:
        return Stored(self.read(request), 0.0, Version(math.inf), 0.0)

    def read(self, request: UpstreamRequest[Any]) -> Any:
        """Return a page or an object, or raise its error."""
        parameters = dict(request.parameters)
        if request.operation == "ListAudienceGenerationJobs":
            return Page(self.job_rows(), None)
        if request.operation == "ListAudienceExportJobs":
            return Page(self.export_rows(parameters["audienceGenerationJobArn"]), None)
        (key,) = parameters.values()
        if key in self.errors:
            raise self.errors[key]
        if request.operation == "GetAudienceGenerationJob":
            return self._jobs[key]
        number = int(key.rsplit("/", 1)[1].split("-")[0])
        if number == 0:
            raise NotFoundError("AWS has no such object.")
        return model_detail(number)

    def job_rows(self) -> list[Item]:
        row = ("audienceGenerationJobArn", "configuredAudienceModelArn", "name", "status")
        members = {*row, "createTime", "updateTime", "collaborationId", "description", "startedBy"}
        return [{n: v for n, v in job.items() if n in members} for job in self._jobs.values()]

    def export_rows(self, job: str) -> list[Item]:
        return [export_row(job, number) for number in range(2)]

    def expected_jobs(self) -> list[dict[str, Any]]:
        linked: dict[str, Any] = {}
        nodes = [self._expected_job(each, linked) for each in self._jobs.values()]
        linked |= {
            "nodes": nodes,
            "edges": [{"node": each} for each in nodes],
            "totalCount": len(nodes),
            "statusCounts": status_counts(Counter(node["status"] for node in nodes)),
        }
        return nodes

    def _expected_job(self, job: dict[str, Any], linked: dict[str, Any]) -> dict[str, Any]:
        """Return a job; `linked` is the connection of the objects that link back to jobs."""
        key = job["audienceGenerationJobArn"]
        number = int(job["configuredAudienceModelArn"].rsplit("/", 1)[1].split("-")[0])
        seed = job.get("seedAudience")
        if seed is not None:
            seed = {**seed, "sqlComputeConfiguration": {"worker": {"type": "CR_1X", "number": 2}}}
        known = {"ACTIVE", "CREATE_FAILED"}
        collaboration = job.get("collaborationId")
        return {
            **job,
            "__typename": "AudienceGenerationJob",
            "id": to_global_id("AudienceGenerationJob", key),
            "status": job["status"] if job["status"] in known else "UNKNOWN",
            "tags": [{"key": k, "value": v} for k, v in job["tags"].items()],
            "seedAudience": seed,
            "collaboration": collaboration
            and {"id": collaboration, "audienceGenerationJobs": linked},
            "configuredAudienceModel": self._expected_model(number, linked) if number else None,
            "exportJobs": self._expected_exports(key),
        }

    def _expected_model(self, number: int, linked: dict[str, Any]) -> dict[str, Any]:
        return {
            **model_detail(number),
            "id": to_global_id("ConfiguredAudienceModel", arn("configured-audience-model", number)),
            "sharedAudienceMetrics": ["ALL", "UNKNOWN"],
            "tags": [],
            "audienceModel": None,
            "audienceGenerationJobs": linked,
        }

    def _expected_exports(self, job: str) -> dict[str, Any]:
        exports = self.export_rows(job)
        nodes = [
            {
                **each,
                "id": to_global_id(
                    "AudienceExportJob",
                    orjson.dumps([job, each["name"], each["createTime"]]).decode(),
                ),
            }
            for each in exports
        ]
        return {"nodes": nodes, "edges": [{"node": each} for each in nodes], "totalCount": 2}


@st.composite
def jobs(draw: st.DrawFn) -> list[dict[str, Any]]:
    statuses = st.sampled_from(["ACTIVE", "CREATE_FAILED", "PAUSED_TOMORROW"])
    result = []
    for number in range(draw(st.integers(0, 4))):
        row = job_row(
            number, draw(st.integers(0, 2)), full=draw(st.booleans()), status=draw(statuses)
        )
        tags = draw(st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2))
        result.append(job_detail(row, tags, draw(st.none() | st.integers(0, 2))))
    return result


class Selections:
    """Draws selection sets: with aliases, directives, and fragments."""

    UNKNOWN = frozenset({"cursor", "pageInfo", "audienceGenerationJob", "audienceModel"})
    """Fields that the reference has no data for."""
    MAX_FIELDS = 5

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._aliases = 0

    def of(self, of_type: GraphQLObjectType | GraphQLInterfaceType, depth: int = MAX_DEPTH) -> str:
        names = [
            name
            for name, field in of_type.fields.items()
            if name not in self.UNKNOWN and (depth or is_leaf_type(get_named_type(field.type)))
        ]
        drawn = self._draw(
            st.lists(st.sampled_from([*names, "__typename"]), min_size=1, max_size=self.MAX_FIELDS)
        )
        return f"{{ {' '.join(self._selection(of_type, name, depth) for name in drawn)} }}"

    def _selection(self, of_type: Any, name: str, depth: int) -> str:
        below = ""
        if name != "__typename":
            inner = get_named_type(of_type.fields[name].type)
            below = "" if is_leaf_type(inner) else self.of(cast("Any", inner), depth - 1)
        selected = f"{self.alias(below)} {name} {self.switch()} {below}"
        wrap: Callable[[str], str] = self._draw(
            st.sampled_from([lambda text: text, lambda text: f"... on {of_type.name} {{ {text} }}"])
        )
        return wrap(selected)

    def alias(self, _: str) -> str:
        self._aliases += 1
        return f"a{self._aliases}:"

    def switch(self) -> str:
        switches = ["", "", "@skip(if: true)", "@include(if: true)", "@skip(if: $no)"]
        return self._draw(st.sampled_from(switches))


@st.composite
def queries(draw: st.DrawFn) -> str:
    selections = Selections(draw)
    job = cast("GraphQLObjectType", REFERENCE.type_map["AudienceGenerationJob"])
    connection = cast("GraphQLObjectType", REFERENCE.type_map["AudienceGenerationJobConnection"])
    return (
        "query ($no: Boolean!, $ids: [ID!]!) {"
        f" audienceGenerationJobs(first: 5) {selections.of(connection)}"
        f" nodes(ids: $ids) {{ __typename ... on AudienceGenerationJob {selections.of(job)} }}"
        " _: __typename @skip(if: $no) }"
    )


def context_of(account: Account, settings: Settings = SETTINGS) -> Context:
    deadline = asyncio.get_running_loop().time() + 60
    loader = RequestLoader(
        cast("CachedClient", account),
        Caller.from_keys("ASIA" + "A" * 16, "secret", "token"),
        fresh=False,
        deadline=deadline,
        page_budget=CallBudget(1000, PAGE_CALLS),
        item_budget=CallBudget(1000, DETAIL_CALLS),
    )
    meter = Meter(settings, deadline=deadline)
    return Context(settings=settings, loader_or_error=loader, meter=meter)


async def run(
    account: Account, query: str, variables: dict[str, Any] | None = None, **settings: int
) -> GraphResult:
    configured = SETTINGS.model_copy(update=settings)
    context = context_of(account, configured)
    request = GraphRequest(query, None, variables or {})
    return await Engine(SCHEMA, configured).run(request, context, read_only=False)


def decoded(result: GraphResult) -> str:
    """Return the data as JSON text, in which the order of fields shows."""
    return json.dumps(orjson.loads(orjson.dumps(result.data)))


UNLIMITED = {"limit_fields": 10**9, "max_detail_calls": 10**9}
"""Lists in lists ask for much, of the few objects that there are."""


def status_counts(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the field's value, in the order in which the schema has the statuses."""
    names = cast("GraphQLEnumType", REFERENCE.type_map["AudienceGenerationJobStatus"]).values
    return [{"status": name, "count": counts[name]} for name in names if name in counts]


@given(jobs(), queries())
async def test_both_ways_return_the_same(rows: list[dict[str, Any]], query: str) -> None:
    account = Account(rows)
    nodes = account.expected_jobs()
    edges = [{"node": node} for node in nodes]
    root = {
        "audienceGenerationJobs": {
            "edges": edges,
            "nodes": nodes,
            "totalCount": len(nodes),
            "statusCounts": status_counts(Counter(node["status"] for node in nodes)),
        },
        "nodes": [*reversed(nodes), None],
    }
    variables = {"no": False, "ids": [*(node["id"] for node in reversed(nodes)), "none"]}
    document = parse(query)
    assert not validate(REFERENCE, document)
    expected = execute_sync(REFERENCE, document, root, variable_values=variables)

    result = await run(account, query, variables, **UNLIMITED)

    assert expected.errors is None
    assert result.errors == []
    assert decoded(result) == json.dumps(expected.data)


JOBS = [job_detail(job_row(n, 1, full=True, status="ACTIVE"), {"k": "v"}, 2) for n in range(60)]
DETAILS = (
    "{ audienceGenerationJobs(first: 60) { nodes { name tags { key } metrics { recallMetric } } } }"
)

METRICS = """{ audienceGenerationJobs(first: 60) { nodes {
  metrics { relevanceMetrics { score } }
} } }"""


async def test_an_error_that_rows_share_is_listed_once_for_each_field() -> None:
    account = Account(JOBS)
    throttled = ThrottledError("Slow down.")
    account.errors = {each["audienceGenerationJobArn"]: throttled for each in JOBS[10:]}

    result = await run(account, DETAILS)

    assert [error["path"][2:] for error in result.errors] == [[10, "tags"], [10, "metrics"]]
    assert result.extensions == {"errorsOmitted": 98}
    rows = orjson.loads(decoded(result))["audienceGenerationJobs"]["nodes"]
    assert [row["tags"] for row in rows] == [[{"key": "k"}]] * 10 + [None] * 50


async def test_slices_adapt_to_lists_inside_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their lengths are known once the first objects are completed."""
    rows = [job_detail(job_row(n, 1, full=True, status="ACTIVE"), {}, 50) for n in range(300)]
    slices = []

    def complete(batch: ObjectBatch, start: int, stop: int) -> Any:
        slices.append(stop - start)
        return Batch.complete(batch, start, stop)

    monkeypatch.setattr(ObjectBatch, "complete", complete)
    result = await run(Account(rows), METRICS.replace("60", "300"))

    assert result.errors == []
    assert sum(slices) == 300
    assert set(slices[1:-1]) == {4}  # of 52 values each


async def test_at_most_fifty_errors_are_listed() -> None:
    account = Account(JOBS)
    account.errors = {
        each["audienceGenerationJobArn"]: ThrottledError("Slow down.") for each in JOBS
    }

    result = await run(account, DETAILS)

    assert len(result.errors) == 50
    assert result.extensions == {"errorsOmitted": 70}


@pytest.mark.parametrize(
    ("query", "setting", "exceeded", "allowed"),
    [
        ("{ audienceGenerationJobs(first: 60) { nodes { name } } }", "limit_rows", 59, 60),
        ("{ audienceGenerationJobs(first: 60) { totalCount } }", "limit_rows", 119, 120),
        # The field, `nodes`, and of each of 60 rows `metrics`, a list of two, and both scores:
        # the estimate assumes one element where the service model has no maximum.
        (
            METRICS,
            "limit_fields",
            2 + 60 * 4 - 1,
            2 + 60 * 4,
        ),
        (
            "{ audienceGenerationJobs(first: 60) { nodes { name } } }",
            "limit_answer_bytes",
            900,
            1300,
        ),
    ],
)
async def test_a_limit_ends_the_operation_without_data(
    query: str, setting: str, exceeded: int, allowed: int
) -> None:
    """The estimate passes: it is the work itself that is counted."""
    account = Account(JOBS)

    ended = await run(account, query, None, **{setting: exceeded})
    passed = await run(account, query, None, **{setting: allowed})

    assert (ended.data, ended.executed) == (None, False)
    (error,) = ended.errors
    assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
    assert f"GATEWAY_{setting.upper()}" in error["message"]
    assert passed.errors == []


def test_an_object_has_a_source_for_each_field() -> None:
    """Fields without one have a resolver: connections, which graphql-core executes."""
    job = cast("GraphQLObjectType", SCHEMA.type_map["AudienceGenerationJob"])
    assert set(job.fields) - set(JOB.scalar_fields) - set(JOB.sources) == {"exportJobs"}
