"""What `gateway dev` tells a newcomer: what to open, who to be, what to paste."""

import json
from collections.abc import Mapping

from gateway.sandbox import CALLERS, SandboxCaller

SHOWN_CALLERS = ("ada", "grace", "edith")
QUERY = "{ audienceGenerationJobs(first: 3) { nodes { name status } pageInfo { endCursor } } }"


def aws_headers(caller: SandboxCaller) -> Mapping[str, str]:
    """Return the headers with which this caller asks the gateway."""
    headers = {
        "X-Aws-Access-Key-Id": caller.access_key_id,
        "X-Aws-Secret-Access-Key": caller.secret_access_key,
    }
    if caller.session_token is not None:
        headers["X-Aws-Session-Token"] = caller.session_token
    return headers


def welcome(url: str, sandbox_url: str) -> str:
    """Tell a newcomer what to open, who to be and what to paste."""
    callers = "\n\n".join(
        f"  {name}: {CALLERS[name].note}\n  {json.dumps(dict(aws_headers(CALLERS[name])))}"
        for name in SHOWN_CALLERS
    )
    headers = " ".join(
        f"-H '{name}: {value}'" for name, value in aws_headers(CALLERS[SHOWN_CALLERS[0]]).items()
    )
    body = json.dumps({"query": QUERY})
    return f"""
Audience Gateway is ready. Open

  {url}/graphql

The sandbox at {sandbox_url} stands in for AWS. Its callers, and the headers by which they ask:

{callers}

Paste into another terminal:

  curl -s {url}/graphql -H 'Content-Type: application/json' {headers} -d '{body}'

See what happens when AWS throttles (and `heal` ends it):

  .venv/bin/gateway sandbox fault throttle --url {sandbox_url}
"""


def welcome_by_token(url: str, token: str) -> str:
    """Tell a newcomer how to ask with an OIDC token."""
    headers = f"-H 'Content-Type: application/json' -H 'Authorization: Bearer {token}'"
    body = json.dumps({"query": QUERY})
    return f"""\
Or be {SHOWN_CALLERS[0]} by a token of the sandbox's OIDC issuer; its STS gives the AWS credentials:

  curl -s {url}/graphql {headers} -d '{body}'
"""
