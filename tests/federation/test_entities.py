"""`_entities`: representations resolved with the caller's credentials."""

from base64 import b64encode
from typing import Any

import pytest

from tests.gateways import GRAPHQL, Answer, Gateway, Sandbox, gateway_over

QUERY = """query Entities($representations: [_Any!]!) {
  _entities(representations: $representations) {
    __typename
    ... on AudienceGenerationJob { id audienceGenerationJobArn name }
    ... on ConfiguredAudienceModel { id configuredAudienceModelArn name }
    ... on AudienceModel { id audienceModelArn name }
    ... on TrainingDataset { id trainingDatasetArn name }
  }
}"""

JOB = "AudienceGenerationJob"
ARN = "audienceGenerationJobArn"
LIST_FIELDS = {
    "AudienceGenerationJob": "audienceGenerationJobs",
    "ConfiguredAudienceModel": "configuredAudienceModels",
    "AudienceModel": "audienceModels",
    "TrainingDataset": "trainingDatasets",
}


def arn_field(type_name: str) -> str:
    return f"{type_name[0].lower()}{type_name[1:]}Arn"


@pytest.fixture(scope="module")
def jobs(shared_gateway: Gateway) -> list[Any]:
    return first_objects(shared_gateway)


def first_objects(gateway: Gateway, type_name: str = JOB, count: int = 3) -> list[Any]:
    """Read ada's first objects of a type from its list, and reset the recorded calls."""
    query = f"{{ {LIST_FIELDS[type_name]}(first: {count}) {{ nodes {{ __typename id name "
    found = gateway.ask(query + arn_field(type_name) + " } } }").data[LIST_FIELDS[type_name]]
    gateway.sandbox.reset()
    nodes: list[Any] = found["nodes"]
    return nodes


def representation(entity: Any, key: str = ARN) -> dict[str, Any]:
    return {"__typename": entity["__typename"], key: entity[key]}


def ask(gateway: Gateway, representations: Any, caller: str | None = "ada") -> Answer:
    return gateway.ask(QUERY, {"representations": representations}, caller=caller)


def entities(answer: Answer) -> list[Any]:
    """Return the list of entities, with or without errors."""
    assert answer.status == 200
    found: list[Any] = answer.content["data"]["_entities"]
    return found


def missing_arn(arn: str) -> str:
    """Make the ARN of an object that does not exist."""
    return arn[:-6] + ("000000" if arn[-6:] != "000000" else "111111")


@pytest.mark.parametrize("type_name", LIST_FIELDS)
@pytest.mark.parametrize("by_id", [True, False])
def test_each_key_resolves_its_entity(gateway: Gateway, type_name: str, *, by_id: bool) -> None:
    """It returns the whole object, by one Get."""
    objects = first_objects(gateway, type_name)
    key = "id" if by_id else arn_field(type_name)
    assert (
        ask(gateway, [representation(each, key) for each in objects]).data["_entities"] == objects
    )
    operations = [call["operation"] for call in gateway.sandbox.calls]
    assert operations == [f"Get{type_name}"] * len(objects)


def test_entities_are_in_order_with_duplicates(gateway: Gateway, jobs: list[Any]) -> None:
    """Types and keys are mixed and repeated, and each object is one Get."""
    first, second, _ = jobs
    model = first_objects(gateway, "ConfiguredAudienceModel")[0]
    gone = {"__typename": JOB, ARN: missing_arn(first[ARN])}
    sent = [second, first, model, second]
    representations = [representation(each, "id") for each in sent] + [
        gone,
        *(representation(each) for each in (first, second)),
        gone,
        representation(model, "configuredAudienceModelArn"),
    ]
    answer = ask(gateway, representations)
    assert answer.data["_entities"] == [*sent, None, first, second, None, model]
    operations = sorted(call["operation"] for call in gateway.sandbox.calls)
    assert operations == [f"Get{JOB}"] * 3 + ["GetConfiguredAudienceModel"]


def test_fifty_of_the_same_are_one_call(gateway: Gateway, jobs: list[Any]) -> None:
    entity = jobs[0]
    assert ask(gateway, [representation(entity)] * 50).data["_entities"] == [entity] * 50
    assert gateway.sandbox.count(f"Get{JOB}") == 1


@pytest.mark.parametrize("type_name", LIST_FIELDS)
def test_a_missing_entity_is_null(gateway: Gateway, type_name: str) -> None:
    """There is no error, as in the subgraph specification."""
    entity, key = first_objects(gateway, type_name)[0], arn_field(type_name)
    gone = {"__typename": type_name, key: missing_arn(entity[key])}
    assert ask(gateway, [gone, representation(entity, key)]).data["_entities"] == [None, entity]


def test_an_entity_of_another_caller_is_null(gateway: Gateway, jobs: list[Any]) -> None:
    entity = jobs[0]
    answer = ask(gateway, [representation(entity), representation(entity, "id")], caller="grace")
    assert answer.data["_entities"] == [None, None]
    assert entity["name"] not in str(answer.content)


def test_an_empty_list_of_representations_has_no_entities(gateway: Gateway) -> None:
    assert ask(gateway, []).data["_entities"] == []
    assert gateway.sandbox.calls == []


def test_details_of_an_entity_cost_no_more_calls(gateway: Gateway, jobs: list[Any]) -> None:
    """The Get has returned them already."""
    entity = jobs[0]
    query = """query E($r: [_Any!]!) { _entities(representations: $r) {
      ... on AudienceGenerationJob { includeSeedInOutput tags { key } collaboration { id } } } }"""
    (found,) = gateway.ask(query, {"r": [representation(entity)]}).data["_entities"]
    assert isinstance(found["includeSeedInOutput"], bool)
    assert found["tags"]
    assert gateway.sandbox.count(f"Get{JOB}") == 1
    assert len(gateway.sandbox.calls) == 1


CANARY = "canaryfortytwo"
ARN_PREFIX = "arn:aws:cleanrooms-ml:us-east-1:111122223333:audience-generation-job/"
GOOD = ARN_PREFIX + CANARY
MODEL_ARN = GOOD.replace("audience-generation-job", "audience-model")


def global_id(type_name: str, key: str) -> str:
    return b64encode(f"{type_name}:{key}".encode()).decode()


INVALID: dict[str, Any] = {
    "no type": {ARN: GOOD},
    "null type": {"__typename": None, ARN: GOOD},
    "type is a number": {"__typename": 1, ARN: GOOD},
    "type is a list": {"__typename": [JOB], ARN: GOOD},
    "type is an object": {"__typename": {"name": JOB}, ARN: GOOD},
    "empty type": {"__typename": "", ARN: GOOD},
    "type in other case": {"__typename": JOB.lower(), ARN: GOOD},
    "unknown type": {"__typename": CANARY, "id": global_id(JOB, GOOD)},
    "type that is no entity": {
        "__typename": "AudienceGenerationJobEdge",
        "id": global_id(JOB, GOOD),
    },
    "root type": {"__typename": "Query", "id": CANARY},
    "interface": {"__typename": "Node", "id": global_id(JOB, GOOD)},
    "id that no collaboration has": {"__typename": "Collaboration", "id": CANARY},
    "python name for a type": {"__typename": "__class__", ARN: GOOD},
    "no key": {"__typename": JOB},
    "both keys": {"__typename": JOB, "id": global_id(JOB, GOOD), ARN: GOOD},
    "key of another type": {"__typename": JOB, "audienceModelArn": MODEL_ARN},
    "extra field": {"__typename": JOB, ARN: GOOD, "name": CANARY},
    "extra null": {"__typename": JOB, ARN: GOOD, "name": None},
    "extra field of another's": {"__typename": JOB, ARN: GOOD, "reviews": []},
    "info": {"__typename": JOB, ARN: GOOD, "info": CANARY},
    "info instead of the key": {"__typename": JOB, "info": CANARY},
    "self": {"__typename": JOB, ARN: GOOD, "self": CANARY},
    "class": {"__typename": JOB, ARN: GOOD, "__class__": CANARY},
    "class instead of the key": {"__typename": JOB, "__class__": CANARY},
    "python name of the key": {"__typename": JOB, "audience_generation_job_arn": GOOD},
    "private field": {"__typename": JOB, ARN: GOOD, "details": {"arn": CANARY}},
    "null id": {"__typename": JOB, "id": None},
    "id is a number": {"__typename": JOB, "id": 42},
    "id is true": {"__typename": JOB, "id": True},
    "id is a list": {"__typename": JOB, "id": [global_id(JOB, GOOD)]},
    "empty id": {"__typename": JOB, "id": ""},
    "id is no base64": {"__typename": JOB, "id": f"{CANARY}!"},
    "id is an ARN": {"__typename": JOB, "id": GOOD},
    "id of another type": {"__typename": JOB, "id": global_id("AudienceModel", MODEL_ARN)},
    "id whose ARN is of another type": {"__typename": JOB, "id": global_id(JOB, MODEL_ARN)},
    "id without an ARN": {"__typename": JOB, "id": global_id(JOB, CANARY)},
    "id of another region": {
        "__typename": JOB,
        "id": global_id(JOB, GOOD.replace("us-east-1", "eu-west-1")),
    },
    "id in another writing": {"__typename": JOB, "id": global_id(JOB, GOOD) + "\n"},
    "null ARN": {"__typename": JOB, ARN: None},
    "ARN is a number": {"__typename": JOB, ARN: 42},
    "ARN is an object": {"__typename": JOB, ARN: {"eq": GOOD}},
    "empty ARN": {"__typename": JOB, ARN: ""},
    "ARN is no ARN": {"__typename": JOB, ARN: CANARY},
    "ARN of another type": {"__typename": JOB, ARN: MODEL_ARN},
    "ARN with a query behind": {"__typename": JOB, ARN: f"{GOOD}?x=1"},
    "ARN in percents": {"__typename": JOB, ARN: GOOD.replace("/", "%2F")},
    "ARN with a line break": {"__typename": JOB, ARN: f"{GOOD}\n"},
    "ARN of another region": {"__typename": JOB, ARN: GOOD.replace("us-east-1", "eu-west-1")},
    "ARN of an odd region": {"__typename": JOB, ARN: GOOD.replace("us-east-1", "evil.example")},
    "million characters": {"__typename": JOB, ARN: ARN_PREFIX + CANARY * 10_000},
    "empty object": {},
    "a text": CANARY,
    "an ARN": GOOD,
    "a number": 42,
    "a list": [{"__typename": JOB, ARN: GOOD}],
}


@pytest.mark.parametrize("invalid", INVALID.values(), ids=INVALID)
def test_an_invalid_representation_is_null_in_its_place(
    gateway: Gateway, jobs: list[Any], invalid: Any
) -> None:
    """One error has its index and not its value; the others are whole, and there is no call."""
    entity = jobs[0]
    answer = ask(gateway, [representation(entity), invalid, representation(entity, "id")])
    assert entities(answer) == [entity, None, entity]
    assert answer.code == "BAD_USER_INPUT"
    assert answer.errors[0]["path"] == ["_entities", 1]
    message = answer.errors[0]["message"]
    assert message.endswith(".")
    assert "Accepted: " in message
    assert CANARY not in str(answer.content)
    for word in ("Traceback", "argument '", "takes", "keyword", "NoneType", "dict", "object at 0x"):
        assert word not in message
    parameters = [call["parameters"] for call in gateway.sandbox.calls]
    assert parameters == [{ARN: entity[ARN]}]


def test_a_failed_get_is_an_error_in_its_places(gateway: Gateway, jobs: list[Any]) -> None:
    first, second, _ = jobs
    gateway.sandbox.fault("denied", operation=f"Get{JOB}", times=1)
    answer = ask(
        gateway, [representation(first), representation(second), representation(first, "id")]
    )
    found = entities(answer)
    failed = {place for place, entity in enumerate(found) if entity is None}
    assert failed in ({0, 2}, {1})
    assert {tuple(error["path"]) for error in answer.errors} == {
        ("_entities", place) for place in failed
    }
    assert {error["extensions"]["code"] for error in answer.errors} == {"FORBIDDEN"}


def ask_in_fields(gateway: Gateway, lists: list[list[Any]]) -> Answer:
    """Send each list in a field of its own, as a router merges them."""
    declared = " ".join(f"$_v{n}_representations: [_Any!]!" for n in range(len(lists)))
    fields = " ".join(
        f"_v{n}__entities: _entities(representations: $_v{n}_representations)"
        f" {{ __typename ... on {JOB} {{ name }} }}"
        for n in range(len(lists))
    )
    variables = {f"_v{n}_representations": each for n, each in enumerate(lists)}
    return gateway.ask(f"query Page({declared}) {{ {fields} }}", variables)


def test_lists_of_a_merged_document_are_each_answered(gateway: Gateway, jobs: list[Any]) -> None:
    """They count toward neither root fields nor aliases, and each object is fetched once."""
    lists = [[representation(jobs[n % 3])] for n in range(60)]
    found = ask_in_fields(gateway, lists).data
    assert found == {
        f"_v{n}__entities": [{"__typename": JOB, "name": jobs[n % 3]["name"]}] for n in range(60)
    }
    assert gateway.sandbox.count(f"Get{JOB}") == 3


@pytest.mark.parametrize(("sizes", "refused"), [([250, 250], False), ([250, 251], True)])
def test_representations_of_all_fields_are_limited_together(
    gateway: Gateway,
    jobs: list[Any],
    sizes: list[int],
    refused: bool,  # noqa: FBT001 - a case
) -> None:
    answer = ask_in_fields(gateway, [[representation(jobs[0])] * size for size in sizes])
    assert answer.status == 200
    if refused:
        assert (answer.code, answer.content["data"]) == ("LIMIT_EXCEEDED", None)
        assert "up to 500 (GATEWAY_LIMIT_IDS)" in answer.errors[0]["message"]
        assert gateway.sandbox.calls == []
    else:
        assert [len(each) for each in answer.data.values()] == sizes


@pytest.mark.parametrize("accept", [GRAPHQL, "*/*"], ids=["GraphQL", "anything"])
@pytest.mark.parametrize("count", [501, 3_000])
def test_too_many_representations_are_rejected(gateway: Gateway, count: int, accept: str) -> None:
    """One error names the limit, the status is 200, data is null, and there is no call."""
    query = "query E($r: [_Any!]!) { _entities(representations: $r) { __typename } }"
    sent = {"r": [{"__typename": JOB, ARN: "x"}] * count}
    with gateway_over(gateway.sandbox, limit_body_bytes=2**22) as roomy:
        answer = roomy.ask(query, sent, headers={"Accept": accept})
    assert answer.code == "LIMIT_EXCEEDED"
    assert "500" in answer.errors[0]["message"]
    assert gateway.sandbox.calls == []
    assert answer.status == 200
    assert "data" in answer.content
    assert answer.content["data"] is None


def test_the_maximum_of_representations_is_answered(gateway: Gateway, jobs: list[Any]) -> None:
    entity = jobs[0]
    assert ask(gateway, [representation(entity)] * 500).data["_entities"] == [entity] * 500
    assert gateway.sandbox.count(f"Get{JOB}") == 1


def test_entities_count_toward_the_detail_budget(sandbox: Sandbox, jobs: list[Any]) -> None:
    """Each object counts once."""
    with gateway_over(sandbox, max_detail_calls=2, cache_seconds=0) as gateway:
        first, second, third = jobs
        repeated = [representation(each, key) for key in (ARN, "id") for each in (first, second)]
        assert ask(gateway, repeated).data["_entities"] == [first, second] * 2
        sandbox.reset()
        answer = ask(gateway, [*repeated, representation(third)])
    assert {error["extensions"]["code"] for error in answer.errors} == {"LIMIT_EXCEEDED"}
    assert "GATEWAY_MAX_DETAIL_CALLS" in answer.errors[0]["message"]
    assert sandbox.count(f"Get{JOB}") <= 2


def test_a_cached_entity_of_another_caller_is_not_read(sandbox: Sandbox, jobs: list[Any]) -> None:
    with gateway_over(sandbox, cache_seconds=60) as gateway:
        entity = jobs[0]
        for caller, found in {"ada": entity, "ada_again": entity, "grace": None}.items():
            assert ask(gateway, [representation(entity)], caller).data["_entities"] == [found]
        assert ask(gateway, [representation(entity)], caller=None).code == "UNAUTHENTICATED"
    assert sandbox.count(f"Get{JOB}") == 3


@pytest.mark.parametrize("invalid", [None, [None]], ids=["null", "null within"])
def test_null_representations_are_invalid_input(gateway: Gateway, invalid: Any) -> None:
    answer = ask(gateway, invalid)
    assert answer.code == "BAD_USER_INPUT"
    assert not answer.content.get("data")
    assert gateway.sandbox.calls == []


def test_an_arn_with_path_segments_stays_one_parameter(gateway: Gateway) -> None:
    """AWS's pattern allows dots and slashes; they do not change the request path."""
    arn = f"{GOOD}/../../training-dataset"
    assert ask(gateway, [{"__typename": JOB, ARN: arn}]).data["_entities"] == [None]
    (call,) = gateway.sandbox.calls
    assert (call["operation"], call["parameters"]) == (f"Get{JOB}", {ARN: arn})


@pytest.mark.parametrize("written", ['"%s"', "$arn"], ids=["literal", "variable within"])
def test_representations_may_be_literals(gateway: Gateway, jobs: list[Any], written: str) -> None:
    entity = jobs[0]
    arn = written.replace("%s", entity[ARN])
    declared = "($arn: String!)" if "$" in written else ""
    query = f"""query E{declared} {{
      _entities(representations: [{{ __typename: "{JOB}", {ARN}: {arn} }}]) {{
        ... on {JOB} {{ name }} }} }}"""
    found = gateway.ask(query, {"arn": entity[ARN]}).data
    assert found == {"_entities": [{"name": entity["name"]}]}


def test_without_a_caller_entities_are_errors_with_status_200(
    gateway: Gateway, jobs: list[Any]
) -> None:
    """A router discards the body of a 401."""
    first, second, _ = jobs
    answer = ask(gateway, [representation(first), representation(second)], caller=None)
    assert entities(answer) == [None, None]
    errors = [(error["extensions"]["code"], error["path"]) for error in answer.errors]
    assert errors == [("UNAUTHENTICATED", ["_entities", place]) for place in (0, 1)]
    assert gateway.sandbox.calls == []


@pytest.mark.parametrize("caller", ["expired", None])
def test_expired_credentials_get_the_response_of_missing_ones(
    gateway: Gateway, jobs: list[Any], caller: str | None
) -> None:
    answer = ask(gateway, [representation(jobs[0])], caller=caller)
    assert entities(answer) == [None]
    assert answer.code == "UNAUTHENTICATED"


@pytest.mark.parametrize("invalid", [INVALID["extra field"], INVALID["ARN of another region"]])
def test_an_invalid_representation_without_a_caller_is_an_error(
    gateway: Gateway, invalid: Any
) -> None:
    answer = ask(gateway, [invalid], caller=None)
    assert entities(answer) == [None]
    assert answer.code in {"BAD_USER_INPUT", "UNAUTHENTICATED"}
    assert CANARY not in str(answer.content)


def test_an_entity_equals_its_row_and_its_object(gateway: Gateway, jobs: list[Any]) -> None:
    entity = jobs[0]
    fields = f"id {ARN} name status updateTime"
    query = f"""query E($r: [_Any!]!, $arn: String!) {{
      _entities(representations: $r) {{ ... on {JOB} {{ {fields} }} }}
      audienceGenerationJob({ARN}: $arn) {{ {fields} }}
      audienceGenerationJobs(first: 1) {{ nodes {{ {fields} }} }} }}"""
    found = gateway.ask(query, {"r": [representation(entity)], "arn": entity[ARN]}).data
    (row,) = found["audienceGenerationJobs"]["nodes"]
    assert found["_entities"] == [row]
    assert found["audienceGenerationJob"] == row


def test_an_entity_is_read_in_the_region_of_its_arn(sandbox: Sandbox) -> None:
    """One request may read two regions."""
    query = f"""query L($region: String) {{ {LIST_FIELDS[JOB]}(first: 1, region: $region) {{
      nodes {{ __typename id name {ARN} }} }} }}"""
    regions = ["us-east-1", "eu-west-1"]
    with gateway_over(sandbox, regions=regions, cache_seconds=0) as gateway:
        regional = [
            gateway.ask(query, {"region": region}).data[LIST_FIELDS[JOB]]["nodes"][0]
            for region in regions
        ]
        sandbox.reset()
        answer = ask(gateway, [representation(job, key) for key in (ARN, "id") for job in regional])
    assert answer.data["_entities"] == regional * 2
    assert sorted(call["region"] for call in sandbox.calls) == sorted(regions)
