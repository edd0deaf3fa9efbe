"""Generated resources, how their status changes, and the training datasets and models.

All values derive from a `Seed`, so two sandboxes with the same seed and clock return the same
bytes. Times are Unix milliseconds.
"""

from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Record:
    """A resource: its constant members and its transitions.

    `created_ms` is unique in a collection and determines the resource's place in lists. Records
    are compared by identity, so they can be keys.
    """

    created_ms: int
    fixed: Members
    transitions: tuple[Transition, ...]

    def transition(self, now_ms: int) -> Transition:
        """Return the latest transition."""
        past = (step for step in reversed(self.transitions) if step.at_ms <= now_ms)
        # A clock that was turned back may show a time before the creation of a resource.
        return next(past, self.transitions[0])

    def members(self, now_ms: int) -> dict[str, Any]:
        current = self.transition(now_ms)
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
EVEN = 0.5


def audience_name(rng: Random) -> str:
    if rng.random() < _UNICODE_RATE:
        return f"{rng.choice(_UNICODE_NAMES)} {rng.randrange(1, 100)}"
    return f"{rng.choice(_CAMPAIGNS)} {rng.choice(_AUDIENCES)} {rng.randrange(1, 1000):03}"


def description(rng: Random) -> Members:
    """Return a description member, or none: it is optional in the service model."""
    return {"description": rng.choice(_DESCRIPTIONS)} if rng.random() < _DESCRIPTION_RATE else {}


def status_details(rng: Random) -> Members:
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
        **description(rng),
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
        **description(rng),
        "trainingDatasetArn": dataset_arn,
        "trainingDataStartTime": created_ms - 180 * DAY_MS,
        "trainingDataEndTime": created_ms - DAY_MS,
        "tags": {"stage": "production" if number % 2 else "experiment"},
    }
    if number % 2:
        key_id = seed.uuid("key", number)
        fixed["kmsKeyArn"] = f"arn:aws:kms:{seed.region}:{seed.account_id}:key/{key_id}"
    last = ("ACTIVE", {}) if number else ("CREATE_FAILED", status_details(rng))
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
        **description(rng),
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
