"""The queries of the benchmarks, and the HTTP requests that send them."""

import json

from benchmarks.client import post
from gateway.auth.credentials import AwsCredentials

TOKEN_CHARACTERS = 1000
"""About the length of an assumed role's token."""

EVERY_FIELD = """
query Everything($first: Int, $after: String) {
  audienceGenerationJobs(first: $first, after: $after) {
    edges {
      cursor
      node {
        id audienceGenerationJobArn collaborationId configuredAudienceModelArn createTime
        description name startedBy status updateTime
      }
    }
    pageInfo { hasNextPage endCursor }
  }
}
"""
"""A page with every field of the upstream's list."""

WITHOUT_NEXT_PAGE = EVERY_FIELD.replace("hasNextPage ", "")

TWO_FIELDS = """
query Few($first: Int) { audienceGenerationJobs(first: $first) { nodes { name status } } }
"""


def credentials(number: int = 0) -> AwsCredentials:
    """Make the temporary credentials of caller `number`."""
    return AwsCredentials(
        f"ASIA{number:016d}",
        f"{number:040d}",
        f"{number:08d}" * (TOKEN_CHARACTERS // 8),
    )


def credential_headers(number: int = 0) -> dict[str, str]:
    own = credentials(number)
    return {
        "X-Aws-Access-Key-Id": own.access_key,
        "X-Aws-Secret-Access-Key": own.secret_key,
        "X-Aws-Session-Token": own.token or "",
    }


def graphql_request(
    query: str,
    caller: int = 0,
    *,
    first: int = 100,
    after: str | None = None,
    no_cache: bool = False,
) -> bytes:
    variables = {"first": first, "after": after} if "$after" in query else {"first": first}
    headers = credential_headers(caller)
    if no_cache:
        headers["Cache-Control"] = "no-cache"
    body = json.dumps({"query": query, "variables": variables}).encode()
    return post("/graphql", body, headers)


def uncached_requests(number: int) -> list[bytes]:
    """Make requests of distinct callers: those of one caller would share one upstream call."""
    return [graphql_request(EVERY_FIELD, caller, no_cache=True) for caller in range(number)]


def doubling_fragments(depth: int, kind: str, selection: str, name: str = "Doubling") -> str:
    """Make a query of `depth` fragments, each of which spreads the next one twice.

    A walk that follows each spread visits the `selection` two to the power of `depth` times.
    """
    spreads = (
        f"fragment F{each} on {kind} {{ ...F{each + 1} ...F{each + 1} }}" for each in range(depth)
    )
    last = f"fragment F{depth} on {kind} {{ {selection} }}"
    return "\n".join([f"query {name} {{ ...F0 }}", *spreads, last])
