"""The audience model: trained on a training dataset."""

from enum import Enum

import strawberry
from strawberry import enum_value

from gateway.graph.node import Node
from gateway.graph.types.resource_type import ArnResourceType, detail_field, link_field
from gateway.graph.types.training_dataset import TRAINING_DATASET, TrainingDataset
from gateway.graph.types.values import (
    UNKNOWN,
    UNKNOWN_VALUE,
    CleanRoomsStatusDetails,
    CleanRoomsTag,
    DateTime,
    tag_list,
)


@strawberry.enum(description="The status of an audience model.")
class AudienceModelStatus(Enum):
    CREATE_PENDING = enum_value("CREATE_PENDING", description="Training has not started.")
    CREATE_IN_PROGRESS = enum_value("CREATE_IN_PROGRESS", description="The model is in training.")
    CREATE_FAILED = enum_value(
        "CREATE_FAILED", description="Training has failed; `statusDetails` says why."
    )
    ACTIVE = enum_value("ACTIVE", description="The model can be configured and used.")
    DELETE_PENDING = enum_value("DELETE_PENDING", description="Deletion has not started.")
    DELETE_IN_PROGRESS = enum_value("DELETE_IN_PROGRESS", description="The model is being deleted.")
    DELETE_FAILED = enum_value(
        "DELETE_FAILED", description="Deletion has failed; `statusDetails` says why."
    )
    UNKNOWN = enum_value(UNKNOWN, description=UNKNOWN_VALUE)


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
