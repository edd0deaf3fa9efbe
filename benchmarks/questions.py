"""What is asked, and by whom."""

import json

from benchmarks.client import post
from gateway.auth.credentials import AwsCredentials

TOKEN_CHARACTERS = 1000
"""About what the token of an assumed role has."""

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
"""A page with all that the upstream's list knows."""

ONWARD = EVERY_FIELD.replace("hasNextPage ", "")
"""The same without looking whether there is more."""

TWO_FIELDS = """
query Few($first: Int) { audienceGenerationJobs(first: $first) { nodes { name status } } }
"""


def keys(number: int = 0) -> AwsCredentials:
    """Make the temporary credentials of caller `number`."""
    return AwsCredentials(
        f"ASIA{number:016d}",
        f"{number:040d}",
        f"{number:08d}" * (TOKEN_CHARACTERS // 8),
    )


def question(
    query: str,
    caller: int = 0,
    *,
    first: int = 100,
    after: str | None = None,
    fresh: bool = False,
) -> bytes:
    """Make the HTTP request in which a caller asks; `fresh` reads past the cache."""
    variables = {"first": first, "after": after} if "$after" in query else {"first": first}
    own = keys(caller)
    headers = {
        "X-Aws-Access-Key-Id": own.access_key,
        "X-Aws-Secret-Access-Key": own.secret_key,
        "X-Aws-Session-Token": own.token or "",
    }
    if fresh:
        headers["Cache-Control"] = "no-cache"
    body = json.dumps({"query": query, "variables": variables}).encode()
    return post("/graphql", body, headers)
