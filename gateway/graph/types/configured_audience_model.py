"""The configured audience model: how a member of a collaboration may use an audience model."""

from collections.abc import Mapping
from typing import Any

import strawberry

from gateway.graph.context import Info
from gateway.graph.node import Node
from gateway.graph.pagination.connection import Source
from gateway.graph.types.audience_model import AudienceModel
from gateway.graph.types.details import S3ConfigMap, Tag
from gateway.graph.types.enums import (
    AudienceSizeType,
    ConfiguredAudienceModelStatus,
    SharedAudienceMetrics,
    TagOnCreatePolicy,
    known,
    shown,
)
from gateway.graph.types.resource_type import (
    Details,
    ResourceType,
    got,
    identity,
    none_if_not_found,
    optional,
    read_member,
    required,
)
from gateway.graph.types.scalars import DateTime
from gateway.upstream.values import Item

CONFIGURED_MODEL = ResourceType(
    type_name="ConfiguredAudienceModel",
    lists="ListConfiguredAudienceModels",
    gets="GetConfiguredAudienceModel",
    arn="configuredAudienceModelArn",
    members={
        "audienceModelArn": required("audienceModelArn"),
        "createTime": required("createTime"),
        "description": optional("description"),
        "name": required("name"),
        "status": shown(ConfiguredAudienceModelStatus),
        "updateTime": required("updateTime"),
    },
)


@strawberry.federation.type(shareable=True, description="Where audiences are exported to.")
class AudienceDestination:
    """Shape AudienceDestination."""

    s3_destination: S3ConfigMap = strawberry.field(
        name="s3Destination", description="The place in Amazon S3."
    )


@strawberry.federation.type(shareable=True, description="Where audiences go, and who writes them.")
class ConfiguredAudienceModelOutputConfig:
    """Shape ConfiguredAudienceModelOutputConfig."""

    destination: AudienceDestination = strawberry.field(description="Where audiences go.")
    role_arn: str = strawberry.field(description="The ARN of the IAM role that writes them.")

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "ConfiguredAudienceModelOutputConfig":
        """Read the shape."""
        uri = raw["destination"]["s3Destination"]["s3Uri"]
        destination = AudienceDestination(s3_destination=S3ConfigMap(s3_uri=uri))
        return cls(destination=destination, role_arn=raw["roleArn"])


@strawberry.federation.type(shareable=True, description="Which audience sizes can be asked for.")
class AudienceSizeConfig:
    """Shape AudienceSizeConfig."""

    audience_size_type: AudienceSizeType = strawberry.field(description="What a size counts.")
    audience_size_bins: list[int] = strawberry.field(description="The sizes, ascending.")

    @classmethod
    def of(cls, raw: Mapping[str, Any] | None) -> "AudienceSizeConfig | None":
        """Read the shape; None stays None."""
        if raw is None:
            return None
        return cls(
            audience_size_type=known(AudienceSizeType, raw["audienceSizeType"]),
            audience_size_bins=list(raw["audienceSizeBins"]),
        )


@strawberry.federation.type(
    keys=["id", "configuredAudienceModelArn"],
    description="An audience model with the rules for its use in a collaboration. AWS: "
    "ConfiguredAudienceModelSummary, and GetConfiguredAudienceModel for the details.",
)
class ConfiguredAudienceModel(Node):
    """A configured audience model."""

    configured_audience_model_arn: str = strawberry.field(
        description="The configured model's Amazon Resource Name."
    )
    audience_model_arn: str = strawberry.field(
        description="The ARN of the model that it configures."
    )
    create_time: DateTime = strawberry.field(description="When it was made.")
    description: str | None = strawberry.field(description="What its maker says of it.")
    name: str = strawberry.field(description="Its name.")
    status: ConfiguredAudienceModelStatus = strawberry.field(
        description="Its status. `UNKNOWN` if AWS has added one since."
    )
    update_time: DateTime = strawberry.field(description="When it last changed.")
    details: strawberry.Private[Details]
    item: strawberry.Private[Item]

    @classmethod
    def from_row(cls, item: Item) -> "ConfiguredAudienceModel":
        """Make the model of a row of the list; its details are one Get away."""
        kind = CONFIGURED_MODEL
        return cls(**kind.values(item), details=kind.details(item), item=item)

    @classmethod
    async def fetch(cls, info: Info, arn: str, *, argument: str) -> "ConfiguredAudienceModel":
        """Get the configured model with this ARN; raises as kind.got does."""
        item, details = await got(CONFIGURED_MODEL, info, arn, argument=argument)
        return cls(**CONFIGURED_MODEL.values(item), details=details, item=item)

    @strawberry.field(description="Where its audiences are exported to.")
    def output_config(self) -> ConfiguredAudienceModelOutputConfig:
        """Read what the row tells already."""
        return read_member(self.item, "outputConfig", ConfiguredAudienceModelOutputConfig.of)

    @strawberry.field(
        description="What a collaborator is shown of an audience's quality. Costs one upstream "
        "call a model."
    )
    async def shared_audience_metrics(self, info: Info) -> list[SharedAudienceMetrics] | None:
        """Read the detail."""
        return await self.details.part(info, "sharedAudienceMetrics", _shared)

    @strawberry.field(
        description="How many users of the seed audience must be known to the model. Costs one "
        "upstream call a model."
    )
    async def min_matching_seed_size(self, info: Info) -> int | None:
        """Read the detail."""
        return await self.details.part(info, "minMatchingSeedSize", identity)

    @strawberry.field(
        description="Which audience sizes can be asked for. Costs one upstream call a model."
    )
    async def audience_size_config(self, info: Info) -> AudienceSizeConfig | None:
        """Read the detail."""
        return await self.details.part(info, "audienceSizeConfig", AudienceSizeConfig.of)

    @strawberry.field(description="Its labels. Costs one upstream call a model.")
    async def tags(self, info: Info) -> list[Tag] | None:
        """Read the detail."""
        return await self.details.part(info, "tags", Tag.all_of)

    @strawberry.field(
        description="Where the resources that are made of it get their tags. Costs one upstream "
        "call a model."
    )
    async def child_resource_tag_on_create_policy(self, info: Info) -> TagOnCreatePolicy | None:
        """Read the detail."""
        return await self.details.part(info, "childResourceTagOnCreatePolicy", _policy)

    @strawberry.field(
        description="The audience model that it configures, null if that is gone. Costs one "
        "upstream call a model."
    )
    async def audience_model(self, info: Info) -> AudienceModel | None:
        """Follow the link."""
        arn = self.audience_model_arn
        return await none_if_not_found(AudienceModel.fetch(info, arn, argument="audienceModelArn"))


def _shared(raw: list[str]) -> list[SharedAudienceMetrics]:
    return [known(SharedAudienceMetrics, each) for each in raw]


def _policy(raw: str | None) -> TagOnCreatePolicy | None:
    return None if raw is None else known(TagOnCreatePolicy, raw)


CONFIGURED_MODEL_SOURCE = Source(
    key_of=required(CONFIGURED_MODEL.arn), make=ConfiguredAudienceModel.from_row
)
