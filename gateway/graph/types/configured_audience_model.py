"""The configured audience model: an audience model with the rules for its use."""

from enum import Enum
from operator import itemgetter

import strawberry
from strawberry import enum_value

from gateway.graph.node import Node
from gateway.graph.pagination.connection import connection_field
from gateway.graph.types.audience_model import AUDIENCE_MODEL, AudienceModel
from gateway.graph.types.lists import JobConnection, list_jobs
from gateway.graph.types.resource_type import (
    ArnResourceType,
    detail_field,
    link_field,
    region_of,
    row_field,
)
from gateway.graph.types.statuses import ConfiguredAudienceModelStatus
from gateway.graph.types.values import (
    UNKNOWN,
    UNKNOWN_VALUE,
    AudienceSizeType,
    CleanRoomsS3ConfigMap,
    CleanRoomsTag,
    DateTime,
    tag_list,
)


@strawberry.enum(description="Which metrics of an audience are shared with a collaborator.")
class CleanRoomsSharedAudienceMetrics(Enum):
    ALL = enum_value("ALL", description="All metrics.")
    NONE = enum_value("NONE", description="No metrics.")
    UNKNOWN = enum_value(UNKNOWN, description=UNKNOWN_VALUE)


@strawberry.enum(description="Where a new child resource gets its tags from.")
class CleanRoomsTagOnCreatePolicy(Enum):
    FROM_PARENT_RESOURCE = enum_value(
        "FROM_PARENT_RESOURCE", description="From its parent resource."
    )
    NONE = enum_value("NONE", description="It is created without tags.")
    UNKNOWN = enum_value(UNKNOWN, description=UNKNOWN_VALUE)


@strawberry.federation.type(shareable=True, description="Where audiences are exported to.")
class AudienceDestination:
    s3_destination: CleanRoomsS3ConfigMap = strawberry.field(
        name="s3Destination", description="The location in Amazon S3."
    )


@strawberry.federation.type(
    shareable=True, description="Where audiences are exported to, and with which role."
)
class ConfiguredAudienceModelOutputConfig:
    destination: AudienceDestination = strawberry.field(
        description="Where audiences are exported to."
    )
    role_arn: str = strawberry.field(description="The ARN of the IAM role that writes them.")


@strawberry.federation.type(shareable=True, description="The audience sizes that can be requested.")
class AudienceSizeConfig:
    audience_size_type: AudienceSizeType = strawberry.field(description="The unit of the sizes.")
    audience_size_bins: list[int] = strawberry.field(description="The sizes, ascending.")


@strawberry.federation.type(
    keys=["id", "configuredAudienceModelArn"],
    description="An audience model with the rules for its use in a collaboration. AWS: "
    "ConfiguredAudienceModelSummary, and GetConfiguredAudienceModel for the details.",
)
class ConfiguredAudienceModel(Node):
    configured_audience_model_arn: str = strawberry.field(
        description="The configured model's Amazon Resource Name."
    )
    audience_model_arn: str = strawberry.field(
        description="The ARN of the audience model that it configures."
    )
    create_time: DateTime = strawberry.field(description="When the configured model was created.")
    description: str | None = strawberry.field(description="The configured model's description.")
    name: str = strawberry.field(description="The configured model's name.")
    status: ConfiguredAudienceModelStatus = strawberry.field(
        description="The configured model's status."
    )
    update_time: DateTime = strawberry.field(
        description="When the configured model was last updated."
    )
    output_config: ConfiguredAudienceModelOutputConfig = row_field(
        "Where audiences are exported to, and with which role."
    )
    shared_audience_metrics: list[CleanRoomsSharedAudienceMetrics] | None = detail_field(
        "Which metrics of an audience are shared with a collaborator."
    )
    min_matching_seed_size: int | None = detail_field(
        "How many users of the seed audience the model must know."
    )
    audience_size_config: AudienceSizeConfig | None = detail_field(
        "The audience sizes that can be requested."
    )
    tags: list[CleanRoomsTag] | None = detail_field("The configured model's tags.", tag_list)
    child_resource_tag_on_create_policy: CleanRoomsTagOnCreatePolicy | None = detail_field(
        "Where resources created from the configured model get their tags from."
    )
    audience_model: AudienceModel | None = link_field(
        AUDIENCE_MODEL, "The audience model that it configures."
    )
    audience_generation_jobs: JobConnection | None = connection_field(
        "AudienceGenerationJob",
        list_jobs,
        "The caller's audience generation jobs that use the model. AWS: "
        "ListAudienceGenerationJobs.",
        fixed={
            "configured_audience_model_arn": itemgetter("configuredAudienceModelArn"),
            "region": lambda model: region_of(model["configuredAudienceModelArn"]),
        },
    )


CONFIGURED_AUDIENCE_MODEL = ArnResourceType(ConfiguredAudienceModel)
