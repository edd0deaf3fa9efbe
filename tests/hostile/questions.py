"""What a crowd asks: good questions of each kind, and bad ones of each kind."""

from collections.abc import Callable
from random import Random
from typing import Any

from tests.hostile.people import Asker

Body = dict[str, Any]
Question = Callable[[Random, Asker, list[str]], Body]

_PAGE = """query($first: Int, $after: String, $last: Int, $filter: AudienceGenerationJobFilter) {
  audienceGenerationJobs(first: $first, after: $after, last: $last, filter: $filter) {
    edges { cursor node { id audienceGenerationJobArn name status } }
    pageInfo { hasNextPage endCursor }
  }
}"""
_DETAILS = """{
  audienceGenerationJobs(first: 3) { nodes {
    audienceGenerationJobArn includeSeedInOutput metrics { recallMetric }
    configuredAudienceModel { configuredAudienceModelArn audienceModel { audienceModelArn } }
    exportJobs(first: 2) { nodes { name audienceGenerationJobArn } }
  } }
}"""
_OTHERS = """{
  audienceModels { nodes { audienceModelArn trainingDataset { trainingDatasetArn } } }
  configuredAudienceModels(first: 3) { nodes { configuredAudienceModelArn } totalCount }
}"""
_NODES = """query($ids: [ID!]!) {
  nodes(ids: $ids) { id ... on AudienceGenerationJob { audienceGenerationJobArn name } }
}"""
_MANY_IDS = 600
_MANY_BYTES = 300_000


def _page(chance: Random, asker: Asker, _ids: list[str]) -> Body:
    after = chance.choice([None, *asker.cursors])
    return {"query": _PAGE, "variables": {"first": chance.randrange(150), "after": after}}


def _backwards(chance: Random, _asker: Asker, _ids: list[str]) -> Body:
    return {"query": _PAGE, "variables": {"last": chance.randrange(20)}}


def _filtered(chance: Random, _asker: Asker, _ids: list[str]) -> Body:
    narrowed = {"status": ["ACTIVE"], "nameContains": chance.choice("abcdefgh")}
    return {"query": _PAGE, "variables": {"first": 5, "filter": narrowed}}


def _details(_chance: Random, _asker: Asker, _ids: list[str]) -> Body:
    return {"query": _DETAILS}


def _others(_chance: Random, _asker: Asker, _ids: list[str]) -> Body:
    return {"query": _OTHERS}


def _nodes(chance: Random, _asker: Asker, ids: list[str]) -> Body:
    # Anybody's: what is another's is null.
    return {"query": _NODES, "variables": {"ids": [*chance.choices(ids or ["none"], k=4), "x"]}}


def _bad_cursor(chance: Random, asker: Asker, _ids: list[str]) -> Body:
    cursor = chance.choice(["x", "AAAA", *asker.cursors])
    place, odd = chance.randrange(len(cursor)), chance.choice("Aaz-_\u00e9 ")
    return {"query": _PAGE, "variables": {"after": cursor[:place] + odd + cursor[place + 1 :]}}


def _oversized(chance: Random, _asker: Asker, _ids: list[str]) -> Body:
    return chance.choice(
        [
            {"query": _PAGE, "variables": {"first": 501}},
            {"query": _NODES, "variables": {"ids": ["x"] * _MANY_IDS}},
            {"query": "{ __typename }" + " " * _MANY_BYTES},
            {"query": "{" + "a: __typename " * _MANY_IDS + "}"},
        ]
    )


def _nonsense(chance: Random, _asker: Asker, _ids: list[str]) -> Body:
    return {"query": chance.choice(["", "{", "{ x }", "mutation { x }", _PAGE[:-1]])}


QUESTIONS: dict[Question, int] = {
    _page: 8,
    _backwards: 1,
    _filtered: 2,
    _details: 3,
    _others: 2,
    _nodes: 3,
    _bad_cursor: 2,
    _oversized: 1,
    _nonsense: 1,
}
"""Each kind, and how often it is asked."""


def question(chance: Random, asker: Asker, ids: list[str]) -> Body:
    """Give what this one asks next; `ids` are of whatever anybody has seen."""
    (kind,) = chance.choices(list(QUESTIONS), list(QUESTIONS.values()))
    return kind(chance, asker, ids)
