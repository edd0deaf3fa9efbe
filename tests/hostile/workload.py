"""The callers of the soak test and their requests: good and bad ones of each kind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS, ROLE_ARNS
from gateway.sandbox.data.accounts import USERS
from tests.auth.issuers import sandbox_file
from tests.gateways import bearer
from tests.sandbox.identities import id_token

KEY_CALLERS = ("ada", "grace", "edith", "ada_again", "expired", "denied")
REJECTED_CALLERS = {"expired", "denied"}
SUBJECTS_PER_USER = 6
SUBJECTS = [f"{name}-{number}" for name in USERS for number in range(SUBJECTS_PER_USER)]

PAGE = """query($first: Int, $after: String, $last: Int, $filter: AudienceGenerationJobFilter) {
  audienceGenerationJobs(first: $first, after: $after, last: $last, filter: $filter) {
    edges { cursor node { id audienceGenerationJobArn name status } }
    pageInfo { hasNextPage endCursor }
  }
}"""
DETAILS = """{
  audienceGenerationJobs(first: 3) { nodes {
    audienceGenerationJobArn includeSeedInOutput metrics { recallMetric }
    configuredAudienceModel { configuredAudienceModelArn audienceModel { audienceModelArn } }
    exportJobs(first: 2) { nodes { name audienceGenerationJobArn } }
  } }
}"""
OTHER_LISTS = """{
  audienceModels { nodes { audienceModelArn trainingDataset { trainingDatasetArn } } }
  configuredAudienceModels(first: 3) { nodes { configuredAudienceModelArn } totalCount }
}"""
NODES = """query($ids: [ID!]!) {
  nodes(ids: $ids) { id ... on AudienceGenerationJob { audienceGenerationJobArn name } }
}"""
JOB = """subscription($arn: String!) {
  audienceGenerationJob(audienceGenerationJobArn: $arn) {
    audienceGenerationJobArn status statusDetails { message }
    exportJobs(first: 1) { nodes { name } }
  }
}"""
CHANGES = """subscription($filter: AudienceGenerationJobFilter) {
  audienceGenerationJobChanges(filter: $filter) { kind audienceGenerationJobArn }
}"""
TRANSPORTS = ("text/event-stream", "multipart/mixed;subscriptionSpec=1.0")
TOO_MANY = 600
TOO_MANY_BYTES = 300_000
JOB_CHANCE = 0.7


@dataclass(frozen=True)
class LoadCaller:
    """A caller, the account whose rows it may see, and the cursors it has received."""

    name: str
    account_id: str
    headers: Mapping[str, str] = field(repr=False)
    cursors: list[str] = field(default_factory=list)

    @property
    def may_read(self) -> bool:
        return self.name not in REJECTED_CALLERS

    @property
    def secrets(self) -> list[str]:
        values = (text for name, text in self.headers.items() if name != "X-Aws-Access-Key-Id")
        return [text.removeprefix("Bearer ") for text in values]


def all_callers(sandbox_url: str) -> list[LoadCaller]:
    """List the callers; the sandbox issues the tokens."""
    with_keys = [
        LoadCaller(name, CALLERS[name].account_id, aws_headers(CALLERS[name]))
        for name in KEY_CALLERS
    ]
    with_tokens = [
        LoadCaller(
            subject,
            USERS[_user(subject)].account_id,
            bearer(id_token(sandbox_url, subject)),
        )
        for subject in SUBJECTS
    ]
    return with_keys + with_tokens


def oidc_file(folder: Path, sandbox_url: str) -> Path:
    """Write the file that maps each subject to the role of its user."""
    roles = {subject: ROLE_ARNS[_user(subject)] for subject in SUBJECTS}
    return sandbox_file(folder, sandbox_url, roles)


def _user(subject: str) -> str:
    return subject.partition("-")[0]


Body = dict[str, Any]
RequestKind = Callable[[Random, LoadCaller, list[str]], Body]


def _page(random: Random, caller: LoadCaller, _ids: list[str]) -> Body:
    after = random.choice([None, *caller.cursors])
    return {"query": PAGE, "variables": {"first": random.randrange(150), "after": after}}


def _backwards(random: Random, _caller: LoadCaller, _ids: list[str]) -> Body:
    return {"query": PAGE, "variables": {"last": random.randrange(20)}}


def _filtered(random: Random, _caller: LoadCaller, _ids: list[str]) -> Body:
    item_filter = {"status": ["ACTIVE"], "nameContains": random.choice("abcdefgh")}
    return {"query": PAGE, "variables": {"first": 5, "filter": item_filter}}


def _details(_random: Random, _caller: LoadCaller, _ids: list[str]) -> Body:
    return {"query": DETAILS}


def _other_lists(_random: Random, _caller: LoadCaller, _ids: list[str]) -> Body:
    return {"query": OTHER_LISTS}


def _nodes(random: Random, _caller: LoadCaller, ids: list[str]) -> Body:
    return {"query": NODES, "variables": {"ids": [*random.choices(ids or ["none"], k=4), "x"]}}


def _bad_cursor(random: Random, caller: LoadCaller, _ids: list[str]) -> Body:
    cursor = random.choice(["x", "AAAA", *caller.cursors])
    place, odd = random.randrange(len(cursor)), random.choice("Aaz-_\u00e9 ")
    return {"query": PAGE, "variables": {"after": cursor[:place] + odd + cursor[place + 1 :]}}


def _oversized(random: Random, _caller: LoadCaller, _ids: list[str]) -> Body:
    return random.choice(
        [
            {"query": PAGE, "variables": {"first": 501}},
            {"query": NODES, "variables": {"ids": ["x"] * TOO_MANY}},
            {"query": "{ __typename }" + " " * TOO_MANY_BYTES},
            {"query": "{" + "a: __typename " * TOO_MANY + "}"},
        ]
    )


def _invalid(random: Random, _caller: LoadCaller, _ids: list[str]) -> Body:
    return {"query": random.choice(["", "{", "{ x }", "mutation { x }", PAGE[:-1]])}


WEIGHTS: dict[RequestKind, int] = {
    _page: 8,
    _backwards: 1,
    _filtered: 2,
    _details: 3,
    _other_lists: 2,
    _nodes: 3,
    _bad_cursor: 2,
    _oversized: 1,
    _invalid: 1,
}


def random_body(random: Random, caller: LoadCaller, ids: list[str]) -> Body:
    """Make the caller's next request; `ids` are of objects of any account."""
    (kind,) = random.choices(list(WEIGHTS), list(WEIGHTS.values()))
    return kind(random, caller, ids)


def random_subscription(random: Random, jobs: list[str]) -> tuple[Body, dict[str, str]]:
    """Make a subscription and its headers; `jobs` are ARNs of jobs of any account."""
    headers = {"Accept": random.choice(TRANSPORTS)}
    if jobs and random.random() < JOB_CHANCE:
        return {"query": JOB, "variables": {"arn": random.choice(jobs)}}, headers
    item_filter = random.choice([None, {"status": ["ACTIVE", "CREATE_PENDING"]}])
    return {"query": CHANGES, "variables": {"filter": item_filter}}, headers
