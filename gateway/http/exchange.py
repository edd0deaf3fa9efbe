"""A request to the endpoint, and what lasts from its head to the end of its response."""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol, TypedDict

from starlette.types import Receive

from gateway.auth.authenticator import Authenticator, BearerClaim, Claim, Identity
from gateway.auth.credentials import Caller
from gateway.errors import GatewayError, UnauthenticatedError, UpstreamTimeoutError
from gateway.graph.context import Context
from gateway.http.answers import AnswerLookup, KnownHead
from gateway.http.concurrency import RequestSlot
from gateway.http.middleware import RequestLog
from gateway.http.requests import RequestHeaders
from gateway.http.responses import HttpError
from gateway.watch.poll import Identify
from gateway.watch.watcher import Watcher

NOT_IDENTIFIED = (
    "The token's issuer or STS did not respond within the request's time limit. Try again later."
)


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """Options of a request, from its headers."""

    fresh: bool
    """Bypass the cache, and refresh it."""
    show_cost: bool
    from_router: bool
    """The request may query what is reserved for a federation router."""


class MakeContext(Protocol):
    def __call__(self, identity: Identity, options: RequestOptions, deadline: float) -> Context:
        """Make a context; the deadline is a time of the event loop's clock."""


class Resources(TypedDict):
    """The lifespan state: what is opened when the application starts."""

    authenticator: Authenticator
    make_context: MakeContext
    watcher: Watcher


@dataclass(slots=True)
class Exchange:
    """One request."""

    method: str
    query_string: bytes
    headers: RequestHeaders = field(repr=False)
    receive: Receive
    resources: Resources
    log: RequestLog
    slot: RequestSlot
    deadline: float
    claim: Claim | HttpError | None
    """Who the request says it comes from, or the response to invalid credentials. None for a
    known caller, until the request is executed."""
    limit_key: bytes = field(repr=False)
    """The caller in limits when the request begins; a token may have to be verified first."""
    lookup: AnswerLookup | None
    """None if no whole answer may be served or kept."""
    known: KnownHead | None
    """What need not be checked again."""

    def forget_request(self) -> None:
        """Drop the credentials and what else is not needed while a stream is sent."""
        self.headers, self.query_string = RequestHeaders(()), b""
        self.claim = self.lookup = None


def read_claim(authenticator: Authenticator, headers: RequestHeaders) -> Claim | HttpError:
    try:
        return authenticator.read(headers.items)
    except UnauthenticatedError as error:
        return HttpError(401, error, authenticator.challenge)


async def identify(exchange: Exchange, claim: Claim) -> Identity:
    if not isinstance(claim, BearerClaim):
        return claim
    authenticator = exchange.resources["authenticator"]
    try:
        async with asyncio.timeout_at(exchange.deadline):
            return await authenticator.identify(claim, exchange.slot.transfer)
    except UnauthenticatedError as error:
        raise HttpError(401, error, authenticator.challenge) from None
    except TimeoutError:
        return UpstreamTimeoutError(NOT_IDENTIFIED)


def log_caller(exchange: Exchange, claim: Claim | None) -> None:
    if isinstance(claim, Caller):
        exchange.log.caller = claim.digest


def identify_again(authenticator: Authenticator, claim: Claim) -> Identify:
    """Return a function that identifies the caller of a claim, as long as it is valid."""

    async def identify_now() -> Caller:
        identity: Identity
        if isinstance(claim, BearerClaim):
            # Verified again: it may have expired since, and its session may have been renewed.
            identity = await authenticator.identify(BearerClaim(claim.text, None), _count_nothing)
        else:
            identity = claim
        if isinstance(identity, GatewayError):
            raise identity
        return identity

    return identify_now


async def _count_nothing(_: bytes) -> None:
    """Take no slot: subscriptions are counted apart."""
