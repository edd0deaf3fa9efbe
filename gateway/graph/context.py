"""What the resolvers of one request share."""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import strawberry

from gateway.errors import BadUserInputError, ForbiddenError, GatewayError
from gateway.upstream.cost import Cost
from gateway.upstream.loader import RequestLoader


@dataclass(frozen=True, slots=True)
class Scope:
    """What requests may reach, the same for all of them."""

    region: str
    """Where is asked when a request names no region."""
    regions: frozenset[str]
    """Where may be asked at all."""
    max_ids: int
    """How many ids one `nodes` or `_entities` field takes."""
    max_pages: int = 20
    """How many pages of root connections one operation may ask for."""
    max_details: int = 500
    """How many single objects, and first pages of nested connections, likewise."""
    max_fields: int = 50_000
    """How many fields its answer may show."""

    def check(self, region: str, *, argument: str) -> str:
        """Return the region if it may be asked; raises BadUserInputError naming the argument."""
        if region not in self.regions:
            accepted = ", ".join(sorted(self.regions))
            raise BadUserInputError(
                f"`{argument}` names a region that is not served. Accepted: {accepted}."
            )
        return region


@dataclass(frozen=True, slots=True)
class Context:
    """One request: its scope, and its reader or why there is none."""

    scope: Scope
    authenticated: RequestLoader | GatewayError
    notes: list[dict[str, Any]] = field(default_factory=list)
    """What the answer's extensions say of walks that stopped early."""
    show_cost: bool = False
    """Whether the answer's extensions tell what it has cost."""
    from_router: bool = True
    """Whether what only the router of a federated graph may ask for may be asked for."""

    @property
    def loader(self) -> RequestLoader:
        """The way to data; raises what is wrong with the caller if there is none."""
        if isinstance(self.authenticated, GatewayError):
            raise self.authenticated
        return self.authenticated

    def check_router(self) -> None:
        """Raise ForbiddenError for whoever is not the router of a federated graph."""
        if not self.from_router:
            raise ForbiddenError(
                "`_service` and `_entities` are the router's to ask for. Accepted: its secret in "
                "the header X-Router-Secret."
            )

    @property
    def cost(self) -> Cost | None:
        """What the request has cost so far; None for nobody's."""
        reader = self.authenticated
        return reader.cost if isinstance(reader, RequestLoader) else None

    def stopped_early(self, path: list[str | int], scanned: int) -> None:
        """Note that a list was not walked to where its page would have been full."""
        self.notes.append({"path": path, "scanned": scanned})


Info: TypeAlias = strawberry.Info[Context, None]
