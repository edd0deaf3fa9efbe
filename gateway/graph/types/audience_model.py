"""The audience model: what was learned of a training dataset."""

import strawberry

from gateway.graph.context import Info
from gateway.graph.node import Node
from gateway.graph.pagination.connection import Source
from gateway.graph.types.details import StatusDetails, Tag
from gateway.graph.types.enums import AudienceModelStatus, shown
from gateway.graph.types.resource_type import (
    Details,
    ResourceType,
    got,
    identity,
    none_if_not_found,
    optional,
    required,
)
from gateway.graph.types.scalars import DateTime
from gateway.graph.types.training_dataset import TrainingDataset
from gateway.upstream.rows import timestamp
from gateway.upstream.values import Item

AUDIENCE_MODEL = ResourceType(
    type_name="AudienceModel",
    lists="ListAudienceModels",
    gets="GetAudienceModel",
    arn="audienceModelArn",
    members={
        "createTime": required("createTime"),
        "description": optional("description"),
        "name": required("name"),
        "status": shown(AudienceModelStatus),
        "trainingDatasetArn": required("trainingDatasetArn"),
        "updateTime": required("updateTime"),
    },
)


@strawberry.federation.type(
    keys=["id", "audienceModelArn"],
    description="A model that finds people who are alike. AWS: AudienceModelSummary, and "
    "GetAudienceModel for the details.",
)
class AudienceModel(Node):
    """An audience model."""

    audience_model_arn: str = strawberry.field(description="The model's Amazon Resource Name.")
    create_time: DateTime = strawberry.field(description="When the model was made.")
    description: str | None = strawberry.field(description="What its maker says of the model.")
    name: str = strawberry.field(description="The model's name.")
    status: AudienceModelStatus = strawberry.field(
        description="How far the model has come. `UNKNOWN` if AWS has added a status since."
    )
    training_dataset_arn: str = strawberry.field(
        description="The ARN of the dataset that it was trained on."
    )
    update_time: DateTime = strawberry.field(description="When the model last changed.")
    details: strawberry.Private[Details]

    @classmethod
    def from_row(cls, item: Item) -> "AudienceModel":
        """Make the model of a row of the list; its details are one Get away."""
        return cls(**AUDIENCE_MODEL.values(item), details=AUDIENCE_MODEL.details(item))

    @classmethod
    async def fetch(cls, info: Info, arn: str, *, argument: str) -> "AudienceModel":
        """Get the model with this ARN; raises as kind.got does."""
        item, details = await got(AUDIENCE_MODEL, info, arn, argument=argument)
        return cls(**AUDIENCE_MODEL.values(item), details=details)

    @strawberry.field(
        description="From when on the training data count. Costs one upstream call a model."
    )
    async def training_data_start_time(self, info: Info) -> DateTime | None:
        """Read the detail."""
        return await self.details.part(info, "trainingDataStartTime", _moment)

    @strawberry.field(
        description="Until when the training data count. Costs one upstream call a model."
    )
    async def training_data_end_time(self, info: Info) -> DateTime | None:
        """Read the detail."""
        return await self.details.part(info, "trainingDataEndTime", _moment)

    @strawberry.field(
        description="Why the model is in its status. Costs one upstream call a model."
    )
    async def status_details(self, info: Info) -> StatusDetails | None:
        """Read the detail."""
        return await self.details.part(info, "statusDetails", StatusDetails.of)

    @strawberry.field(
        description="The ARN of the KMS key that protects the model. Costs one upstream call a "
        "model."
    )
    async def kms_key_arn(self, info: Info) -> str | None:
        """Read the detail."""
        return await self.details.part(info, "kmsKeyArn", identity)

    @strawberry.field(description="The model's labels. Costs one upstream call a model.")
    async def tags(self, info: Info) -> list[Tag] | None:
        """Read the detail."""
        return await self.details.part(info, "tags", Tag.all_of)

    @strawberry.field(
        description="The dataset that it was trained on, null if that is gone. Costs one "
        "upstream call a dataset."
    )
    async def training_dataset(self, info: Info) -> TrainingDataset | None:
        """Follow the link."""
        arn = self.training_dataset_arn
        return await none_if_not_found(
            TrainingDataset.fetch(info, arn, argument="trainingDatasetArn")
        )


def _moment(raw: str | None) -> DateTime | None:
    return None if raw is None else DateTime(timestamp(raw))


AUDIENCE_MODEL_SOURCE = Source(key_of=required(AUDIENCE_MODEL.arn), make=AudienceModel.from_row)
