"""Stock boto3 clients of a sandbox."""

from functools import cache
from typing import Any

import boto3  # type: ignore[import-untyped]  # stock boto3 has no stubs here
from botocore.config import Config

from gateway.sandbox import CALLERS

# Any: the clients' classes are made at run time.
Client = Any

ONCE = Config(retries={"max_attempts": 1, "mode": "standard"}, read_timeout=60)
UNCHECKED = ONCE.merge(Config(parameter_validation=False))


@cache
def client(
    url: str, name: str = "ada", region: str = "us-east-1", *, config: Config = ONCE
) -> Client:
    """Return a client with the credentials of a caller."""
    caller = CALLERS[name]
    return boto3.client(
        "cleanroomsml",
        endpoint_url=url,
        region_name=region,
        config=config,
        aws_access_key_id=caller.access_key_id,
        aws_secret_access_key=caller.secret_access_key,
        aws_session_token=caller.session_token,
    )


def list_all(client: Client, operation: str, member: str, **inputs: object) -> list[Any]:
    """Return all items of a list, by boto3's paginator."""
    pages = client.get_paginator(operation).paginate(**inputs)
    return [item for page in pages for item in page[member]]


def list_jobs(client: Client, **inputs: object) -> list[Any]:
    return list_all(client, "list_audience_generation_jobs", "audienceGenerationJobs", **inputs)
