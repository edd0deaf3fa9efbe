"""Entities of which only keys are selected: answered from the key, for every type and key."""

import json
from typing import Any, cast

import pytest
from graphql import GraphQLAbstractType

from gateway.graph.node import ENTITY_TYPES, to_global_id
from gateway.graph.schema import build_schema, executable_schema
from tests.federation.test_entities import INVALID
from tests.gateways import Answer, Gateway, Sandbox, gateway_over
from tests.hostile.maximal_upstream import arn_of

JOB = "AudienceGenerationJob"
JOB_ARN = "audienceGenerationJobArn"

SCHEMA = executable_schema(build_schema())

OTHER_KEYS = {
    "AudienceExportJob": json.dumps(
        [arn_of(JOB_ARN, 7), "an export", "2026-01-02T03:04:05Z"], separators=(",", ":")
    ),
    "Collaboration": "00000000-0000-4000-8000-000000000000",
}
"""The keys of types without an ARN."""


def types_of(name: str) -> set[str]:
    """Return the names of the object types that an interface or a union has."""
    abstract = cast("GraphQLAbstractType", SCHEMA.type_map[name])
    return {each.name for each in SCHEMA.get_possible_types(abstract)}


def keys_of(type_name: str) -> dict[str, str]:
    """Return the values of all keys of an object, which does not exist."""
    keys = {key: arn_of(key, 7) for key in ENTITY_TYPES[type_name].keys if key != "id"}
    own_key = next(iter(keys.values()), None) or OTHER_KEYS[type_name]
    return {
        "id": to_global_id(type_name, own_key) if type_name in types_of("Node") else own_key,
        **keys,
    }


ENTITIES = {name: keys_of(name) for name in sorted(types_of("_Entity"))}
BY_KEY = [(type_name, key) for type_name, keys in ENTITIES.items() for key in keys]


def ask(
    gateway: Gateway, selection: str, representations: list[Any], caller: str | None = "ada"
) -> Answer:
    query = f"query E($r: [_Any!]!) {{ _entities(representations: $r) {{ {selection} }} }}"
    headers = {"X-Gateway-Cost": "1"}
    return gateway.ask(query, {"r": representations}, caller=caller, headers=headers)


def everything(type_name: str) -> str:
    """Select all that any key gives."""
    return f"__typename ... on {type_name} {{ {' '.join(ENTITIES[type_name])} }}"


def estimated_calls(answer: Answer) -> int:
    details: int = answer.content["extensions"]["cost"]["estimate"]["details"]
    return details


def test_every_object_type_of_the_domain_is_an_entity() -> None:
    """Those that no other subgraph can refer to are parts of others."""
    assert types_of("_Entity") == types_of("Node") | {"Collaboration"}


@pytest.mark.parametrize(("type_name", "key"), BY_KEY)
def test_each_key_gives_all_keys_without_a_call(gateway: Gateway, type_name: str, key: str) -> None:
    """Whether there is such an object or not. The estimate knows it."""
    keys = ENTITIES[type_name]
    answer = ask(gateway, everything(type_name), [{"__typename": type_name, key: keys[key]}])

    assert answer.data["_entities"] == [{"__typename": type_name, **keys}]
    assert gateway.sandbox.calls == []
    assert estimated_calls(answer) == 0


SELECTIONS = {
    "nothing but the type": "__typename",
    "an alias": f"... on {JOB} {{ name: id }}",
    "the interface": "... on Node { id }",
    "nested fragments": f"... on {JOB} {{ ... {{ ... on Node {{ ... on {JOB} {{ id }} }} }} }}",
    "the union": f"... on _Entity {{ ... on {JOB} {{ {JOB_ARN} }} }}",
    "a directive": f"... on {JOB} {{ id @include(if: true) }}",
    "more of other types": f"... on {JOB} {{ id }} ... on AudienceModel {{ name kmsKeyArn }}",
}


@pytest.mark.parametrize("selection", SELECTIONS.values(), ids=SELECTIONS)
def test_keys_are_recognized_in_any_selection(gateway: Gateway, selection: str) -> None:
    answer = ask(gateway, selection, [{"__typename": JOB, JOB_ARN: ENTITIES[JOB][JOB_ARN]}])

    assert len(answer.data["_entities"]) == 1
    assert answer.data["_entities"][0] is not None
    assert gateway.sandbox.calls == []
    assert estimated_calls(answer) == 0


def test_each_entity_has_lists_of_its_own(gateway: Gateway) -> None:
    """The estimate counts them all, though no entity is fetched."""
    ids = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(3)]
    representations = [{"__typename": "Collaboration", "id": each} for each in ids]
    selection = "... on Collaboration { audienceGenerationJobs(first: 1) { nodes { id } } }"
    answer = ask(gateway, selection, representations)

    assert answer.data["_entities"] == [{"audienceGenerationJobs": {"nodes": []}}] * 3
    assert gateway.sandbox.count() == len(gateway.sandbox.calls) == 3
    assert estimated_calls(answer) == 3


@pytest.mark.parametrize(
    "selection",
    [
        f"... on {JOB} {{ id: name }}",
        f"... on {JOB} {{ id ... on Node {{ ... on {JOB} {{ name }} }} }}",
        f"... on {JOB} {{ id exportJobs(first: 0) {{ nodes {{ id }} }} }}",
        f"... on {JOB} {{ id collaboration {{ id }} }}",
    ],
)
def test_an_entity_with_any_other_field_is_fetched(gateway: Gateway, selection: str) -> None:
    """It is null if it does not exist."""
    answer = ask(gateway, selection, [{"__typename": JOB, JOB_ARN: ENTITIES[JOB][JOB_ARN]}])

    assert answer.data["_entities"] == [None]
    assert [each["operation"] for each in gateway.sandbox.calls] == [f"Get{JOB}"]
    assert estimated_calls(answer) >= 1


def test_fields_that_are_skipped_are_not_selected(gateway: Gateway) -> None:
    selection = f"... on {JOB} {{ id name @include(if: false) tags @skip(if: true) {{ key }} }}"
    answer = ask(gateway, selection, [{"__typename": JOB, "id": ENTITIES[JOB]["id"]}])

    assert answer.data["_entities"] == [{"id": ENTITIES[JOB]["id"]}]
    assert gateway.sandbox.calls == []
    assert estimated_calls(answer) == 0


def test_fields_of_one_object_are_read_by_one_call_in_however_many_places(
    gateway: Gateway,
) -> None:
    """Of lists that name the same object, those of which only keys are selected count nothing."""
    found = gateway.ask("{ audienceGenerationJobs(first: 1) { nodes { id name } } }").data
    (job,) = found["audienceGenerationJobs"]["nodes"]
    gateway.sandbox.reset()
    query = f"""query E($r: [_Any!]!) {{
      keys: _entities(representations: $r) {{ ... on {JOB} {{ id }} }}
      names: _entities(representations: $r) {{ ... on {JOB} {{ name }} }}
      again: _entities(representations: $r) {{ ... on {JOB} {{ id name }} }} }}"""
    variables = {"r": [{"__typename": JOB, "id": job["id"]}]}
    answer = gateway.ask(query, variables, headers={"X-Gateway-Cost": "1"})

    assert answer.data == {
        "keys": [{"id": job["id"]}],
        "names": [{"name": job["name"]}],
        "again": [job],
    }
    assert gateway.sandbox.count(f"Get{JOB}") == 1
    assert estimated_calls(answer) == 1


def test_keys_tell_nothing_of_whether_an_object_exists(gateway: Gateway) -> None:
    """Its owner, other callers, and those of an object that does not exist get the same."""
    found = gateway.ask(
        f"{{ audienceGenerationJobs(first: 1) {{ nodes {{ {JOB_ARN} id }} }} }}"
    ).data
    (job,) = found["audienceGenerationJobs"]["nodes"]
    gateway.sandbox.reset()
    for caller in ("ada", "grace"):
        for each in (job, ENTITIES[JOB]):
            answer = ask(gateway, everything(JOB), [{"__typename": JOB, "id": each["id"]}], caller)
            assert answer.data["_entities"] == [{"__typename": JOB, **each}]
    assert gateway.sandbox.calls == []


@pytest.mark.parametrize(("type_name", "key"), BY_KEY)
def test_keys_too_require_authentication(gateway: Gateway, type_name: str, key: str) -> None:
    named = {"__typename": type_name, key: ENTITIES[type_name][key]}
    answer = ask(gateway, everything(type_name), [named], caller=None)

    assert answer.code == "UNAUTHENTICATED"
    assert answer.content["data"] == {"_entities": [None]}


@pytest.mark.parametrize("invalid", INVALID.values(), ids=INVALID)
def test_an_invalid_key_is_null_in_its_place(gateway: Gateway, invalid: Any) -> None:
    good = {"__typename": JOB, "id": ENTITIES[JOB]["id"]}
    answer = ask(gateway, "__typename", [good, invalid, good])

    assert answer.code == "BAD_USER_INPUT"
    assert answer.errors[0]["path"] == ["_entities", 1]
    assert answer.content["data"]["_entities"] == [{"__typename": JOB}, None, {"__typename": JOB}]
    assert gateway.sandbox.calls == []


@pytest.mark.parametrize(("type_name", "key"), BY_KEY)
def test_a_damaged_key_is_refused(gateway: Gateway, type_name: str, key: str) -> None:
    value = ENTITIES[type_name][key]
    damaged = (f"{value} ", f" {value}", value.replace("0", "?"), value[:8], "")
    named = [{"__typename": type_name, key: each} for each in damaged]
    answer = ask(gateway, "__typename", named)

    codes = {tuple(each["path"]): each["extensions"]["code"] for each in answer.errors}
    assert codes == {("_entities", index): "BAD_USER_INPUT" for index in range(len(named))}
    assert answer.content["data"]["_entities"] == [None] * len(named)


@pytest.mark.parametrize(
    "export",
    [
        '["{arn}", "x", "2026-01-02T03:04:05Z"]',
        '["{arn}","x"]',
        '["{arn}","x",1]',
        '["arn","x","2026-01-02T03:04:05Z"]',
        '{{"arn":"{arn}"}}',
    ],
)
def test_an_export_has_one_id_only(gateway: Gateway, export: str) -> None:
    """What decodes to the same values in another writing is no id, nor is what lacks some."""
    key = export.format(arn=arn_of(JOB_ARN, 7))
    named = {"__typename": "AudienceExportJob", "id": to_global_id("AudienceExportJob", key)}

    assert ask(gateway, "__typename", [named]).code == "BAD_USER_INPUT"


@pytest.mark.parametrize("type_name", [name for name in ENTITIES if name != "Collaboration"])
def test_a_key_of_a_region_that_is_not_served_is_refused(sandbox: Sandbox, type_name: str) -> None:
    with gateway_over(sandbox, region="eu-west-1") as gateway:
        for key, value in ENTITIES[type_name].items():
            answer = ask(gateway, "__typename", [{"__typename": type_name, key: value}])
            assert answer.code == "BAD_USER_INPUT"
            assert "Accepted: eu-west-1." in answer.errors[0]["message"]


def test_representations_are_limited_whatever_is_selected(gateway: Gateway) -> None:
    named = [{"__typename": JOB, "id": ENTITIES[JOB]["id"]}]
    assert len(ask(gateway, "__typename", named * 500).data["_entities"]) == 500
    assert ask(gateway, "__typename", named * 501).code == "LIMIT_EXCEEDED"


def test_nodes_and_links_are_fetched_whatever_is_selected(gateway: Gateway) -> None:
    """They are null if they do not exist."""
    gone = {"id": ENTITIES[JOB]["id"]}
    nodes = "query N($id: ID!) { node(id: $id) { id } nodes(ids: [$id]) { id } }"
    assert gateway.ask(nodes, gone).data == {"node": None, "nodes": [None]}
    assert gateway.sandbox.count(f"Get{JOB}") == 1

    links = "{ audienceGenerationJobs(first: 1) { nodes { configuredAudienceModel { id } } } }"
    gateway.ask(links)
    assert gateway.sandbox.count("GetConfiguredAudienceModel") == 1


def test_an_export_is_an_entity(gateway: Gateway) -> None:
    """Its fields are read from the list of its job."""
    query = "{ audienceExportJobs(first: 1) { nodes { id name status audienceGenerationJobArn } } }"
    (export,) = gateway.ask(query).data["audienceExportJobs"]["nodes"]
    gateway.sandbox.reset()
    selection = "... on AudienceExportJob { id name status audienceGenerationJobArn }"
    named = {"__typename": "AudienceExportJob", "id": export["id"]}

    answer = ask(gateway, selection, [named])

    assert answer.data["_entities"] == [export]
    assert {each["operation"] for each in gateway.sandbox.calls} == {"ListAudienceExportJobs"}
    assert estimated_calls(answer) == 1
