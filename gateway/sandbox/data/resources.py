"""Generated resources: training datasets, models, jobs and exports, and how their status changes.

All values derive from a `Seed`, so two sandboxes with the same seed and clock return the same
bytes. Times are Unix milliseconds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from typing import Any, Protocol
from uuid import UUID

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

# Any: JSON values, under the service model's member names.
Members = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Seed:
    """Derives repeatable values for one account in one region, whose history ends at `epoch_ms`."""

    number: int
    account_id: str = ""
    region: str = ""
    epoch_ms: int = 0

    def random(self, *parts: object) -> Random:
        return Random(self._digest(*parts))  # noqa: S311  repeatable on purpose, no secret

    def uuid(self, *parts: object) -> str:
        return str(UUID(bytes=self._digest(*parts)[:16], version=4))

    def integer(self, below: int, *parts: object) -> int:
        return int.from_bytes(self._digest(*parts)[:8]) % below

    def arn(self, resource_type: str, *parts: object) -> str:
        resource_id = self.uuid(*parts)
        return (
            f"arn:aws:cleanrooms-ml:{self.region}:{self.account_id}:{resource_type}/{resource_id}"
        )

    def role_arn(self, name: str) -> str:
        return f"arn:aws:iam::{self.account_id}:role/{name}"

    def collaboration_id(self, number: int) -> str:
        # Collaborations span accounts and regions, as in AWS.
        return Seed(self.number).uuid("collaboration", number)

    def _digest(self, *parts: object) -> bytes:
        text = "\0".join(map(str, (self.number, self.account_id, self.region, *parts)))
        return sha256(text.encode()).digest()


@dataclass(frozen=True, slots=True)
class Transition:
    """The status, and the members that come with it, of a resource from `at_ms` on."""

    at_ms: int
    status: str
    members: Members = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """A resource: its constant members and its transitions.

    `created_ms` is unique in a collection and determines the resource's place in lists.
    """

    created_ms: int
    fixed: Members
    transitions: tuple[Transition, ...]

    def members(self, now_ms: int) -> dict[str, Any]:
        past = (step for step in reversed(self.transitions) if step.at_ms <= now_ms)
        # A clock that was turned back may show a time before the creation of a resource.
        current = next(past, self.transitions[0])
        times = {"createTime": self.created_ms, "updateTime": current.at_ms}
        return {**self.fixed, **current.members, **times, "status": current.status}

    def is_settled(self, now_ms: int) -> bool:
        """Whether all transitions are past."""
        return now_ms >= self.transitions[-1].at_ms

    def matches(self, filters: Members) -> bool:
        return all(self.fixed.get(name) == value for name, value in filters.items())


class Collection(Protocol):
    """The resources of one type, newest first."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Record: ...

    def find(self, arn: str) -> Record | None: ...


_CAMPAIGNS = (
    "Spring sale",
    "Back to school",
    "Holiday gifts",
    "New arrivals",
    "Loyalty renewal",
    "Streaming trial",
    "Weekend getaways",
    "First-time buyers",
    "Lapsed subscribers",
    "High-value baskets",
)
_AUDIENCES = (
    "lookalikes",
    "newsletter readers",
    "app installs",
    "store visitors",
    "cart abandoners",
    "Q3 prospects",
    "gold members",
)
# Accents, scripts without Latin letters, right-to-left text, and characters beyond the BMP.
_UNICODE_NAMES = (
    "Frühjahrsaktion München & Zürich",
    "Été à Paris – abonnés fidèles",  # noqa: RUF001  the dash is intended
    "東京の新規顧客",
    "Летняя распродажа",
    "حملة الصيف",
    "Holiday 🎄 shoppers 🎁",
    'Quotes "and" <tags> \\ back/slashes',
)
_DESCRIPTIONS = (
    "Seeded from the customer list of the last quarter.",
    "Weekly refresh for the media team.\nOwner: growth analytics.",
    "Test run; do not export.",
    "Für die Kampagne im Süden; enthält keine Kunden unter 18 Jahren.",
    "上位 5% の類似オーディエンス。",
    "Requested by the partner under the shared measurement agreement, see the project page.",
    "",
)
_FAILURES = (
    ("SEED_TOO_SMALL", "The seed audience has fewer users than minMatchingSeedSize."),
    ("S3_ACCESS_DENIED", "The role cannot read the seed audience in Amazon S3."),
    ("INVALID_SEED_FORMAT", "Line 1 of the seed audience is not a JSON object with user_id."),
)
_UNICODE_RATE = 0.12
_DESCRIPTION_RATE = 0.7
_FAILURE_RATE = 0.1
_EVEN = 0.5


def _audience_name(rng: Random) -> str:
    if rng.random() < _UNICODE_RATE:
        return f"{rng.choice(_UNICODE_NAMES)} {rng.randrange(1, 100)}"
    return f"{rng.choice(_CAMPAIGNS)} {rng.choice(_AUDIENCES)} {rng.randrange(1, 1000):03}"


def _description(rng: Random) -> Members:
    """Return a description member, or none: it is optional in the service model."""
    return {"description": rng.choice(_DESCRIPTIONS)} if rng.random() < _DESCRIPTION_RATE else {}


def _status_details(rng: Random) -> Members:
    code, message = rng.choice(_FAILURES)
    return {"statusDetails": {"statusCode": code, "message": message}}


def _active(created_ms: int, fixed: Members) -> Record:
    return Record(created_ms, fixed, (Transition(created_ms, "ACTIVE"),))


def training_dataset(seed: Seed, number: int, newest_ms: int) -> Record:
    rng = seed.random("dataset", number)
    columns = {
        "user_id": "USER_ID",
        "item_id": "ITEM_ID",
        "event_time": "TIMESTAMP",
        "device": "CATEGORICAL_FEATURE",
        "basket_value": "NUMERICAL_FEATURE",
    }
    schema = [{"columnName": name, "columnTypes": [kind]} for name, kind in columns.items()]
    source = {"tableName": f"interactions_{number + 1}", "databaseName": "marketing"}
    if number % 2:
        source["catalogId"] = seed.account_id
    data = {"schema": schema, "dataSource": {"glueDataSource": source}}
    fixed = {
        "trainingDatasetArn": seed.arn("training-dataset", "dataset", number),
        "name": f"Interactions {number + 1}",
        **_description(rng),
        "trainingData": [{"type": "INTERACTIONS", "inputConfig": data}],
        "roleArn": seed.role_arn("clean-rooms-ml-training"),
        "tags": {"team": "data-platform"},
    }
    return _active(newest_ms - number * 7 * DAY_MS - rng.randrange(DAY_MS), fixed)


def audience_model(seed: Seed, number: int, dataset_arn: str, newest_ms: int) -> Record:
    """Generate a model; number 0, the newest, has failed."""
    rng = seed.random("model", number)
    created_ms = newest_ms - number * 5 * DAY_MS - rng.randrange(DAY_MS)
    fixed = {
        "audienceModelArn": seed.arn("audience-model", "model", number),
        "name": f"Lookalike model {number + 1}",
        **_description(rng),
        "trainingDatasetArn": dataset_arn,
        "trainingDataStartTime": created_ms - 180 * DAY_MS,
        "trainingDataEndTime": created_ms - DAY_MS,
        "tags": {"stage": "production" if number % 2 else "experiment"},
    }
    if number % 2:
        key_id = seed.uuid("key", number)
        fixed["kmsKeyArn"] = f"arn:aws:kms:{seed.region}:{seed.account_id}:key/{key_id}"
    last = ("ACTIVE", {}) if number else ("CREATE_FAILED", _status_details(rng))
    transitions = (
        Transition(created_ms, "CREATE_PENDING"),
        Transition(created_ms + 5 * MINUTE_MS, "CREATE_IN_PROGRESS"),
        Transition(created_ms + 6 * HOUR_MS, *last),
    )
    return Record(created_ms, fixed, transitions)


def configured_model_arn(seed: Seed, number: int) -> str:
    return seed.arn("configured-audience-model", "configured", number)


def configured_model(seed: Seed, number: int, model_arn: str, newest_ms: int) -> Record:
    rng = seed.random("configured", number)
    campaign = _CAMPAIGNS[number % len(_CAMPAIGNS)]
    destination = {"s3Destination": {"s3Uri": f"s3://audiences-{seed.account_id}/out/{number}/"}}
    fixed = {
        "configuredAudienceModelArn": configured_model_arn(seed, number),
        "name": f"{campaign} configuration {number + 1}",
        **_description(rng),
        "audienceModelArn": model_arn,
        "outputConfig": {"destination": destination, "roleArn": seed.role_arn("audience-output")},
        "sharedAudienceMetrics": ["ALL" if number % 3 else "NONE"],
        "minMatchingSeedSize": rng.choice((25, 500, 1000)),
        "audienceSizeConfig": {
            "audienceSizeType": "PERCENTAGE" if number % 2 else "ABSOLUTE",
            "audienceSizeBins": [1, 5, 10, 20] if number % 2 else [50_000, 250_000, 1_000_000],
        },
        "tags": {"campaign": campaign},
        "childResourceTagOnCreatePolicy": "FROM_PARENT_RESOURCE" if number % 2 else "NONE",
    }
    return _active(newest_ms - number * 2 * DAY_MS - rng.randrange(DAY_MS), fixed)


_COLLABORATIONS = 4
_PARTNERS = ("111122223333", "222233334444", "333344445555", "999988887777")
_FIRST_DELETED_JOB = 40
_DELETED_JOB_EVERY = 41
_JOB_IN_DELETION_EVERY = 97


def generation_job_arn(seed: Seed, number: int) -> str:
    return seed.arn("audience-generation-job", "job", number)


def generation_job(seed: Seed, number: int, created_ms: int, model_arns: Sequence[str]) -> Record:
    rng = seed.random("job", number)
    fixed: dict[str, object] = {
        "audienceGenerationJobArn": generation_job_arn(seed, number),
        "name": _audience_name(rng),
        **_description(rng),
        "configuredAudienceModelArn": rng.choice(model_arns),
        "includeSeedInOutput": rng.random() < _EVEN,
        "tags": {"cost-center": f"{rng.randrange(100, 999)}", "näme": "wert / value"},
    }
    if number % 4:
        fixed["collaborationId"] = seed.collaboration_id(rng.randrange(_COLLABORATIONS))
        fixed["startedBy"] = rng.choice(_PARTNERS)
    fixed.update(_seed_audience(seed, number, rng.randrange(_COLLABORATIONS)))
    return Record(created_ms, fixed, _job_transitions(seed, number, created_ms))


def _seed_audience(seed: Seed, number: int, membership: int) -> Members:
    """Return the seed of a job: an S3 object, or for every fifth job an SQL query."""
    role_arn = seed.role_arn("audience-seed")
    if number % 5:
        uri = f"s3://seeds-{seed.account_id}/{seed.uuid('seed', number)}.jsonl"
        return {"seedAudience": {"dataSource": {"s3Uri": uri}, "roleArn": role_arn}}
    template = (
        f"arn:aws:cleanrooms:us-east-1:{seed.account_id}:membership/"
        f"{seed.uuid('membership', membership)}/analysistemplate/{seed.uuid('template')}"
    )
    return {
        "seedAudience": {
            "roleArn": role_arn,
            "sqlParameters": {"analysisTemplateArn": template, "parameters": {"segment": "gold"}},
            "sqlComputeConfiguration": {"worker": {"type": "CR.1X", "number": 2 + number % 7}},
        },
        "protectedQueryIdentifier": seed.uuid("query", number),
    }


def _job_transitions(seed: Seed, number: int, created_ms: int) -> tuple[Transition, ...]:
    rng = seed.random("moves", number)
    sizes = ({"type": "PERCENTAGE", "value": value} for value in (1, 5, 10, 20))
    relevance = [{"audienceSize": size, "score": round(rng.uniform(0.5, 9.5), 3)} for size in sizes]
    metrics = {"relevanceMetrics": relevance, "recallMetric": round(rng.random(), 4)}
    creation = _creation(rng, created_ms, {"metrics": metrics})
    if number < _FIRST_DELETED_JOB:
        return creation
    if number % _JOB_IN_DELETION_EVERY == _FIRST_DELETED_JOB:
        # In deletion when the sandbox starts, so that every status can be seen at once.
        step = number // _JOB_IN_DELETION_EVERY % 2
        started_ms = seed.epoch_ms - (30 + 60 * step) * SECOND_MS
        return creation + _deletion(started_ms, creation[-1].members)
    if number % _DELETED_JOB_EVERY == _FIRST_DELETED_JOB:
        return creation + _deletion(creation[-1].at_ms + 10 * MINUTE_MS, creation[-1].members)
    return creation


def _creation(rng: Random, created_ms: int, active: Members) -> tuple[Transition, ...]:
    """Return up to a minute of waiting, some minutes of work, and the end."""
    begun_ms = created_ms + rng.randrange(25 * SECOND_MS, 60 * SECOND_MS)
    ended_ms = begun_ms + rng.randrange(3 * MINUTE_MS, 15 * MINUTE_MS)
    failed = rng.random() < _FAILURE_RATE
    end = ("CREATE_FAILED", _status_details(rng)) if failed else ("ACTIVE", active)
    return (
        Transition(created_ms, "CREATE_PENDING"),
        Transition(begun_ms, "CREATE_IN_PROGRESS"),
        Transition(ended_ms, *end),
    )


def _deletion(started_ms: int, members: Members) -> tuple[Transition, ...]:
    # Deletions fail in the end: a successful one would change the length of a list.
    details = {"statusCode": "IN_USE", "message": "An export job still reads the audience."}
    return (
        Transition(started_ms, "DELETE_PENDING", members),
        Transition(started_ms + MINUTE_MS, "DELETE_IN_PROGRESS", members),
        Transition(
            started_ms + 6 * MINUTE_MS, "DELETE_FAILED", {**members, "statusDetails": details}
        ),
    )


# The first job from this index on gets more exports than fit on a page.
_MANY_EXPORTS_FROM = 21
_MANY_EXPORTS = 130


def export_jobs(seed: Seed, jobs: Collection) -> Iterator[Record]:
    """Generate exports of every third job, provided that it is active."""
    taken: set[int] = set()
    many_done = False
    for index in range(0, len(jobs), 3):
        job = jobs[index]
        if job.transitions[-1].status != "ACTIVE":
            continue
        many = index >= _MANY_EXPORTS_FROM and not many_done
        many_done = many_done or many
        for number in range(_MANY_EXPORTS if many else 1 + index % 4):
            created_ms = job.transitions[-1].at_ms + (number + 1) * 2 * MINUTE_MS
            if created_ms >= seed.epoch_ms:
                break
            while created_ms in taken:
                created_ms += 1
            taken.add(created_ms)
            yield _export_job(seed, job.fixed, number, created_ms)


def _export_job(seed: Seed, job: Members, number: int, created_ms: int) -> Record:
    arn = job["audienceGenerationJobArn"]
    rng = seed.random("export", arn, number)
    percent = rng.random() < _EVEN
    size = {
        "type": "PERCENTAGE" if percent else "ABSOLUTE",
        "value": rng.choice((1, 5, 10) if percent else (50_000, 250_000)),
    }
    fixed = {
        "name": f"Export {number + 1} of {job['name']}"[:63],
        **_description(rng),
        "audienceGenerationJobArn": arn,
        "audienceSize": size,
    }
    uri = f"s3://audiences-{seed.account_id}/{seed.uuid('export', arn, number)}/"
    return Record(created_ms, fixed, _creation(rng, created_ms, {"outputLocation": uri}))
