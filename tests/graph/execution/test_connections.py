"""Connections that are executed without Strawberry give what graphql-core gives for the same data.

The reference is graphql-core alone, with the schema as clients see it and objects as dicts.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any, cast

import pytest
from graphql import ExecutionResult, GraphQLError, GraphQLObjectType, execute, parse, validate
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.graph.execution.engine import GraphResult
from gateway.graph.pagination.cursor import decode_cursor, listing_digest
from gateway.graph.pagination.ordering import paginate_ordered
from gateway.graph.pagination.pager import PageArguments, paginate
from gateway.graph.pagination.result import PageResult
from gateway.graph.pagination.source import UpstreamList
from gateway.graph.types.audience_export_job import EXPORT_JOB
from gateway.graph.types.audience_generation_job import JOB
from gateway.graph.types.filter import AudienceGenerationJobFilter, item_filter
from gateway.graph.types.order import (
    AudienceGenerationJobOrder,
    AudienceGenerationJobOrderField,
    OrderDirection,
    item_order,
)
from gateway.graph.types.resource_type import ResourceType
from gateway.graph.types.statuses import AudienceGenerationJobStatus
from gateway.upstream.values import PAGE_SIZE, Item, Listing, Page
from tests.graph.execution.test_executor import (
    REFERENCE,
    Account,
    Selections,
    decoded,
    job_detail,
    job_row,
    jobs,
    run,
    status_counts,
)

ROWS = [job_row(n, 1, full=True, status=("ACTIVE", "CREATE_FAILED")[n % 2]) for n in range(4)]
Node = dict[str, Any]

LINKS_BACK = {
    "collaboration": "collaborationId",
    "configuredAudienceModel": "configuredAudienceModelArn",
}
"""Field of a job -> its key, of the objects that have `audienceGenerationJobs`."""


@dataclass
class Reference:
    """Resolves connections over the data of an account as a resolver of graphql-core would."""

    account: Account
    nodes: dict[str, Node] = field(default_factory=dict)
    """ARN -> what the fields of a job show."""

    def root(self) -> dict[str, Any]:
        rows = self.account.job_rows()
        for row, node in zip(rows, self.account.expected_jobs(), strict=True):
            self.nodes[row[JOB.arn_member]] = {**node, "exportJobs": self._exports(row, node)}
            for link, key in LINKS_BACK.items():
                if linked := node[link]:
                    filters = ((key, row[key]),)
                    self.nodes[row[JOB.arn_member]][link] = {
                        **linked,
                        "audienceGenerationJobs": self._jobs(rows, filters),
                    }
        return {"audienceGenerationJobs": self._jobs(rows)}

    def _jobs(
        self, rows: Sequence[Item], filters: tuple[tuple[str, str], ...] = ()
    ) -> Callable[..., Awaitable[Node]]:
        return self._resolver(JOB, rows, lambda row: self.nodes[row[JOB.arn_member]], filters)

    def _exports(self, row: Item, job: Node) -> Callable[..., Awaitable[Node]]:
        key = row[JOB.arn_member]
        rows = self.account.export_rows(key)
        nodes = dict(zip((each["name"] for each in rows), job["exportJobs"]["nodes"], strict=True))
        return self._resolver(
            EXPORT_JOB, rows, lambda each: nodes[each["name"]], ((JOB.arn_member, key),)
        )

    def _resolver(
        self,
        resource: ResourceType,
        rows: Sequence[Item],
        node_of: Callable[[Item], Node],
        filters: tuple[tuple[str, str], ...] = (),
    ) -> Callable[..., Awaitable[Node]]:
        listing = Listing(resource.list_operation, "us-east-1", filters)

        async def load(_: str | None, __: int = PAGE_SIZE) -> Page:
            return Page([*rows], None)

        async def resolve(
            _: Any,
            filter: Any = None,  # noqa: A002  the schema's names
            orderBy: Any = None,  # noqa: N803
            **arguments: Any,
        ) -> Node:
            filtered = item_filter(resource, _filter(filter))
            order = item_order(_order(orderBy))
            filter_key, order_key = filtered.key if filtered else "", order.name if order else ""
            digest = listing_digest(listing, filter_key, order_key)
            relay = [arguments.get(name) for name in ("first", "after", "last", "before")]
            source = UpstreamList(digest, resource, load, filtered.matches if filtered else None)
            page: PageResult
            if order is None:
                positions = PageArguments.parse(partial(decode_cursor, digest), *relay)
                page = await paginate(positions, source, look_around=True)
            else:
                ranks = PageArguments.parse(partial(order.decode, digest), *relay)
                page = await paginate_ordered(ranks, source, order, look_around=True)
            nodes = list(map(node_of, page.items))
            counts = await page.counts.by_status()
            assert counts is not None
            cursors = [each.decode() for each in page.cursors(0, len(nodes))]
            return {
                "nodes": nodes,
                "edges": [
                    {"cursor": cursor, "node": node}
                    for cursor, node in zip(cursors, nodes, strict=True)
                ],
                "pageInfo": {
                    "hasNextPage": page.has_next,
                    "hasPreviousPage": page.has_previous,
                    "startCursor": page.start_cursor,
                    "endCursor": page.end_cursor,
                },
                "totalCount": counts.total(),
                "statusCounts": status_counts(counts),
            }

        return resolve


def _order(arguments: dict[str, str] | None) -> AudienceGenerationJobOrder | None:
    if arguments is None:
        return None
    return AudienceGenerationJobOrder(
        field=AudienceGenerationJobOrderField[arguments["field"]],
        direction=OrderDirection[arguments["direction"]],
    )


def _filter(arguments: dict[str, Any] | None) -> AudienceGenerationJobFilter | None:
    if arguments is None:
        return None
    statuses = [AudienceGenerationJobStatus[name] for name in arguments.get("status") or []]
    return AudienceGenerationJobFilter(status=statuses, name_contains=arguments.get("nameContains"))


class _ConnectionQueries(Selections):
    """Draws queries of several connections, with arguments that are valid or not."""

    UNKNOWN = frozenset({"audienceGenerationJob", "audienceModel"})
    MAX_FIELDS = 3

    def query(self) -> str:
        connection = cast(
            "GraphQLObjectType", REFERENCE.type_map["AudienceGenerationJobConnection"]
        )
        field = "audienceGenerationJobs"
        roots = [
            f"r{n}: {field}{self._arguments()} {self.switch()} {self.of(connection, 4)}"
            for n in range(self._draw(st.integers(1, 3)))
        ]
        return (
            "query ($no: Boolean!, $n: Int, $five: Int = 5, $after: String, $text: String, "
            "$filter: AudienceGenerationJobFilter, $direction: OrderDirection = ASC) { "
            f"{' '.join(roots)} _: __typename @skip(if: $no) ...UseOfAllVariables }} "
            "fragment UseOfAllVariables on Query { "
            f"x: {field}(first: $n, last: $five, after: $after, filter: $filter) @skip(if: true)"
            f"{{ totalCount }} y: {field}(filter: {{ nameContains: $text }}) @skip(if: true)"
            "{ totalCount } "
            f"z: {field}(orderBy: {{ field: NAME, direction: $direction }}) @skip(if: true)"
            "{ totalCount } }"
        )

    def alias(self, below: str) -> str:
        """Sometimes let objects of the same name be merged."""
        alias = super().alias(below)
        return self._one_of("", alias) if below else alias

    def _arguments(self) -> str:
        drawn = {
            "first": self._one_of("", "", "0", "1", "3", "-1", "501", "null", "$n", "$five"),
            "last": self._one_of("", "", "", "1", "2", "-1", "$n"),
            "after": self._one_of("", "", '""', '"x"', "null", "$after"),
            "before": self._one_of("", "", "", '"x"', "$after"),
            "filter": self._one_of(
                *("", "", "{}", "null", "$filter", "{ status: ACTIVE }", "{ nameContains: $text }"),
                "{ status: [CREATE_FAILED], nameContains: $text }",
            ),
            "orderBy": self._one_of(
                *("", "", "", "null", "{ field: NAME, direction: DESC }"),
                *("{ field: STATUS, direction: ASC }", "{ field: NAME, direction: $direction }"),
            ),
        }
        given = " ".join(f"{name}: {value}" for name, value in drawn.items() if value)
        return f"({given})" if given else ""

    def _one_of(self, *choices: str) -> str:
        return self._draw(st.sampled_from(choices))


@st.composite
def queries(draw: st.DrawFn) -> str:
    return _ConnectionQueries(draw).query()


VARIABLES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"no": st.booleans()},
    optional={
        "n": st.sampled_from([None, 0, 2, -1, "2", 2.0, True]),
        "five": st.sampled_from([None, 1]),
        "direction": st.sampled_from(["ASC", "DESC", "UP"]),
        "after": st.sampled_from([None, "", "x", 5]),
        "text": st.sampled_from([None, "job", "2", 3]),
        "filter": st.sampled_from(
            [None, {}, {"status": "ACTIVE"}, {"status": ["ACTIV"]}, {"missing": 1}, []]
        ),
        "undefined": st.just(1),
    },
)


async def both(
    account: Account, query: str, variables: dict[str, Any], **settings: int
) -> tuple[GraphResult, ExecutionResult]:
    """Execute a query in both ways."""
    document = parse(query)
    assert validate(REFERENCE, document) == []
    reference = execute(
        REFERENCE,
        document,
        Reference(account).root(),
        variable_values=variables,
        hide_suggestions=True,
    )
    expected = await reference if isinstance(reference, Awaitable) else reference
    return await run(account, query, variables, **settings), expected


def described(error: GraphQLError) -> tuple[str, Any, Any, str]:
    original = error.original_error
    code = original.code if isinstance(original, GatewayError) else "BAD_USER_INPUT"
    locations = [each.formatted for each in error.locations or []]
    return error.message, error.path, locations, code


def in_order(errors: list[Any]) -> list[str]:
    return sorted(map(repr, errors))


@given(jobs(), queries(), VARIABLES)
async def test_both_ways_return_the_same(
    rows: list[Node], query: str, variables: dict[str, Any]
) -> None:
    """The same data, errors, and no extensions."""
    result, expected = await both(Account(rows), query, variables)

    assert result.extensions == {}
    assert decoded(result) == json.dumps(expected.data)
    found = [
        (each["message"], each.get("path"), each["locations"], each["extensions"]["code"])
        for each in result.errors
    ]
    assert in_order(found) == in_order([described(each) for each in expected.errors or []])


PAGE = """{ edges { cursor node { name } } nodes { name } totalCount
  pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }"""


async def test_pages_have_the_same_contents() -> None:
    """Whatever the arguments that select them."""
    account = Account([job_detail(row, {}, None) for row in ROWS])
    edges, _ = await both(account, "{ audienceGenerationJobs { edges { cursor } } }", {})
    cursors = [
        edge["cursor"] for edge in json.loads(decoded(edges))["audienceGenerationJobs"]["edges"]
    ]
    places = ("", *(f'after: "{each}"' for each in cursors), f'before: "{cursors[2]}"')
    roots = [
        f"r{n}: audienceGenerationJobs({' '.join(arguments)} region: null) {PAGE}"
        for n, arguments in enumerate(
            product(("", "first: 0", "first: 1", "first: 3"), ("", "last: 2"), places)
        )
    ]

    query = f"{{ {' '.join(roots)} }}"
    result, expected = await both(account, query, {}, limit_root_fields=100, max_upstream_calls=100)

    assert (result.errors, expected.errors) == ([], None)
    assert decoded(result) == json.dumps(expected.data)


async def test_fields_of_one_name_are_merged() -> None:
    query = """{
      audienceGenerationJobs(first: 2) { edges { cursor } pageInfo { endCursor } nodes { id } }
      ... on Query { audienceGenerationJobs(first: 2) { edges { node { name } } ...Page } }
    }
    fragment Page on AudienceGenerationJobConnection {
      pageInfo { hasNextPage __typename } nodes { status } totalCount
    }"""
    rows = [job_detail(row, {}, None) for row in ROWS]

    result, expected = await both(Account(rows), query, {})

    assert result.errors == []
    assert decoded(result) == json.dumps(expected.data)


class BrokenAccount(Account):
    """Its exports have no size, which no export may lack."""

    def export_rows(self, job: str) -> list[Item]:
        return [{**each, "audienceSize": None} for each in super().export_rows(job)]


@pytest.mark.parametrize("path", [("nodes",), ("edges", "node")])
async def test_a_row_that_fails_makes_its_connection_null(path: tuple[str, ...]) -> None:
    """`edges` and `nodes` may not be null, nor their elements."""
    selected = " { ".join([*path, "audienceSize { value }"]) + " }" * len(path)
    query = (
        f"{{ audienceGenerationJobs(first: 2) {{ nodes {{ name exportJobs {{ {selected} "
        "pageInfo { endCursor } totalCount } } } }"
    )
    account = BrokenAccount([job_detail(row, {}, None) for row in ROWS])

    result, expected = await both(account, query, {})

    assert decoded(result) == json.dumps(expected.data)
    assert '"exportJobs": null' in decoded(result)
    assert expected.errors is not None
    assert in_order([each["path"] for each in result.errors]) == in_order(
        [each.path for each in expected.errors]
    )
