"""The collaboration: not ours, but known by its id, so that another subgraph may own it."""

import strawberry
from strawberry.federation.schema_directives import Key
from strawberry.federation.types import FieldSet


@strawberry.federation.type(
    keys=[Key(fields=FieldSet("id"), resolvable=False)],
    description="A Clean Rooms collaboration. This part of the graph knows its id alone.",
)
class Collaboration:
    """A stub for a federated graph."""

    id: strawberry.ID = strawberry.field(description="The collaboration's id.")
