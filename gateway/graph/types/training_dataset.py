"""The training dataset: what an audience model learns from."""

from collections.abc import Mapping
from typing import Any

import strawberry

from gateway.graph.context import Info
from gateway.graph.node import Node
from gateway.graph.pagination.connection import Source
from gateway.graph.types.details import Tag
from gateway.graph.types.enums import ColumnType, DatasetType, TrainingDatasetStatus, known, shown
from gateway.graph.types.resource_type import (
    Details,
    ResourceType,
    got,
    identity,
    optional,
    required,
)
from gateway.graph.types.scalars import DateTime
from gateway.upstream.values import Item

TRAINING_DATASET = ResourceType(
    type_name="TrainingDataset",
    lists="ListTrainingDatasets",
    gets="GetTrainingDataset",
    arn="trainingDatasetArn",
    members={
        "createTime": required("createTime"),
        "description": optional("description"),
        "name": required("name"),
        "status": shown(TrainingDatasetStatus),
        "updateTime": required("updateTime"),
    },
)


@strawberry.federation.type(shareable=True, description="A column of a dataset.")
class ColumnSchema:
    """Shape ColumnSchema."""

    column_name: str = strawberry.field(description="The column's name.")
    column_types: list[ColumnType] = strawberry.field(description="What the column means.")


@strawberry.federation.type(shareable=True, description="A table in the AWS Glue Data Catalog.")
class GlueDataSource:
    """Shape GlueDataSource."""

    table_name: str = strawberry.field(description="The table.")
    database_name: str = strawberry.field(description="The database that the table is in.")
    catalog_id: str | None = strawberry.field(
        description="The id of the account whose catalog it is, if it is another's."
    )


@strawberry.federation.type(shareable=True, description="Where a dataset comes from.")
class DataSource:
    """Shape DataSource."""

    glue_data_source: GlueDataSource = strawberry.field(description="The table in AWS Glue.")


@strawberry.federation.type(shareable=True, description="How a dataset is read.")
class DatasetInputConfig:
    """Shape DatasetInputConfig."""

    schema: list[ColumnSchema] = strawberry.field(description="The columns.")
    data_source: DataSource = strawberry.field(description="Where the data come from.")


@strawberry.federation.type(shareable=True, description="A part of the training data.")
class Dataset:
    """Shape Dataset."""

    type: DatasetType = strawberry.field(description="What it is about.")
    input_config: DatasetInputConfig = strawberry.field(description="How it is read.")

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "Dataset":
        """Read the shape."""
        config = raw["inputConfig"]
        glue = config["dataSource"]["glueDataSource"]
        columns = [
            ColumnSchema(
                column_name=column["columnName"],
                column_types=[known(ColumnType, each) for each in column["columnTypes"]],
            )
            for column in config["schema"]
        ]
        source = GlueDataSource(
            table_name=glue["tableName"],
            database_name=glue["databaseName"],
            catalog_id=glue.get("catalogId"),
        )
        read = DatasetInputConfig(schema=columns, data_source=DataSource(glue_data_source=source))
        return cls(type=known(DatasetType, raw["type"]), input_config=read)


@strawberry.federation.type(
    keys=["id", "trainingDatasetArn"],
    description="What audience models are trained on. AWS: TrainingDatasetSummary, and "
    "GetTrainingDataset for the details.",
)
class TrainingDataset(Node):
    """A training dataset."""

    training_dataset_arn: str = strawberry.field(description="The dataset's Amazon Resource Name.")
    create_time: DateTime = strawberry.field(description="When the dataset was made.")
    description: str | None = strawberry.field(description="What its maker says of the dataset.")
    name: str = strawberry.field(description="The dataset's name.")
    status: TrainingDatasetStatus = strawberry.field(
        description="Its status. `UNKNOWN` if AWS has added one since."
    )
    update_time: DateTime = strawberry.field(description="When the dataset last changed.")
    details: strawberry.Private[Details]

    @classmethod
    def from_row(cls, item: Item) -> "TrainingDataset":
        """Make the dataset of a row of the list; its details are one Get away."""
        return cls(**TRAINING_DATASET.values(item), details=TRAINING_DATASET.details(item))

    @classmethod
    async def fetch(cls, info: Info, arn: str, *, argument: str) -> "TrainingDataset":
        """Get the dataset with this ARN; raises as kind.got does."""
        item, details = await got(TRAINING_DATASET, info, arn, argument=argument)
        return cls(**TRAINING_DATASET.values(item), details=details)

    @strawberry.field(description="The parts of the data. Costs one upstream call a dataset.")
    async def training_data(self, info: Info) -> list[Dataset] | None:
        """Read the detail."""
        return await self.details.part(info, "trainingData", _datasets)

    @strawberry.field(
        description="The ARN of the IAM role that reads the data. Costs one upstream call a "
        "dataset."
    )
    async def role_arn(self, info: Info) -> str | None:
        """Read the detail."""
        return await self.details.part(info, "roleArn", identity)

    @strawberry.field(description="The dataset's labels. Costs one upstream call a dataset.")
    async def tags(self, info: Info) -> list[Tag] | None:
        """Read the detail."""
        return await self.details.part(info, "tags", Tag.all_of)


def _datasets(raw: list[Mapping[str, Any]]) -> list[Dataset]:
    return [Dataset.of(each) for each in raw]


TRAINING_DATASET_SOURCE = Source(
    key_of=required(TRAINING_DATASET.arn), make=TrainingDataset.from_row
)
