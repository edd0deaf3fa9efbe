"""What the resolvers of one request share."""

from dataclasses import dataclass
from typing import TypeAlias

import strawberry

from gateway.errors import BadUserInputError, GatewayError
from gateway.upstream.reader import Reader


@dataclass(frozen=True, slots=True)
class Scope:
    """What requests may reach, the same for all of them."""

    region: str
    """Where is asked when a request names no region."""
    regions: frozenset[str]
    """Where may be asked at all."""
    max_ids: int
    """How many ids one `nodes` field takes."""

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
    authenticated: Reader | GatewayError

    @property
    def reader(self) -> Reader:
        """The way to data; raises what is wrong with the caller if there is none."""
        if isinstance(self.authenticated, GatewayError):
            raise self.authenticated
        return self.authenticated


Info: TypeAlias = strawberry.Info[Context, None]
