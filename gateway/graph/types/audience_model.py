"""The audience model: trained on a training dataset."""

import strawberry

from gateway.graph.node import Node
from gateway.graph.types.resource_type import ArnResourceType, detail_field, link_field
from gateway.graph.types.statuses import AudienceModelStatus
from gateway.graph.types.training_dataset import TRAINING_DATASET, TrainingDataset
from gateway.graph.types.values import (
    CleanRoomsStatusDetails,
    CleanRoomsTag,
    DateTime,
    tag_list,
)


@strawberry.federation.type(
    keys=["id", "audienceModelArn"],
    description="A model that finds users similar to others. AWS: AudienceModelSummary, and "
    "GetAudienceModel for the details.",
)
class AudienceModel(Node):
    audience_model_arn: str = strawberry.field(description="The model's Amazon Resource Name.")
    create_time: DateTime = strawberry.field(description="When the model was created.")
    description: str | None = strawberry.field(description="The model's description.")
    name: str = strawberry.field(description="The model's name.")
    status: AudienceModelStatus = strawberry.field(description="The model's status.")
    training_dataset_arn: str = strawberry.field(
        description="The ARN of the dataset that the model is trained on."
    )
    update_time: DateTime = strawberry.field(description="When the model was last updated.")
    training_data_start_time: DateTime | None = detail_field("The start of the training data.")
    training_data_end_time: DateTime | None = detail_field("The end of the training data.")
    status_details: CleanRoomsStatusDetails | None = detail_field("Why the model has its status.")
    kms_key_arn: str | None = detail_field("The ARN of the KMS key that encrypts the model.")
    tags: list[CleanRoomsTag] | None = detail_field("The model's tags.", tag_list)
    training_dataset: TrainingDataset | None = link_field(
        TRAINING_DATASET, "The dataset that the model is trained on."
    )


AUDIENCE_MODEL = ArnResourceType(AudienceModel)
