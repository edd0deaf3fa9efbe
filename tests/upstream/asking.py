"""The sandbox's callers as the upstream's code knows them, and what they ask."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from gateway.auth.credentials import Caller
from gateway.sandbox import CALLERS
from gateway.upstream.client import CleanRoomsClient
from gateway.upstream.values import Listing, PageRequest

REGION = "us-east-1"
LIST = "ListAudienceGenerationJobs"
GET = "GetAudienceGenerationJob"
FIRST_PAGE = PageRequest(Listing(LIST, REGION), None)


def caller(name: str) -> Caller:
    """Give one of the sandbox's callers."""
    known = CALLERS[name]
    return Caller.from_keys(known.access_key_id, known.secret_access_key, known.session_token)


def opened(url: str | None) -> AbstractAsyncContextManager[CleanRoomsClient]:
    """Open the one client there is, for this address."""
    return CleanRoomsClient.open(frozenset({REGION}), url)


async def jobs(aws: CleanRoomsClient, who: Caller, **parameters: Any) -> dict[str, Any]:
    """List generation jobs."""
    return await aws.call(who, REGION, LIST, parameters)
