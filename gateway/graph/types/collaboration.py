"""The collaboration, an object of other subgraphs to which this one adds what it knows of it."""

from operator import itemgetter

import strawberry
from strawberry.types import get_object_definition

from gateway.graph.context import Context
from gateway.graph.pagination.connection import connection_field
from gateway.graph.types.lists import JobConnection, list_jobs
from gateway.graph.types.resource_type import NAMES, EntityType, ResourceObject
from gateway.upstream.model import check_input


@strawberry.federation.type(
    keys=["id"],
    description="A Clean Rooms collaboration.",
)
class Collaboration:
    id: strawberry.ID = strawberry.field(description="The collaboration's id.")
    audience_generation_jobs: JobConnection | None = connection_field(
        "AudienceGenerationJob",
        list_jobs,
        "The caller's audience generation jobs of the collaboration. AWS: "
        "ListAudienceGenerationJobs.",
        fixed={"collaboration_id": itemgetter("id")},
    )


class CollaborationType(EntityType):
    """Clean Rooms ML has no collaborations, only their ids, so there is nothing to fetch."""

    def __init__(self) -> None:
        super().__init__(Collaboration)
        fields = get_object_definition(Collaboration, strict=True).fields
        self.key_fields |= set(map(NAMES.from_field, fields))

    def check_key(self, key: str, *, argument: str) -> None:
        check_input("ListAudienceGenerationJobs", "collaborationId", key, argument=argument)

    async def find(self, context: Context, key: str, *, argument: str) -> ResourceObject | None:
        return self.from_key(context, key, argument=argument)

    def from_key(self, _: Context, key: str, *, argument: str) -> ResourceObject:  # noqa: ARG002
        return ResourceObject(self, {"id": key})


COLLABORATION = CollaborationType()
