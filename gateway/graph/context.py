"""What the resolvers of one request share."""

from dataclasses import dataclass
from typing import TypeAlias

import strawberry

from gateway.errors import BadUserInputError, UnauthenticatedError
from gateway.upstream.reader import Reader

ANONYMOUS = (
    "Data needs AWS credentials. Send the headers X-Aws-Access-Key-Id, "
    "X-Aws-Secret-Access-Key and X-Aws-Session-Token."
)


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
    """One request: its reader, if somebody has said who is asking, and its scope."""

    scope: Scope
    authenticated: Reader | None

    @property
    def reader(self) -> Reader:
        """The way to data; raises UnauthenticatedError if nobody has said who is asking."""
        if self.authenticated is None:
            raise UnauthenticatedError(ANONYMOUS)
        return self.authenticated


Info: TypeAlias = strawberry.Info[Context, None]
