"""Requests to a sandbox as bytes on a wire, signed by botocore or not at all."""

import json
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway.sandbox import CALLERS, SandboxCaller

JOBS = "/audience-generation-job"


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Give the body's value."""
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str | None]:
        """The status, and AWS's name for what went wrong."""
        return self.status, self.headers.get("x-amzn-errortype")


def send(
    url: str,
    target: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
) -> Reply:
    """Send one request, its target untouched."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request(method, target, body=body, headers=headers or {})
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, names, response.read())
    finally:
        connection.close()


def sign(
    url: str,
    target: str,
    caller: SandboxCaller = CALLERS["ada"],
    *,
    region: str = "us-east-1",
    service: str = "cleanrooms-ml",
    headers: dict[str, str] | None = None,
) -> dict[str, str]:
    """Give the headers that sign this target."""
    credentials = Credentials(caller.access_key_id, caller.secret_access_key, caller.session_token)
    request = AWSRequest("GET", url + target, headers={"host": urlsplit(url).netloc})
    for name, value in (headers or {}).items():
        request.headers[name] = value
    SigV4Auth(credentials, service, region).add_auth(request)
    return dict(request.headers.items())


def ask(url: str, target: str, caller: SandboxCaller = CALLERS["ada"], **query: str) -> Reply:
    """Send one signed GET."""
    if query:
        target = f"{target}?{urlencode(query)}"
    return send(url, target, headers=sign(url, target, caller))


def control(url: str, method: str, path: str, order: object = None) -> Reply:
    """Send one request to the control API."""
    body = None if order is None else json.dumps(order).encode()
    return send(url, f"/_sandbox{path}", method=method, body=body)
