"""What generation jobs refer to: training datasets, audience models and their configurations."""

from gateway.sandbox.origin import Origin
from gateway.sandbox.records import Members, Move, Record
from gateway.sandbox.vocabulary import CAMPAIGNS, description, failure

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MINUTE_MS = 60_000

_COLUMNS = (
    ("user_id", "USER_ID"),
    ("item_id", "ITEM_ID"),
    ("event_time", "TIMESTAMP"),
    ("device", "CATEGORICAL_FEATURE"),
    ("basket_value", "NUMERICAL_FEATURE"),
)


def training_datasets(origin: Origin, count: int, before_ms: int) -> list[Record]:
    """Invent the datasets, all older than the given moment."""
    return [_dataset(origin, number, before_ms - 90 * DAY_MS) for number in range(count)]


def audience_models(
    origin: Origin, datasets: list[Record], count: int, before_ms: int
) -> list[Record]:
    """Invent the models, trained on the datasets; the newest is the one that failed."""
    arns = [dataset.fixed["trainingDatasetArn"] for dataset in datasets]
    return [
        _model(origin, number, arns[number % len(arns)], before_ms - 60 * DAY_MS)
        for number in range(count)
    ]


def configured_models(
    origin: Origin, models: list[Record], count: int, before_ms: int
) -> list[Record]:
    """Invent configurations of those models that can be used."""
    arns = [model.fixed["audienceModelArn"] for model in models if not _failed(model)]
    return [
        _configured(origin, number, arns[number % len(arns)], before_ms - 30 * DAY_MS)
        for number in range(count)
    ]


def _failed(model: Record) -> bool:
    return model.moves[-1].status == "CREATE_FAILED"


def _settled(created_ms: int, fixed: Members) -> Record:
    return Record(created_ms, fixed, (Move(created_ms, "ACTIVE"),))


def _dataset(origin: Origin, number: int, newest_ms: int) -> Record:
    chance = origin.random("dataset", number)
    schema = [{"columnName": name, "columnTypes": [kind]} for name, kind in _COLUMNS]
    source = {"tableName": f"interactions_{number + 1}", "databaseName": "marketing"}
    if number % 2:
        source["catalogId"] = origin.account_id
    data = {"schema": schema, "dataSource": {"glueDataSource": source}}
    fixed = {
        "trainingDatasetArn": origin.arn("training-dataset", origin.uuid("dataset", number)),
        "name": f"Interactions {number + 1}",
        **description(chance),
        "trainingData": [{"type": "INTERACTIONS", "inputConfig": data}],
        "roleArn": origin.role("clean-rooms-ml-training"),
        "tags": {"team": "data-platform"},
    }
    return _settled(newest_ms - number * 7 * DAY_MS - chance.randrange(DAY_MS), fixed)


def _model(origin: Origin, number: int, dataset_arn: str, newest_ms: int) -> Record:
    chance = origin.random("model", number)
    created_ms = newest_ms - number * 5 * DAY_MS - chance.randrange(DAY_MS)
    fixed = {
        "audienceModelArn": origin.arn("audience-model", origin.uuid("model", number)),
        "name": f"Lookalike model {number + 1}",
        **description(chance),
        "trainingDatasetArn": dataset_arn,
        "trainingDataStartTime": created_ms - 180 * DAY_MS,
        "trainingDataEndTime": created_ms - DAY_MS,
        "tags": {"stage": "production" if number % 2 else "experiment"},
    }
    if number % 2:
        key = origin.uuid("key", number)
        fixed["kmsKeyArn"] = f"arn:aws:kms:{origin.region}:{origin.account_id}:key/{key}"
    ends = number == 0
    last = Move(
        created_ms + 6 * HOUR_MS,
        "CREATE_FAILED" if ends else "ACTIVE",
        failure(chance) if ends else {},
    )
    steps = (
        Move(created_ms, "CREATE_PENDING"),
        Move(created_ms + 5 * MINUTE_MS, "CREATE_IN_PROGRESS"),
    )
    return Record(created_ms, fixed, (*steps, last))


def _configured(origin: Origin, number: int, model_arn: str, newest_ms: int) -> Record:
    chance = origin.random("configured", number)
    kind = "PERCENTAGE" if number % 2 else "ABSOLUTE"
    bins = [1, 5, 10, 20] if number % 2 else [50_000, 250_000, 1_000_000]
    destination = {"s3Destination": {"s3Uri": f"s3://audiences-{origin.account_id}/out/{number}/"}}
    fixed = {
        "configuredAudienceModelArn": origin.arn(
            "configured-audience-model", origin.uuid("configured", number)
        ),
        "name": f"{CAMPAIGNS[number % len(CAMPAIGNS)]} configuration {number + 1}",
        **description(chance),
        "audienceModelArn": model_arn,
        "outputConfig": {"destination": destination, "roleArn": origin.role("audience-output")},
        "sharedAudienceMetrics": ["ALL" if number % 3 else "NONE"],
        "minMatchingSeedSize": chance.choice((25, 500, 1000)),
        "audienceSizeConfig": {"audienceSizeType": kind, "audienceSizeBins": bins},
        "tags": {"campaign": CAMPAIGNS[number % len(CAMPAIGNS)]},
        "childResourceTagOnCreatePolicy": "FROM_PARENT_RESOURCE" if number % 2 else "NONE",
    }
    return _settled(newest_ms - number * 2 * DAY_MS - chance.randrange(DAY_MS), fixed)
