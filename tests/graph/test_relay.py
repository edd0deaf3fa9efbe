"""Relay's specifications against the running gateway; names carry the checklist's numbers."""

from typing import Any

import pytest

from gateway.sandbox import CALLERS
from tests.gateways import Answer, Gateway, Sandbox, gateway_over

PAGE = """
query Page($first: Int, $after: String, $last: Int, $before: String, $model: String) {
  audienceGenerationJobs(
    first: $first, after: $after, last: $last, before: $before, configuredAudienceModelArn: $model
  ) {
    edges { cursor node { id name } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""
NAMES = "{ audienceGenerationJobs(first: 500) { nodes { id name } } }"


def page(gateway: Gateway, caller: str = "grace", **variables: Any) -> Any:
    return gateway.ask(PAGE, variables, caller=caller).data["audienceGenerationJobs"]


def ids(connection: Any) -> list[str]:
    return [edge["node"]["id"] for edge in connection["edges"]]


@pytest.fixture(scope="module")
def cached(shared_sandbox: Sandbox) -> Any:
    """Cache pages throughout: these tests read the same list over and over."""
    with gateway_over(shared_sandbox, cache_seconds=3600) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def all_ids(cached: Gateway) -> list[str]:
    nodes = cached.ask(NAMES, caller="grace").data["audienceGenerationJobs"]["nodes"]
    return [node["id"] for node in nodes]


@pytest.mark.parametrize(
    "firsts",
    [[20], [99], [100], [101], [240], [500], [1, 99, 1, 100], [7, 93, 101], [1, 239]],
    ids=str,
)
def test_11_13_14_20_forwards_every_job_once(
    cached: Gateway, all_ids: list[str], firsts: list[int]
) -> None:
    """Pages end at and around the ends of AWS's pages; the pager's own tests draw any sizes."""
    seen: list[str] = []
    after = None
    for turn in range(len(all_ids)):
        connection = page(cached, first=firsts[turn % len(firsts)], after=after)
        seen += ids(connection)
        info = connection["pageInfo"]
        assert info["startCursor"] == connection["edges"][0]["cursor"]
        assert info["endCursor"] == connection["edges"][-1]["cursor"]
        assert info["hasPreviousPage"] == (after is not None)
        if not info["hasNextPage"]:
            break
        after = info["endCursor"]
    assert seen == all_ids


@pytest.mark.parametrize("lasts", [[20], [99, 1], [100], [101, 7], [240], [500]], ids=str)
def test_12_13_14_21_backwards_every_job_once(
    cached: Gateway, all_ids: list[str], lasts: list[int]
) -> None:
    """Each page is in the list's order, not reversed."""
    seen: list[str] = []
    before = None
    for turn in range(len(all_ids)):
        connection = page(cached, last=lasts[turn % len(lasts)], before=before)
        seen = ids(connection) + seen
        if not connection["pageInfo"]["hasPreviousPage"]:
            break
        before = connection["pageInfo"]["startCursor"]
    assert seen == all_ids


@pytest.mark.parametrize("at", [0, 1, 99, 100, 198, 199, 238, 239])
def test_11_any_edge_resumes_after_itself(cached: Gateway, all_ids: list[str], at: int) -> None:
    """The edge is within a page, at its end, or at the end of the list."""
    edges = page(cached, first=500)["edges"]
    assert ids(page(cached, first=2, after=edges[at]["cursor"])) == all_ids[at + 1 : at + 3]
    assert ids(page(cached, last=2, before=edges[at]["cursor"])) == all_ids[max(at - 2, 0) : at]


def test_15_18_first_and_last_together(cached: Gateway, all_ids: list[str]) -> None:
    """`first` from the front, then `last` from the back of that; both booleans are exact."""
    connection = page(cached, first=10, last=3)
    assert ids(connection) == all_ids[7:10]
    assert connection["pageInfo"]["hasNextPage"]
    assert connection["pageInfo"]["hasPreviousPage"]


def test_17_zero_is_legal(gateway: Gateway) -> None:
    """There are no edges and no cursors, and no call unless a selected field needs one."""
    query = "{ audienceGenerationJobs(first: 0) { edges { cursor } pageInfo { endCursor } } }"
    connection = gateway.ask(query).data["audienceGenerationJobs"]
    assert connection == {"edges": [], "pageInfo": {"endCursor": None}}
    assert gateway.sandbox.calls == []
    assert page(gateway, first=0)["pageInfo"]["hasNextPage"]


@pytest.mark.parametrize("argument", ["first", "last"])
@pytest.mark.parametrize("value", [-1, 501, -(2**31), 2**31 - 1])
def test_17_other_amounts_are_errors(gateway: Gateway, argument: str, value: int) -> None:
    """The error names the argument and what is accepted; AWS is not called."""
    answer = gateway.ask(PAGE, {argument: value})
    assert answer.code == "BAD_USER_INPUT"
    assert f"`{argument}`" in answer.errors[0]["message"]
    assert "0 to 500" in answer.errors[0]["message"]
    assert answer.status == 200
    assert gateway.sandbox.calls == []


@pytest.mark.parametrize("value", [2**31, 2**62, "10", 1.5, True, [], {}])
def test_17_a_variable_that_is_not_an_int_is_rejected(gateway: Gateway, value: Any) -> None:
    answer = gateway.ask(PAGE, {"first": value})
    assert (answer.status, answer.code) == (400, "BAD_USER_INPUT")
    assert gateway.sandbox.calls == []


def test_20_a_token_is_not_a_next_page(gateway: Gateway) -> None:
    """If AWS's token leads to empty pages only, `hasNextPage` is false."""
    gateway.sandbox.fault("short-pages", size=1)
    gateway.sandbox.fault("empty-pages", count=2)
    connection = page(gateway, caller="edith", first=6)
    assert connection["pageInfo"]["hasNextPage"]
    connection = page(gateway, caller="edith", first=1, after=connection["pageInfo"]["endCursor"])
    assert len(connection["edges"]) == 1
    assert not connection["pageInfo"]["hasNextPage"]


def test_22_only_a_selected_has_next_page_costs_a_call(gateway: Gateway) -> None:
    """A full page without `hasNextPage` is one call; with it, two."""
    query = "{ audienceGenerationJobs(first: 100) { nodes { id } pageInfo { endCursor %s } } }"
    gateway.ask(query % "")
    assert gateway.sandbox.count() == 1
    gateway.ask(query % "... on PageInfo @include(if: true) { more: hasNextPage }")
    assert gateway.sandbox.count() == 3
    gateway.ask(query % "hasNextPage @skip(if: true)")
    assert gateway.sandbox.count() == 4


@pytest.mark.parametrize("argument", ["after", "before"])
@pytest.mark.parametrize("cursor", ["x", "AAAA", "é", "\u0000", "A" * 70_000, "=" * 8, " "])
def test_16_a_malformed_cursor_is_an_error(gateway: Gateway, argument: str, cursor: str) -> None:
    """Relay would ignore it and start over unnoticed (see README)."""
    answer = gateway.ask(PAGE, {argument: cursor})
    assert answer.code == "INVALID_CURSOR"
    assert f"`{argument}`" in answer.errors[0]["message"]
    assert gateway.sandbox.calls == []


def test_16_a_cursor_of_another_list_is_an_error(gateway: Gateway) -> None:
    """A cursor belongs to one field, one set of filters and one region; `first` may change."""
    connection = page(gateway, first=1)
    cursor = connection["pageInfo"]["endCursor"]
    model = gateway.ask(
        "{ audienceGenerationJobs(first: 1) { nodes { configuredAudienceModelArn } } }",
        caller="grace",
    ).data["audienceGenerationJobs"]["nodes"][0]["configuredAudienceModelArn"]
    gateway.sandbox.reset()
    answer = gateway.ask(PAGE, {"after": cursor, "model": model}, caller="grace")
    assert answer.code == "INVALID_CURSOR"
    assert gateway.sandbox.calls == []


def test_an_empty_cursor_counts_as_absent(gateway: Gateway) -> None:
    """Some clients send "" for the first page."""
    assert ids(page(gateway, first=2, after="")) == ids(page(gateway, first=2))


def test_tokens_of_the_maximum_length_work(gateway: Gateway) -> None:
    gateway.sandbox.fault("long-tokens")
    first = page(gateway, first=150)
    assert len(first["pageInfo"]["endCursor"]) > 10_240
    second = page(gateway, first=90, after=first["pageInfo"]["endCursor"])
    gateway.sandbox.reset()
    assert ids(first) + ids(second) == ids(page(gateway, first=240))


NODE = """
query Node($id: ID!) {
  node(id: $id) { __typename id ... on AudienceGenerationJob { name tags { key } } }
}
"""
NODES = (
    "query Nodes($ids: [ID!]!) { nodes(ids: $ids) { id ... on AudienceGenerationJob { name } } }"
)


def test_27_29_31_an_id_fetches_its_object_again(gateway: Gateway) -> None:
    node = page(gateway, first=1)["edges"][0]["node"]
    again = gateway.ask(NODE, {"id": node["id"]}, caller="grace").data["node"]
    assert again["__typename"] == "AudienceGenerationJob"
    assert (again["id"], again["name"]) == (node["id"], node["name"])


def test_31_one_answer_shows_an_object_in_one_state(gateway: Gateway) -> None:
    """If List and Get differ, both places show what was read first."""
    gateway.sandbox.fault("unknown-status", operation="ListAudienceGenerationJobs", rows=1)
    node = page(gateway, first=1)["edges"][0]["node"]
    query = """query Both($id: ID!) {
      audienceGenerationJobs(first: 1) { nodes { ...F } }
      node(id: $id) { ...F }
      detailed: audienceGenerationJobs(first: 1) { nodes { ...F tags { key } } }
    } fragment F on AudienceGenerationJob { id name status updateTime description }"""
    data = gateway.ask(query, {"id": node["id"]}, caller="grace").data
    detailed = data["detailed"]["nodes"][0]
    assert data["audienceGenerationJobs"]["nodes"][0] == data["node"]
    assert {name: detailed[name] for name in data["node"]} == data["node"]


def test_30_an_object_that_does_not_exist_is_null(gateway: Gateway) -> None:
    """Another account's job does not exist for the caller."""
    node = page(gateway, first=1)["edges"][0]["node"]
    answer = gateway.ask(NODE, {"id": node["id"]}, caller="edith")
    assert answer.data == {"node": None}


def test_a_malformed_id_is_an_error(gateway: Gateway) -> None:
    """It must not look like a deleted object."""
    for text in ("", "x", CALLERS["ada"].account_id, "QXVkaWVuY2U6eA=="):
        answer = gateway.ask(NODE, {"id": text})
        assert answer.code == "BAD_USER_INPUT"
        assert "`id`" in answer.errors[0]["message"]
        assert answer.content["data"] == {"node": None}
    assert gateway.sandbox.calls == []


def test_32_to_35_nodes_correspond_to_their_ids(gateway: Gateway) -> None:
    """They are in order and repeated like their ids; a malformed id gives null."""
    one, two = ids(page(gateway, first=2))
    wanted = [two, "malformed", one, two]
    nodes = gateway.ask(NODES, {"ids": wanted}, caller="grace").data["nodes"]
    assert [node and node["id"] for node in nodes] == [two, None, one, two]
    assert gateway.sandbox.count("GetAudienceGenerationJob") == 2
    assert gateway.ask(NODES, {"ids": []}).data == {"nodes": []}


def test_32_too_many_ids_are_rejected(gateway: Gateway) -> None:
    answer: Answer = gateway.ask(NODES, {"ids": ["x"] * 501})
    assert answer.code == "LIMIT_EXCEEDED"
    assert "500" in answer.errors[0]["message"]
