"""The training dataset: the data that audience models are trained on."""

from enum import Enum

import strawberry
from strawberry import enum_value

from gateway.graph.node import Node
from gateway.graph.types.resource_type import ArnResourceType, detail_field
from gateway.graph.types.statuses import TrainingDatasetStatus
from gateway.graph.types.values import UNKNOWN, UNKNOWN_VALUE, CleanRoomsTag, DateTime, tag_list


@strawberry.enum(description="The kind of data in a dataset.")
class CleanRoomsDatasetType(Enum):
    INTERACTIONS = enum_value(
        "INTERACTIONS", description="Interactions of users with items over time."
    )
    UNKNOWN = enum_value(UNKNOWN, description=UNKNOWN_VALUE)


@strawberry.enum(description="The role of a column in training.")
class CleanRoomsColumnType(Enum):
    USER_ID = enum_value("USER_ID", description="The user's id.")
    ITEM_ID = enum_value("ITEM_ID", description="The item's id.")
    TIMESTAMP = enum_value("TIMESTAMP", description="The time of the interaction.")
    CATEGORICAL_FEATURE = enum_value(
        "CATEGORICAL_FEATURE", description="A feature with categories as values."
    )
    NUMERICAL_FEATURE = enum_value(
        "NUMERICAL_FEATURE", description="A feature with numbers as values."
    )
    UNKNOWN = enum_value(UNKNOWN, description=UNKNOWN_VALUE)


@strawberry.federation.type(shareable=True, description="A column of a dataset.")
class CleanRoomsColumnSchema:
    column_name: str = strawberry.field(description="The column's name.")
    column_types: list[CleanRoomsColumnType] = strawberry.field(description="The column's roles.")


@strawberry.federation.type(shareable=True, description="A table in the AWS Glue Data Catalog.")
class CleanRoomsGlueDataSource:
    table_name: str = strawberry.field(description="The name of the table.")
    database_name: str = strawberry.field(description="The name of the table's database.")
    catalog_id: str | None = strawberry.field(
        description="The id of the catalog's AWS account, if it is another account's."
    )


@strawberry.federation.type(shareable=True, description="The source of a dataset.")
class CleanRoomsDataSource:
    glue_data_source: CleanRoomsGlueDataSource = strawberry.field(
        description="The table in AWS Glue."
    )


@strawberry.federation.type(shareable=True, description="How a dataset is read.")
class CleanRoomsDatasetInputConfig:
    schema: list[CleanRoomsColumnSchema] = strawberry.field(description="The columns.")
    data_source: CleanRoomsDataSource = strawberry.field(description="The source of the data.")


@strawberry.federation.type(shareable=True, description="A part of the training data.")
class CleanRoomsDataset:
    type: CleanRoomsDatasetType = strawberry.field(description="The kind of data.")
    input_config: CleanRoomsDatasetInputConfig = strawberry.field(
        description="How the data is read."
    )


@strawberry.federation.type(
    keys=["id", "trainingDatasetArn"],
    description="The data that audience models are trained on. AWS: TrainingDatasetSummary, and "
    "GetTrainingDataset for the details.",
)
class TrainingDataset(Node):
    training_dataset_arn: str = strawberry.field(description="The dataset's Amazon Resource Name.")
    create_time: DateTime = strawberry.field(description="When the dataset was created.")
    description: str | None = strawberry.field(description="The dataset's description.")
    name: str = strawberry.field(description="The dataset's name.")
    status: TrainingDatasetStatus = strawberry.field(description="The dataset's status.")
    update_time: DateTime = strawberry.field(description="When the dataset was last updated.")
    training_data: list[CleanRoomsDataset] | None = detail_field("The parts of the data.")
    role_arn: str | None = detail_field("The ARN of the IAM role that reads the data.")
    tags: list[CleanRoomsTag] | None = detail_field("The dataset's tags.", tag_list)


TRAINING_DATASET = ArnResourceType(TrainingDataset)
