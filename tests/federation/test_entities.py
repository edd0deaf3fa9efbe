"""Representations, straight to the gateway: a name each, fetched under the caller's credentials."""

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
KINDS = {
    "AudienceGenerationJob": "audienceGenerationJobs",
    "ConfiguredAudienceModel": "configuredAudienceModels",
    "AudienceModel": "audienceModels",
    "TrainingDataset": "trainingDatasets",
}


def arn_field(type_name: str) -> str:
    """Name the key that is an ARN."""
    return f"{type_name[0].lower()}{type_name[1:]}Arn"


@pytest.fixture(scope="module")
def jobs(shared_gateway: Gateway) -> list[Any]:
    """Give three of ada's jobs."""
    return stored(shared_gateway)


def stored(gateway: Gateway, type_name: str = JOB, count: int = 3) -> list[Any]:
    """Give ada's first objects of a type, as the list tells them; forget the calls."""
    query = f"{{ {KINDS[type_name]}(first: {count}) {{ nodes {{ __typename id name "
    found = gateway.ask(query + arn_field(type_name) + " } } }").data[KINDS[type_name]]
    gateway.sandbox.reset()
    nodes: list[Any] = found["nodes"]
    return nodes


def named(entity: Any, key: str = ARN) -> dict[str, Any]:
    """Name an object by its type and one key."""
    return {"__typename": entity["__typename"], key: entity[key]}


def ask(gateway: Gateway, representations: Any, caller: str | None = "ada") -> Answer:
    """Ask for entities, whatever is sent for representations."""
    return gateway.ask(QUERY, {"representations": representations}, caller=caller)


def entities(answer: Answer) -> list[Any]:
    """Give what stands in the places, which are there with and without errors."""
    assert answer.status == 200
    found: list[Any] = answer.content["data"]["_entities"]
    return found


def unstored(arn: str) -> str:
    """Change an ARN's last characters, so that nothing is there."""
    return arn[:-6] + ("000000" if arn[-6:] != "000000" else "111111")


@pytest.mark.parametrize("type_name", KINDS)
@pytest.mark.parametrize("by_id", [True, False])
def test_each_entity_by_each_key(gateway: Gateway, type_name: str, *, by_id: bool) -> None:
    """By `id` and by ARN: the whole object, by one Get each."""
    objects = stored(gateway, type_name)
    key = "id" if by_id else arn_field(type_name)
    assert ask(gateway, [named(each, key) for each in objects]).data["_entities"] == objects
    operations = [call["operation"] for call in gateway.sandbox.calls]
    assert operations == [f"Get{type_name}"] * len(objects)


def test_one_to_one_in_order_with_duplicates(gateway: Gateway, jobs: list[Any]) -> None:
    """All types and keys mixed and repeated: each in its place, each object asked for once."""
    first, second, _ = jobs
    model = stored(gateway, "ConfiguredAudienceModel")[0]
    gone = {"__typename": JOB, ARN: unstored(first[ARN])}
    sent = [second, first, model, second]
    representations = [named(each, "id") for each in sent] + [
        gone,
        *(named(each) for each in (first, second)),
        gone,
        named(model, "configuredAudienceModelArn"),
    ]
    answer = ask(gateway, representations)
    assert answer.data["_entities"] == [*sent, None, first, second, None, model]
    operations = sorted(call["operation"] for call in gateway.sandbox.calls)
    assert operations == [f"Get{JOB}"] * 3 + ["GetConfiguredAudienceModel"]


def test_fifty_of_the_same_are_one_call(gateway: Gateway, jobs: list[Any]) -> None:
    """Repetition multiplies the answer, not the cost."""
    entity = jobs[0]
    assert ask(gateway, [named(entity)] * 50).data["_entities"] == [entity] * 50
    assert gateway.sandbox.count(f"Get{JOB}") == 1


@pytest.mark.parametrize("type_name", KINDS)
def test_what_does_not_exist_is_null(gateway: Gateway, type_name: str) -> None:
    """Null in its place and no error, as the subgraph specification has it."""
    entity, key = stored(gateway, type_name)[0], arn_field(type_name)
    gone = {"__typename": type_name, key: unstored(entity[key])}
    assert ask(gateway, [gone, named(entity, key)]).data["_entities"] == [None, entity]


def test_anothers_is_null(gateway: Gateway, jobs: list[Any]) -> None:
    """Grace names ada's job, and learns nothing of it."""
    entity = jobs[0]
    answer = ask(gateway, [named(entity), named(entity, "id")], caller="grace")
    assert answer.data["_entities"] == [None, None]
    assert entity["name"] not in str(answer.content)


def test_none_asked_none_given(gateway: Gateway) -> None:
    """An empty list has an empty answer."""
    assert ask(gateway, []).data["_entities"] == []
    assert gateway.sandbox.calls == []


def test_details_and_links_of_an_entity(gateway: Gateway, jobs: list[Any]) -> None:
    """What an entity has beyond its row costs nothing more: the Get has told it already."""
    entity = jobs[0]
    query = """query E($r: [_Any!]!) { _entities(representations: $r) {
      ... on AudienceGenerationJob { includeSeedInOutput tags { key } collaboration { id } } } }"""
    (found,) = gateway.ask(query, {"r": [named(entity)]}).data["_entities"]
    assert isinstance(found["includeSeedInOutput"], bool)
    assert found["tags"]
    assert gateway.sandbox.count(f"Get{JOB}") == 1
    assert len(gateway.sandbox.calls) == 1


CANARY = "canaryfortytwo"
FORM = "arn:aws:cleanrooms-ml:us-east-1:111122223333:audience-generation-job/"
GOOD = FORM + CANARY
MODEL_ARN = GOOD.replace("audience-generation-job", "audience-model")


def global_id(type_name: str, key: str) -> str:
    """Write an id as the gateway would."""
    return b64encode(f"{type_name}:{key}".encode()).decode()


WRONG: dict[str, Any] = {
    "no type": {ARN: GOOD},
    "null type": {"__typename": None, ARN: GOOD},
    "type is a number": {"__typename": 1, ARN: GOOD},
    "type is a list": {"__typename": [JOB], ARN: GOOD},
    "type is an object": {"__typename": {"name": JOB}, ARN: GOOD},
    "empty type": {"__typename": "", ARN: GOOD},
    "type in other case": {"__typename": JOB.lower(), ARN: GOOD},
    "unknown type": {"__typename": CANARY, "id": global_id(JOB, GOOD)},
    "type that is no entity": {"__typename": "AudienceExportJob", "id": global_id(JOB, GOOD)},
    "root type": {"__typename": "Query", "id": CANARY},
    "interface": {"__typename": "Node", "id": global_id(JOB, GOOD)},
    "the stub, which others resolve": {"__typename": "Collaboration", "id": CANARY},
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
    "million characters": {"__typename": JOB, ARN: FORM + CANARY * 10_000},
    "empty object": {},
    "a text": CANARY,
    "an ARN": GOOD,
    "a number": 42,
    "a list": [{"__typename": JOB, ARN: GOOD}],
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_representation_is_null_in_its_place(
    gateway: Gateway, jobs: list[Any], wrong: Any
) -> None:
    """One error at its index, which repeats nothing; the others are whole; AWS hears nothing."""
    entity = jobs[0]
    answer = ask(gateway, [named(entity), wrong, named(entity, "id")])
    assert entities(answer) == [entity, None, entity]
    assert answer.code == "BAD_USER_INPUT"
    assert answer.errors[0]["path"] == ["_entities", 1]
    message = answer.errors[0]["message"]
    assert message.endswith(".")
    assert CANARY not in str(answer.content)
    for word in ("Traceback", "argument '", "takes", "keyword", "NoneType", "dict", "object at 0x"):
        assert word not in message
    asked = [call["parameters"] for call in gateway.sandbox.calls]
    assert asked == [{ARN: entity[ARN]}]


def test_a_fault_is_an_error_in_its_place(gateway: Gateway, jobs: list[Any]) -> None:
    """One Get that fails nulls its own places, and no other."""
    first, second, _ = jobs
    gateway.sandbox.fault("denied", operation=f"Get{JOB}", times=1)
    answer = ask(gateway, [named(first), named(second), named(first, "id")])
    found = entities(answer)
    failed = {place for place, entity in enumerate(found) if entity is None}
    assert failed in ({0, 2}, {1})
    assert {tuple(error["path"]) for error in answer.errors} == {
        ("_entities", place) for place in failed
    }
    assert {error["extensions"]["code"] for error in answer.errors} == {"FORBIDDEN"}


@pytest.mark.parametrize("accept", [GRAPHQL, "*/*"], ids=["GraphQL", "anything"])
@pytest.mark.parametrize("count", [501, 10_000])
def test_too_many_representations_are_refused(gateway: Gateway, count: int, accept: str) -> None:
    """One error that names the limit, whatever they are, as a 200 with data null, and no call."""
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


def test_as_many_as_accepted_are_answered(gateway: Gateway, jobs: list[Any]) -> None:
    """The limit itself is within it."""
    entity = jobs[0]
    assert ask(gateway, [named(entity)] * 500).data["_entities"] == [entity] * 500
    assert gateway.sandbox.count(f"Get{JOB}") == 1


def test_entities_have_the_budget_of_details(sandbox: Sandbox, jobs: list[Any]) -> None:
    """Each object counts once; more objects than the budget are LIMIT_EXCEEDED, not Gets."""
    with gateway_over(sandbox, max_detail_calls=2, cache_seconds=0) as gateway:
        first, second, third = jobs
        repeated = [named(each, key) for key in (ARN, "id") for each in (first, second)]
        assert ask(gateway, repeated).data["_entities"] == [first, second] * 2
        sandbox.reset()
        answer = ask(gateway, [*repeated, named(third)])
    assert {error["extensions"]["code"] for error in answer.errors} == {"LIMIT_EXCEEDED"}
    assert "GATEWAY_MAX_DETAIL_CALLS" in answer.errors[0]["message"]
    assert sandbox.count(f"Get{JOB}") <= 2


def test_anothers_cache_is_not_read(sandbox: Sandbox, jobs: list[Any]) -> None:
    """What was fetched for ada is fetched again for others, and is null where they may not."""
    with gateway_over(sandbox, cache_seconds=60) as gateway:
        entity = jobs[0]
        for caller, found in {"ada": entity, "ada_again": entity, "grace": None}.items():
            assert ask(gateway, [named(entity)], caller).data["_entities"] == [found]
        assert ask(gateway, [named(entity)], caller=None).code == "UNAUTHENTICATED"
    assert sandbox.count(f"Get{JOB}") == 3


@pytest.mark.parametrize("wrong", [None, [None]], ids=["null", "null within"])
def test_what_the_schema_refuses_is_no_request(gateway: Gateway, wrong: Any) -> None:
    """Null where the schema has none is BAD_USER_INPUT, and costs nothing."""
    answer = ask(gateway, wrong)
    assert answer.code == "BAD_USER_INPUT"
    assert not answer.content.get("data")
    assert gateway.sandbox.calls == []


def test_an_arn_that_looks_like_a_path_stays_an_arn(gateway: Gateway) -> None:
    """AWS's pattern takes dots and slashes: they are asked for as they are, and lead nowhere."""
    arn = f"{GOOD}/../../training-dataset"
    assert ask(gateway, [{"__typename": JOB, ARN: arn}]).data["_entities"] == [None]
    (call,) = gateway.sandbox.calls
    assert (call["operation"], call["parameters"]) == (f"Get{JOB}", {ARN: arn})


@pytest.mark.parametrize("written", ['"%s"', "$arn"], ids=["literal", "variable within"])
def test_representations_may_stand_in_the_document(
    gateway: Gateway, jobs: list[Any], written: str
) -> None:
    """They are read as those in variables are."""
    entity = jobs[0]
    arn = written.replace("%s", entity[ARN])
    declared = "($arn: String!)" if "$" in written else ""
    query = f"""query E{declared} {{
      _entities(representations: [{{ __typename: "{JOB}", {ARN}: {arn} }}]) {{
        ... on {JOB} {{ name }} }} }}"""
    found = gateway.ask(query, {"arn": entity[ARN]}).data
    assert found == {"_entities": [{"name": entity["name"]}]}


def test_without_a_caller_it_is_an_error_not_a_refusal(gateway: Gateway, jobs: list[Any]) -> None:
    """A router throws away what comes with a 401: this is a 200 with null in each place."""
    first, second, _ = jobs
    answer = ask(gateway, [named(first), named(second)], caller=None)
    assert entities(answer) == [None, None]
    told = [(error["extensions"]["code"], error["path"]) for error in answer.errors]
    assert told == [("UNAUTHENTICATED", ["_entities", place]) for place in (0, 1)]
    assert gateway.sandbox.calls == []


@pytest.mark.parametrize("caller", ["expired", None])
def test_credentials_that_are_none_are_told_alike(
    gateway: Gateway, jobs: list[Any], caller: str | None
) -> None:
    """Expired or absent: 200, UNAUTHENTICATED in its place."""
    answer = ask(gateway, [named(jobs[0])], caller=caller)
    assert entities(answer) == [None]
    assert answer.code == "UNAUTHENTICATED"


@pytest.mark.parametrize("wrong", [WRONG["extra field"], WRONG["ARN of another region"]])
def test_wrong_and_without_a_caller(gateway: Gateway, wrong: Any) -> None:
    """Still one error in its place, still a 200, still nothing repeated."""
    answer = ask(gateway, [wrong], caller=None)
    assert entities(answer) == [None]
    assert answer.code in {"BAD_USER_INPUT", "UNAUTHENTICATED"}
    assert CANARY not in str(answer.content)


def test_one_object_one_answer(gateway: Gateway, jobs: list[Any]) -> None:
    """An entity, the list's row and the single object agree in one answer."""
    entity = jobs[0]
    fields = f"id {ARN} name status updateTime"
    query = f"""query E($r: [_Any!]!, $arn: String!) {{
      _entities(representations: $r) {{ ... on {JOB} {{ {fields} }} }}
      audienceGenerationJob({ARN}: $arn) {{ {fields} }}
      audienceGenerationJobs(first: 1) {{ nodes {{ {fields} }} }} }}"""
    found = gateway.ask(query, {"r": [named(entity)], "arn": entity[ARN]}).data
    (row,) = found["audienceGenerationJobs"]["nodes"]
    assert found["_entities"] == [row]
    assert found["audienceGenerationJob"] == row


def test_regions_that_are_served_are_asked(sandbox: Sandbox) -> None:
    """The region is the ARN's own, also where two are asked at once."""
    listed = f"""query L($region: String) {{ {KINDS[JOB]}(first: 1, region: $region) {{
      nodes {{ __typename id name {ARN} }} }} }}"""
    regions = ["us-east-1", "eu-west-1"]
    with gateway_over(sandbox, regions=regions, cache_seconds=0) as gateway:
        regional = [
            gateway.ask(listed, {"region": region}).data[KINDS[JOB]]["nodes"][0]
            for region in regions
        ]
        sandbox.reset()
        answer = ask(gateway, [named(job, key) for key in (ARN, "id") for job in regional])
    assert answer.data["_entities"] == regional * 2
    assert sorted(call["region"] for call in sandbox.calls) == sorted(regions)
