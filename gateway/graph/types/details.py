"""The parts of a job that only its Get operation tells, by the service model's shape names."""

from collections.abc import Mapping
from typing import Any

import strawberry

from gateway.graph.types.enums import AudienceSizeType, WorkerComputeType, known


@strawberry.federation.type(shareable=True, description="Why an object is in its status.")
class StatusDetails:
    """Shape StatusDetails."""

    status_code: str | None = strawberry.field(description="A short code for the reason.")
    message: str | None = strawberry.field(description="The reason in words.")

    @classmethod
    def of(cls, raw: Mapping[str, Any] | None) -> "StatusDetails | None":
        """Read the shape; None stays None."""
        return (
            None
            if raw is None
            else cls(status_code=raw.get("statusCode"), message=raw.get("message"))
        )


@strawberry.federation.type(shareable=True, description="Where data lie in Amazon S3.")
class S3ConfigMap:
    """Shape S3ConfigMap."""

    s3_uri: str = strawberry.field(
        name="s3Uri", description="The S3 location, such as `s3://bucket/key`."
    )


@strawberry.federation.type(shareable=True, description="The workers that a query runs on.")
class WorkerComputeConfiguration:
    """Shape WorkerComputeConfiguration."""

    type: WorkerComputeType | None = strawberry.field(description="The size of each worker.")
    number: int | None = strawberry.field(description="How many workers there are.")


@strawberry.federation.type(
    shareable=True, description="What computes a query. One of the fields is set."
)
class ComputeConfiguration:
    """Shape ComputeConfiguration, a union of one member so far."""

    worker: WorkerComputeConfiguration | None = strawberry.field(description="Workers of one size.")


@strawberry.federation.type(
    shareable=True,
    description="Where the seed audience of a job comes from. The SQL that selects it is "
    "sensitive and not shown.",
)
class AudienceGenerationJobDataSource:
    """Shape AudienceGenerationJobDataSource without the sensitive `sqlParameters`."""

    data_source: S3ConfigMap | None = strawberry.field(
        description="Where the seed data lie. Null if a query selects them."
    )
    role_arn: str = strawberry.field(
        description="The ARN of the IAM role that reads the seed data."
    )
    sql_compute_configuration: ComputeConfiguration | None = strawberry.field(
        description="What the query that selects the seed data runs on."
    )

    @classmethod
    def of(cls, raw: Mapping[str, Any] | None) -> "AudienceGenerationJobDataSource | None":
        """Read the shape; None stays None."""
        if raw is None:
            return None
        source, compute = raw.get("dataSource"), raw.get("sqlComputeConfiguration")
        return cls(
            data_source=None if source is None else S3ConfigMap(s3_uri=source["s3Uri"]),
            role_arn=raw["roleArn"],
            sql_compute_configuration=None if compute is None else _compute(compute),
        )


def _compute(raw: Mapping[str, Any]) -> ComputeConfiguration:
    worker = raw.get("worker")
    if worker is None:
        return ComputeConfiguration(worker=None)
    size = worker.get("type")
    return ComputeConfiguration(
        worker=WorkerComputeConfiguration(
            type=None if size is None else known(WorkerComputeType, size),
            number=worker.get("number"),
        )
    )


@strawberry.federation.type(
    shareable=True, description="How large an audience is, absolutely or in relation."
)
class AudienceSize:
    """Shape AudienceSize."""

    type: AudienceSizeType = strawberry.field(description="What the value counts.")
    value: int = strawberry.field(description="The size: a number of people, or percents.")

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "AudienceSize":
        """Read the shape."""
        return cls(type=known(AudienceSizeType, raw["type"]), value=raw["value"])


@strawberry.federation.type(
    shareable=True, description="How relevant an audience of a certain size is."
)
class RelevanceMetric:
    """Shape RelevanceMetric."""

    audience_size: AudienceSize = strawberry.field(description="The size that the score is for.")
    score: float | None = strawberry.field(description="How like the seed audience it is: 0 to 10.")


@strawberry.federation.type(shareable=True, description="How good the generated audience is.")
class AudienceQualityMetrics:
    """Shape AudienceQualityMetrics."""

    relevance_metrics: list[RelevanceMetric] = strawberry.field(
        description="The relevance at several audience sizes."
    )
    recall_metric: float | None = strawberry.field(
        description="The part of the seed audience that the model finds again: 0 to 1."
    )

    @classmethod
    def of(cls, raw: Mapping[str, Any] | None) -> "AudienceQualityMetrics | None":
        """Read the shape; None stays None."""
        if raw is None:
            return None
        return cls(
            relevance_metrics=[_relevance(metric) for metric in raw["relevanceMetrics"]],
            recall_metric=raw.get("recallMetric"),
        )


def _relevance(raw: Mapping[str, Any]) -> RelevanceMetric:
    return RelevanceMetric(
        audience_size=AudienceSize.of(raw["audienceSize"]), score=raw.get("score")
    )


@strawberry.federation.type(shareable=True, description="A label on an AWS resource.")
class Tag:
    """An entry of shape TagMap."""

    key: str = strawberry.field(description="The label's name.")
    value: str = strawberry.field(description="The label's value.")

    @classmethod
    def all_of(cls, raw: Mapping[str, str] | None) -> list["Tag"]:
        """Read the shape; an object without tags has an empty list."""
        return [cls(key=key, value=value) for key, value in (raw or {}).items()]
