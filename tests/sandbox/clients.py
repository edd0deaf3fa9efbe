"""Stock boto3 clients of a sandbox."""

from functools import cache
from typing import Any

import boto3  # type: ignore[import-untyped]  # stock boto3 has no stubs here
from botocore.config import Config

from gateway.sandbox import CALLERS

# Any: the clients' classes are made at run time.
Client = Any


@cache
def client(
    url: str, name: str = "ada", region: str = "us-east-1", *, checked: bool = True
) -> Client:
    """Give a client that signs as this caller; the developer's own settings have no part in it."""
    caller = CALLERS[name]
    session = boto3.session.Session(
        aws_access_key_id=caller.access_key_id,
        aws_secret_access_key=caller.secret_access_key,
        aws_session_token=caller.session_token,
        region_name=region,
    )
    once = Config(
        retries={"max_attempts": 1, "mode": "standard"},
        read_timeout=10,
        parameter_validation=checked,
    )
    return session.client("cleanroomsml", endpoint_url=url, config=once)


def unchecked(url: str, name: str = "ada") -> Client:
    """Give a client that lets wrong inputs through to the server."""
    return client(url, name, checked=False)


def list_all(client: Client, operation: str, member: str, **inputs: object) -> list[Any]:
    """Give every item of a list, by boto3's own paginator."""
    pages = client.get_paginator(operation).paginate(**inputs)
    return [item for page in pages for item in page[member]]


def list_jobs(client: Client, **inputs: object) -> list[Any]:
    """Give every generation job."""
    return list_all(client, "list_audience_generation_jobs", "audienceGenerationJobs", **inputs)
